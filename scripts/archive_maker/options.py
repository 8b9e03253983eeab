"""What an archive shall be like: the options of `scripts/make_archive.py` as one frozen value."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Final

COMPRESSIONS: Final = ("gzip", "zstd", "none", "mixed")
SEPARATORS: Final = ("newline", "none", "mixed")
TYPES: Final = ("service", "role", "host")
_SERVICE_SHARE: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions:
    """All that decides an archive's bytes. Shares lie in [0, 1] and count postings unless they say otherwise."""

    seed: int = 1
    start_s: int = 1_761_955_200
    """First posting interval, whole minutes; 2025-11-01T00:00:00Z."""
    duration_s: int = 86_400
    hosts: int = 10
    services: int = 1
    metrics: int = 50
    """Series per host and per service; all of them are in each of its postings."""
    interval_s: int = 60
    roles: float = 1.0
    """Mean number of roles per host: 1.5 gives every host one role and half of them a second."""
    roles_absent: float = 0.0
    bare: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    early: float = 0.0
    out_of_order: float = 0.0
    reposted_lower: float = 0.0
    ties: float = 0.0
    churn: float = 0.0
    """Share of hosts and services (so of series) that are replaced by new ones each day."""
    nulls: float = 0.0
    """Share of points without a value."""
    odd: float = 0.0
    corrupt: float = 0.0
    """Share of objects."""
    compression: str = "gzip"
    gzip_level: int = 6
    separator: str = "newline"
    object_bytes: int = 32 << 20
    """Decompressed size after which an object is closed, as Firehose's buffer size."""
    object_interval_s: int = 900
    """Time after which an object is closed, as Firehose's buffer interval."""
    records_per_object: int | None = None
    org: str = "acme"
    prefix: str = ""
    stream: str = "metrics"


def options_of(arguments: argparse.Namespace) -> ArchiveOptions:
    """The options that parsed arguments ask for; raises ValueError for what doesn't fit together."""
    given = {one.name: value for one in fields(ArchiveOptions) if (value := getattr(arguments, one.name, None)) is not None}
    given["duration_s"] = _duration_s(arguments)
    given |= _entities(arguments, given["duration_s"])
    if "role" not in arguments.types:
        given["roles"] = 0.0
    made = ArchiveOptions(**given)
    if not 1 <= made.gzip_level <= 9:
        raise ValueError(f"--gzip-level {made.gzip_level}: expected 1 to 9")
    return made


def _duration_s(arguments: argparse.Namespace) -> int:
    seconds = round(arguments.hours * 3600) if arguments.hours else round(arguments.days * 86_400)
    if seconds < arguments.interval_s:
        raise ValueError(f"{seconds} s of archive hold no posting interval of {arguments.interval_s} s")
    return int(seconds)


def _entities(arguments: argparse.Namespace, duration_s: int) -> dict[str, int]:
    hosts = arguments.hosts if {"host", "role"} & set(arguments.types) else 0
    services = arguments.services if "service" in arguments.types else 0
    if arguments.points is None:
        return {"hosts": 10 if hosts is None else hosts, "services": 1 if services is None else services}
    if arguments.hosts is not None or arguments.services is not None:
        raise ValueError("--points decides the numbers of hosts and services: give either it or --hosts and --services")
    entities = max(1, round(arguments.points / arguments.metrics / (duration_s // arguments.interval_s)))
    if hosts == 0 or services == 0:
        return {"hosts": entities if hosts is None else 0, "services": entities if services is None else 0}
    services = max(1, round(entities * _SERVICE_SHARE))
    return {"hosts": max(1, entities - services), "services": services}


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a share lies between 0 and 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return value


def _duration(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text}: expected more than 0")
    return value


def _moment(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text}: a time carries an offset or Z, such as {text}Z")
    if at.timestamp() % 60:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole minute")
    return int(at.timestamp())


def _types(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := sorted(set(chosen) - set(TYPES)):
        raise argparse.ArgumentTypeError(f"{','.join(unknown)}: expected some of {','.join(TYPES)}")
    return chosen


def parser() -> argparse.ArgumentParser:
    """The command line of `scripts/make_archive.py`."""
    made = argparse.ArgumentParser(
        prog="scripts/make_archive.py",
        allow_abbrev=False,
        description="Writes a Firehose-shaped archive of metric postings under FOLDER. The same options give the same bytes.",
        epilog="example: scripts/make_archive.py /tmp/archive --points 2000000 --days 1 --duplicates 0.01 --late 0.01 --expected /tmp/expected.csv",
    )
    made.add_argument("folder", type=Path, metavar="FOLDER", help="made if missing; must hold nothing yet")
    _add_size(made)
    _add_twists(made)
    _add_objects(made)
    made.add_argument("--expected", type=Path, metavar="FILE", help="write the expected rollups there, as `rollups export` lists them (slow: loops)")
    made.add_argument("--membership", type=Path, metavar="FILE", help="write the role membership table of the hosts there (CSV)")
    made.add_argument("--json", action="store_true", help="print what was made as one JSON document")
    return made


def _add_size(made: argparse.ArgumentParser) -> None:
    size = made.add_argument_group("how much")
    size.add_argument("--points", type=_positive, help="about so many distinct points; decides the numbers of hosts and services (one in ten)")
    size.add_argument("--hosts", type=int, help="default 10")
    size.add_argument("--services", type=int, help="default 1")
    size.add_argument("--start", dest="start_s", type=_moment, metavar="TIME", help="default 2025-11-01T00:00Z")
    size.add_argument("--days", type=_duration, default=1.0, help="default 1")
    size.add_argument("--hours", type=_duration, help="instead of --days")
    size.add_argument("--metrics-per-posting", dest="metrics", type=_positive, default=50, help="series of each host and service, default 50")
    size.add_argument("--posting-interval-s", dest="interval_s", type=_positive, default=60, help="default 60")
    size.add_argument("--types", type=_types, default=TYPES, help="default service,role,host; without role postings name no roles")
    size.add_argument("--seed", type=int, help="default 1")


def _add_twists(made: argparse.ArgumentParser) -> None:
    twists = made.add_argument_group("what goes wrong (shares between 0 and 1, of postings unless said otherwise)")
    for name, text in {
        "duplicates": "the record comes a second time, up to 30 minutes later in the stream",
        "late": "arrives 10 minutes to 23 hours after its time, one in ten after 24 to 30 hours",
        "early": "its time is 10 minutes to 23 hours ahead of its arrival, one in ten 25 to 30 hours",
        "out-of-order": "stands up to 10 minutes behind its turn in the stream, so also in a later object",
        "reposted-lower": "the same minute is posted again with lower values, arriving later or earlier",
        "ties": "the same minute is posted again with other values and the same arrival",
        "churn": "share of hosts and services replaced by new ones each day",
        "roles-absent": "host postings that leave `roles` out or have null there",
        "bare": "host postings that are a bare API payload, without arrival, org and roles",
        "corrupt": "share of objects with bad JSON, a truncation, broken points or an unknown type",
    }.items():
        twists.add_argument(f"--{name}", type=_share, metavar="SHARE", help=text)
    twists.add_argument("--nulls", type=_share, nargs="?", const=0.01, metavar="SHARE", help="share of points with value null (0.01 if no share is given)")
    twists.add_argument("--odd", type=_share, nargs="?", const=0.01, metavar="SHARE", help="odd but valid postings: numeric strings, fractional seconds, NaN…")
    twists.add_argument("--roles", type=float, metavar="N", help="mean number of roles per host, default 1")


def _add_objects(made: argparse.ArgumentParser) -> None:
    objects = made.add_argument_group("objects")
    objects.add_argument("--compression", choices=COMPRESSIONS, help="default gzip; mixed also has several members and wrong extensions")
    objects.add_argument("--gzip-level", type=int, help="1 to 9, default 6")
    objects.add_argument("--separator", choices=SEPARATORS, help="between records, default newline")
    objects.add_argument("--object-bytes", type=_positive, help="decompressed size that closes an object, default 32 MiB")
    objects.add_argument("--object-interval-s", type=_positive, help="time that closes an object, default 900")
    objects.add_argument("--records-per-object", type=_positive, help="number that closes an object, default none")
    objects.add_argument("--org", help="default acme")
    objects.add_argument("--prefix", help="default none; such as firehose/")
    objects.add_argument("--stream", help="default metrics")


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, ArchiveOptions]:
    """Arguments and options of a command line; exits with 2 and one line where they are wrong."""
    command_line = parser()
    arguments = command_line.parse_args(argv)
    try:
        return arguments, options_of(arguments)
    except ValueError as wrong:
        command_line.error(str(wrong))
