"""Whether a run is complete and whether its sums hold: pure functions of what staging files and unit records say."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from transforms.core.counts import Counts, add_counts, imbalances, total
from transforms.core.stopwatch import Steps
from transforms.core.transfer import AnyPlan
from transforms.core.units import Unit

STORED: Final = ("stored", "superseded", "outside", "dropped", "refused")
"""Terms that points end in."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Buckets of one granularity by what became of them. `left` are the live writer's, `absent` stored ones for which the archive has nothing."""

    added: int = 0
    changed: int = 0
    equal: int = 0
    newer: int = 0
    refused: int = 0
    left: int = 0
    absent: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Field by field."""
        theirs = asdict(other)
        return Tally(**{name: number + theirs[name] for name, number in asdict(self).items()})


@dataclass(frozen=True, kw_only=True)
class BucketChange:
    """One bucket before and after, for the lists of largest changes and of refused buckets; these tell a `cause` that is not the stored version's minutes."""

    granularity: str
    series: tuple[str, ...]
    bucket_start_s: int
    stored_minutes: int
    minutes: int
    stored_avg: float | None
    avg: float | None
    cause: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """How large the change of `avg` is: relative to both versions (0 to 1), then in itself."""
        if self.stored_avg is None or self.avg is None or math.isinf(self.stored_avg) or math.isinf(self.avg):
            return 1.0, math.inf
        difference, scale = abs(self.avg - self.stored_avg), abs(self.stored_avg) + abs(self.avg)
        return (difference / scale if scale else 0.0), difference


@dataclass(frozen=True, kw_only=True)
class UnitRecord:
    """What rolling up one unit did: points by term, buckets by granularity, the largest changes, every refused bucket, and the time it took.

    `read_back`: how many buckets were read again after they were written, None if the unit was not among those; `different`: those that were not found.
    """

    unit: Unit
    counts: Counts
    tallies: dict[str, Tally]
    changes: tuple[BucketChange, ...] = ()
    refused: tuple[BucketChange, ...] = ()
    read_back: int | None = None
    different: tuple[BucketChange, ...] = ()
    finished_s: float = 0.0
    steps: Steps = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """Plain lists, dicts and numbers."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "UnitRecord":
        """Inverse of `to_data`, also after a trip through JSON."""
        changes = {name: tuple(BucketChange(**one | {"series": tuple(one["series"])}) for one in data[name]) for name in ("changes", "refused", "different")}
        tallies = {name: Tally(**one) for name, one in data["tallies"].items()}
        return cls(**dict(data) | changes | {"unit": Unit(*data["unit"]), "tallies": tallies})


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a run has yet to do."""

    groups: tuple[int, ...]
    units: tuple[Unit, ...]

    def __bool__(self) -> bool:
        """True while anything is missing."""
        return bool(self.groups or self.units)


def missing(plan: AnyPlan, staged: Collection[int], recorded: Collection[str]) -> Missing:
    """Groups without a staging file and units (by name) without a record, in the plan's order."""
    units, groups = set(recorded), set(staged)
    return Missing(
        groups=tuple(group for group in range(len(plan.groups)) if group not in groups),
        units=tuple(unit for unit in plan.all_units() if str(unit) not in units),
    )


@dataclass(frozen=True)
class Account:
    """The sums over a whole run."""

    counts: Counts
    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def imbalances(self) -> tuple[str, ...]:
        """Sentences about sums that differ; none if everything is accounted for."""
        found = list(imbalances(self.counts, STORED))
        records = {term: by_type.get("records", 0) for term, by_type in self.counts.items()}
        if records.get("records", 0) != records.get("decoded_records", 0) + records.get("dead_records", 0):
            read, decoded, dead = (records.get(term, 0) for term in ("records", "decoded_records", "dead_records"))
            found.append(f"records: {read} were read, {decoded} decoded and {dead} are dead letters")
        counted, kept = total(self.counts, "dead_records", "dead_points"), total(self.counts, "cause")
        if counted != kept:
            found.append(f"dead letters: {counted} were counted and {kept} are kept")
        return tuple(found)


def account(footers: Collection[Counts], records: Collection[UnitRecord]) -> Account:
    """Adds up the counts of staging footers and unit records; tallies by metric type and granularity."""
    tallies: dict[str, dict[str, Tally]] = {}
    for record in records:
        of_type = tallies.setdefault(record.unit.metric_type, {})
        for granularity, tally in record.tallies.items():
            of_type[granularity] = of_type.get(granularity, Tally()) + tally
    return Account(add_counts([*footers, *(record.counts for record in records)]), tallies)
