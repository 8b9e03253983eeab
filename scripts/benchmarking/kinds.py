"""Histograms against gauges: as many stored 1-minute rows of each, one point a minute and series, and how fast a backfill makes them of the archive."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from scripts.archive_maker.options import ArchiveOptions
from scripts.benchmarking.archives import POSTINGS, Maker
from scripts.benchmarking.histogram_archive import SOURCES, make_histograms
from scripts.benchmarking.report import Result, Target, rss_target
from scripts.encoders import otlp

GAUGE: Final = "gauge"
LEAST_SHARE: Final = 0.25
"""Of the gauges' rate, wanted of histograms."""

_STORING: Final = ("upsert", "read back")
ROLLED, STEPS, RUN = "fetch to roll up", "all steps", "run"
"""What is timed: decoding and rolling up with all that lies between them; that and storing; the whole process, with its start, planning, Beam and files."""

HEAD: Final = (
    "one point a minute", "1m rows", "archive MB", "wall s", "CPU s", "in steps", f"from {ROLLED}",
    "rows per CPU s so", "of the gauge rate", "of it in all steps", "of it in the run",
)  # fmt: skip


def kind_options(rows: int) -> ArchiveOptions:
    """A day of services with 50 series each, without anything that goes wrong."""
    return ArchiveOptions(hosts=0, services=max(1, round(rows / otlp.SERIES / 1440)), metrics=otlp.SERIES, roles=0, object_bytes=16 << 20)


KINDS: Final[Mapping[str, Maker]] = {
    GAUGE: POSTINGS,
    "delta histogram": Maker("delta", partial(make_histograms, is_cumulative=False), SOURCES),
    "cumulative histogram": Maker("cumulative", partial(make_histograms, is_cumulative=True), SOURCES),
}
"""Service postings of gauges, and labeled postings of OTLP histograms with the 16 default buckets."""


def stored_rows(told: Mapping[str, Any]) -> int:
    """1-minute rows that a report counts as added to an empty store."""
    return sum(int(of_type["1m"]["added"]) for of_type in told["buckets"].values())


def cpu_seconds(result: Result) -> dict[str, float]:
    """CPU seconds of ROLLED, STEPS and RUN."""
    steps = {name: float(step["cpu_s"]) for name, step in result.told["steps"].items()}
    storing = sum(seconds for name, seconds in steps.items() if name in _STORING)
    return {ROLLED: sum(steps.values()) - storing, STEPS: sum(steps.values()), RUN: result.median.cpu_s}


def shares(result: Result, gauge: Result) -> dict[str, float]:
    """Rows per CPU second, of the gauges', in ROLLED, STEPS and RUN."""
    of_gauge = cpu_seconds(gauge)
    return {name: (result.points / seconds) / (gauge.points / of_gauge[name]) for name, seconds in cpu_seconds(result).items()}


def kind_row(result: Result, gauge: Result, archive_bytes: int) -> tuple[str, ...]:
    """Cells of the table; the points of a result are stored rows."""
    run, cpu_s = result.median, cpu_seconds(result)
    numbers = (f"{result.points:,}", f"{archive_bytes / 1e6:,.1f}", f"{run.wall_s:.2f}", f"{cpu_s[RUN]:.1f}", f"{cpu_s[STEPS]:.2f}", f"{cpu_s[ROLLED]:.2f}")
    return (result.name, *numbers, f"{result.points / cpu_s[ROLLED]:,.0f}", *(f"{one:.3f}" for one in shares(result, gauge).values()))


def kind_data(result: Result, gauge: Result, archive_bytes: int) -> dict[str, object]:
    """For JSON."""
    return result.data() | {"archive_bytes": archive_bytes, "cpu_s": cpu_seconds(result), "shares_of_gauge_rate": shares(result, gauge)}


def kind_targets(results: Sequence[Result]) -> list[Target]:
    """The slowest kind counts, and the largest memory."""
    gauge = results[0]
    slowest = min(results[1:], key=lambda one: shares(one, gauge)[ROLLED])
    reached = shares(slowest, gauge)[ROLLED]
    wanted = f"at least {LEAST_SHARE:g} of the gauges' rows per CPU second from {ROLLED}"
    largest = max(results, key=lambda one: one.peak_rss_bytes)
    return [
        Target("histograms", wanted, f"{reached:.3f} ({slowest.name})", reached >= LEAST_SHARE),
        rss_target("peak RSS of histograms", largest.peak_rss_bytes, f" ({largest.name})"),
    ]
