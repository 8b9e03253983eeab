"""Histograms against gauges: as many stored 1-minute rows of each, one point a minute and series, and how fast a backfill makes them of the archive."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from scripts.archive_maker.archive import summary_of, write_objects
from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.records import SECOND_US, Counts, Record
from scripts.benchmarking.archives import POSTINGS, Maker
from scripts.benchmarking.report import Result, Target
from scripts.encoders import otlp

GAUGE: Final = "gauge"
LEAST_SHARE: Final = 0.25
"""Of the gauges' rate, wanted of histograms."""

HEAD: Final = ("one point a minute", "1m rows", "archive MB", "wall s", "CPU s", "CPU s in steps", "rows per s", "rows per CPU s in steps", "of the gauge rate")
_OBSERVATIONS: Final = 12
"""In a bucket and minute, in the mean."""


def kind_options(rows: int) -> ArchiveOptions:
    """A day of services with 50 series each, without anything that goes wrong."""
    return ArchiveOptions(hosts=0, services=max(1, round(rows / otlp.SERIES / 1440)), metrics=otlp.SERIES, roles=0, object_bytes=16 << 20)


def _make_histograms(folder: Path, options: ArchiveOptions, *, is_cumulative: bool) -> dict[str, Any]:
    """An archive of labeled postings."""
    series = options.services * otlp.SERIES
    counts = Counts(distinct_points=series * options.duration_s // 60)
    counts.points["labeled"], counts.series["labeled"] = counts.distinct_points, series
    return summary_of(options, write_objects(folder, options, _records(options, is_cumulative=is_cumulative), counts), counts)


def _records(options: ArchiveOptions, *, is_cumulative: bool) -> Iterator[Record]:
    services = [otlp.Histograms(f"service-{number}", is_cumulative=is_cumulative) for number in range(options.services)]
    random = np.random.default_rng(options.seed)
    totals = np.zeros((len(services), otlp.SERIES, len(otlp.BOUNDS) + 1), np.int64)
    for time_s in range(options.start_s, options.start_s + options.duration_s, 60):
        seen = random.poisson(_OBSERVATIONS, totals.shape)
        totals = totals + seen if is_cumulative else seen
        start_s = options.start_s - 60 if is_cumulative else time_s - 60
        for number, service in enumerate(services):
            request = service.export(start_s, time_s, totals[number]).SerializeToString()
            text = otlp.labeled_posting(request, org=options.org, receivedAt=time_s + 1).decode()
            yield Record((time_s + 1) * SECOND_US, number, (time_s + 1) * SECOND_US, text)


_SOURCES: Final = (Path(__file__), Path(otlp.__file__))
KINDS: Final[Mapping[str, Maker]] = {
    GAUGE: POSTINGS,
    "delta histogram": Maker("delta", partial(_make_histograms, is_cumulative=False), _SOURCES),
    "cumulative histogram": Maker("cumulative", partial(_make_histograms, is_cumulative=True), _SOURCES),
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


def kind_target(results: Sequence[Result]) -> Target:
    """The slowest kind counts."""
    gauge = results[0]
    slowest = min(results[1:], key=lambda one: share(one, gauge))
    reached = share(slowest, gauge)
    wanted = f"at least {LEAST_SHARE:g} of the gauges' rows per CPU second in steps"
    return Target("histograms", wanted, f"{reached:.2f} ({slowest.name})", reached >= LEAST_SHARE)
