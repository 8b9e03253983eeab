"""Percentiles of histograms by linear interpolation."""

from typing import Final

import numpy as np

from transforms.core.histograms import Histograms
from transforms.core.model import Bools, Floats, Ints
from transforms.core.ragged import MOST

PERCENTS: Final = (50, 90, 95, 99)

_SAFE: Final = float(1 << 62)
_CACHED_BUCKETS: Final = 1 << 16
"""Buckets that are looked at together: as many as stay in the processor's cache."""


def percentiles(given: Histograms) -> dict[str, Floats]:
    """`p50`, `p90`, `p95` and `p99` of every histogram; NaN without observations, where no bound is known, and where the count is MOST or more.

    The rule: of n counted observations the share q has the rank r = q n. It falls into the first bucket (lo, hi] up to whose end at least r are counted; with
    b counted before the bucket and c in it the percentile is lo (1 - f) + hi f, f = (r - b) / c, kept within [lo, hi]. The first bucket's lo is the least
    observation and the last bucket's hi the largest one; where that is unknown (or on the wrong side) it is the one bound which the bucket has.

    The error: the observation of rank ceil(r) lies in the same bucket, so the percentile differs from it by at most hi - lo, the bucket's width; only in a
    first or last bucket whose extreme is unknown it may be farther off, as nothing says how far the bucket reaches.
    """
    parts = [_percentiles(part) for part in given.portions(_CACHED_BUCKETS)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _percentiles(given: Histograms) -> dict[str, Floats]:
    if len(given) > 1 and np.abs(given.counts.astype(np.float64)).sum() >= _SAFE:  # running totals of all rows would not fit 64 bits
        halves = [_percentiles(given.take(half)) for half in np.array_split(np.arange(len(given)), 2)]
        return {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    running = np.cumsum(given.counts)
    ends = running[given.offsets[1:] - 1] if len(given) else running
    before = np.append(0, ends)[:-1]
    total = ends - before
    known = (total > 0) & (np.diff(given.offsets) > 1) & (given.count < MOST)
    rows = np.flatnonzero(known)
    found = {}
    for percent in PERCENTS:
        column = np.full(len(given), np.nan)
        column[rows] = _interpolated(given, rows, running, before[rows], percent / 100 * total[rows])
        found[f"p{percent}"] = column
    return found


def _interpolated(given: Histograms, rows: Ints, running: Ints, before: Ints, rank: Floats) -> Floats:
    """Of these rows the values at these ranks; `before` of them are counted in `running`."""
    bucket = np.searchsorted(running, before + np.ceil(rank).astype(np.int64))
    inside = given.counts[bucket]
    below = running[bucket] - inside - before
    first = bucket == given.offsets[rows]
    last = bucket == given.offsets[rows + 1] - 1
    edge = given.shapes.offsets[given.shape[rows]] + bucket - given.offsets[rows]
    lo, hi = _closed(given, rows, edge, first, last)
    part = (rank - below) / inside
    with np.errstate(over="ignore"):
        value: Floats = np.minimum(np.maximum(lo * (1.0 - part) + hi * part, lo), hi) + 0.0
    return value


def _closed(given: Histograms, rows: Ints, edge: Ints, first: Bools, last: Bools) -> tuple[Floats, Floats]:
    """Both ends of buckets whose upper bound is at `edge`."""
    edges = given.shapes.edges
    lo, hi = edges.take(np.where(first, edge, edge - 1)), edges.take(np.where(last, edge - 1, edge))
    return np.where(first, np.fmin(lo, given.low[rows]), lo), np.where(last, np.fmax(hi, given.high[rows]), hi)
