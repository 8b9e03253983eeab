"""What the benchmark found: tables for people, one JSON document for later comparisons."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

from scripts.benchmarking.archives import Archive
from scripts.benchmarking.contestants import NAIVE, OURS, S3
from scripts.benchmarking.measure import Measurement
from scripts.go_tools import VERSITYGW

PACKAGES: Final = ("apache-beam", "pyarrow", "numpy", "duckdb", "chdb", "polars")
_MB: Final = 1_000_000
MOST_RSS_BYTES: Final = 1500 * _MB


@dataclass(frozen=True, kw_only=True)
class Result:
    """A contestant on an archive: the run with the median wall time, and how large what it stored is."""

    name: str
    points: int
    runs: tuple[Measurement, ...]
    stored_bytes: int
    equal: bool | None = None
    """Whether its rollups equal ours; None where that wasn't asked."""

    @property
    def median(self) -> Measurement:
        """The run in the middle by wall time, the faster one of two."""
        return sorted(self.runs, key=lambda run: run.wall_s)[(len(self.runs) - 1) // 2]

    @property
    def points_per_s(self) -> float:
        """Distinct points of the archive per second of wall time."""
        return self.points / statistics.median(run.wall_s for run in self.runs)

    @property
    def peak_rss_bytes(self) -> int:
        """Of any run."""
        return max(run.peak_rss_bytes for run in self.runs)

    @cached_property
    def told(self) -> dict[str, Any]:
        """What ours said of its median run: the report of `backfill --json`."""
        told: dict[str, Any] = json.loads(self.median.stdout)
        return told

    def row(self, ours: "Result | None") -> tuple[str, ...]:
        """Cells of the table."""
        run = self.median
        ratio = f"{ours.points_per_s / self.points_per_s:.2f}" if ours else ""
        equal = {True: "yes", False: "NO", None: ""}[self.equal]
        memory = (f"{run.peak_rss_bytes / _MB:,.0f}", f"{run.peak_pss_bytes / _MB:,.0f}")
        return (
            self.name,
            f"{self.points / 1e6:.1f}",
            f"{run.wall_s:.2f}",
            f"{run.cpu_s:.1f}",
            *memory,
            f"{self.points_per_s:,.0f}",
            ratio,
            f"{self.stored_bytes / _MB:,.0f}",
            equal,
        )

    def data(self) -> dict[str, object]:
        """For JSON; `stdout` is left out."""
        runs = [{name: value for name, value in vars(run).items() if name != "stdout"} for run in self.runs]
        return {
            "name": self.name,
            "points": self.points,
            "points_per_s": self.points_per_s,
            "stored_bytes": self.stored_bytes,
            "equal": self.equal,
            "runs": runs,
        }


def s3_data(results: Mapping[str, Result]) -> dict[str, object] | None:
    """How our run on the bucket compares with our run on the same files: each figure of the former divided by that of the latter."""
    if S3 not in results:
        return None
    there, here = results[S3].median, results[OURS].median
    times = {name: getattr(there, name) / getattr(here, name) for name in ("wall_s", "cpu_s", "peak_rss_bytes")}
    return {"server": f"{VERSITYGW.name} {VERSITYGW.version}", "points": results[S3].points, "times_of_files": times}


HEAD: Final = ("", "M points", "wall s", "CPU s", "peak RSS MB", "peak PSS MB", "points/s", "ours is x times faster", "stored MB", "equal")


PROFILE_HEAD: Final = ("step", "wall s", "CPU s", "of all")


def profile(ours: Result) -> list[tuple[str, ...]]:
    """Seconds of our median run by step, over all threads; last, the CPU seconds outside of them: start, planning, Beam, staging files, records."""
    steps, cpu_s = ours.told["steps"], ours.median.cpu_s
    rest_s = cpu_s - sum(step["cpu_s"] for step in steps.values())
    rows = [(name, f"{step['wall_s']:.2f}", step["cpu_s"]) for name, step in steps.items()] + [("outside of these", "", rest_s)]
    return [(name, wall, f"{seconds:.2f}", f"{seconds / cpu_s:.0%}") for name, wall, seconds in rows]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Columns under their heads; so many are set left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if n < left else cell.rjust(width) for n, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in (head, *rows)
    )


@dataclass(frozen=True)
class Target:
    """What the project wants to reach, and what this run reached."""

    name: str
    wanted: str
    reached: str
    met: bool


def targets(results: Mapping[str, Result], growth: Mapping[int, Result]) -> list[Target]:
    """The targets that the contestants who took part allow to judge."""
    ours = results.get(OURS)
    if ours is None:
        return []
    found = []
    peers = [one for name, one in results.items() if name not in (OURS, S3, NAIVE)]
    if peers:
        fastest = min(peers, key=lambda one: one.median.wall_s)
        times = fastest.median.wall_s / ours.median.wall_s
        found.append(Target("wall time", "at most the fastest peer's (aim: 1.5 times faster)", f"{times:.2f} times faster than {fastest.name}", times >= 1))
    if NAIVE in results:
        times = ours.points_per_s / results[NAIVE].points_per_s
        found.append(Target("naive pipeline", "at least 15 times faster", f"{times:.0f} times faster", times >= 15))
    found.append(rss_target("peak RSS", max(one.peak_rss_bytes for one in (ours, *growth.values()))))
    if len(growth) > 1:
        least, most = growth[min(growth)].median, growth[max(growth)].median
        more = most.peak_rss_bytes / least.peak_rss_bytes - 1
        span = f"at {max(growth) / 1e6:g} M than at {min(growth) / 1e6:g} M points"
        found.append(Target("growth of memory", f"at most 20 % higher {span}", f"{more:+.0%}", more <= 0.2))
    found.append(_estimate_target([ours, *growth.values()]))
    return found


def rss_target(name: str, peak_bytes: int, where: str = "") -> Target:
    """Whether memory stays below what the project wants."""
    return Target(name, f"at most {MOST_RSS_BYTES / _MB:,.0f} MB", f"{peak_bytes / _MB:,.0f} MB{where}", peak_bytes <= MOST_RSS_BYTES)


def _estimate_target(results: Sequence[Result]) -> Target:
    """The estimate that is farthest from the measured duration counts."""
    pairs = [(one.told["duration_s_estimated"], one.median.wall_s) for one in results]
    estimated_s, wall_s = max(pairs, key=lambda pair: max(pair[0] / pair[1], pair[1] / pair[0]))
    reached = f"{estimated_s:.1f} s for a run of {wall_s:.1f} s"
    return Target("planned duration", "within a factor of 2", reached, wall_s / 2 <= estimated_s <= 2 * wall_s)


def _version(package: str) -> str:
    """A contestant that was not asked for need not be there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def archive_data(archive: Archive) -> dict[str, object]:
    """An archive's summary for JSON."""
    return {"path": str(archive.path), "period": archive.period, **archive.summary}
