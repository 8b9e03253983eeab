"""Archives of labeled postings, whose points are OTLP histograms of the 16 default buckets, one a minute and series."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from scripts.archive_maker.archive import summary_of, write_objects
from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.records import SECOND_US, Counts, Record
from scripts.encoders import otlp

SOURCES: Final = (Path(__file__), Path(otlp.__file__))
"""What decides an archive's bytes, beside the options."""

_OBSERVATIONS: Final = 12
"""In a bucket and minute, in the mean."""


def make_histograms(folder: Path, options: ArchiveOptions, *, is_cumulative: bool) -> dict[str, Any]:
    """Writes the archive below the folder; each service has 50 series. The summary is `make_archive`'s."""
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
