"""What every rollup store can do.

A store holds one version of every bucket, in partitions (metric type, window) that are cut into shards by series. It never sees points, periods or runs' plans:
it is told rows and answers what became of them. Implementations are cheap to make, hold no clients or open files until the first call, and may be used by
several threads and processes at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import pyarrow as pa

from transforms.core.granularity import Range
from transforms.core.model import METRIC_TYPES, ROLLUP_SCHEMA
from transforms.core.units import Unit
from transforms.core.versions import Merged

if TYPE_CHECKING:
    from transforms.stores.backend import Traits

Wanted = Callable[[str, str, str, str, str], bool]
"""Whether a series is asked for, by metric type, org, entity, name and labels (as `Selection.selects`)."""


class KeptOut(NamedTuple):
    """Buckets that are not written: those that overlap a `held` range are held back by a guard, those that overlap a `left` one are the live writer's."""

    held: Sequence[Range] = ()
    left: Sequence[Range] = ()


NOTHING: Final = KeptOut()


@dataclass(frozen=True, kw_only=True)
class UndoCounts:
    """Buckets that one call of `undo` restored to the version before the run, removed because there was none, and left alone because they were changed since.

    By granularity. `generation` is the one that restored buckets have (that of an earlier call, if this one went on where that was killed), 0 if the run had
    replaced nothing. `units` are those, with the granularity, of which before-images of the run were there.
    """

    restored: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    left_alone: dict[str, int] = field(default_factory=dict)
    generation: int = field(default=0, compare=False)
    units: frozenset[tuple[Unit, str]] = field(default=frozenset(), compare=False)


class RollupStore(Protocol):
    """Rollups by unit and granularity. Tables have ROLLUP_SCHEMA, are canonical and in order (`core.canonical`)."""

    @property
    def traits(self) -> "Traits":
        """What this kind of store is like."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a run shows of the store before it writes, as (name, value)."""

    def warnings(self) -> list[str]:
        """Sentences about what should be known before writing into this one; what can't be found out is one of them."""

    def repeated(self) -> Mapping[str, int]:
        """How many calls were repeated since this was last asked in this process, by place and reason: `dynamodb://rollups ThrottlingException`."""

    def last_generation(self) -> int:
        """The last generation this store issued, 0 if none."""

    def issue_generation(self, now_ms: int) -> int:
        """A generation that no other call gets: `max(now_ms, last + 1)`."""

    def shard_count(self, metric_type: str, window: str) -> int | None:
        """Shards of a partition, None if it does not exist."""

    def shards_to_read(self, metric_type: str, window: str) -> int | None:
        """Into how many units the partition is cut for one who only reads it, None if there is nothing: its shards, or as many as suit what another wrote."""

    def open_partition(self, metric_type: str, window: str, shards: int) -> int:
        """Make the partition with so many shards, unless it exists; its number of shards."""

    def read_unit(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names, *, shards: int | None = None) -> pa.Table:
        """Stored buckets of a unit, an empty table if there are none; columns of ROLLUP_SCHEMA in its order, those that sort rows among them.

        `shards`: what `shards_to_read` answered, if that was asked.
        """

    def stored_near(self, unit: Unit, granularity: str, buckets: pa.Table) -> pa.Table:
        """As `read_unit`, at least those stored buckets that are among these: a table in order with the identity and bucket_start of each, or more."""

    def upsert(self, unit: Unit, rollups: Mapping[str, pa.Table], *, run_id: str, allow_fewer: bool, kept_out: KeptOut = NOTHING) -> dict[str, Merged]:
        """Merge tables by granularity into the unit by the rule of `core.versions`, and say what became of each row.

        `kept_out` are not written, and neither are rows that the service would remove at once (`Merged.lapsed`).

        Atomic per granularity against other writers and against being killed; repeating it changes nothing. Replaced versions are kept as before-images of
        `run_id`. The partition must be open.
        """

    def preview(self, unit: Unit, rollups: Mapping[str, pa.Table], *, allow_fewer: bool, kept_out: KeptOut = NOTHING) -> dict[str, Merged]:
        """What `upsert` would answer now; changes nothing."""

    def scan(
        self,
        granularity: str,
        *,
        metric_types: Sequence[str] = METRIC_TYPES,
        periods: Sequence[Range] | None = None,
        wanted: Wanted | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[tuple[str, pa.Table]]:
        """Stored buckets that overlap one of the sorted, disjoint periods, as (metric type, table) in bounded pieces.

        All rows together are sorted by metric type, org, entity, name, labels, kind, bucket_start, by code point. `columns` are those of ROLLUP_SCHEMA to
        return, in its order. Rows written meanwhile may or may not be seen; each bucket is seen in one version.
        """

    def undo(self, run_id: str, *, generation: int, now_generation: int) -> UndoCounts:
        """Bring back, under `now_generation`, what the run of that generation replaced; buckets changed since stay as they are.

        Killed and repeated, it goes on under the generation that it began with. Done twice, the second time does nothing.
        """
