"""What a run computes: metric types, series, and the buckets of every granularity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from transforms.core.errors import UsageError
from transforms.core.globs import Matcher, matcher
from transforms.core.granularity import DAY_S, HOUR_S, WIDTH_S, Range
from transforms.core.hash_slots import HashSlots, parse_slots
from transforms.core.time import format_period, unite

Edge = Literal["expand", "clip", "fail"]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far arrivals stray from times, in seconds; it decides which points count and which objects are read (DESIGN §3).

    `late_s` (P): a point may arrive this long after its time. `early_s` (F): or before it. `lead_in_s` (L): a counter's predecessor is sought this far back.
    `object_span_s` (B): an object named by its oldest record may hold arrivals this much younger.
    """

    late_s: int = DAY_S
    early_s: int = DAY_S
    lead_in_s: int = 600
    object_span_s: int = 2 * HOUR_S

    def object_times(self, computed: Range) -> Range:
        """Prefix times of the objects that may hold points of the computed buckets: `[S - L - F - B, E + P)`."""
        from_s, to_s = computed
        return from_s - self.lead_in_s - self.early_s - self.object_span_s, to_s + self.late_s


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The buckets and series that a run computes.

    `computed` maps each asked granularity to its sorted, disjoint, aligned ranges. A series is selected if its type is, its org is (none given: all) and one of
    the globs matches `type/org/entity/name` as fnmatchcase does (none given: all), and the hot tier's key of it lies in one of the slots (None: all).
    """

    metric_types: tuple[str, ...]
    computed: Mapping[str, tuple[Range, ...]]
    orgs: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    slots: HashSlots | None = None

    @cached_property
    def _matcher(self) -> Matcher:
        return matcher(self.series)

    def needed(self) -> tuple[Range, ...]:
        """Times whose points go into at least one computed bucket."""
        return unite(one for ranges in self.computed.values() for one in ranges)

    def computed_within(self, window: Range) -> dict[str, tuple[Range, ...]]:
        """`computed` as far as it lies in a store window: a unit also gets points of others, as lead-in, and computes none of their buckets."""
        return {name: tuple(cut for one in ranges if (cut := _overlap(one, window))) for name, ranges in self.computed.items()}

    @property
    def is_of_all_series(self) -> bool:
        """Whether no series of the types is left out."""
        return not self.orgs and not self.series and self.slots is None

    def selects(self, metric_type: str, org: str, entity: str, name: str, labels: str = "{}") -> bool:
        """Whether this series is restored; `labels` as `labels_text` writes them."""
        if metric_type not in self.metric_types or (self.orgs and org not in self.orgs):
            return False
        if self.series and not self._matcher(f"{metric_type}/{org}/{entity}/{name}"):
            return False
        return self.slots is None or self.slots.holds(metric_type, org, entity, name, labels)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Which series are asked for, as a request writes it: `hash_slots` as by `format_slots`, both empty for all."""

    metric_types: tuple[str, ...]
    orgs: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    hash_slots: str = ""
    hash_key: str = ""

    def within(self, computed: Mapping[str, tuple[Range, ...]]) -> Selection:
        """These series in the buckets of these ranges."""
        slots = HashSlots(ranges=parse_slots(self.hash_slots), template=self.hash_key) if self.hash_slots else None
        return Selection(metric_types=self.metric_types, computed=computed, orgs=self.orgs, series=self.globs, slots=slots)


def computed_for(periods: Sequence[Range], granularities: Sequence[str], edge: Edge) -> dict[str, tuple[Range, ...]]:
    """`computed_ranges` of each granularity for periods that may touch or overlap. Raises UsageError if no bucket is left."""
    united = unite(periods)
    if edge == "fail":
        check_aligned(united, granularities)
    computed = {one: computed_ranges(united, one, edge) for one in granularities}
    if not any(computed.values()):
        asked = f"{', '.join(granularities)} in {', '.join(map(format_period, united))}"
        msg = f"--edge clip leaves no whole bucket of {asked}: ask for more or for --edge expand"
        raise UsageError(msg)
    return computed


def _overlap(one: Range, other: Range) -> Range | None:
    from_s, to_s = max(one[0], other[0]), min(one[1], other[1])
    return (from_s, to_s) if from_s < to_s else None


def computed_ranges(periods: Sequence[Range], granularity: str, edge: Edge) -> tuple[Range, ...]:
    """The aligned ranges whose buckets are computed for the periods.

    A bucket partly inside a period is computed as a whole (`expand`), left out (`clip`), or not accepted (`fail`: UsageError).
    """
    width = WIDTH_S[granularity]
    if edge == "fail":
        check_aligned(periods, (granularity,))
    if edge == "clip":
        clipped = ((-(-from_s // width) * width, to_s // width * width) for from_s, to_s in periods)
        return unite(one for one in clipped if one[0] < one[1])
    return unite((from_s // width * width, -(-to_s // width) * width) for from_s, to_s in periods)


def check_aligned(periods: Iterable[Range], granularities: Iterable[str]) -> None:
    """Raises UsageError for a period that cuts a bucket, with one that cuts none of any of the granularities."""
    names = sorted(granularities, key=WIDTH_S.__getitem__)
    widest = WIDTH_S[names[-1]]
    for period in periods:
        if cut := [name for name in names if any(edge % WIDTH_S[name] for edge in period)]:
            nearest = period[0] // widest * widest, -(-period[1] // widest) * widest
            msg = (
                f"the period {format_period(period)} cuts a {cut[0]} bucket and --edge fail was given: "
                f"ask for {format_period(nearest)}, or for --edge expand or clip"
            )
            raise UsageError(msg)


def edge_buckets(periods: Sequence[Range], granularity: str) -> tuple[Range, ...]:
    """Buckets that lie partly inside the periods, each as its own range; the report says what became of them."""
    width = WIDTH_S[granularity]
    starts = {edge // width * width for period in periods for edge in period if edge % width}
    return tuple((start, start + width) for start in sorted(starts))
