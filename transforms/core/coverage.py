"""How complete an archive looks, hour by hour, by the times in the names of its objects.

An object is named by its oldest record and holds what came until the next one was begun, so a healthy archive has no long gaps. Two rules tell a gap from
a quiet moment; both compare the archive with itself:

* an hour without any object is missing if at least nine in ten hours of the listing have one,
* in a gap of more than three times the usual one (the 90th percentile of all gaps) and 10 minutes, an object is missing at each multiple of the usual gap.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from transforms.core.granularity import HOUR_S, Range
from transforms.core.model import Ints

_USUAL_PERCENT: Final = 90
_LONG: Final = 3
_QUIET_S: Final = 600
_MOST: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class HourCoverage:
    """One hour (its start): objects named in it, the share of those there should be (0 to 1), and how many of them could not be read."""

    start_s: int
    objects: int
    share: float
    unreadable: int = 0


def coverage(listed_s: Collection[int], asked: Iterable[Range]) -> tuple[HourCoverage, ...]:
    """The hours that overlap the asked ranges, ascending, judged by the times of all listed objects. With no object listed every hour has the share 0."""
    starts = np.unique(np.array(list(listed_s), np.int64))
    hours = sorted({hour for from_s, to_s in asked for hour in range(from_s // HOUR_S * HOUR_S, to_s, HOUR_S)})
    missing = Counter((_missing_s(starts) // HOUR_S * HOUR_S).tolist())
    filled, counts = np.unique(np.array(list(listed_s), np.int64) // HOUR_S * HOUR_S, return_counts=True)
    objects = dict(zip(filled.tolist(), counts.tolist(), strict=True))
    is_dense = len(starts) > 0 and len(filled) >= _MOST * ((filled[-1] - filled[0]) // HOUR_S + 1)
    return tuple(_hour(hour, objects.get(hour, 0), missing[hour], is_dense=is_dense or not len(starts)) for hour in hours)


def without_unreadable(hours: Sequence[HourCoverage], unreadable_s: Sequence[int]) -> tuple[HourCoverage, ...]:
    """The hours when objects of these times turned out to be unreadable: they take their part of the objects from the hour's share."""
    lost = Counter(start // HOUR_S * HOUR_S for start in unreadable_s)
    return tuple(
        replace(one, unreadable=lost[one.start_s], share=one.share * (1 - lost[one.start_s] / max(one.objects, lost[one.start_s])))
        if lost[one.start_s]
        else one
        for one in hours
    )


def _hour(start_s: int, objects: int, missing: int, *, is_dense: bool) -> HourCoverage:
    expected = objects + missing
    share = objects / expected if expected else 0.0 if is_dense else 1.0
    return HourCoverage(start_s=start_s, objects=objects, share=share)


def _missing_s(starts: Ints) -> Ints:
    """When objects should have been begun and none was; never before the first or after the last."""
    none = np.zeros(0, np.int64)
    if len(starts) < 3:
        return none
    gaps = np.diff(starts)
    usual = int(np.percentile(gaps, _USUAL_PERCENT))
    long = np.flatnonzero(gaps > max(_LONG * usual, _QUIET_S))
    return np.concatenate([none, *(np.arange(starts[one] + usual, starts[one + 1] - usual // 2, usual) for one in long)])
