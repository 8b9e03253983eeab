"""Makes a whole archive and says what is in it."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.archive_maker.objects import ObjectWriter, WrittenObject, batches
from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.records import Counts, Record, Stream
from scripts.archive_maker.senders import Fleet, Sender
from scripts.archive_maker.walks import random_walks


@dataclass(frozen=True)
class MadeArchive:
    """An archive on disk: who posted, and a summary that is plain JSON."""

    fleet: Fleet
    summary: dict[str, object]

    def text(self) -> str:
        """The summary for people, a line each."""
        return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in self.summary.items())


def make_archive(folder: Path, options: ArchiveOptions) -> MadeArchive:
    """Writes the archive that the options describe below `folder`, which should be empty."""
    fleet, counts = Fleet(options), Counts()
    records = Stream(options, fleet, random_walks(fleet.senders, options.seed), counts)
    objects = write_objects(folder, options, records, counts)
    return MadeArchive(fleet, summary_of(options, objects, counts))


def write_objects(folder: Path, options: ArchiveOptions, records: Iterable[Record], counts: Counts) -> list[WrittenObject]:
    """Writes records, which come in stream order, as objects below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return ObjectWriter(folder, options, counts.twists).write(batches(options, records))


def summary_of(options: ArchiveOptions, objects: Sequence[WrittenObject], counts: Counts) -> dict[str, object]:
    """`points` counts every delivery, `distinct_points` postings made once; times are those of the points before any was moved."""
    return {
        "objects": len(objects),
        "bytes": sum(one.bytes for one in objects),
        "raw_bytes": sum(one.raw_bytes for one in objects),
        "records": sum(one.records for one in objects),
        "points": dict(sorted(counts.points.items())),
        "distinct_points": counts.distinct_points,
        "series": dict(sorted(counts.series.items())),
        "twists": dict(sorted(counts.twists.items())),
        "period": f"{instant(options.start_s)}/{instant(options.start_s + options.duration_s)}",
    }


def instant(time_s: int) -> str:
    """`2025-11-01T00:05:00Z`."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def write_membership(path: Path, fleet: Fleet, options: ArchiveOptions) -> None:
    """The hosts' roles as a table (`org, host, role, valid_from, valid_to`) that agrees with what they post."""
    from_s, to_s = options.start_s - 86_400, options.start_s + options.duration_s + 2 * 86_400
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("org", "host", "role", "valid_from", "valid_to"))
        rows.writerows((sender.org, sender.entity, role, instant(from_s), instant(to_s)) for sender in _hosts(fleet) for role in sender.roles or ())


def _hosts(fleet: Fleet) -> list[Sender]:
    return [sender for _, sender in fleet.ever if sender.metric_type == "host"]
