"""The shard files of a Parquet store: read, replaced with a before-image, undone."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from transforms.core.granularity import GRANULARITIES
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.units import Unit
from transforms.stores.files import Files, temporary
from transforms.stores.layout import Layout
from transforms.stores.shard_files import read_table, write_table


@dataclass(frozen=True)
class Shards:
    """Rollups and before-images by unit and granularity."""

    layout: Layout
    files: Files

    def locked(self, unit: Unit) -> AbstractContextManager[None]:
        """Keeps other writers of the unit out."""
        return self.files.lock(self.layout.lock(str(unit)))

    def sweep(self, unit: Unit) -> None:
        """Remove what writers that were killed left half-written; needs the lock."""
        for granularity in GRANULARITIES:
            temporary(self.layout.shard(unit, granularity)).unlink(missing_ok=True)

    def read(self, unit: Unit, granularity: str) -> pa.Table:
        """The stored rows."""
        with self.files.step("shard.read"):
            try:
                return read_table(self.layout.shard(unit, granularity))
            except FileNotFoundError:
                return ROLLUP_SCHEMA.empty_table()

    def replace(self, unit: Unit, granularity: str, table: pa.Table, run_id: str) -> None:
        """Store these rows instead, and what was there as a before-image of the run; needs the lock. No rows, no file."""
        path = self.layout.shard(unit, granularity)
        if table.num_rows:
            self.files.replace(path, lambda temp: write_table(table, temp), name="shard", prepare=lambda: self._keep(unit, granularity, run_id))
        else:
            self._keep(unit, granularity, run_id)
            self.files.remove(path, name="shard")

    def _keep(self, unit: Unit, granularity: str, run_id: str) -> None:
        """The next before-image, unless a run killed before its rename left the very same one."""
        path = self.layout.shard(unit, granularity)
        number = self.layout.image_numbers(run_id, unit, granularity)
        newest = self.layout.image(run_id, unit, granularity, number - 1)
        if number and (newest.samefile(path) if path.exists() else not newest.stat().st_size):
            return
        self.files.keep(path, self.layout.image(run_id, unit, granularity, number))

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """The run's before-images of one file, newest first; an empty table where there was no file."""
        for number in reversed(range(self.layout.image_numbers(run_id, unit, granularity))):
            path = self.layout.image(run_id, unit, granularity, number)
            yield read_table(path, columns) if path.stat().st_size else ROLLUP_SCHEMA.empty_table().select(list(columns))
