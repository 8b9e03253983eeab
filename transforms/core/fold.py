"""Folds of tiles into buckets: gauges, and what other kinds share with them.

Every sum is a left fold in time order in float64: the bits of `total = first; total = total + next`, on every machine and for any grouping of series.
NumPy's own `sum` pairs its summands and is not used. Absent minutes hold 0.0, and adding that changes no bit of a sum that is never -0.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from transforms.core.model import Bools, Floats, Ints
from transforms.core.tiles import Tiles

Average = Literal["cascade", "flat"]
"""How the `avg` of an hour is made: left-folded mean of its present 5m averages, or sum / count."""

_GAUGE: Final = ("sum", "min", "max", "avg", "last")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of one granularity, tile by tile: every array is of shape (tiles, buckets in an hour).

    `values` are float columns of ROLLUP_SCHEMA by name; what a kind doesn't have is left out. What an array holds where not `present` means nothing.
    With `gaps` a NaN stands for a null. `columns` are Arrow columns of ROLLUP_SCHEMA, one element per bucket, tile after tile. `points` are those that went
    into a bucket; None: one a minute. `rebinned`: whether a histogram's buckets became wider (None: never).
    """

    present: Bools
    minutes: Ints
    count: Ints
    values: Mapping[str, Floats]
    gaps: bool = False
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    points: Ints | None = None
    rebinned: Bools | None = None


def fold_gauges(tiles: Tiles, average: Average) -> dict[str, Buckets]:
    """1m: the value. 5m: over its present 1m values. 1h: over its present 5m rollups. No value is NaN: a sum that overflows stays at that infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        fives = _fold_values(tiles)
    return {"1m": _minutes(tiles), "5m": fives, "1h": fold_fives(fives, average)}


def _minutes(tiles: Tiles) -> Buckets:
    once = np.broadcast_to(np.int64(1), tiles.values.shape)
    return Buckets(tiles.present, once, once, dict.fromkeys(_GAUGE, tiles.values))


def _fold_values(tiles: Tiles) -> Buckets:
    values, present = tiles.values.reshape(-1, 5), tiles.present.reshape(-1, 5)
    count = np.zeros(len(values), np.int64)
    total, last = np.zeros((2, len(values)))
    low, high = np.full(len(values), np.inf), np.full(len(values), -np.inf)
    for minute in range(5):
        value, there = values[:, minute].copy(), present[:, minute].copy()
        count += there
        total += value
        np.minimum(low, np.where(there, value, np.inf), out=low)
        np.maximum(high, np.where(there, value, -np.inf), out=high)
        np.copyto(last, value, where=there)
    _mend(total, values)
    return _buckets(count.reshape(-1, 12), total, low, high, _mean(total, count), last)


def fold_fives(fives: Buckets, average: Average) -> Buckets:
    """Hours of gauges from their 5m buckets, of shape (tiles, 12).

    Where no bucket is present the values are those which change nothing: 0.0, and infinities as min and max.
    """
    count = fives.count.sum(axis=1)
    total, low, high, avg, last = (fives.values[name] for name in _GAUGE)
    with np.errstate(over="ignore", invalid="ignore"):
        total = left_fold(total)
        avg = _mean(total, count) if average == "flat" else _mean(left_fold(avg), fives.present.sum(axis=1))
    last = last[np.arange(len(count)), 11 - fives.present[:, ::-1].argmax(axis=1)]
    return _buckets(count.reshape(-1, 1), total, low.min(axis=1), high.max(axis=1), avg, last)


def _buckets(count: Ints, *values: Floats) -> Buckets:
    shaped = [column.reshape(count.shape) for column in values]
    return Buckets(count > 0, count, count, dict(zip(_GAUGE, shaped, strict=True)))


def left_fold(values: Floats) -> Floats:
    """Sum of every row from left to right. A sum that became infinite stays so: infinities of both signs don't make a NaN."""
    total = values[:, 0].copy()
    for column in range(1, values.shape[1]):
        total += values[:, column]
    _mend(total, values)
    return total


def _mend(total: Floats, values: Floats) -> None:
    """Sums that met infinities of both signs stay at the first one."""
    torn = np.flatnonzero(np.isnan(total))
    if len(torn):
        steps = np.add.accumulate(values[torn], axis=1)
        total[torn] = steps[np.arange(len(torn)), np.isinf(steps).argmax(axis=1)]


def _mean(total: Floats, count: Ints) -> Floats:
    """`total / count`, 0.0 where the count is 0. Adding 0.0 keeps a tiny negative mean from being stored as -0.0."""
    return total / np.maximum(count, 1) + 0.0
