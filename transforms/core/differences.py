"""What two stores differ in, added up by metric type, granularity, day and hash slot, with the largest differences."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.accounts import BucketChange
from transforms.core.canonical import bucket_ms, series_runs
from transforms.core.comparing import Compared
from transforms.core.granularity import DAY_S
from transforms.core.hash_slots import HashSlots, SlotRange, slot_of_key
from transforms.core.model import SERIES_COLUMNS

SHOWN: Final = 10
"""Differences of each kind that are kept as examples."""

WHAT: Final = ("missing", "extra", "different")
"""Buckets that only the left side has, that only the right side has, and that both have with other values."""

_NAMES: Final = SERIES_COLUMNS[1:]


class Place(NamedTuple):
    """Where buckets lie; `day` counts from the epoch, `slot` is None if no key of the hot tier is known."""

    metric_type: str
    granularity: str
    day: int
    slot: int | None


class SlotGroup(NamedTuple):
    """Slots side by side, as far as any of them holds series, that all differ: from the first to the last, how many hold series, and what differs."""

    slots: SlotRange
    with_series: int
    numbers: dict[str, int]


@dataclass
class Differences:
    """The sums so far. `key` is how the hot tier writes the key of a series, None if slots are not asked for."""

    key: HashSlots | None = None
    compared: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    places: dict[Place, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, BucketChange]]] = field(default_factory=lambda: {what: [] for what in WHAT})
    slots: set[int] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Buckets that are missing, extra or different."""
        return sum(numbers[what] for numbers in self.compared.values() for what in WHAT)

    def add(self, metric_type: str, granularity: str, one: Compared) -> None:
        """Count a stretch."""
        found = {"missing": one.missing, "extra": one.extra, "different": one.left}
        numbers = self.compared.setdefault((metric_type, granularity), Counter())
        numbers.update({"equal": one.equal} | {what: table.num_rows for what, table in found.items()})
        if self.key:
            self.slots.update(slot for table in one.whole for slot in _slots_of(self.key, metric_type, table))
        for what, table in found.items():
            self._place(metric_type, granularity, what, table)
        self._keep(metric_type, granularity, one)

    def _place(self, metric_type: str, granularity: str, what: str, table: pa.Table) -> None:
        days = bucket_ms(table) // (DAY_S * 1000)
        slots = np.full(len(days), -1)
        if self.key:
            slots = np.repeat(np.array(_slots_of(self.key, metric_type, table), np.int64), series_runs(table).lengths())
        pairs, numbers = np.unique(np.stack([days, slots]), axis=1, return_counts=True)
        for day, slot, number in zip(*pairs.tolist(), numbers.tolist(), strict=True):
            place = Place(metric_type, granularity, day, slot if self.key else None)
            self.places.setdefault(place, Counter())[what] += number

    def _keep(self, metric_type: str, granularity: str, one: Compared) -> None:
        changes = {
            "missing": _changes(granularity, one.missing.slice(0, SHOWN), None),
            "extra": _changes(granularity, None, one.extra.slice(0, SHOWN)),
            "different": _changes(granularity, *_largest(one.left, one.right)),
        }
        for what, some in changes.items():
            kept = [*self.examples[what], *((metric_type, change) for change in some)]
            self.examples[what] = sorted(kept, key=lambda pair: pair[1].size, reverse=True)[:SHOWN]

    def by(self, *fields: str) -> dict[tuple[object, ...], Counter[str]]:
        """What differs, added up by these fields of Place, sorted."""
        sums: dict[tuple[object, ...], Counter[str]] = {}
        for place, numbers in sorted(self.places.items(), key=lambda pair: (*pair[0][:3], pair[0].slot or 0)):
            sums.setdefault(tuple(getattr(place, name) for name in fields), Counter()).update(numbers)
        return sums

    def slot_groups(self) -> list[SlotGroup]:
        """The slots that differ, with those between them that hold no series on either side."""
        differing = {int(str(slot)): numbers for (slot,), numbers in self.by("slot").items() if slot is not None}
        groups: list[SlotGroup] = []
        last_alike = True
        for slot in sorted(self.slots):
            if slot in differing:
                groups = _grown(groups, slot, differing[slot], anew=last_alike)
            last_alike = slot not in differing
        return groups


def _slots_of(key: HashSlots, metric_type: str, table: pa.Table) -> list[int]:
    """The slot of each series of a table in order."""
    return [slot_of_key(key.key(metric_type, *identity[:-1])) for identity in series_runs(table).keys]


def _grown(groups: list[SlotGroup], slot: int, numbers: Counter[str], *, anew: bool) -> list[SlotGroup]:
    if anew:
        return [*groups, SlotGroup((slot, slot), 1, {what: numbers[what] for what in WHAT})]
    *others, last = groups
    sums = {what: last.numbers[what] + numbers[what] for what in WHAT}
    return [*others, SlotGroup((last.slots[0], slot), last.with_series + 1, sums)]


def _largest(left: pa.Table, right: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The pairs that differ most in `avg`, relative to both."""
    ours, theirs = (table["avg"].to_numpy().astype(np.float64) for table in (left, right))
    with np.errstate(all="ignore"):
        difference = np.nan_to_num(np.abs(theirs - ours), nan=np.inf, posinf=np.inf)
        relative = np.nan_to_num(difference / (np.abs(ours) + np.abs(theirs)), nan=1.0)
    relative[difference == 0] = 0.0
    at = pa.array(np.lexsort((-difference, -relative))[:SHOWN])
    return left.take(at), right.take(at)


def _changes(granularity: str, left: pa.Table | None, right: pa.Table | None) -> list[BucketChange]:
    """Parallel rows as changes from left to right; a side that has nothing is None."""
    there = left if left is not None else right
    if there is None:
        return []
    keys = there.select([*_NAMES, "bucket_start"]).to_pylist()
    sides = [[(0, None)] * len(keys) if side is None else _numbers(side) for side in (left, right)]
    return [
        BucketChange(
            granularity=granularity,
            series=tuple(key[name] for name in _NAMES),
            bucket_start_s=math.floor(key["bucket_start"].timestamp()),
            stored_minutes=ours[0],
            minutes=theirs[0],
            stored_avg=ours[1],
            avg=theirs[1],
        )
        for key, ours, theirs in zip(keys, *sides, strict=True)
    ]


def _numbers(table: pa.Table) -> list[tuple[int, float | None]]:
    return list(zip(table["minutes"].to_pylist(), table["avg"].to_pylist(), strict=True))
