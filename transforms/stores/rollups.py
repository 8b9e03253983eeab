"""A rollup store on any backend: which version of a bucket stays, partitions, generations, undo."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from transforms.core.canonical import bucket_ms, canonical, in_order, overlapping
from transforms.core.errors import RollupsError, UsageError
from transforms.core.granularity import Range
from transforms.core.model import METRIC_TYPES, ROLLUP_SCHEMA
from transforms.core.units import Unit
from transforms.core.versions import Merged, merge
from transforms.stores.backend import Backend, Change, Traits
from transforms.stores.partitions import Generations, Partitions
from transforms.stores.protocol import NOTHING, KeptOut, UndoCounts, Wanted
from transforms.stores.undoing import UNDO_PREFIX, Undoing

_EMPTY: Final = ROLLUP_SCHEMA.empty_table()


class Rollups:
    """A `RollupStore`."""

    def __init__(self, backend: Backend) -> None:
        """Touches nothing."""
        self.backend = backend
        self._partitions = Partitions(backend)
        self._generations = Generations(backend)

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return self.backend.traits

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says."""
        return self.backend.facts()

    def warnings(self) -> list[str]:
        """As the protocol says."""
        return []

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says."""
        return self.backend.repeated()

    def lapsed(self, granularity: str) -> Sequence[Range]:  # noqa: ARG002 - for those whose rollups expire
        """Times of which the service would remove rollups as soon as they are written: they are refused."""
        return ()

    def last_generation(self) -> int:
        """As the protocol says."""
        return self._generations.last()

    def issue_generation(self, now_ms: int) -> int:
        """As the protocol says."""
        return self._generations.issue(now_ms)

    def shard_count(self, metric_type: str, window: str) -> int | None:
        """As the protocol says; rollups of another writer may count as a partition."""
        return self._partitions.shards(metric_type, window)

    def shards_to_read(self, metric_type: str, window: str) -> int | None:
        """As the protocol says."""
        return self.shard_count(metric_type, window)

    def open_partition(self, metric_type: str, window: str, shards: int) -> int:
        """As the protocol says."""
        return self._partitions.open(metric_type, window, shards)

    def read_unit(
        self,
        unit: Unit,
        granularity: str,
        columns: Sequence[str] = ROLLUP_SCHEMA.names,
        *,
        shards: int | None = None,  # noqa: ARG002 - for those whose partitions may be without any
    ) -> pa.Table:
        """As the protocol says."""
        return self.backend.read(unit, granularity, columns)

    def upsert(self, unit: Unit, rollups: Mapping[str, pa.Table], *, run_id: str, allow_fewer: bool, kept_out: KeptOut = NOTHING) -> dict[str, Merged]:
        """As the protocol says. Where no bucket changes nothing is written."""
        self._check_open(unit)
        if run_id.startswith(UNDO_PREFIX):
            msg = f"the run id {run_id!r} is that of an undo; choose one that does not begin with {UNDO_PREFIX!r}"
            raise UsageError(msg)
        merging = {name: self._merging(table, unit, name, allow_fewer, kept_out) for name, table in rollups.items()}
        self.backend.update(unit, {name: Change(one.new, one.make) for name, one in merging.items()}, run_id)
        return {name: one.merged for name, one in merging.items()}

    def preview(self, unit: Unit, rollups: Mapping[str, pa.Table], *, allow_fewer: bool, kept_out: KeptOut = NOTHING) -> dict[str, Merged]:
        """As the protocol says."""
        merging = {name: self._merging(table, unit, name, allow_fewer, kept_out) for name, table in rollups.items()}
        for name, one in merging.items():
            one.make(self.stored_near(unit, name, one.new))
        return {name: one.merged for name, one in merging.items()}

    def stored_near(self, unit: Unit, granularity: str, buckets: pa.Table) -> pa.Table:  # noqa: ARG002 - for those that need not read all
        """As the protocol says."""
        return self.backend.read(unit, granularity)

    def scan(
        self,
        granularity: str,
        *,
        metric_types: Sequence[str] = METRIC_TYPES,
        periods: Sequence[Range] | None = None,
        wanted: Wanted | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says."""
        types = sorted(set(metric_types))
        return self.backend.scan(granularity, metric_types=types, periods=periods, wanted=wanted, columns=columns or ROLLUP_SCHEMA.names)

    def undo(self, run_id: str, *, generation: int, now_generation: int) -> UndoCounts:
        """As the protocol says; what an undo replaces is kept as before-images of run `undo-RUN`."""
        return Undoing(self.backend).undo(run_id, generation, now_generation)

    def _merging(self, table: pa.Table, unit: Unit, granularity: str, allow_fewer: bool, kept_out: KeptOut) -> "_Merging":  # noqa: FBT001 - all by place
        return _Merging(self._checked(table, unit, granularity), granularity, allow_fewer, kept_out, self.lapsed(granularity))

    def _checked(self, table: pa.Table, unit: Unit, granularity: str) -> pa.Table:
        """The table in canonical form. Raises RollupsError if it is not in order or not the unit's."""
        table = canonical(table.cast(ROLLUP_SCHEMA))
        from_s, to_s = self.traits.windows.range_of(unit.window)
        starts = bucket_ms(table)
        if not in_order(table) or (len(starts) and not from_s * 1000 <= starts.min() <= starts.max() < to_s * 1000):
            msg = f"merging {granularity} rollups into {unit}: rows are not sorted, repeat a bucket or lie outside the window"
            raise RollupsError(msg)
        return table

    def _check_open(self, unit: Unit) -> None:
        shards = self._partitions.shards(unit.metric_type, unit.window)
        if shards is None or unit.shard >= shards:
            has = f"has {shards} shards" if shards else "does not exist"
            msg = f"writing {unit} into {self.backend.name}: the partition {has}, so the unit was planned for another store"
            raise RollupsError(msg)


class _Merging:
    """New rows of one granularity, and what became of them when they were last merged."""

    def __init__(self, new: pa.Table, granularity: str, allow_fewer: bool, kept_out: KeptOut, lapsed: Sequence[Range]) -> None:  # noqa: FBT001 - all by place
        self.new, self._allow_fewer = new, allow_fewer
        ranges = ([*kept_out.held, *lapsed], kept_out.left, lapsed)
        self._held, self._left, self._lapsed = (overlapping(new, granularity, some) if some else None for some in ranges)
        self.merged = self._merged(_EMPTY)

    def make(self, stored: pa.Table) -> pa.Table | None:
        """The stored rows with those new ones that win; None if none does."""
        self.merged = self._merged(stored)
        return self.merged.table if self.merged.changed else None

    def _merged(self, stored: pa.Table) -> Merged:
        return replace(merge(stored, self.new, allow_fewer=self._allow_fewer, held=self._held, left=self._left), lapsed=self._lapsed)
