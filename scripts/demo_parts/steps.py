"""The steps of the demo, each a small function of what it plays."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipelines.outcome import human_bytes, human_number
from scripts import oracle
from scripts.archive_maker.archive import instant
from scripts.archive_maker.sample import DATA, make_sample
from scripts.demo_parts.commands import Commands
from scripts.demo_parts.comparison import counts_of, differences, moved, outside, stored_table
from scripts.demo_parts.incident import Incident
from scripts.demo_parts.page import page
from scripts.demo_parts.story import Compared, Document, damaged_series, period_text
from scripts.demo_parts.terminal import Terminal

END_S: Final = 1_762_214_400
"""End of the archive: 2025-11-04T00:00Z."""

SHOWN: Final = 10
"""Differences that are told in full."""

METRICS: Final = (
    "cpu.iowait.percentage",
    "cpu.user.percentage",
    "disk.vda.writes.delta",
    "interface.eth0.rxBytes.delta",
    "loadavg1",
    "loadavg5",
    "memory.used",
)
"""Those of the agent's metrics that the demo takes, so that it ends within a minute."""


@dataclass(frozen=True)
class Demo:
    """One play: where, of what, and who says and runs things."""

    folder: Path
    days: int
    seed: int
    terminal: Terminal
    commands: Commands

    @property
    def period_s(self) -> tuple[int, int]:
        """The days of the archive."""
        return END_S - self.days * 86_400, END_S

    @property
    def incident(self) -> Incident:
        """On the day in the middle."""
        return Incident.on(self.period_s[0] + self.days // 2 * 86_400)

    @property
    def store(self) -> Path:
        """The Parquet store."""
        return self.folder / "store"

    def backfill(self, from_s: int, to_s: int) -> Document:
        """Runs `rollups backfill` of a period; its JSON report."""
        places = ["--archive", f"file://{self.folder}/archive", "--store", f"parquet://{self.store}", "--work-dir", f"{self.folder}/work"]
        (told,) = self.commands.run(["backfill", *places, "--period", period_text(from_s, to_s), "--json"])
        report: Document = json.loads(told)
        return report

    def export(self, name: str) -> pa.Table:
        """Runs `rollups export` of everything, a file for each granularity."""
        files = {granularity: self.folder / f"{name}-{granularity}.parquet" for granularity in oracle.WIDTH_S}
        what = ["export", "--store", f"parquet://{self.store}", "--period", period_text(*self.period_s)]
        self.commands.run(*([*what, "--granularity", granularity, "--format", "parquet", "--output", str(file)] for granularity, file in files.items()))
        return stored_table(list(files.values()))


def make_archive(demo: Demo) -> Document:
    """The archive, of the project's real data."""
    data = demo.folder / "data"
    shutil.copytree(DATA / "nab", data / "nab")
    with (DATA / "agent-posts.ndjson").open(encoding="utf-8") as whole, (data / "agent-posts.ndjson").open("w", encoding="utf-8") as part:
        for post in map(json.loads, whole):
            points = [point for point in json.loads(post["body"]) if point["name"] in METRICS]
            part.write(json.dumps(post | {"body": json.dumps(points)}) + "\n")
    made = make_sample(demo.folder / "archive", days=demo.days, end_s=END_S, seed=demo.seed, data=data).summary
    points = sum(made["points"].values())  # type: ignore[attr-defined]
    demo.terminal.say(
        f"{made['objects']:,} objects, {human_bytes(int(str(made['bytes'])))}: {points:,} points, with duplicates, corrections, late and reordered records"
    )
    return made


def tallied(run: Document) -> str:
    """What a run did to the store."""
    tallies = [tally for of_type in run["buckets"].values() for tally in of_type.values()]
    numbers = {name: sum(tally[name] for tally in tallies) for name in tallies[0]}
    did = ", ".join(f"{human_number(number)} {name}" for name, number in numbers.items() if number)
    return f"run {run['run_id']} in {run['duration_s']:.1f} s: {did}"


def told(demo: Demo, made: Document, run: Document, compared: Compared) -> Document:
    """The demo's document, but for what was found outside the period."""
    incident = demo.incident
    series = damaged_series(compared, incident)
    return {
        "archive": made,
        "days": demo.days,
        "seed": demo.seed,
        "incident": {"start": instant(incident.start_s), "restart": instant(incident.restart_s), "end": instant(incident.end_s)},
        "run": run,
        "before": counts_of(compared.before),
        "after": counts_of(compared.after),
        "differences": differences(compared.after, SHOWN),
        "series": series,
        "commands": [f"DEMO={demo.folder}", *demo.commands.typed],
        "further": further(demo, run["run_id"], [one["text"] for one in series]),
    }


def further(demo: Demo, run_id: str, series: Sequence[str]) -> list[str]:
    """Commands to go on with."""
    work = ["--work-dir", f"{demo.folder}/work"]
    hours = ["export", "--store", f"parquet://{demo.store}", "--period", period_text(demo.incident.start_s, demo.incident.end_s), "--granularity", "1h"]
    globs = [part for one in series[:1] for part in ("--series", one.partition("{")[0])]
    commands = ([*hours, *globs], ["status", run_id, *work], ["undo", run_id, *work], ["demo", "--check", str(demo.folder)])
    return [demo.commands.shown(command) for command in commands]


def computed_of(run: Document) -> dict[str, list[oracle.Range]]:
    """The ranges that a run computed, by granularity."""
    return {granularity: [oracle.period_of(one) for one in ranges] for granularity, ranges in run["computed"].items()}


def untouched(run: Document, before: pa.Table) -> int:
    """How many buckets were stored outside the ranges that the run computed."""
    return outside(before, computed_of(run)).num_rows


def touched(run: Document, before: pa.Table, after: pa.Table) -> list[str]:
    """Whether the run wrote where it had nothing to compute."""
    number = moved(outside(before, computed_of(run)), outside(after, computed_of(run)))
    return [f"{number:,} buckets outside the computed ones have another generation than before the repair"] if number else []


def written(folder: Path, document: Document) -> None:
    """The page, the document that it is made of, and the run's own JSON."""
    (folder / "page.html").write_text(page(document), encoding="utf-8")
    for name, content in {"demo.json": document, "run.json": document["run"]}.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
