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

HEAD: Final = ("one point a minute", "1m rows", "archive MB", "wall s", "CPU s", "CPU s in steps", "rows per s", "rows per CPU s in steps", "of the gauge rate")


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


def steps_cpu_s(result: Result) -> float:
    """CPU seconds of decoding, rolling up and so on; start, planning and Beam left out, which take the same time for any number of rows."""
    return float(sum(step["cpu_s"] for step in result.told["steps"].values()))


def share(result: Result, gauge: Result) -> float:
    """Rows per CPU second in steps, of the gauges'."""
    return (result.points / steps_cpu_s(result)) / (gauge.points / steps_cpu_s(gauge))


def kind_row(result: Result, gauge: Result, archive_bytes: int) -> tuple[str, ...]:
    """Cells of the table; the points of a result are stored rows."""
    run, inside_s = result.median, steps_cpu_s(result)
    numbers = (f"{result.points:,}", f"{archive_bytes / 1e6:,.1f}", f"{run.wall_s:.2f}", f"{run.cpu_s:.1f}", f"{inside_s:.2f}")
    return (result.name, *numbers, f"{result.points / run.wall_s:,.0f}", f"{result.points / inside_s:,.0f}", f"{share(result, gauge):.2f}")


def kind_data(result: Result, gauge: Result, archive_bytes: int) -> dict[str, object]:
    """For JSON."""
    return result.data() | {"archive_bytes": archive_bytes, "steps_cpu_s": steps_cpu_s(result), "share_of_gauge_rate": share(result, gauge)}


def kind_targets(results: Sequence[Result]) -> list[Target]:
    """The slowest kind counts, and the largest memory."""
    gauge = results[0]
    slowest = min(results[1:], key=lambda one: share(one, gauge))
    reached = share(slowest, gauge)
    wanted = f"at least {LEAST_SHARE:g} of the gauges' rows per CPU second in steps"
    largest = max(results, key=lambda one: one.peak_rss_bytes)
    return [
        Target("histograms", wanted, f"{reached:.2f} ({slowest.name})", reached >= LEAST_SHARE),
        rss_target("peak RSS of histograms", largest.peak_rss_bytes, f" ({largest.name})"),
    ]
