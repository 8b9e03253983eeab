"""What decoded objects hold, gathered to tell what an archive is: counts, ranges of times, series, lateness, examples of what is broken."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.model import POINT_KINDS, DeadLetter, DecodedObject, Ints, Points, Postings, SeriesKey, labels_pairs
from transforms.core.selection import Reach

_US = 1_000_000


class Span(NamedTuple):
    """Smallest and largest of some integers."""

    first: int
    last: int


@dataclass
class Survey:
    """Takes decoded objects in. Times are whole seconds, `arrivals_us` and `delays_us` microseconds; a span is None while there is nothing in it.

    `counted` spans the times of points that are neither late nor early by `reach`. `lateness` counts points by arrival - time in seconds, floored. `delays_us`
    spans arrival less the time that the object's key shows. `unsaid_roles` counts host postings that name no roles, `unsaid_orgs` points of no organisation.
    """

    reach: Reach = field(default_factory=Reach)
    records: int = 0
    decoded_records: int = 0
    dead_records: int = 0
    dead_points: int = 0
    points: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    inexact: int = 0
    late: int = 0
    early: int = 0
    times: Span | None = None
    counted: Span | None = None
    arrivals_us: Span | None = None
    delays_us: Span | None = None
    lateness: Counter[int] = field(default_factory=Counter)
    series: Counter[SeriesKey] = field(default_factory=Counter)
    unsaid_roles: int = 0
    unsaid_orgs: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, DeadLetter] = field(default_factory=dict)

    def add(self, decoded: DecodedObject, *, named_us: int | None = None) -> None:
        """Takes in an object; `named_us` is the time that its key shows, if it shows one."""
        self._add_tally(decoded)
        for letter in decoded.dead_letters:
            self.causes[letter.cause] += 1
            self.examples.setdefault(letter.cause, letter)
        self._add_postings(decoded.postings, named_us)
        if len(decoded.points.value):
            self._add_points(decoded.postings, decoded.points)

    def _add_tally(self, decoded: DecodedObject) -> None:
        tally = decoded.tally
        self.records += tally.records
        self.decoded_records += tally.decoded_records
        self.dead_records += tally.dead_records
        self.dead_points += tally.dead_points
        self.points.update(tally.points)
        self.dropped.update({reason: sum(by_type.values()) for reason, by_type in tally.dropped.items()})
        self.inexact += sum(tally.inexact.values())

    def _add_postings(self, postings: Postings, named_us: int | None) -> None:
        if not len(postings.arrival_us):
            return
        arrivals = _span(postings.arrival_us)
        self.arrivals_us = _united(self.arrivals_us, arrivals)
        if named_us is not None:
            self.delays_us = _united(self.delays_us, Span(arrivals.first - named_us, arrivals.last - named_us))
        self.unsaid_roles += pc.sum(pc.and_(pc.equal(postings.metric_type, "host"), postings.roles.is_null())).as_py() or 0

    def _add_points(self, postings: Postings, points: Points) -> None:
        lag_us = postings.arrival_us[points.posting] - points.time_s * _US
        is_late, is_early = lag_us > self.reach.late_s * _US, lag_us < -self.reach.early_s * _US
        self.late += int(is_late.sum())
        self.early += int(is_early.sum())
        self.times = _united(self.times, _span(points.time_s))
        if len(counted := points.time_s[~(is_late | is_early)]):
            self.counted = _united(self.counted, _span(counted))
        self.lateness.update(_counts(lag_us // _US))
        kinds = {0: len(points.value)} if points.kind is None else _counts(points.kind.astype(np.int64))
        self.kinds.update({POINT_KINDS[kind]: number for kind, number in kinds.items()})
        self._add_series(postings, points)

    def _add_series(self, postings: Postings, points: Points) -> None:
        of_posting = {name: getattr(postings, name).take(pa.array(points.posting)) for name in ("metric_type", "org", "entity")}
        labels = pa.DictionaryArray.from_arrays(np.zeros(len(points.value), np.int32), ["{}"]) if points.labels is None else points.labels
        names = {"name": points.name.cast(pa.string()), "labels": labels.cast(pa.string())}
        table = pa.table(of_posting | names)
        found = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
        for metric_type, org, entity, name, text, number in zip(*(column.to_pylist() for column in found.columns), strict=True):
            self.series[SeriesKey(metric_type, org, entity, name, labels_pairs(text))] += number
            self.unsaid_orgs += 0 if org else number


def quantile(counts: Counter[int], share: float) -> int:
    """The smallest number that at least this share of the counted ones do not exceed; of none, ValueError."""
    numbers = np.array(sorted(counts), np.int64)
    running = np.cumsum([counts[one] for one in numbers.tolist()])
    if not len(numbers):
        raise ValueError("no numbers")
    return int(numbers[np.searchsorted(running, share * running[-1])])


def _counts(numbers: Ints) -> dict[int, int]:
    distinct, number = np.unique(numbers, return_counts=True)
    return dict(zip(distinct.tolist(), number.tolist(), strict=True))


def _span(numbers: Ints) -> Span:
    return Span(int(numbers.min()), int(numbers.max()))


def _united(one: Span | None, other: Span) -> Span:
    return other if one is None else Span(min(one.first, other.first), max(one.last, other.last))
