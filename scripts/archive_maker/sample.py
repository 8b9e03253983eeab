"""The demo's archive: real measurements, replayed by a few hosts and services over several days.

Service metrics are the traffic and advertising series of the Numenta Anomaly Benchmark, spaced a minute apart; host metrics are the postings of a monitoring
agent. Both start again where they end, and each host begins at another place. Around them stands what happens to every archive: duplicates, late and
reordered records, corrections.
"""

import csv
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from scripts.archive_maker.archive import MadeArchive, summary_of, write_objects
from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.records import Counts, Stream
from scripts.archive_maker.senders import Fleet, make_sender

DATA: Final = Path(__file__).resolve().parents[2] / "tests" / "data"
_HOSTS: Final = (("4HkWeb000001", ("web:app",)), ("4HkWeb000002", ("web:app",)), ("4HkDb0000001", ("db:primary", "web:batch")), ("4HkSpare0001", ()))
_SERVICES: Final = {"traffic": ("TravelTime", "occupancy", "speed"), "ads": ("exchange",)}

Columns = dict[str, list[float]]
"""Values in time order by metric name."""


def make_sample(folder: Path, *, days: int, end_s: int, seed: int, data: Path = DATA) -> MadeArchive:
    """Writes an archive of `days` days that end at `end_s`, a whole minute, below `folder`: 180,000 points a day, three quarters of them copied to roles."""
    options = ArchiveOptions(
        seed=seed, start_s=end_s - days * 86_400, duration_s=days * 86_400, hosts=len(_HOSTS), services=len(_SERVICES), metrics=1,
        duplicates=0.004, late=0.002, out_of_order=0.01, reposted_lower=0.004,
    )  # fmt: skip
    sources = [*(_agent(data) for _ in _HOSTS), *(_nab(data, starts) for starts in _SERVICES.values())]
    counts = Counts()
    stream = Stream(options, _fleet(options, sources), _replayed(sources), counts)
    objects = write_objects(folder, options, stream, counts)
    return MadeArchive(stream.fleet, summary_of(options, objects, counts))


def _fleet(options: ArchiveOptions, sources: list[Columns]) -> Fleet:
    names = [tuple(source) for source in sources]
    hosts = [("host", entity, roles) for entity, roles in _HOSTS]
    services = [("service", entity, None) for entity in _SERVICES]
    who = zip([*hosts, *services], names, strict=True)
    return Fleet(options, [make_sender(kind, options.org, entity, metrics, ["%r"] * len(metrics), roles, 0) for (kind, entity, roles), metrics in who])


def _replayed(sources: list[Columns]) -> Iterator[list[list[float]]]:
    """For minute after minute a list of values per sender; a host starts five postings after the one before, services at the beginning."""
    starts = [5 * n if n < len(_HOSTS) else 0 for n in range(len(sources))]
    for minute in count():
        yield [[column[(minute + start) % len(column)] for column in source.values()] for start, source in zip(starts, sources, strict=True)]


def _agent(data: Path) -> Columns:
    """The agent's postings: each metric's values."""
    found: Columns = {}
    for line in (data / "agent-posts.ndjson").read_text(encoding="utf-8").splitlines():
        for point in json.loads(json.loads(line)["body"]):
            found.setdefault(point["name"], []).append(point["value"])
    return dict(sorted(found.items()))


def _nab(data: Path, starts: tuple[str, ...]) -> Columns:
    """The series whose files start so, under names such as `exchange-2_cpc_results`."""
    found: Columns = {}
    for path in sorted((data / "nab").glob("*.csv")):
        if path.name.startswith(starts):
            with path.open(newline="", encoding="utf-8") as file:
                found[path.stem] = [float(row["value"]) for row in csv.DictReader(file)]
    return found
