"""Rollups in Parquet files in a local folder, the embedded default; `layout` shows the files.

Everyone can read them while they are written: files are replaced whole. Writers of one unit wait for each other at a file lock (flock: one machine, or a file
system that supports it).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from transforms.calls.limits import Limits
from transforms.core.granularity import GRANULARITIES, WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.store_settings import StoreSettings
from transforms.core.units import Unit
from transforms.stores.adopting import shards_found
from transforms.stores.backend import Change, Traits
from transforms.stores.data_files import LocalFile
from transforms.stores.files import Failpoint, Files, no_failpoint, temporary
from transforms.stores.folder import check_folder, local_path
from transforms.stores.layout import Layout
from transforms.stores.protocol import Wanted
from transforms.stores.rollups import Rollups
from transforms.stores.scanning import Overlap, Source, keep_of, scan_sorted
from transforms.stores.shard_files import read_table, write_table
from transforms.stores.url import StoreUrl


class ParquetStore(Rollups):
    """A `RollupStore` under a folder that is made at the first write. Its window is one UTC day."""

    def __init__(self, root: Path, *, failpoint: Failpoint = no_failpoint) -> None:
        """Touches nothing. `failpoint` is called around every step on disk (`files`)."""
        super().__init__(ParquetFolder(Layout(root), Files(failpoint)))


def open_url(url: StoreUrl, _settings: StoreSettings, _limits: Limits | None, *, writable: bool) -> ParquetStore:
    """The store at `parquet:///abs/path`. Raises UsageError for a path that is relative, no folder, or can't be used."""
    root = local_path(url)
    check_folder(url, root, writable=writable)
    return ParquetStore(root)


@dataclass(frozen=True)
class ParquetFolder:
    """The folder as a `Backend`: an item is a file, of one unit and granularity."""

    layout: Layout
    files: Files

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return Traits()

    @property
    def name(self) -> str:
        """As the protocol says."""
        return f"parquet://{self.layout.root}"

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says."""
        return (("folder", str(self.layout.root)),)

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says: nothing is called."""
        return {}

    def text(self, key: str) -> str | None:
        """As the protocol says."""
        path = self.layout.text(key)
        return path.read_text() if path.exists() else None

    def change_text(self, key: str, make: Callable[[str | None], str]) -> str:
        """As the protocol says."""
        path = self.layout.text(key)
        with self.files.lock(self.layout.lock(kind := key.partition("/")[0])):
            text = make(before := self.text(key))
            if text != before:
                self.files.replace(path, lambda temp: temp.write_text(text), name=kind)
        return text

    def texts(self, prefix: str) -> list[str]:
        """As the protocol says."""
        return self.layout.texts(prefix)

    def shards_found(self, metric_type: str, window: str) -> int | None:
        """As the protocol says; files tell their shard by name."""
        files = [LocalFile(path) for granularity in GRANULARITIES for path in self.layout.data_files(metric_type, granularity, window)]
        return shards_found(files, metric_type, window, str(self.layout.partition(metric_type, window)))

    def read(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        """As the protocol says."""
        with self.files.step("shard.read"):
            try:
                return read_table(self.layout.shard(unit, granularity), columns)
            except FileNotFoundError:
                return ROLLUP_SCHEMA.empty_table().select(list(columns))

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """As the protocol says. No rows, no file. Files go to disk in turn, while later ones are made and written; all are there on return."""
        with self.files.lock(self.layout.lock(str(unit))), ThreadPoolExecutor(1) as disk:
            self._sweep(unit)
            placed = []
            for granularity, change in changes.items():
                table = change.make(self.read(unit, granularity))
                if table is not None:
                    placed.append(disk.submit(self._written(unit, granularity, table, run_id)))
            for one in placed:
                one.result()

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:  # noqa: ARG002 - a file is near all of a unit
        """As the protocol says."""
        self.update(unit, {granularity: change}, run_id)

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """As the protocol says; where there was no file the table is empty."""
        for number in reversed(range(self.layout.image_numbers(run_id, unit, granularity))):
            path = self.layout.image(run_id, unit, granularity, number)
            yield read_table(path, columns) if path.stat().st_size else ROLLUP_SCHEMA.empty_table().select(list(columns))

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """As the protocol says."""
        return self.layout.imaged(run_id)

    def imaging_runs(self) -> list[str]:
        """As the protocol says."""
        return self.layout.run_ids()

    def scan(
        self, granularity: str, *, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says. Memory is bounded as `scanning` tells."""
        overlap = Overlap(WIDTH_S[granularity], periods)
        for metric_type in metric_types:
            windows = self.layout.windows(metric_type, granularity)
            asked = windows if periods is None else sorted({*windows} & {*self.traits.windows.touched_by(periods)})
            paths = [path for window in asked for path in self.layout.data_files(metric_type, granularity, window)]
            for table in scan_sorted([Source(LocalFile(path), keep_of(metric_type, wanted), overlap) for path in paths], columns):
                yield metric_type, table

    def _sweep(self, unit: Unit) -> None:
        """Remove what writers that were killed left half-written; needs the lock."""
        for granularity in GRANULARITIES:
            temporary(self.layout.shard(unit, granularity)).unlink(missing_ok=True)

    def _written(self, unit: Unit, granularity: str, table: pa.Table, run_id: str) -> Callable[[], None]:
        """Writes these rows beside what is stored. What it returns puts them there, under the lock too, and keeps what was as a before-image of the run."""
        path = self.layout.shard(unit, granularity)
        if not table.num_rows:
            return partial(self._remove, unit, granularity, run_id)
        return self.files.written(path, lambda temp: write_table(table, temp), name="shard", prepare=lambda: self._keep(unit, granularity, run_id))

    def _remove(self, unit: Unit, granularity: str, run_id: str) -> None:
        self._keep(unit, granularity, run_id)
        self.files.remove(self.layout.shard(unit, granularity), name="shard")

    def _keep(self, unit: Unit, granularity: str, run_id: str) -> None:
        """The next before-image, unless a run killed before its rename left the very same one."""
        path = self.layout.shard(unit, granularity)
        number = self.layout.image_numbers(run_id, unit, granularity)
        newest = self.layout.image(run_id, unit, granularity, number - 1)
        if number and (newest.samefile(path) if path.exists() else not newest.stat().st_size):
            return
        self.files.keep(path, self.layout.image(run_id, unit, granularity, number))
