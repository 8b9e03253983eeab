"""The oracle for points of any kind: rollups by dicts and loops from decoded points (DESIGN §3, table of kinds). Shares no code with what it checks."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from scripts.oracle import fold, zero

WIDTH_S = {"1m": 60, "5m": 300, "1h": 3600}
INF = math.inf
MOST = 2**63 - 1
COLUMNS = (
    "metric_type", "org", "entity", "name", "labels", "kind", "granularity", "bucket_start", "minutes",
    "count", "sum", "min", "max", "avg", "last", "increase", "p50", "p90", "p95", "p99",
)  # fmt: skip

Series = tuple[str, ...]
Row = dict[str, Any]
Rows = dict[int, Row]


class Histogram(NamedTuple):
    """Observations; `sum`, `min`, `max` are None where unknown."""

    count: int  # type: ignore[assignment]  # a tuple's method that nobody calls
    sum: float | None
    min: float | None
    max: float | None
    bounds: tuple[float, ...]
    bucket_counts: tuple[int, ...]


class Point(NamedTuple):
    """A decoded point; `order` is its place among all, `start_us` 0 where unknown."""

    series: Series
    kind: str
    arrival_us: int
    order: int
    time_us: int
    start_us: int = 0
    value: float = 0.0
    histogram: Histogram | None = None


def roll_up(points: Iterable[Point], average: str, lead_in_s: int) -> dict[str, dict[Series, Rows]]:
    """By granularity, then (series, kind), then bucket start in seconds: the row's columns. `points` in a row is how many went into it."""
    by_series: dict[tuple[Series, str], list[Point]] = {}
    for point in points:
        kind = "histogram" if "histogram" in point.kind else point.kind
        by_series.setdefault((point.series, kind), []).append(point)
    result: dict[str, dict[Series, Rows]] = {name: {} for name in WIDTH_S}
    for (series, kind), some in by_series.items():
        ones = minutes_of(some, kind, lead_in_s)
        fives = coarser(ones, ones, 300, kind, average)
        for name, rows in (("1m", ones), ("5m", fives), ("1h", coarser(fives, ones, 3600, kind, average))):
            result[name][*series, kind] = rows
    return result


def export_rows(points: Iterable[Point], periods_s: Sequence[tuple[int, int]], granularity: str, average: str = "cascade", lead_in_s: int = 600) -> list[Row]:
    """The buckets that overlap a period (none given: all) as `rollups export` lists them; series are (type, org, entity, name, labels)."""
    width, rows = WIDTH_S[granularity], []
    for (*series, kind), buckets in roll_up(points, average, lead_in_s)[granularity].items():
        for start, row in buckets.items():
            if not periods_s or any(a < start + width and start < b for a, b in periods_s):
                begin = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                identity = dict(zip(COLUMNS[:8], (*series, kind, granularity, begin), strict=True))
                rows.append(identity | {name: row.get(name) for name in COLUMNS[8:]})
    return sorted(rows, key=lambda row: [str(row[name]) for name in COLUMNS[:8]])


def minutes_of(points: list[Point], kind: str, lead_in_s: int) -> Rows:
    """The 1m rows of one series."""
    if kind == "histogram":
        return histogram_minutes(points, lead_in_s)
    if kind == "delta":
        return {start: delta_row(some) for start, some in by_minute(last_of(points, lambda one: (one.time_us, one.start_us))).items()}
    winners = {start: some[0] for start, some in by_minute(last_of(points, lambda one: one.time_us // 60_000_000)).items()}
    rows: Rows = {}
    for start, point in winners.items():
        rows[start] = gauge_row(zero(point.value))
        if kind == "counter":
            grown = increase(start, point, predecessor(start, winners, lead_in_s), lead_in_s)
            rows[start] |= {"increase": grown, "first_value": zero(point.value), "last_value": zero(point.value), "start_us": point.start_us}
    return rows


def last_of(points: list[Point], key: Any) -> list[Point]:  # noqa: ANN401 - any function of a point
    """The last to arrive of each key, later in order among equals, sorted by time, then start."""
    held: dict[object, Point] = {}
    for point in points:
        other = held.get(key(point))
        if other is None or (other.arrival_us, other.order) < (point.arrival_us, point.order):
            held[key(point)] = point
    return sorted(held.values(), key=lambda one: (one.time_us, one.start_us))


def by_minute(points: Iterable[Point]) -> dict[int, list[Point]]:
    """Points by the start of their minute in seconds."""
    minutes: dict[int, list[Point]] = {}
    for point in points:
        minutes.setdefault(point.time_us // 60_000_000 * 60, []).append(point)
    return minutes


def predecessor(start: int, winners: dict[int, Point], lead_in_s: int) -> Point | None:
    """The latest point of an earlier minute that is at most that far back."""
    earlier = [at for at in winners if 0 < start - at <= lead_in_s // 60 * 60]
    return winners[max(earlier)] if earlier else None


def is_young(start: int, point: Point, lead_in_s: int) -> bool:
    """Whether the stream is known to have begun shortly before the minute."""
    return point.start_us != 0 and start * 1_000_000 - point.start_us <= lead_in_s * 1_000_000


def changed(one: Point, other: Point) -> bool:
    """Whether the starts are known to differ."""
    return one.start_us != 0 and other.start_us not in (0, one.start_us)


def increase(start: int, point: Point, before: Point | None, lead_in_s: int) -> float | None:
    """By how much a counter grew since its predecessor."""
    if before is None:
        return zero(point.value) if is_young(start, point, lead_in_s) else None
    if changed(point, before) or point.value < before.value:
        return zero(point.value)
    return zero(point.value - before.value)


def gauge_row(value: float) -> Row:
    """One minute's value."""
    return dict.fromkeys(("sum", "min", "max", "avg", "last"), value) | {"minutes": 1, "count": 1, "points": 1}


def delta_row(points: list[Point]) -> Row:
    """One minute's deltas added."""
    total = fold([point.value for point in points])
    return gauge_row(total) | {"increase": total, "points": len(points)}


def coarser(finer: Rows, ones: Rows, width_s: int, kind: str, average: str) -> Rows:
    """Rows of what is present in each wider bucket."""
    parts: dict[int, list[Row]] = {}
    members: dict[int, list[Row]] = {}
    for rows, into in ((finer, parts), (ones, members)):
        for start in sorted(rows):
            into.setdefault(start // width_s * width_s, []).append(rows[start])
    if kind == "histogram":
        return {start: histogram_row(members[start], some) for start, some in parts.items()}
    return {start: row_of(some, kind, average) for start, some in parts.items()}


def row_of(parts: list[Row], kind: str, average: str) -> Row:
    """A 5m row of 1m rows, an hour of 5m rows."""
    count, total = sum(part["count"] for part in parts), fold([part["sum"] for part in parts])
    mean = fold([part["avg"] for part in parts]) / len(parts) if average == "cascade" else total / count
    row = {
        "minutes": sum(part["minutes"] for part in parts),
        "count": count,
        "sum": total,
        "min": min(part["min"] for part in parts),
        "max": max(part["max"] for part in parts),
        "avg": zero(mean),
        "last": parts[-1]["last"],
        "points": sum(part["points"] for part in parts),
    }
    if kind != "gauge":
        known = [part["increase"] for part in parts if part["increase"] is not None]
        row["increase"] = fold(known) if known else None
    if kind == "counter":
        row |= {"first_value": parts[0]["first_value"], "last_value": parts[-1]["last_value"], "start_us": parts[-1]["start_us"]}
    return row


def histogram_minutes(points: list[Point], lead_in_s: int) -> Rows:
    """The 1m rows of histograms of both temporalities: what each adds to a minute, merged, deltas first."""
    members: dict[int, list[tuple[Histogram, bool]]] = {}
    deltas = [point for point in points if point.kind == "histogram"]
    for point in last_of(deltas, lambda one: (one.time_us, one.start_us)):
        if point.histogram:
            members.setdefault(point.time_us // 60_000_000 * 60, []).append((point.histogram, False))
    totals = [point for point in points if point.kind != "histogram"]
    winners = {start: some[0] for start, some in by_minute(last_of(totals, lambda one: one.time_us // 60_000_000)).items()}
    for start, point in winners.items():
        if (grown := growth(start, point, predecessor(start, winners, lead_in_s), lead_in_s)) is not None:
            members.setdefault(start, []).append(grown)
    rows = {}
    for start, some in members.items():
        merged, widened = merge([one for one, _ in some])
        rows[start] = finished(merged, fold_known([(one.sum, one.count) for one, _ in some]), 1, len(some), widened or any(flag for _, flag in some))
    return rows


def growth(start: int, point: Point, before: Point | None, lead_in_s: int) -> tuple[Histogram, bool] | None:
    """What a cumulative histogram observed since its predecessor, and whether buckets became wider; None if nothing says what."""
    now = point.histogram
    assert now is not None  # noqa: S101 - a histogram point has one
    if before is None or before.histogram is None:
        return (now, False) if is_young(start, point, lead_in_s) else None
    if changed(point, before):
        return now, False
    then = before.histogram
    less, widened = merge([now, Histogram(-then.count, None, None, None, then.bounds, tuple(-one for one in then.bucket_counts))])
    if less.count < 0 or any(one < 0 for one in less.bucket_counts):
        return now, False
    sums = [0.0 if one.sum is None and one.count == 0 else one.sum for one in (now, then)]
    total = None if sums[0] is None or sums[1] is None else sums[0] - sums[1]
    return less._replace(sum=total, min=None, max=None), widened


def histogram_row(ones: list[Row], parts: list[Row]) -> Row:
    """A coarser row: the merge of the 1m histograms, the fold of the finer sums."""
    merged, widened = merge([one["histogram"] for one in ones])
    total = fold_known([(part["sum"], part["count"]) for part in parts])
    return finished(merged, total, len(ones), sum(one["points"] for one in ones), widened or any(one["rebinned"] for one in ones))


def finished(merged: Histogram, total: float | None, minutes: int, points: int, rebinned: bool) -> Row:  # noqa: FBT001 - a column
    """The columns of a histogram's row."""
    row: Row = {"minutes": minutes, "count": merged.count, "sum": total, "min": merged.min, "max": merged.max, "points": points, "rebinned": rebinned}
    row["avg"] = None if total is None or merged.count in (0, MOST) else zero(total / merged.count)
    row |= {f"p{percent}": None if merged.count == MOST else percentile(merged, percent / 100) for percent in (50, 90, 95, 99)}
    return row | {"bounds": list(merged.bounds), "bucket_counts": list(merged.bucket_counts), "histogram": merged}


def merge(members: list[Histogram]) -> tuple[Histogram, bool]:
    """One histogram of all observations, and whether a bucket became wider. Its `sum` is not made here."""
    members = [one._replace(bounds=tuple(map(zero, one.bounds))) for one in members]
    counted = [one for one in members if one.count != 0]
    low = None if not counted or any(one.min is None for one in counted) else zero(min(one.min for one in counted if one.min is not None))
    high = None if not counted or any(one.max is None for one in counted) else zero(max(one.max for one in counted if one.max is not None))
    count = min(MOST, sum(one.count for one in members))
    if len({one.bounds for one in members}) == 1:
        columns = zip(*(one.bucket_counts for one in members), strict=True)
        return Histogram(count, None, low, high, members[0].bounds, tuple(min(MOST, sum(column)) for column in columns)), False
    given = [piece for one in members for piece in pieces_of(one)]
    pieces: dict[tuple[float, float], int] = {}
    for lo, hi, number in given:
        pieces[lo, hi] = pieces.get((lo, hi), 0) + number
    while pair := overlapping(list(pieces)):
        number = sum(pieces.pop(one) for one in pair)
        hull = min(lo for lo, _ in pair), max(hi for _, hi in pair)
        pieces[hull] = pieces.get(hull, 0) + number
    bounds = sorted({edge for piece in pieces for edge in piece if math.isfinite(edge)})
    buckets = zip([-INF, *bounds], [*bounds, INF], strict=True)
    counts = tuple(min(MOST, pieces.get(bucket, 0)) for bucket in buckets)
    return Histogram(count, None, low, high, tuple(bounds), counts), any((lo, hi) not in pieces for lo, hi, _ in given)


def pieces_of(one: Histogram) -> list[tuple[float, float, int]]:
    """The buckets that are not empty."""
    buckets = zip([-INF, *one.bounds], [*one.bounds, INF], one.bucket_counts, strict=True)
    return [(lo, hi, number) for lo, hi, number in buckets if number]


def overlapping(pieces: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Two of the intervals that have values in common."""
    for place, one in enumerate(pieces):
        for other in pieces[place + 1 :]:
            if max(one[0], other[0]) < min(one[1], other[1]):
                return one, other
    return None


def percentile(one: Histogram, share: float) -> float | None:
    """Linear between the edges of the bucket that the rank falls into."""
    total = sum(one.bucket_counts)
    if total == 0 or not one.bounds:
        return None
    rank, before = share * total, 0
    for place, inside in enumerate(one.bucket_counts):
        if inside and before + inside >= rank:
            lo = one.bounds[place - 1] if place else min(one.bounds[0] if one.min is None else one.min, one.bounds[0])
            hi = one.bounds[place] if place < len(one.bounds) else max(one.bounds[-1] if one.max is None else one.max, one.bounds[-1])
            part = (rank - before) / inside
            return zero(min(max(lo * (1.0 - part) + hi * part, lo), hi))
        before += inside
    return None


def fold_known(sums: list[tuple[float | None, int]]) -> float | None:
    """Left fold; None if one is unknown that has observations."""
    known = [0.0 if total is None and count == 0 else total for total, count in sums]
    return None if any(one is None for one in known) else fold([one for one in known if one is not None])
