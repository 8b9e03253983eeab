"""From postings to the stream: records with the place at which each stands in it."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from scripts.archive_maker.odd import odd_text
from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.senders import Fleet, Sender, arrival_text

SECOND_US: Final = 1_000_000
_MOST_AHEAD_US: Final = 120 * SECOND_US
"""No record stands further ahead in the stream than this before the interval in which it is made."""
_TWISTS: Final = ("duplicates", "late", "early", "out_of_order", "reposted_lower", "ties", "roles_absent", "bare", "nulls", "odd")


class Record(NamedTuple):
    """A record at its place in the stream. `made` breaks ties of `order_us`, so that records never compare by text."""

    order_us: int
    made: int
    arrival_us: int
    text: str


@dataclass
class Counts:
    """What was made, for the summary. `points` by metric type, every delivery counted; `twists` in postings (`nulls` in points, `corrupt` in objects)."""

    points: Counter[str] = field(default_factory=Counter)
    series: Counter[str] = field(default_factory=Counter)
    twists: Counter[str] = field(default_factory=Counter)
    distinct_points: int = 0


class Posting(NamedTuple):
    """One posting before it becomes text."""

    sender: Sender
    time_s: int
    arrival_us: int
    values: list[float]


class Stream:
    """All records in the order of the stream; iterate once."""

    def __init__(self, options: ArchiveOptions, fleet: Fleet, values: Iterator[list[list[float]]], counts: Counts) -> None:
        """`values` has for each posting interval a list per sender; counts are added to while iterating."""
        self._options, self.fleet, self._values, self.counts = options, fleet, values, counts
        self._waiting: list[Record] = []
        self._made = 0
        self._delays, self._random = (np.random.default_rng([options.seed, 3, n]) for n in range(2))
        self._chosen = {name: np.random.default_rng([options.seed, 4, n]) for n, name in enumerate(_TWISTS)}
        for sender in fleet.senders:
            counts.series[sender.metric_type] += len(sender.names)

    def __iter__(self) -> Iterator[Record]:
        """Records in stream order."""
        options, senders = self._options, self.fleet.senders
        changes = self._changes()
        for tick_s in range(options.start_s, options.start_s + options.duration_s // options.interval_s * options.interval_s, options.interval_s):
            for slot in changes.get(tick_s, ()):
                self.fleet.replace(slot, tick_s)
                self.counts.series[senders[slot].metric_type] += len(senders[slot].names)
            self._post(tick_s, next(self._values))
            yield from self._due((tick_s + options.interval_s) * SECOND_US - _MOST_AHEAD_US)
        yield from self._due(None)

    def _changes(self) -> dict[int, list[int]]:
        """Slots whose sender is replaced, by the interval in which it happens."""
        options = self._options
        ticks = options.duration_s // options.interval_s
        random = np.random.default_rng([options.seed, 5])
        slots = np.arange(options.hosts + options.services).repeat(max(1, round(options.duration_s / 86_400)))
        at = random.integers(ticks, size=slots.size)
        found: dict[int, list[int]] = {}
        for slot, tick in zip(slots[random.random(slots.size) < options.churn].tolist(), at.tolist(), strict=False):
            found.setdefault(options.start_s + tick * options.interval_s, []).append(slot)
        return found

    def _due(self, before_us: int | None) -> Iterator[Record]:
        """Take out what stands before a place in the stream (None: everything)."""
        while self._waiting and (before_us is None or self._waiting[0].order_us < before_us):
            yield heapq.heappop(self._waiting)

    def _post(self, tick_s: int, values: list[list[float]]) -> None:
        """All postings of one interval."""
        delays_us = (self._delays.integers(300, 20_000, len(values)) * 1000).tolist()
        fates = self._fates(len(values))
        for slot, sender in enumerate(self.fleet.senders):
            time_s = tick_s + sender.phase_s
            posting = Posting(sender, time_s, time_s * SECOND_US + delays_us[slot], values[slot])
            if slot in fates:
                self._post_twisted(posting, fates[slot])
            else:
                self._add(posting, posting.arrival_us, sender.text(time_s, posting.arrival_us, posting.values))
            self.counts.distinct_points += len(posting.values)

    def _fates(self, size: int) -> dict[int, set[str]]:
        """Which twists hit which slots this time; slots without any are missing."""
        found: dict[int, set[str]] = {}
        for name in _TWISTS:
            share = getattr(self._options, name)
            if share == 0:
                continue
            if name == "nulls":
                share = 1 - (1 - share) ** self._options.metrics
            for slot in np.flatnonzero(self._chosen[name].random(size) < share).tolist():
                found.setdefault(slot, set()).add(name)
        return found

    def _post_twisted(self, posting: Posting, fate: set[str]) -> None:
        """A posting to which something happens; what is moved is moved before it is copied."""
        posting = self._moved(posting, fate)
        order_us = posting.arrival_us
        if "out_of_order" in fate:
            order_us += self._some_s(60, 600) * SECOND_US
        text = self._text(posting, fate)
        self._add(posting, order_us, text)
        if "duplicates" in fate:
            self._add(posting, order_us + self._some_s(0, 1800) * SECOND_US, text)
        if "reposted_lower" in fate:
            shift_us = self._some_s(1, 40) * SECOND_US * (1 if self._random.random() < 0.5 else -1)
            again = posting._replace(arrival_us=posting.arrival_us + shift_us, values=_lower(posting.values))
            self._add(again, again.arrival_us, self._text(again, fate - {"bare"}))
        if "ties" in fate:
            other = posting._replace(values=[value + 1.0 for value in posting.values])
            self._add(other, order_us + self._some_s(0, 900) * SECOND_US, self._text(other, fate - {"bare"}))
        self.counts.twists.update(fate - {"nulls", "bare", "roles_absent"})

    def _moved(self, posting: Posting, fate: set[str]) -> Posting:
        """Late postings arrive after their time, early ones carry a time after their arrival."""
        if "late" in fate:
            return posting._replace(arrival_us=posting.time_s * SECOND_US + self._offset_s(24.02) * SECOND_US)
        if "early" in fate:
            return posting._replace(time_s=posting.time_s + self._offset_s(25))
        return posting

    def _offset_s(self, beyond_h: float) -> int:
        """10 minutes to 23 hours; one in ten from `beyond_h` to 30 hours."""
        return self._some_s(round(beyond_h * 3600), 30 * 3600) if self._random.random() < 0.1 else self._some_s(600, 23 * 3600)

    def _some_s(self, least: int, below: int) -> int:
        return int(self._random.integers(least, below))

    def _text(self, posting: Posting, fate: set[str]) -> str:
        """Text of a posting to which something happens."""
        sender, time_s, arrival_us, values = posting
        if "bare" in fate and sender.metric_type == "host":
            self.counts.twists["bare"] += 1
            return sender.bare_text(time_s, values)
        points = sender.points(time_s, values)
        if "nulls" in fate:
            self._take_values(points)
        roles = sender.roles_text
        if "roles_absent" in fate and sender.metric_type == "host" and roles:
            self.counts.twists["roles_absent"] += 1
            roles = "null" if self._random.random() < 0.5 else ""
        if "odd" in fate:
            return odd_text(sender, arrival_us, points, roles, self._random)
        return f"{sender.head(arrival_text(arrival_us), roles)}{','.join(points)}]}}"

    def _take_values(self, points: list[str]) -> None:
        """At least one point loses its value, and so many more that the share holds on the whole."""
        share = self._options.nulls
        hit = self._random.random(len(points)) < share
        hit[self._random.integers(len(points))] |= not hit.any()
        for n in np.flatnonzero(hit).tolist():
            points[n] = points[n].rpartition(":")[0] + ":null}"
        self.counts.twists["nulls"] += int(hit.sum())

    def _add(self, posting: Posting, order_us: int, text: str) -> None:
        self.counts.points[posting.sender.metric_type] += len(posting.values)
        self._made += 1
        heapq.heappush(self._waiting, Record(order_us, self._made, posting.arrival_us, text))


def _lower(values: list[float]) -> list[float]:
    return [round(value * 0.5, 3) for value in values]
