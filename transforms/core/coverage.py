"""How complete an archive looks, hour by hour: by the times in the names of its objects, and once they are read by what could not be and by shards.

An object is named by its oldest record and holds what came until the next one was begun, so a healthy archive has no long gaps. Two rules tell a gap from
a quiet moment; both compare the archive with itself:

* an hour without any object is missing if at least nine in ten hours of the listing have one,
* in a gap of more than three times the usual one (the 90th percentile of all gaps) and 10 minutes, an object is missing at each multiple of the usual gap.

When the archive is read, an hour's share is the smallest of three: the part of its objects that is there and could be read; of its records that could be
decoded; of its shards' hours that are there (transforms.core.shard_gaps), where records tell their shard.
An object of which no point could be decoded could not be read: nobody knows how many records were in it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from transforms.core.arrivals import Arrivals
from transforms.core.granularity import HOUR_S, Range
from transforms.core.model import Ints
from transforms.core.shard_gaps import ShardGap, ShardHour, shard_coverage

_USUAL_PERCENT: Final = 90
_LONG: Final = 3
_QUIET_S: Final = 600
_MOST: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class HourCoverage:
    """One hour (its start): objects named in it, the share of what should be there (0 to 1), and how many of the objects could not be read.

    Of an archive that was read also: the records that arrived in it and those of them that are dead letters, the shards that should have records in it and
    those of them that lack some.
    """

    start_s: int
    objects: int
    share: float
    unreadable: int = 0
    records: int = 0
    dead_records: int = 0
    shards: int = 0
    lacking_shards: int = 0


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The hours of the asked ranges, ascending, and how many shards the archive shows with the gaps that make some of these hours incomplete."""

    hours: tuple[HourCoverage, ...]
    shards: int = 0
    gaps: tuple[ShardGap, ...] = ()


def over_by(ranges: Iterable[Range], now_s: int) -> tuple[Range, ...]:
    """What of the ranges is over: hours to come are not missing."""
    return tuple((from_s, min(to_s, now_s)) for from_s, to_s in ranges if from_s < now_s)


def coverage(listed_s: Collection[int], asked: Iterable[Range]) -> tuple[HourCoverage, ...]:
    """The hours that overlap the asked ranges, ascending, judged by the times of all listed objects. With no object listed every hour has the share 0."""
    starts = np.unique(np.array(list(listed_s), np.int64))
    hours = _hours_of(asked)
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


def when_read(planned: Sequence[HourCoverage], unreadable_s: Sequence[int], arrivals: Arrivals, asked: Iterable[Range]) -> Coverage:
    """The planned hours by what was read. If no key showed a time, there are none: then those of the asked ranges between the shards' first and last record."""
    found = shard_coverage(arrivals.shards)
    hours = without_unreadable(planned, unreadable_s)
    if found and not planned:
        hours = tuple(HourCoverage(start_s=one, objects=0, share=1.0) for one in _hours_of(asked) if found.first_s - HOUR_S < one <= found.last_s)
    of_shards = found.hours if found else {}
    judged = tuple(_when_read(one, arrivals, of_shards.get(one.start_s)) for one in hours)
    lacking = {name for one in hours if one.start_s in of_shards for name in of_shards[one.start_s].lacking}
    spans = [(one.start_s, one.start_s + HOUR_S) for one in hours]
    gaps = [one for one in found.gaps if one.shard in lacking and any(one.from_s < end and start < one.to_s for start, end in spans)] if found else []
    return Coverage(hours=judged, shards=found.shards if found else 0, gaps=tuple(gaps))


def _when_read(hour: HourCoverage, arrivals: Arrivals, shards: ShardHour | None) -> HourCoverage:
    records, dead = (of_hour.get(hour.start_s, 0) for of_hour in (arrivals.records, arrivals.dead_records))
    decoded = 1 - dead / records if records else 1.0
    read = replace(hour, records=records, dead_records=dead, share=min(hour.share, decoded))
    return replace(read, shards=shards.expected, lacking_shards=len(shards.lacking), share=min(read.share, shards.share)) if shards else read


def _hours_of(ranges: Iterable[Range]) -> list[int]:
    return sorted({hour for from_s, to_s in ranges for hour in range(from_s // HOUR_S * HOUR_S, to_s, HOUR_S)})


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
