"""The steps of the demo, each a small function of what it plays."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pyarrow as pa

from pipelines.outcome import human_bytes, human_number
from scripts import oracle
from scripts.archive_maker.archive import instant
from scripts.archive_maker.sample import DATA, make_sample
from scripts.demo_parts.commands import Commands
from scripts.demo_parts.comparison import counts_of, differences, moved, outside, stored_table
from scripts.demo_parts.incident import Incident
from scripts.demo_parts.page import page
from scripts.demo_parts.story import Compared, Document, damaged_series, disagreements, period_text
from scripts.demo_parts.terminal import Terminal

END_S: Final = 1_762_214_400
"""End of the archive: 2025-11-04T00:00Z."""

SHOWN: Final = 10
"""Differences that are told one by one."""

METRICS: Final = ("cpu.user.percentage", "disk.vda.writes.delta", "interface.eth0.rxBytes.delta", "loadavg5", "memory.used")
"""Those of the agent's metrics that the demo takes, so that it ends well within a minute."""


@dataclass(frozen=True)
class Demo:
    """One play: where, of what, and who says and runs things."""

    folder: Path
    days: int
    seed: int
    terminal: Terminal
    commands: Commands

    @property
    def period_s(self) -> oracle.Range:
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

    @property
    def store_url(self) -> str:
        """As commands name it."""
        return f"parquet://{quote(str(self.store))}"

    def backfill(self, from_s: int, to_s: int) -> Document:
        """Runs `rollups backfill` of a period; its JSON report."""
        places = ["--archive", f"file://{quote(str(self.folder))}/archive", "--store", self.store_url, "--work-dir", f"{self.folder}/work"]
        report: Document = json.loads(self.commands.run(["backfill", *places, "--period", period_text(from_s, to_s), "--json"]))
        return report

    def export(self, name: str) -> pa.Table:
        """Runs `rollups export` of everything, a file for each granularity."""
        what = ["export", "--store", self.store_url, "--period", period_text(*self.period_s), "--granularity", "$g"]
        self.commands.run_each("g", list(oracle.WIDTH_S), [*what, "--format", "parquet", "--output", f"{self.folder}/{name}-$g.parquet"])
        return stored_table([self.folder / f"{name}-{granularity}.parquet" for granularity in oracle.WIDTH_S])


def make_archive(demo: Demo) -> Document:
    """The archive, of some of the project's real data; its summary."""
    data = demo.folder / "data"
    shutil.copytree(DATA / "nab", data / "nab")
    with (DATA / "agent-posts.ndjson").open(encoding="utf-8") as whole, (data / "agent-posts.ndjson").open("w", encoding="utf-8") as part:
        for post in map(json.loads, whole):
            points = [point for point in json.loads(post["body"]) if point["name"] in METRICS]
            part.write(json.dumps(post | {"body": json.dumps(points)}) + "\n")
    made: Document = make_sample(demo.folder / "archive", days=demo.days, end_s=END_S, seed=demo.seed, data=data).summary
    return made


def archive_text(made: Document) -> str:
    """The archive in a few words."""
    points = sum(made["points"].values())
    return f"{points:,} points in {made['objects']:,} objects, {human_bytes(made['bytes'])}, with duplicates, corrections, late and reordered records"


def run_text(run: Document) -> str:
    """What a run did to the store."""
    tallies = [tally for of_type in run["buckets"].values() for tally in of_type.values()]
    numbers = {name: sum(tally[name] for tally in tallies) for name in tallies[0]}
    did = ", ".join(f"{human_number(number)} {name}" for name, number in numbers.items() if number)
    return f"buckets: {did} · run {run['run_id']}"


def result(demo: Demo, made: Document, run: Document, stored: tuple[pa.Table, pa.Table], compared: Compared) -> Document:
    """The demo's document. `stored` and `compared` are before and after the repair."""
    incident, series = demo.incident, damaged_series(compared, demo.incident)
    before = counts_of(compared.before)
    return {
        "archive": made,
        "days": demo.days,
        "seed": demo.seed,
        "incident": {"start": instant(incident.start_s), "restart": instant(incident.restart_s), "end": instant(incident.end_s)},
        "run": run,
        "before": before,
        "after": counts_of(compared.after),
        "untouched": outside(stored[0], computed_of(run)).num_rows,
        "differences": [*differences(compared.after, SHOWN), *disagreements(run, before), *touched(run, *stored)],
        "series": series,
        "commands": [demo.commands.setting(), *demo.commands.typed],
        "further": further(demo, run["run_id"], [one["text"] for one in series]),
    }


def touched(run: Document, before: pa.Table, after: pa.Table) -> list[str]:
    """Whether the run wrote where it had nothing to compute."""
    number = moved(*(outside(table, computed_of(run)) for table in (before, after)))
    return [f"{number:,} buckets outside the computed ones have another generation than before the repair"] if number else []


def computed_of(run: Document) -> dict[str, list[oracle.Range]]:
    """The ranges that a run computed, by granularity."""
    return {granularity: [oracle.period_of(one) for one in ranges] for granularity, ranges in run["computed"].items()}


def further(demo: Demo, run_id: str, series: Sequence[str]) -> list[str]:
    """Commands to go on with."""
    work = ["--work-dir", f"{demo.folder}/work"]
    hours = ["export", "--store", demo.store_url, "--period", period_text(demo.incident.start_s, demo.incident.end_s), "--granularity", "1h"]
    globs = [part for one in series[:1] for part in ("--series", one.partition("{")[0])]
    commands = ([*hours, *globs], ["status", run_id, *work], ["undo", run_id, *work], ["demo", "--check", str(demo.folder)])
    return [demo.commands.shown(command) for command in commands]


def write_result(folder: Path, document: Document) -> None:
    """The page, the document that it is made of, and the run's own JSON."""
    (folder / "page.html").write_text(page(document), encoding="utf-8")
    for name, content in {"demo.json": document, "run.json": document["run"]}.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
