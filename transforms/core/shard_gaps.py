"""Shards of a Kinesis stream that lack records: by the minutes in which records of each arrived, compared with the shard's own habit and with other shards.

The longest pause that is still usual for a shard is the longest of 10 minutes, 3 times its usual pause (the 99th percentile of the pauses between minutes with
records, of the shard as a whole; the lower of two, so that the longest never excuses itself), and ln(10,000 n) times the mean of its n pauses: were records
to arrive at random (Poisson), one of n pauses would be longer in one archive of 10,000. With fewer than 10 pauses a shard is too sparse to be judged.
Nor is a pause unusual, by the same reckoning, unless at least ln(10,000 n) records are expected in it: the part that the shard usually has of what the other
shards have at that time, so that a quiet night is no loss; the shard's own mean for hours in which they have nothing either.

* A shard **ends early** if the other shards of its stream have records for longer than that pause after its last one.
* It has a **hole** if a pause is longer than that, and at least an hour.

A shard that was **closed by resharding** ends rightly: a shard with a higher number begins when it ends. When means from a minute before (arrivals are
approximate) until no more minutes in which the stream has records have gone by than are a usual pause of either.

What this can't know: a shard of which nothing is there at all, or whose beginning is missing (it may just have been opened); less than an hour missing in the
middle, or less than the usual pause at the end; a tail that is missing from just when another shard was opened; a sender that fell silent for good, which
looks like loss.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa

from transforms.core.arrivals import sequence_number
from transforms.core.granularity import HOUR_S, MINUTE_S
from transforms.core.model import Ints

_QUIET: Final = 10
_LONG: Final = 3
_USUAL_PERCENT: Final = 99
_ARCHIVES: Final = 10_000
_FEWEST: Final = 10
_HOUR: Final = 60
_NUMBER: Final = re.compile(r"(\d+)$")
_APPROXIMATE_US: Final = 60_000_000


@dataclass(frozen=True, kw_only=True)
class ShardGap:
    """Where a shard lacks records: after `last_us`, and until `next_us`, None if it ends early.

    `from_s` to `to_s` are the whole minutes in which there should have been some. The sequence numbers are those of the hour's last record before, and of the
    first after, if records tell them.
    """

    shard: str
    last_us: int
    next_us: int | None
    from_s: int
    to_s: int
    after_sequence: str | None
    until_sequence: str | None


@dataclass(frozen=True)
class ShardHour:
    """An hour (its start): how many shards should have records in it, which of them lack some, and the part that is there (0 to 1)."""

    start_s: int
    expected: int
    lacking: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class ShardCoverage:
    """How many shards there are, when the first and the last record of any arrived (minutes' starts, seconds), their gaps, and the hours with any shard."""

    shards: int
    first_s: int
    last_s: int
    gaps: tuple[ShardGap, ...]
    hours: dict[int, ShardHour]


@dataclass(frozen=True)
class _Shard:
    """One shard's rows of SHARD_HOURS as columns."""

    name: str
    hours: Ints
    records: Ints
    bits: Ints
    first_us: Ints
    last_us: Ints
    first_sequence: Sequence[str | None]
    last_sequence: Sequence[str | None]

    @cached_property
    def minutes(self) -> Ints:
        """Minutes since the epoch that have records, ascending."""
        row, minute = np.nonzero(self.bits[:, None] >> np.arange(_HOUR) & 1)
        found: Ints = self.hours[row] // MINUTE_S + minute
        return found

    @cached_property
    def pauses(self) -> Ints:
        """Minutes from each minute with records to the next one."""
        found: Ints = np.diff(self.minutes)
        return found

    @cached_property
    def usual(self) -> int:
        return int(np.percentile(self.pauses, _USUAL_PERCENT, method="lower")) if len(self.pauses) else 0

    @cached_property
    def longest(self) -> float | None:
        """The longest pause, in minutes, that is still usual; None if the shard is too sparse to tell."""
        return max(_QUIET, _LONG * self.usual, float(self.pauses.mean()) * self.surprise) if len(self.pauses) >= _FEWEST else None

    @property
    def surprise(self) -> float:
        """How many records must be expected where none is."""
        return math.log(_ARCHIVES * len(self.pauses))

    @property
    def stream(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def number(self) -> int:
        """The number at the end of a shard's id: a higher one was opened later."""
        found = _NUMBER.search(self.name)
        return int(found[1]) if found else -1


@dataclass(frozen=True)
class _Stream:
    """The shards of one stream."""

    shards: tuple[_Shard, ...]

    @cached_property
    def minutes(self) -> Ints:
        """Minutes in which any shard has records, ascending."""
        return np.unique(np.concatenate([one.minutes for one in self.shards]))

    @cached_property
    def records(self) -> Counter[int]:
        """Records of all shards by hour."""
        found = Counter[int]()
        for one in self.shards:
            found.update(dict(zip(one.hours.tolist(), one.records.tolist(), strict=True)))
        return found

    def expected(self, shard: _Shard, from_minute: int, to_minute: int) -> float:
        """How many records the shard usually has while the others have what they have in these minutes."""
        own = dict(zip(shard.hours.tolist(), shard.records.tolist(), strict=True))
        others = {hour: self.records[hour] - own.get(hour, 0) for hour in range(int(shard.hours[0]), int(shard.hours[-1]) + 1, HOUR_S)}
        part = sum(own.values()) / (sum(others.values()) or math.inf)
        mean = sum(own.values()) / len(own)
        number = 0.0
        for hour in range(from_minute // _HOUR * HOUR_S, to_minute * MINUTE_S, HOUR_S):
            minutes = min(hour // MINUTE_S + _HOUR, to_minute) - max(hour // MINUTE_S, from_minute)
            of_others = self.records[hour] - own.get(hour, 0)
            number += minutes / _HOUR * (part * of_others if of_others else mean)
        return number

    def active(self, from_minute: int, to_minute: int) -> int:
        """How many of these minutes have records of any shard."""
        first, end = np.searchsorted(self.minutes, [from_minute, to_minute])
        return int(end - first)


def shard_coverage(rows: pa.Table) -> ShardCoverage | None:
    """What the rows of SHARD_HOURS of an archive show, or None if there are none."""
    shards = sorted(_shards(rows), key=lambda one: (one.stream, one.name))
    if not shards:
        return None
    streams = [_Stream(tuple(of_stream)) for _, of_stream in groupby(shards, lambda one: one.stream)]
    gaps = [(stream, shard, gap) for stream in streams for shard in stream.shards for gap in _gaps(shard, stream)]
    minutes = [shard.minutes[place] for shard in shards for place in (0, -1)]
    return ShardCoverage(
        shards=len(shards),
        first_s=int(min(minutes)) * MINUTE_S,
        last_s=int(max(minutes)) * MINUTE_S,
        gaps=tuple(gap for stream, _, gap in gaps if _has_neighbours(gap, stream)),
        hours=_hours(shards, [(shard, gap) for _, shard, gap in gaps]),
    )


def _shards(rows: pa.Table) -> Iterator[_Shard]:
    names = rows["shard"].to_pylist()
    columns = [rows[name].to_numpy() for name in ("hour_s", "records", "minutes", "first_us", "last_us")]
    sequences = [rows[name].to_pylist() for name in ("first_sequence", "last_sequence")]
    first = 0
    for name, of_shard in groupby(names):
        end = first + len(list(of_shard))
        yield _Shard(name, *(column[first:end] for column in (*columns, *sequences)))
        first = end


def _gaps(shard: _Shard, stream: _Stream) -> Iterator[ShardGap]:
    if shard.longest is None:
        return
    for place in np.flatnonzero((shard.pauses > shard.longest) & (shard.pauses >= _HOUR)).tolist():
        before, after = int(shard.minutes[place]), int(shard.minutes[place + 1])
        if stream.expected(shard, before, after) > shard.surprise:
            yield _hole(shard, before, after)
    last = int(shard.minutes[-1])
    others = max((int(one.minutes[-1]) for one in stream.shards if one is not shard), default=last)
    if others - last > shard.longest and stream.expected(shard, last, others) > shard.surprise and not _is_closed(shard, stream):
        yield ShardGap(
            shard=shard.name,
            last_us=int(shard.last_us[-1]),
            next_us=None,
            from_s=(last + shard.usual) * MINUTE_S,
            to_s=(others + 1) * MINUTE_S,
            after_sequence=sequence_number(shard.last_sequence[-1]),
            until_sequence=None,
        )


def _hole(shard: _Shard, last: int, first: int) -> ShardGap:
    """The gap between two minutes that have records."""
    before, after = (np.searchsorted(shard.hours, [last * MINUTE_S, first * MINUTE_S], "right") - 1).tolist()
    return ShardGap(
        shard=shard.name,
        last_us=int(shard.last_us[before]),
        next_us=int(shard.first_us[after]),
        from_s=(last + shard.usual) * MINUTE_S,
        to_s=(first - shard.usual + 1) * MINUTE_S,
        after_sequence=sequence_number(shard.last_sequence[before]),
        until_sequence=sequence_number(shard.first_sequence[after]),
    )


def _is_closed(shard: _Shard, stream: _Stream) -> bool:
    """Whether a shard with a higher number begins when this one ends."""
    last = int(shard.minutes[-1])
    return any(
        stream.active(last + 1, int(one.minutes[0])) <= max(shard.longest or 0, one.longest or _QUIET)
        for one in stream.shards
        if one.number > shard.number and one.first_us[0] >= shard.last_us[-1] - _APPROXIMATE_US
    )


def _has_neighbours(gap: ShardGap, stream: _Stream) -> bool:
    """Whether other shards have records in the gap: in at least half an hour of it within one clock hour, so that what all shards lack is no gap of each."""
    if gap.next_us is None:
        return True
    pieces = ((max(hour, gap.from_s) // MINUTE_S, min(hour + HOUR_S, gap.to_s) // MINUTE_S) for hour in _hours_of(gap))
    return any(to - start >= _HOUR // 2 and stream.active(start, to) > 0 for start, to in pieces)


def _hours_of(gap: ShardGap) -> range:
    return range(gap.from_s // HOUR_S * HOUR_S, gap.to_s, HOUR_S)


def _hours(shards: Sequence[_Shard], gaps: Sequence[tuple[_Shard, ShardGap]]) -> dict[int, ShardHour]:
    """An hour in which a shard has no record at all is missing as a whole; of others its gap's part, if that is longer than a usual pause."""
    expected = Counter[int](hour for shard in shards for hour in shard.hours.tolist())
    lacking: dict[int, dict[str, float]] = {}
    for shard, gap in gaps:
        there = set(shard.hours.tolist())
        for hour in _hours_of(gap):
            part = (min(hour + HOUR_S, gap.to_s) - max(hour, gap.from_s)) / HOUR_S if hour in there else 1.0
            expected[hour] += hour not in there
            if part * _HOUR > (shard.longest or 0) or hour not in there:
                lacking.setdefault(hour, {})[shard.name] = lacking.get(hour, {}).get(shard.name, 0.0) + part
    found = {}
    for hour, number in sorted(expected.items()):
        parts = lacking.get(hour, {})
        found[hour] = ShardHour(hour, number, tuple(parts), max(0.0, 1 - sum(parts.values()) / number))
    return found
