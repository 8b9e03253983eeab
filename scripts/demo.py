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
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines.outcome import human_number
from scripts.demo_parts.commands import CommandFailed, Commands
from scripts.demo_parts.comparison import compare, counts_of, differences, expected_table
from scripts.demo_parts.incident import play
from scripts.demo_parts.steps import SHOWN, Demo, make_archive, tallied, told, touched, untouched, written
from scripts.demo_parts.story import Compared, Document, disagreements, summed
from scripts.demo_parts.terminal import Terminal, buckets_text, hours_text

WRONG_USAGE: Final = 2
DIFFERENT: Final = 4
MARK: Final = ".rollups-demo"


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 the store is as expected, 2 wrong options, 4 it is not, else that of the command that failed."""
    given = parser().parse_args(argv)
    try:
        return check(given.check.resolve()) if given.check else demonstrate(given)
    except CommandFailed as failed:
        print(f"demo: {failed}", file=sys.stderr)
        return failed.exit_code


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="scripts/run demo",
        allow_abbrev=False,
        description="Plays an incident and its repair on real measurements, and proves the repair. Takes half a minute.",
    )
    made.add_argument(
        "--output", type=Path, metavar="DIR", help="a new or empty folder, or that of an earlier demo, which is played again (default: a new one below $TMPDIR)"
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
        print(f"demo: {given.output} holds files that are no demo's: name a new or empty folder with --output", file=sys.stderr)
        return WRONG_USAGE
    started = time.monotonic()
    demo = demo_in(folder, given.days, given.seed)
    print(f"An incident and its repair, in DEMO={folder}")
    document = play_demo(demo)
    conclude(demo, document, time.monotonic() - started)
    return DIFFERENT if document["differences"] else 0


def folder_of(asked: Path | None) -> Path | None:
    """An empty folder with the demo's mark; None if the one asked for holds something else."""
    folder = asked.resolve() if asked else Path(tempfile.mkdtemp(prefix="rollups-demo-")).resolve()
    if folder.exists() and (folder / MARK).exists():
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
    """All steps; the page and its document are written to the demo's folder."""
    terminal, incident = demo.terminal, demo.incident
    with terminal.step(f"Make a sample archive: {demo.days} days of real measurements of services and hosts, and of the hosts' roles"):
        made = make_archive(demo)
    with terminal.step("Backfill all of it"):
        terminal.say(tallied(demo.backfill(*demo.period_s)))
    with terminal.step("Play the incident: a hot tier loses points, so its live writer left out some rollups and stored others of fewer points"):
        damage = play(demo.store, incident)
        terminal.say(
            " · ".join(f"{sum(n for key, n in damage.items() if key[2] == what):,} {what}" for what in ("removed", "falsified")) + " in the Parquet files"
        )
    with terminal.step("Export what is stored now: before the repair"):
        before = demo.export("before")
    with terminal.step("Backfill the affected period"):
        run = demo.backfill(incident.start_s, incident.end_s)
        terminal.say(tallied(run))
    with terminal.step("Export again: after the repair"):
        after = demo.export("after")
    with terminal.step("Compare every bucket, in every exported column but the generation, with the oracle"):
        expected = expected_table(demo.folder / "archive", demo.period_s)
        compared = Compared(before=compare(expected, before), after=compare(expected, after))
        terminal.say(f"{human_number(len(expected))} buckets expected")
    document = told(demo, made, run, compared) | {"untouched": untouched(run, before)}
    document["differences"] += [*disagreements(run, document["before"]), *touched(run, before, after)]
    written(demo.folder, document)
    return document


def conclude(demo: Demo, document: Document, took_s: float) -> None:
    """The result, before and after, and where to look."""
    say = demo.terminal.say
    print("\nResult")
    say(buckets_text(document["before"], document["after"]))
    for series in document["series"][:1]:
        say(f" \n{hours_text(series)}")
    say(" \n" + verdict(document))
    say(f" \nThe page: {demo.folder / 'page.html'}\nLook further, with DEMO={demo.folder}:")
    say("\n".join(f"$ {one}" for one in document["further"]))
    print(f"\n({took_s:.0f} s in all)")


def verdict(document: Document) -> str:
    if document["differences"]:
        return "THE STORE IS NOT AS EXPECTED\n" + "\n".join(document["differences"])
    before, after = summed(document["before"]), summed(document["after"])
    repaired = f"{human_number(before['missing'])} missing and {human_number(before['wrong'])} wrong buckets were repaired"
    return f"All {human_number(after['right'])} buckets are as expected: {repaired}; {human_number(document['untouched'])} outside the period were not touched."


def check(folder: Path) -> int:
    """Compares the store as it is now."""
    if not (folder / "demo.json").exists():
        print(f"demo: {folder} holds no finished demo: name the folder that one told as DEMO", file=sys.stderr)
        return WRONG_USAGE
    document: Document = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    demo = demo_in(folder, document["days"], document["seed"])
    with demo.terminal.step("Export what is stored now"):
        stored = demo.export("checked")
    with demo.terminal.step("Compare it with the oracle"):
        compared = compare(expected_table(folder / "archive", demo.period_s), stored)
        found = differences(compared, SHOWN)
        different = compared.num_rows - summed(counts_of(compared))["right"]
        demo.terminal.say(
            "\n".join(found) + f"\n{different:,} of {compared.num_rows:,} buckets differ" if found else f"All {compared.num_rows:,} buckets are as expected."
        )
    return DIFFERENT if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
