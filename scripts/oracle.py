"""The oracle: what the rollups of a local archive must be, computed with dicts and loops. It shares no code with what it checks.

    python scripts/oracle.py FOLDER --period 2025-11-01T00:00Z/2025-11-02T00:00Z --granularity 5m > expected.csv

prints what `rollups export` prints after a backfill of the same periods, but for the last column, `generation`. It reads host and service postings and bare
host arrays in plain, gzip and zstd objects. DESIGN §3 and §7 say what everything here is for.
"""

import argparse
import csv
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TextIO

import zstandard

TYPES = ("service", "labeled", "role", "host")
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
WIDTH_S = {"1m": 60, "5m": 300, "1h": 3600}
LATE_US = EARLY_US = 24 * 3600 * 1_000_000
FIRST_TIME_S, END_TIME_S = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2000, 2101))
COLUMNS = (
    "metric_type", "org", "entity", "name", "labels", "kind", "granularity", "bucket_start", "minutes",
    "count", "sum", "min", "max", "avg", "last", "increase", "p50", "p90", "p95", "p99",
)  # fmt: skip

Series = tuple[str, str, str, str, str]
Row = dict[str, str | int | float | None]
Range = tuple[int, int]


@dataclass(frozen=True)
class Rollup:
    """One bucket of a gauge."""

    minutes: int
    count: int
    sum: float
    min: float
    max: float
    avg: float
    last: float


class Member(NamedTuple):
    """The host had the role for arrivals in [from_us, to_us)."""

    org: str
    host: str
    role: str
    from_us: float
    to_us: float


class Point(NamedTuple):
    """A point that counts. `order` is its place among all points of the archive."""

    series: Series
    arrival_us: int
    order: int
    time_s: int
    value: float


class Posting(NamedTuple):
    """Whose points, and when they came; None where the posting doesn't say."""

    metric_type: str
    org: str
    entity: str
    roles: list[str] | None
    arrival_us: int | None


class Broken(Exception):
    """The record, or the point, is a dead letter."""


def fold(summands: Sequence[float]) -> float:
    """Sum from left to right; once infinite it stays so. Zero is 0.0, never -0.0."""
    total = summands[0]
    for one in summands[1:]:
        if not math.isinf(total):
            total = total + one
    return zero(total)


def zero(value: float) -> float:
    """The value, with 0.0 for -0.0."""
    return 0.0 if value == 0 else value


def rollup_1m(value: float) -> Rollup:
    """One minute."""
    value = zero(value)
    return Rollup(minutes=1, count=1, sum=value, min=value, max=value, avg=value, last=value)


def rollup_of(parts: Sequence[Rollup], average: str) -> Rollup:
    """Of what is present, in time order: 1m rollups make a 5m one, 5m rollups an hour. `average` is cascade or flat."""
    count, total = sum(part.count for part in parts), fold([part.sum for part in parts])
    return Rollup(
        minutes=sum(part.minutes for part in parts),
        count=count,
        sum=total,
        min=min(part.min for part in parts),
        max=max(part.max for part in parts),
        avg=zero(fold([part.avg for part in parts]) / len(parts) if average == "cascade" else total / count),
        last=parts[-1].last,
    )


def read_archive(folder: str, *, org: str = "", membership: Iterable[Member] = ()) -> Iterator[Point]:
    """All points of an archive that count, role copies among them, in the order of keys and of their position in the object."""
    table, order = list(membership), 0
    for key in sorted(keys_of(folder)):
        path = os.path.join(folder, key)
        with open(path, "rb") as file:
            text = unpacked(file.read()).decode("utf-8", "surrogateescape")
        for posting, name, time_s, value in points_of(text, org):
            arrival_us = object_arrival_us(key, path) if posting.arrival_us is None else posting.arrival_us
            if -EARLY_US <= arrival_us - time_s * 1_000_000 <= LATE_US:
                for metric_type, entity, labels in series_of(posting, arrival_us, table):
                    order += 1
                    yield Point((metric_type, posting.org, entity, name, labels), arrival_us, order, time_s, value)


def series_of(posting: Posting, arrival_us: int, table: Sequence[Member]) -> list[tuple[str, str, str]]:
    """Type, entity and labels of the posting's own series and of its roles'."""
    roles = posting.roles or []
    if posting.roles is None:
        roles = [row.role for row in table if (row.org, row.host) == (posting.org, posting.entity) and row.from_us <= arrival_us < row.to_us]
    label = json.dumps({"host": posting.entity}, ensure_ascii=False, separators=(",", ":"))
    copies = [("role", role, label) for role in sorted(set(roles))] if posting.metric_type == "host" else []
    return [(posting.metric_type, posting.entity, "{}"), *copies]


def keys_of(folder: str) -> Iterator[str]:
    """Paths below the folder; names that start with a dot are not the archive's."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.relpath(os.path.join(parent, name), folder) for name in names if not name.startswith("."))


def object_arrival_us(key: str, path: str) -> int:
    """When an object's records arrived that don't say: by the file's name, else its folder, else its modification time."""
    in_name = re.search(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)(?!\d)", key.rsplit("/", 1)[-1])
    in_folder = re.search(r"(?:^|/)(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]*$", key)
    for match in (in_name, in_folder):
        if match:
            try:
                year, month, day, hour, minute, second = [*map(int, match.groups()), 0, 0][:6]
                return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000
            except ValueError:
                continue
    return int(os.stat(path).st_mtime) * 1_000_000


def unpacked(body: bytes) -> bytes:
    """The content of gzip members or zstd frames, up to where they break off or something else follows; other bytes as they are."""
    if body.startswith(GZIP):
        return b"".join(members(body, GZIP, lambda: zlib.decompressobj(31)))
    if body.startswith(ZSTD):
        return b"".join(members(body, ZSTD, lambda: zstandard.ZstdDecompressor().decompressobj()))
    return body


def members(body: bytes, magic: bytes, opener: Callable[[], "zlib._Decompress | zstandard.ZstdDecompressionObj"]) -> Iterator[bytes]:
    """Content of member after member, of the last one as much as there is of it; a corrupt one and what follows it give nothing."""
    while body.startswith(magic):
        member = opener()
        try:
            yield member.decompress(body)
        except (zlib.error, zstandard.ZstdError):
            return
        body = member.unused_data.lstrip(b"\0")


def points_of(text: str, org: str) -> Iterator[tuple[Posting, str, int, float]]:
    """Posting, name, time and value of every point of an object that is neither broken nor without a finite value."""
    for record in records_of(text):
        try:
            pairs = list(postings_of(record, org))
        except Broken:
            continue
        for opened, point in pairs:
            try:
                posting = opened or Posting("host", org, text_of(point, "hostId"), None, None)
                name, time_s, value = point_of(point)
            except Broken:
                continue
            if math.isfinite(value):
                yield posting, name, time_s, value


def point_of(point: object) -> tuple[str, int, float]:
    """Name, whole second and value, NaN if it has none."""
    if not isinstance(point, dict):
        raise Broken
    value = point.get("value")
    return text_of(point, "name"), math.floor(time_of(point.get("time"))), math.nan if value is None else number_of(value)


def records_of(text: str) -> Iterator[object]:
    """The JSON values in a text. Bad JSON is skipped: up to the newline that follows its start, or altogether."""
    decoder, at = json.JSONDecoder(parse_int=float), 0
    while True:
        while text[at : at + 1] in set(" \t\r\n\v\f\ufeff"):
            at += 1
        if at == len(text):
            return
        try:
            record, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("\n", at) + 1
            if at == 0:
                return
        else:
            yield record


def postings_of(record: object, org: str) -> Iterator[tuple[Posting | None, object]]:
    """The points of a record, each with its posting; a bare array's point makes its own."""
    if record in ({}, []):
        return
    if isinstance(record, list):
        yield from ((None, point) for point in record)
        return
    if not isinstance(record, dict) or record.get("type") not in ("host", "service") or not isinstance(record.get("metrics"), list):
        raise Broken
    metric_type = str(record["type"])
    posting = Posting(
        metric_type,
        org if record.get("org") is None else text_of(record, "org"),
        text_of(record, "hostId" if metric_type == "host" else "service"),
        roles_of(record) if metric_type == "host" else None,
        None if record.get("receivedAt") is None else received_us(record["receivedAt"]),
    )
    yield from ((posting, point) for point in record["metrics"])


def roles_of(record: dict[str, object]) -> list[str] | None:
    """The posting's roles; None if it doesn't say."""
    roles = record.get("roles")
    if roles is None:
        return None
    if not isinstance(roles, list):
        raise Broken
    return [proper(role) for role in roles]


def text_of(fields: object, key: str) -> str:
    """A string field."""
    return proper(fields.get(key) if isinstance(fields, dict) else None)


def proper(text: object) -> str:
    """A string without lone surrogates; invalid UTF-8 was read as such."""
    if not isinstance(text, str) or re.search("[\ud800-\udfff]", text):
        raise Broken
    return text


def time_of(value: object) -> float:
    """Seconds since the epoch, in the years 2000 to 2100."""
    seconds = number_of(value)
    if not FIRST_TIME_S <= seconds < END_TIME_S:
        raise Broken
    return seconds


def received_us(value: object) -> int:
    """Microseconds since the epoch of a time in seconds, milliseconds or microseconds: in only one of them it is in the years 2000 to 2100."""
    number = number_of(value)
    for units_per_s in (1, 1_000, 1_000_000):
        if FIRST_TIME_S * units_per_s <= number < END_TIME_S * units_per_s:
            return round(number * (1_000_000 // units_per_s))
    raise Broken


def number_of(value: object) -> float:
    """A number, or a string that is one as JSON writes it, NaN or an infinity."""
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|(?i:[-+]?(nan|inf|infinity))", value):
        return float(value)
    if not isinstance(value, float):
        raise Broken
    return value


def expected_rows(
    folder: str, *, periods_s: Sequence[Range], granularities: Sequence[str] = tuple(WIDTH_S), metric_types: Sequence[str] = TYPES,
    average: str = "cascade", edge: str = "expand", org: str = "", membership: Iterable[Member] = (),
) -> list[Row]:  # fmt: skip
    """Rows that a backfill of the periods stores and `export` lists, sorted. Without periods: all that the archive holds."""
    minutes = last_arrivals(point for point in read_archive(folder, org=org, membership=membership) if point.series[0] in metric_types)
    rows = []
    for series, values in minutes.items():
        by_granularity = roll_up(values, average)
        for granularity in granularities:
            computed = computed_starts(by_granularity[granularity], WIDTH_S[granularity], periods_s, edge)
            rows += [row_of(series, granularity, start_s, by_granularity[granularity][start_s]) for start_s in computed]
    return sorted(rows, key=lambda row: [str(row[name]) for name in COLUMNS[:8]])


def last_arrivals(points: Iterable[Point]) -> dict[Series, dict[int, float]]:
    """By series, the value of every minute: that of the point that arrived last, of those the later in order."""
    winners: dict[Series, dict[int, Point]] = {}
    for point in points:
        minutes = winners.setdefault(point.series, {})
        minute_s = point.time_s // 60 * 60
        held = minutes.get(minute_s)
        if held is None or (held.arrival_us, held.order) < (point.arrival_us, point.order):
            minutes[minute_s] = point
    return {series: {minute_s: point.value for minute_s, point in minutes.items()} for series, minutes in winners.items()}


def roll_up(values: dict[int, float], average: str) -> dict[str, dict[int, Rollup]]:
    """By granularity and bucket start, the rollups of one series' minutes."""
    ones = {minute_s: rollup_1m(value) for minute_s, value in sorted(values.items())}
    fives = coarser(ones, WIDTH_S["5m"], average)
    return {"1m": ones, "5m": fives, "1h": coarser(fives, WIDTH_S["1h"], average)}


def coarser(finer: dict[int, Rollup], width_s: int, average: str) -> dict[int, Rollup]:
    """Rollups of what is present in each wider bucket; `finer` is in time order."""
    parts: dict[int, list[Rollup]] = {}
    for start_s, rollup in finer.items():
        parts.setdefault(start_s // width_s * width_s, []).append(rollup)
    return {start_s: rollup_of(some, average) for start_s, some in parts.items()}


def computed_starts(buckets: Iterable[int], width_s: int, periods_s: Sequence[Range], edge: str) -> list[int]:
    """The buckets that a run over the periods computes: those that overlap one (expand) or lie inside one (clip); all if there is no period."""
    periods = united(periods_s)
    if edge == "clip":
        return [start for start in buckets if any(a <= start and start + width_s <= b for a, b in periods) or not periods]
    if edge == "fail" and any(at % width_s for period in periods for at in period):
        raise ValueError(f"a period of {periods} cuts a bucket of {width_s} s")
    return [start for start in buckets if any(a < start + width_s and start < b for a, b in periods) or not periods]


def united(periods_s: Iterable[Range]) -> list[Range]:
    """Periods that touch or overlap made one."""
    result: list[Range] = []
    for start, end in sorted(periods_s):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        else:
            result.append((start, end))
    return result


def row_of(series: Series, granularity: str, start_s: int, rollup: Rollup) -> Row:
    """A row of the export; None where a gauge has nothing."""
    start = datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = dict(zip(COLUMNS[:8], (*series, "gauge", granularity, start), strict=True))
    return dict.fromkeys(COLUMNS) | identity | vars(rollup)


def read_membership(path: str) -> list[Member]:
    """A CSV with the columns org, host, role, valid_from, valid_to: ISO 8601 with an offset or seconds; empty means always."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [
            Member(row["org"], row["host"], row["role"], moment_us(row["valid_from"], -math.inf), moment_us(row["valid_to"], math.inf))
            for row in csv.DictReader(file)
        ]


def moment_us(text: str, empty: float) -> float:
    """Microseconds since the epoch."""
    if not text.strip():
        return empty
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return round(float(text) * 1_000_000)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def period_of(text: str) -> Range:
    """`FROM/TO`, both ISO 8601 with an offset."""
    start_us, end_us = (moment_us(part, math.nan) for part in text.split("/"))
    return int(start_us) // 1_000_000, int(end_us) // 1_000_000


def write_csv(rows: Iterable[Row], file: TextIO) -> None:
    """As `export` writes it, but for the generation."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def main() -> None:
    """Read the arguments, print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("folder")
    parser.add_argument("--period", action="append", type=period_of, default=[], help="FROM/TO with offsets; may be repeated; none: everything")
    parser.add_argument("--granularity", choices=tuple(WIDTH_S), default="5m")
    parser.add_argument("--metric-types", default=",".join(TYPES))
    parser.add_argument("--average", choices=("cascade", "flat"), default="cascade")
    parser.add_argument("--edge", choices=("expand", "clip", "fail"), default="expand")
    parser.add_argument("--org", default="", help="of bare arrays")
    parser.add_argument("--role-membership", type=read_membership, default=[], help="CSV: org,host,role,valid_from,valid_to")
    given = parser.parse_args()
    rows = expected_rows(
        given.folder, periods_s=given.period, granularities=[given.granularity], metric_types=given.metric_types.split(","),
        average=given.average, edge=given.edge, org=given.org, membership=given.role_membership,
    )  # fmt: skip
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    write_csv(rows, sys.stdout)


if __name__ == "__main__":
    main()
