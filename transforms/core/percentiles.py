"""Percentiles of histograms by linear interpolation."""

from typing import Final

import numpy as np

from transforms.core.histograms import Histograms
from transforms.core.model import Floats, Ints
from transforms.core.ragged import MOST

PERCENTS: Final = (50, 90, 95, 99)

_SHARES: Final = np.array(PERCENTS) / 100
_SAFE: Final = float(1 << 62)
_CACHED_BUCKETS: Final = 1 << 17
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
    if len(given) > 1 and _is_large(given.counts):  # running totals of all rows might not fit 64 bits
        halves = [_percentiles(given.take(half)) for half in np.array_split(np.arange(len(given)), 2)]
        return {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    running = np.cumsum(given.counts)
    ends = running[given.offsets[1:] - 1] if len(given) else running
    before = np.append(0, ends)[:-1]
    total = ends - before
    known = (total > 0) & (np.diff(given.offsets) > 1) & (given.count < MOST)
    rows = np.flatnonzero(known)
    found = np.full((len(PERCENTS), len(given)), np.nan)
    found[:, rows] = _interpolated(given, rows, running, before[rows], total[rows]).T
    return {f"p{percent}": column for percent, column in zip(PERCENTS, found, strict=True)}


def _is_large(counts: Ints) -> bool:
    if int(counts.max()) <= MOST // len(counts):
        return False
    return bool(np.abs(counts.astype(np.float64)).sum() >= _SAFE)


def _interpolated(given: Histograms, rows: Ints, running: Ints, before: Ints, total: Ints) -> Floats:
    """Of these rows the values at all ranks, of shape (rows, PERCENTS); `before` of them are counted in `running`."""
    rank = _SHARES * total[:, None]
    bucket = _first_reaching(running, given.offsets.take(rows), before[:, None] + np.ceil(rank).astype(np.int64), int(np.diff(given.offsets).max(initial=1)))
    inside = given.counts.take(bucket)
    below = running.take(bucket)
    below -= inside
    below -= before[:, None]
    lo, hi = _closed(given, rows, bucket)
    rank -= below
    rank /= inside
    with np.errstate(over="ignore"):
        value: Floats = hi * rank
        np.subtract(1.0, rank, out=rank)
        rank *= lo
        value += rank
    np.maximum(value, lo, out=value)
    np.minimum(value, hi, out=value)
    value += 0.0
    return value


def _first_reaching(running: Ints, first: Ints, wanted: Ints, most: int) -> Ints:
    """The first bucket, from the row's first one on, up to whose end so many are counted; no row has more than `most`.

    All are halved at once, in half the time of a search among all buckets. What lies behind a row's end is never taken: no less is counted there.
    """
    bucket = np.repeat(first, wanted.shape[1]).reshape(wanted.shape)
    step = 1 << max(most - 1, 0).bit_length()
    while step := step >> 1:
        bucket += step * (running.take(bucket + (step - 1), mode="clip") < wanted)
    return bucket


def _closed(given: Histograms, rows: Ints, bucket: Ints) -> tuple[Floats, Floats]:
    """Both ends of these rows' buckets."""
    first, last = given.offsets.take(rows), given.offsets.take(rows + 1) - 1
    edge = bucket + (given.shapes.offsets.take(given.shape.take(rows)) - first)[:, None]
    edges = given.shapes.edges
    lo, hi = edges.take(edge - 1, mode="clip"), edges.take(edge, mode="clip")
    at = np.flatnonzero(bucket == first[:, None])
    lo.ravel()[at] = np.fmin(hi.ravel()[at], given.low[rows[at // len(PERCENTS)]])
    at = np.flatnonzero(bucket == last[:, None])
    hi.ravel()[at] = np.fmax(lo.ravel()[at], given.high[rows[at // len(PERCENTS)]])
    return lo, hi
