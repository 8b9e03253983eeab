"""Rollups in Parquet files in a local folder, the embedded default; `layout` shows the files.

Everyone can read them while they are written: files are replaced whole. Writers of one unit wait for each other at a file lock (flock: one machine, or a file
system that supports it).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from transforms.core.canonical import bucket_ms, canonical, in_order, overlapping
from transforms.core.errors import RollupsError, UsageError
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.model import METRIC_TYPES, ROLLUP_SCHEMA
from transforms.core.time import day_range, days_of
from transforms.core.units import Unit
from transforms.core.versions import Merged, merge
from transforms.stores.files import Failpoint, Files, no_failpoint
from transforms.stores.layout import UNDO_PREFIX, Layout
from transforms.stores.partitions import Generations, Partitions
from transforms.stores.protocol import UndoCounts, Wanted
from transforms.stores.scanning import Keep, Overlap, Source, scan_sorted
from transforms.stores.shards import Shards
from transforms.stores.undoing import Undoing


class ParquetStore:
    """A `RollupStore` under a folder that is made at the first write. Its window is one UTC day."""

    def __init__(self, root: Path, *, failpoint: Failpoint = no_failpoint) -> None:
        """Touches nothing. `failpoint` is called around every step on disk (`files`)."""
        self._layout = Layout(root)
        self._files = Files(failpoint)
        self._partitions = Partitions(self._layout, self._files)
        self._generations = Generations(self._layout, self._files)
        self._shards = Shards(self._layout, self._files)

    def last_generation(self) -> int:
        """As the protocol says."""
        return self._generations.last()

    def issue_generation(self, now_ms: int) -> int:
        """As the protocol says."""
        return self._generations.issue(now_ms)

    def shard_count(self, metric_type: str, window: str) -> int | None:
        """As the protocol says; rollups of another writer without a partition file count as a partition."""
        return self._partitions.shards(metric_type, window)

    def open_partition(self, metric_type: str, window: str, shards: int) -> int:
        """As the protocol says."""
        return self._partitions.open(metric_type, window, shards)

    def read_unit(self, unit: Unit, granularity: str) -> pa.Table:
        """As the protocol says."""
        return self._shards.read(unit, granularity)

    def upsert(self, unit: Unit, rollups: Mapping[str, pa.Table], *, run_id: str, allow_fewer: bool, held: Sequence[Range] = ()) -> dict[str, Merged]:
        """As the protocol says. Where no bucket changes nothing is written, and no file is made for no rows."""
        self._check_open(unit)
        if run_id.startswith(UNDO_PREFIX):
            msg = f"the run id {run_id!r} is that of an undo; choose one that does not begin with {UNDO_PREFIX!r}"
            raise UsageError(msg)
        results = {}
        with self._shards.locked(unit):
            self._shards.sweep(unit)
            for granularity, table in rollups.items():
                results[granularity] = merged = self._merged(unit, granularity, table, allow_fewer=allow_fewer, held=held)
                if merged.changed:
                    self._shards.replace(unit, granularity, merged.table, run_id)
        return results

    def preview(self, unit: Unit, rollups: Mapping[str, pa.Table], *, allow_fewer: bool, held: Sequence[Range] = ()) -> dict[str, Merged]:
        """As the protocol says."""
        return {granularity: self._merged(unit, granularity, table, allow_fewer=allow_fewer, held=held) for granularity, table in rollups.items()}

    def scan(
        self,
        granularity: str,
        *,
        metric_types: Sequence[str] = METRIC_TYPES,
        periods: Sequence[Range] | None = None,
        wanted: Wanted | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says. Memory is bounded as `scanning` tells."""
        overlap = Overlap(WIDTH_S[granularity], periods)
        for metric_type in sorted(set(metric_types)):
            windows = self._layout.windows(metric_type, granularity)
            asked = windows if periods is None else sorted({*windows} & {*days_of(periods)})
            paths = [path for window in asked for path in self._layout.data_files(metric_type, granularity, window)]
            for table in scan_sorted([Source(path, _keep(metric_type, wanted), overlap) for path in paths], columns or ROLLUP_SCHEMA.names):
                yield metric_type, table

    def undo(self, run_id: str, *, generation: int, now_generation: int) -> UndoCounts:
        """As the protocol says; what an undo replaces is kept as before-images of run `undo-RUN`."""
        return Undoing(self._layout, self._files, self._shards).undo(run_id, generation, now_generation)

    def _merged(self, unit: Unit, granularity: str, table: pa.Table, *, allow_fewer: bool, held: Sequence[Range]) -> Merged:
        stored, new = self._shards.read(unit, granularity), _checked(table, unit, granularity)
        return merge(stored, new, allow_fewer=allow_fewer, held=overlapping(new, granularity, held) if held else None)

    def _check_open(self, unit: Unit) -> None:
        shards = self._partitions.shards(unit.metric_type, unit.window)
        if shards is None or unit.shard >= shards:
            has = f"has {shards} shards" if shards else "does not exist"
            msg = f"writing {unit} into {self._layout.root}: the partition {has}, so the unit was planned for another store"
            raise RollupsError(msg)


def _keep(metric_type: str, wanted: Wanted | None) -> Keep:
    return lambda identity: wanted is None or wanted(metric_type, *identity[:4])


def _checked(table: pa.Table, unit: Unit, granularity: str) -> pa.Table:
    """The table in canonical form. Raises RollupsError if it is not in order or not the unit's."""
    table = canonical(table.cast(ROLLUP_SCHEMA))
    from_s, to_s = day_range(unit.window)
    starts = bucket_ms(table)
    if not in_order(table) or (len(starts) and not from_s * 1000 <= starts.min() <= starts.max() < to_s * 1000):
        msg = f"merging {granularity} rollups into {unit}: rows are not sorted, repeat a bucket or lie outside the window"
        raise RollupsError(msg)
    return table
