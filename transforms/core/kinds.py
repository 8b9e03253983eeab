"""How the points of each kind become buckets: what is common to the kinds, gauges, counters and deltas (DESIGN §3, table of kinds)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.fold import Average, Buckets, fold_gauges, left_fold
from transforms.core.granularity import WIDTH_S, Range, within
from transforms.core.model import ROLLUP_SCHEMA, Bools, Floats, Ints
from transforms.core.ragged import latest, left_folds, sizes_of, starts_of
from transforms.core.tiles import MINUTES, Counts, Part, Tiles, lay, starts_s

_US: Final = 1_000_000


class Rules(NamedTuple):
    """How an hour's average is made, and how far back (seconds) a predecessor or a start may lie."""

    average: Average
    lead_in_s: int


class Laid(NamedTuple):
    """Buckets of one granularity with the series and the starts (seconds since the epoch, shape of the buckets' arrays) of every tile.

    `hour` of the tiles is there if their buckets are those of an hour.
    """

    buckets: Buckets
    series: Ints
    starts_s: Ints
    hour: Ints | None = None

    def chosen(self, width_s: int, ranges: tuple[Range, ...]) -> Bools:
        """Which buckets are present and start in one of the ranges. The ranges are looked up once per distinct hour, not per tile."""
        if self.hour is None or not len(self.hour):
            return self.buckets.present & within(self.starts_s, ranges)
        first = int(self.hour.min())
        inside = within(starts_s(np.arange(first, int(self.hour.max()) + 1), width_s), ranges)
        return self.buckets.present if inside.all() else self.buckets.present & inside.take(self.hour - first, axis=0)


class Folded(NamedTuple):
    """All series of one kind: buckets by granularity, `1m`, `5m` and `1h`, and their points counted."""

    laid: dict[str, Laid]
    counts: Counts


Fold = Callable[[Sequence[Part], int, Rules], Folded]
"""Parts with points of one kind, the number of series (of all kinds) and the rules → the kind's buckets."""


def fold_gauge_points(parts: Sequence[Part], series: int, rules: Rules) -> Folded:
    """Last arrival per minute, then `fold_gauges`."""
    tiles, counts = lay(parts, series)
    return Folded(laid(fold_gauges(tiles, rules.average), tiles.series, tiles.hour), counts)


def fold_counter_points(parts: Sequence[Part], series: int, rules: Rules) -> Folded:
    """As gauges on the cumulative value, and `increase`; the first and last value and the last known start are kept for a later recalculation."""
    tiles, counts = lay(parts, series, starts=True)
    start_us = np.zeros(tiles.values.shape, np.int64) if tiles.start_us is None else tiles.start_us
    growth = Growth(tiles.present, increases(tiles, start_us, rules.lead_in_s), tiles.values, tiles.values, start_us)
    return Folded(laid(fold_counters(tiles, growth, rules.average), tiles.series, tiles.hour), counts)


def increases(tiles: Tiles, start_us: Ints, lead_in_s: int) -> Floats:
    """By minute, how much a counter grew; NaN where nothing says so. Shape (tiles, 60).

    It is the difference to the series' previous present minute at most `lead_in_s` back. If the value is lower than there, or the starts of the streams are
    known and differ, the counter was reset, and it is the value itself; so it is without a predecessor if the start is known and lies at most `lead_in_s`
    before the minute.
    """
    at = np.flatnonzero(tiles.present)
    tile, minute_of_hour = np.divmod(at, MINUTES)
    series, minute = tiles.series[tile], tiles.hour[tile] * MINUTES + minute_of_hour
    value, start = tiles.values.ravel()[at], start_us.ravel()[at]
    follows, changed = followers(series, minute, start, lead_in_s)
    before = np.concatenate([value[:1], value[:-1]])
    with np.errstate(over="ignore"):
        grown = value - before
    anew = np.where(follows, changed | (value < before), is_young(minute, start, lead_in_s))
    increase = np.full(tiles.values.shape, np.nan)
    increase.ravel()[at] = np.where(anew, value, np.where(follows, grown, np.nan)) + 0.0
    return increase


def followers(series: Ints, minute: Ints, start_us: Ints, lead_in_s: int) -> tuple[Bools, Bools]:
    """Of points sorted by series and minute: which have the one before as predecessor, and, where that is so, whether the known start changed."""
    follows, changed = np.zeros((2, len(series)), bool)
    follows[1:] = (series[1:] == series[:-1]) & (minute[1:] - minute[:-1] <= lead_in_s // WIDTH_S["1m"])
    changed[1:] = (start_us[1:] != start_us[:-1]) & (start_us[1:] != 0) & (start_us[:-1] != 0)
    return follows, changed


def is_young(minute: Ints, start_us: Ints, lead_in_s: int) -> Bools:
    """Whether the stream is known to have started at most that long before the minute, or in it."""
    young: Bools = (start_us != 0) & (minute * (WIDTH_S["1m"] * _US) - start_us <= lead_in_s * _US)
    return young


class Growth(NamedTuple):
    """What counters have beside gauges, in arrays of shape (tiles, buckets in an hour).

    `increase` is NaN where nothing tells it; `first` and `last` are cumulative values, `start_us` the start of the last one's stream, 0 where unknown.
    """

    present: Bools
    increase: Floats
    first: Floats
    last: Floats
    start_us: Ints


def fold_counters(tiles: Tiles, growth: Growth, average: Average) -> dict[str, Buckets]:
    """As `fold_gauges` on the cumulative values; `growth` is that of the minutes."""
    buckets = fold_gauges(tiles, average)
    fives = coarser_growth(growth, 5)
    growths = {"1m": growth, "5m": fives, "1h": coarser_growth(fives, 12)}
    return {name: counter_buckets(one, growths[name]) for name, one in buckets.items()}


def coarser_growth(given: Growth, size: int) -> Growth:
    """Of every `size` consecutive buckets: left fold of the known increases, first value of the first present one, last value and start of the last one."""
    present = given.present.reshape(-1, size)
    row, first, last = np.arange(len(present)), present.argmax(axis=1), size - 1 - present[:, ::-1].argmax(axis=1)
    shape = len(given.present), -1
    return Growth(
        present=present.any(axis=1).reshape(shape),
        increase=_sums_of_present(given.increase, size),
        first=given.first.reshape(-1, size)[row, first].reshape(shape),
        last=given.last.reshape(-1, size)[row, last].reshape(shape),
        start_us=given.start_us.reshape(-1, size)[row, last].reshape(shape),
    )


def _sums_of_present(values: Floats, size: int) -> Floats:
    """Left folds of what is no NaN in every `size` consecutive values of a row; NaN where nothing is."""
    rows = values.reshape(-1, size)
    known = ~np.isnan(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = left_fold(np.where(known, rows, 0.0))
    sums[~known.any(axis=1)] = np.nan
    return sums.reshape(len(values), -1)


def counter_buckets(gauge: Buckets, growth: Growth) -> Buckets:
    """The buckets of gauges with what counters have beside them."""
    more = {"increase": growth.increase, "first_value": growth.first, "last_value": growth.last}
    starts = growth.start_us.ravel()
    times = pa.array(starts // 1000, mask=starts == 0).cast(ROLLUP_SCHEMA.field("start_time").type)
    return Buckets(gauge.present, gauge.minutes, gauge.count, dict(gauge.values) | more, gaps=True, columns={"start_time": times})


def fold_delta_points(parts: Sequence[Part], series: int, rules: Rules) -> Folded:
    """Last arrival per (start, time); within a minute these are added in the order of time, then start. `increase` is the sum."""
    del series
    points = gather(parts)
    order, stands = latest(points.series, points.time_us, points.start_us, points.arrival_us)
    kept = order[stands]
    starts = starts_of(points.series[kept], points.minute[kept])
    firsts = kept[starts]
    tiles, numbers = _tiles(points.series[firsts], points.minute[firsts], left_folds(points.value[kept], starts) + 0.0, sizes_of(starts, len(kept)))
    buckets = {name: delta_buckets(one) for name, one in fold_gauges(tiles, rules.average).items()}
    buckets = {name: replace(one, points=numbers.reshape(*one.count.shape, -1).sum(axis=2)) for name, one in buckets.items()}
    is_first = np.zeros(len(kept), bool)
    is_first[starts] = True
    return Folded(laid(buckets, tiles.series, tiles.hour), count_minutes(points.minute, superseded=order[~stands], merged=kept[~is_first]))


def delta_buckets(gauge: Buckets) -> Buckets:
    """The buckets of gauges with the sum as `increase`."""
    return replace(gauge, values=dict(gauge.values) | {"increase": gauge.values["sum"]})


class Gathered(NamedTuple):
    """Points of several parts as parallel columns, one part after another."""

    series: Ints
    minute: Ints
    arrival_us: Ints
    value: Floats
    start_us: Ints
    time_us: Ints


def gather(parts: Sequence[Part]) -> Gathered:
    """All points, part after part."""
    series = [np.repeat(part.series, part.sizes) for part in parts]
    minute = [part.minute.astype(np.int64) for part in parts]
    rest = [[getattr(part, name) for part in parts] for name in ("arrival_us", "value", "start_us", "time_us")]
    return Gathered(*(np.concatenate(column) for column in (series, minute, *rest)))


def count_minutes(minute: Ints, *, superseded: Ints, merged: Ints, left_out: Ints | None = None) -> Counts:
    """Points by minute, and those at the given positions."""
    first, size = (int(minute.min()), int(minute.max() - minute.min()) + 1) if len(minute) else (0, 0)
    numbers = (None if at is None else np.bincount(minute[at] - first, minlength=size) for at in (slice(None), superseded, left_out, merged))
    return Counts(first, *numbers)  # type: ignore[arg-type]  # the first two are given


def _tiles(series: Ints, minute: Ints, value: Floats, numbers: Ints) -> tuple[Tiles, Ints]:
    """Minutes, sorted by series and time, and the points in each, laid out in tiles."""
    hour = minute // MINUTES
    starts = starts_of(series, hour)
    row = np.repeat(np.arange(len(starts)), sizes_of(starts, len(minute)))
    at = row * MINUTES + minute - hour * MINUTES
    values, present, points = np.zeros(MINUTES * len(starts)), np.zeros(MINUTES * len(starts), bool), np.zeros(MINUTES * len(starts), np.int64)
    values[at], present[at], points[at] = value, True, numbers
    shape = (-1, MINUTES)
    return Tiles(series[starts], hour[starts], values.reshape(shape), present.reshape(shape)), points.reshape(shape)


def laid(buckets: Mapping[str, Buckets], series: Ints, hour: Ints) -> dict[str, Laid]:
    """Buckets by granularity in tiles of these series and hours."""
    return {name: Laid(one, series, starts_s(hour, WIDTH_S[name]), hour) for name, one in buckets.items()}
