#!/usr/bin/env python
"""Plays the main job on real measurements: an archive, its rollups, an incident that damages them, their repair, and the proof.

`scripts/run demo` makes a new folder for it; the page it ends with shows all that was found. `scripts/demo_parts` holds the parts.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines.outcome import human_number
from scripts.demo_parts.commands import CommandFailed, Commands
from scripts.demo_parts.comparison import compare, counts_of, differences, expected_table
from scripts.demo_parts.incident import play
from scripts.demo_parts.steps import SHOWN, Demo, archive_text, make_archive, result, run_text, write_result
from scripts.demo_parts.story import Compared, Document, summed
from scripts.demo_parts.terminal import Terminal, buckets_text, hours_text

WRONG_USAGE: Final = 2
DIFFERENT: Final = 4
INTERRUPTED: Final = 130
MARK: Final = ".rollups-demo"


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 the store is as expected, 2 wrong options, 4 it is not, else that of the command that failed."""
    given = parser().parse_args(argv)
    try:
        return check(given.check.resolve()) if given.check else demonstrate(given)
    except CommandFailed as failed:
        print(f"demo: {failed}", file=sys.stderr)
        return failed.exit_code
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="scripts/run demo",
        allow_abbrev=False,
        description="Plays an incident and its repair on real measurements, and proves the repair. Takes half a minute.",
        epilog="Exit codes: 0 the store is as expected, 2 wrong options, 4 it is not; else that of the command that failed.",
    )
    made.add_argument(
        "--output", type=Path, metavar="DIR", help="a new or empty folder, or an earlier demo's, which is played anew (default: a new one below $TMPDIR)"
    )
    made.add_argument("--days", type=whole_number, default=3, metavar="N", help="days of archive (default: 3)")
    made.add_argument("--seed", type=whole_number, default=1, metavar="N", help="of duplicates, corrections, late and reordered records (default: 1)")
    made.add_argument("--check", type=Path, metavar="DIR", help="only compare the store of an earlier demo with the oracle again")
    return made


def whole_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def demonstrate(given: argparse.Namespace) -> int:
    folder = folder_of(given.output)
    if folder is None:
        print(f"demo: --output {given.output} is no demo's and not empty: name a new or empty folder", file=sys.stderr)
        return WRONG_USAGE
    started = time.monotonic()
    demo = demo_in(folder, given.days, given.seed)
    print(f"An incident and its repair, in {demo.commands.setting()}")
    document = play_demo(demo)
    write_result(folder, document)
    conclude(demo, document)
    print(f"\n{time.monotonic() - started:.0f} s in all")
    return DIFFERENT if document["differences"] else 0


def folder_of(asked: Path | None) -> Path | None:
    """An empty folder with the demo's mark; None if the one asked for holds something else."""
    folder = asked.resolve() if asked else Path(tempfile.mkdtemp(prefix="rollups-demo-")).resolve()
    if (folder / MARK).exists():
        shutil.rmtree(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder


def demo_in(folder: Path, days: int, seed: int) -> Demo:
    terminal = Terminal(lambda line: print(line, flush=True))
    return Demo(folder=folder, days=days, seed=seed, terminal=terminal, commands=Commands(folder, terminal.say))


def play_demo(demo: Demo) -> Document:
    """All steps. The oracle works beside them."""
    step, incident = demo.terminal.step, demo.incident
    with step(f"Make an archive: {demo.days} days of real measurements of services and hosts, and of the hosts' roles") as results:
        made = make_archive(demo)
        results.append(archive_text(made))
    with ProcessPoolExecutor(1, get_context("spawn")) as beside:
        expecting = beside.submit(expected_table, demo.folder / "archive", demo.period_s)
        with step("Backfill all of it") as results:
            results.append(run_text(demo.backfill(*demo.period_s)))
        with step("Play the incident: a hot tier loses points; what its live writer made of the rest replaces rollups in the store") as results:
            results.append(", ".join(f"{human_number(number)} {what}" for what, number in play(demo.store, incident).items()))
        with step("Export what is stored: before the repair"):
            before = demo.export("before")
        with step("Backfill the affected period") as results:
            run = demo.backfill(incident.start_s, incident.end_s)
            results.append(run_text(run))
        with step("Export it again: after the repair"):
            after = demo.export("after")
        with step("Compare every bucket, in every exported column but the generation, with the oracle") as results:
            expected = expecting.result()
            compared = Compared(before=compare(expected, before), after=compare(expected, after))
            results.append(f"{human_number(len(expected))} buckets expected")
    return result(demo, made, run, (before, after), compared)


def conclude(demo: Demo, document: Document) -> None:
    """The result, before and after, and where to look."""
    say = demo.terminal.say
    print(f"\n{verdict(document)}\n")
    say(buckets_text(document["before"], document["after"]))
    for series in document["series"][:1]:
        say(f"\n{hours_text(series)}")
    print(f"\nThe page   {demo.folder / 'page.html'}\n\nLook further, after   {demo.commands.setting()}")
    say("\n".join(f"$ {one}" for one in document["further"]))


def verdict(document: Document) -> str:
    if document["differences"]:
        return "THE STORE IS NOT AS EXPECTED\n" + "\n".join(document["differences"])
    before, after = summed(document["before"]), summed(document["after"])
    repaired = f"{human_number(before['missing'])} missing and {human_number(before['wrong'])} wrong ones were repaired"
    return f"All {human_number(after['right'])} buckets are as expected: {repaired}, {human_number(document['untouched'])} others not touched."


def check(folder: Path) -> int:
    """Compares the store as it is now."""
    if not (folder / "demo.json").exists():
        print(f"demo: --check {folder} holds no finished demo: name the folder that one told as DEMO", file=sys.stderr)
        return WRONG_USAGE
    document: Document = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    demo = demo_in(folder, document["days"], document["seed"])
    print(demo.commands.setting())
    with demo.terminal.step("Export what is stored"):
        stored = demo.export("checked")
    with demo.terminal.step("Compare it with the oracle") as results:
        compared = compare(expected_table(folder / "archive", demo.period_s), stored)
        different = compared.num_rows - summed(counts_of(compared))["right"]
        for one in differences(compared, SHOWN):
            demo.terminal.say(one)
        results.append(f"{different:,} of {compared.num_rows:,} buckets differ" if different else f"all {compared.num_rows:,} buckets are as expected")
    return DIFFERENT if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
