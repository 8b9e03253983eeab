"""How late points arrive: a histogram of arrival - time, and whether the limit P (`Reach.late_s`) seems to cut some off."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from transforms.core.granularity import HOUR_S, MINUTE_S
from transforms.core.model import Ints

_EDGES_S: Final = (0, 10, MINUTE_S, 5 * MINUTE_S, HOUR_S, 6 * HOUR_S, 12 * HOUR_S)

BINS: Final = len(_EDGES_S) + 2

WARNING_SHARE: Final = 0.001
"""If more points than this came in the last hour of P, others probably came after it and were dropped."""

_US: Final = 1_000_000


class Bin(NamedTuple):
    """Points whose arrival - time is above that of the bin before and at most `up_to_s`."""

    up_to_s: int
    points: int


def edges_s(late_s: int) -> tuple[int, ...]:
    """The upper edges of the BINS bins, in order. The last bin is the last hour of `late_s`, or its second half if it is shorter than two hours.

    Edges that would lie in the last bin are moved to its beginning, which leaves their bins empty.
    """
    last_s = late_s - min(HOUR_S, late_s // 2)
    return (*(min(one, last_s) for one in _EDGES_S), last_s, late_s)


def histogram(lag_us: Ints, late_s: int) -> Ints:
    """Points per bin; no lag is above `late_s`."""
    above = [np.count_nonzero(lag_us > edge * _US) for edge in edges_s(late_s)[:-1]]
    reached = np.array([len(lag_us), *above, 0], np.int64)
    counts: Ints = reached[:-1] - reached[1:]
    return counts


def bins(counted: Iterable[Sequence[int]], late_s: int) -> tuple[Bin, ...]:
    """The sum of histograms, without bins that can't hold anything."""
    edges = edges_s(late_s)
    summed = np.sum([np.zeros(BINS, np.int64), *(np.array(one, np.int64) for one in counted if one)], axis=0).tolist()
    kept = [place for place, edge in enumerate(edges) if not place or edge > edges[place - 1]]
    return tuple(Bin(edges[place], summed[place]) for place in kept)


def seems_cut(found: Sequence[Bin]) -> bool:
    """Whether P looks too small: more than WARNING_SHARE of the points came in its last bin."""
    return found[-1].points > WARNING_SHARE * sum(one.points for one in found)
