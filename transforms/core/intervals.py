"""Counted intervals (below, above] of several groups, made disjoint: what overlaps becomes one, and gaps are filled with empty buckets."""

from typing import Final, NamedTuple

import numpy as np

from transforms.core.model import Bools, Floats, Ints
from transforms.core.ragged import saturated_sums

_EXACT: Final = 2.0**52
"""Below this float64 sums of counts are exact."""


class Intervals(NamedTuple):
    """Parallel columns: the group, the edges and what is counted in every interval.

    An edge is the rank of its value: 0 is -inf, i is `edges[i - 1]` (finite, increasing), the one after the last is inf.
    """

    group: Ints
    below: Ints
    above: Ints
    number: Ints
    edges: Floats

    def filled(self) -> "Intervals":
        """Those in which something is counted."""
        at = np.flatnonzero(self.number)
        return Intervals(self.group[at], self.below[at], self.above[at], self.number[at], self.edges)


class Buckets(NamedTuple):
    """Of every group its bounds and its counts, one more than bounds, group after group. Bounds of group i lie at `bound_offsets[i]`, its counts i later."""

    bound_offsets: Ints
    bounds: Floats
    counts: Ints


def aligned(given: Intervals, groups: int) -> Buckets | None:
    """What `united` says of the intervals in which something is counted, without a sort; None if one of these spans an edge or a number is negative."""
    if not ((given.above - given.below == 1) | (given.number == 0)).all() or given.number.min(initial=0) < 0 or given.number.sum(dtype=np.float64) >= _EXACT:
        return None
    width = len(given.edges) + 2
    sums = np.bincount(given.group * width + given.below, given.number, groups * width).astype(np.int64)
    bottom = np.flatnonzero(sums)
    return _filled(bottom, bottom + 1, sums[bottom], np.arange(groups) * width, given.edges)


def united(given: Intervals, groups: int) -> tuple[Buckets, Bools]:
    """Buckets of groups 0 to `groups` - 1, and for each whether an interval is narrower than the bucket that it went into. Something is counted in every one.

    One sort of integers puts the intervals in order; then an interval begins a bucket if none before it in its group reaches beyond its lower edge.
    """
    width = len(given.edges) + 2
    low, high = given.group * width + given.below, given.group * width + given.above
    order = np.argsort(low, kind="stable")
    low, reach = low[order], np.maximum.accumulate(high[order])
    begins = np.ones(len(order), bool)
    begins[1:] = low[1:] >= reach[:-1]
    first = np.flatnonzero(begins)
    final = np.append(first[1:], len(order))[: len(first)] - 1
    bottom, top = low[first], reach[final]
    part = np.cumsum(begins) - 1
    narrower = (low != bottom[part]) | (high[order] != top[part])
    rebinned = np.zeros(groups, bool)
    rebinned[low[narrower] // width] = True
    counts = saturated_sums(given.number[order], first) if len(first) else np.zeros(0, np.int64)
    return _filled(bottom, top, counts, np.arange(groups) * width, given.edges), rebinned


def _filled(bottom: Ints, top: Ints, counts: Ints, floors: Ints, edges: Floats) -> Buckets:
    """Buckets of disjoint intervals, ascending: those and an empty one below each that does not touch what is below it, and above the last of a group.

    Edges are numbers: that of the group's floor, which is -inf, and the rank of the edge added.
    """
    width = len(edges) + 2
    touches = bottom % width == 0
    touches[1:] |= bottom[1:] == top[:-1]
    gaps = bottom[~touches]
    closed = np.zeros(len(floors), bool)
    closed[top[top % width == width - 1] // width] = True
    tails = floors[~closed] + width - 1
    above = np.concatenate([gaps, top, tails])
    every = np.concatenate([np.zeros(len(gaps), np.int64), counts, np.zeros(len(tails), np.int64)])
    order = np.argsort(above, kind="stable")
    above = above[order]
    rank = above % width
    number = np.bincount(above // width, minlength=len(floors))
    inner = rank != width - 1
    return Buckets(np.append(0, np.cumsum(number - 1)), edges[rank[inner] - 1], every[order])
