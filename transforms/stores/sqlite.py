"""Rollups as plain rows in a SQLite database that people can query; `sqlite_schema` shows its tables.

Readers see the last commit and never wait. Writers merge what they have read and hold the lock only to write, or to read once more what another has changed
meanwhile; a unit is one transaction with its before-images, on disk when `upsert` returns.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from transforms.calls.limits import Limits
from transforms.core.canonical import pick
from transforms.core.errors import RefusedError, UsageError
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA, SeriesKey, labels_pairs
from transforms.core.store_settings import StoreSettings
from transforms.core.united import IDENTITY
from transforms.core.units import Unit, shard_of
from transforms.stores.backend import Change, Traits
from transforms.stores.files import Failpoint, Files, no_failpoint
from transforms.stores.folder import local_path
from transforms.stores.protocol import Wanted
from transforms.stores.rollups import Rollups
from transforms.stores.scanning import Overlap
from transforms.stores.shard_files import decode_table
from transforms.stores.sqlite_changes import UnitChanges, stored_rows
from transforms.stores.sqlite_database import Connection, Database
from transforms.stores.sqlite_rows import fetch, series_days
from transforms.stores.sqlite_schema import OF_UNIT
from transforms.stores.url import StoreUrl

_IDENTITY: Final = ", ".join(IDENTITY)


class SqliteStore(Rollups):
    """A `RollupStore` in a file that is made at the first write. Its window is one UTC day."""

    def __init__(self, path: Path, *, failpoint: Failpoint = no_failpoint, wait_s: float = 60.0) -> None:
        """Touches nothing. `failpoint` is called around every step; a write waits at most `wait_s` for other writers."""
        super().__init__(SqliteRollups(Database(path, wait_s, Files(failpoint))))


def open_url(url: StoreUrl, settings: StoreSettings, _limits: Limits | None, *, writable: bool) -> SqliteStore:
    """The store at `sqlite:///abs/path.db`. Raises UsageError for a path that is relative, no store, or can't be used."""
    path = local_path(url)
    if not writable and not path.exists():
        raise UsageError(f"the store {url.shown} does not exist")
    existing = next(one for one in (path, *path.parents) if one.exists())
    if existing == path and not path.is_file():
        raise UsageError(f"the store URL {url.shown} names {path}, which is a folder: name a file, such as {path / 'rollups.db'}")
    if existing != path and not existing.is_dir():
        raise UsageError(f"the store URL {url.shown} names {path}, but {existing} is not a folder")
    if not os.access(existing, os.R_OK | (os.W_OK if writable else 0)):
        raise UsageError(f"the store {url.shown} can't be {'written' if writable else 'read'}: this user has no right to {existing}")
    store = SqliteStore(path, wait_s=settings.sqlite_wait_s)
    store.last_generation()
    return store


@dataclass(frozen=True)
class SqliteRollups:
    """The database as a `Backend`."""

    database: Database

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return Traits()

    @property
    def name(self) -> str:
        """As the protocol says."""
        return self.database.name

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says."""
        return (("file", str(self.database.path)),)

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says: nothing is called."""
        return {}

    def text(self, key: str) -> str | None:
        """As the protocol says."""
        with self.database.reading() as connection:
            return _text(connection, key) if connection else None

    def change_text(self, key: str, make: Callable[[str | None], str]) -> str:
        """As the protocol says."""
        before = self.text(key)
        if before is not None and make(before) == before:
            return before
        with self.database.working() as connection, self.database.transaction(connection):
            text = make(before := _text(connection, key))
            if text != before:
                with self.database.files.step("text.write"):
                    connection.run("INSERT OR REPLACE INTO texts VALUES (?, ?)", [key, text])
        return text

    def texts(self, prefix: str) -> list[str]:
        """As the protocol says."""
        return self._listed("SELECT key FROM texts WHERE substr(key, 1, ?) = ? ORDER BY key", [len(prefix), prefix])

    def shards_found(self, metric_type: str, window: str) -> int | None:
        """As the protocol says; the table `series` tells the shards."""
        with self.database.reading() as connection:
            if not connection:
                return None
            rows = connection.fetch(f"SELECT shard, {_IDENTITY} FROM series WHERE metric_type = ? AND day = ?", [metric_type, window])
        shards = max(rows.column("shard").to_pylist(), default=-1) + 1
        for shard, org, entity, name, labels, _kind in zip(*(column.to_pylist() for column in rows.columns), strict=True):
            if shard_of(SeriesKey(metric_type, org, entity, name, labels_pairs(labels)).encode(), shards) != shard:
                msg = (
                    f"finding the shards of {metric_type} {window} in {self.name}: with {shards} shards, as the table series says, "
                    f"series {org}/{entity}/{name} would not be in shard {shard}; put right the column shard"
                )
                raise RefusedError(msg)
        return shards or None

    def read(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        """As the protocol says."""
        with self.database.reading() as connection:
            if connection is None:
                return ROLLUP_SCHEMA.empty_table().select(list(columns))
            return stored_rows(connection, unit, granularity, self.database.files, columns)

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """As the protocol says: all in one transaction."""
        with self.database.working() as connection, ThreadPoolExecutor(1) as images:
            work = UnitChanges(connection, unit, self.database.files, images)
            connection.run("BEGIN")
            version, planned = connection.version(), work.planned(changes)
            connection.run("COMMIT")
            if all(one.table is None for one in planned.values()):
                return
            with self.database.transaction(connection):
                if connection.version() != version:
                    planned = work.planned(changes, planned)
                for granularity, one in planned.items():
                    work.write(granularity, one, run_id)

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:  # noqa: ARG002 - all of a unit is looked at
        """As the protocol says."""
        self.update(unit, {granularity: change}, run_id)

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """As the protocol says; where nothing was stored the table is empty."""
        with self.database.reading() as connection:
            if not connection:
                return
            asked = [run_id, *unit, granularity]
            for number in reversed(range(connection.one(f"SELECT count(*) FROM before WHERE run_id = ? AND {OF_UNIT} AND granularity = ?", asked))):
                image = connection.one(f"SELECT image FROM before WHERE run_id = ? AND {OF_UNIT} AND granularity = ? AND number = ?", [*asked, number])
                name = f"before-image {number} of {unit} {granularity} by run {run_id} in {self.name}"
                yield decode_table(image, name, columns) if image else ROLLUP_SCHEMA.empty_table().select(list(columns))

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """As the protocol says."""
        sql = "SELECT DISTINCT metric_type, day, shard, granularity FROM before WHERE run_id = ? ORDER BY metric_type, day, shard, granularity"
        with self.database.reading() as connection:
            rows = connection.fetch(sql, [run_id]).to_pylist() if connection else []
        for one in rows:
            yield Unit(one["metric_type"], one["day"], one["shard"]), one["granularity"]

    def imaging_runs(self) -> list[str]:
        """As the protocol says."""
        return self._listed("SELECT DISTINCT run_id FROM before ORDER BY run_id")

    def scan(
        self, granularity: str, *, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says, of one moment. Memory: a piece of about a million rows, and an entry per series and day."""
        overlap = Overlap(WIDTH_S[granularity], periods)
        names = [name for name in ROLLUP_SCHEMA.names if name in {*columns, "bucket_start"}]
        with self.database.reading() as connection:
            if connection is None:
                return
            for metric_type in metric_types:
                series = series_days(_kept(self._series_of(connection, metric_type, periods), metric_type, wanted))
                for piece in fetch(connection, granularity, series, names, (periods[0][0], periods[-1][1]) if periods else None):
                    chosen = overlap.rows(piece)
                    if chosen.any():
                        yield metric_type, pick(piece, np.flatnonzero(chosen)).select([name for name in names if name in columns])

    def _series_of(self, connection: Connection, metric_type: str, periods: Sequence[Range] | None) -> pa.Table:
        """Series and days in order."""
        days = self.traits.windows.touched_by(periods) if periods is not None else ()
        during = f"AND day IN ({', '.join('?' * len(days))})" if periods is not None else ""
        sql = f"SELECT id, day, {_IDENTITY} FROM series WHERE metric_type = ? {during} ORDER BY {_IDENTITY}, day, shard"
        return connection.fetch(sql, [metric_type, *days])

    def _listed(self, sql: str, parameters: Sequence[object] = ()) -> list[str]:
        """The texts in the first column."""
        with self.database.reading() as connection:
            listed: list[str] = connection.fetch(sql, parameters).column(0).to_pylist() if connection else []
        return listed


def _text(connection: Connection, key: str) -> str | None:
    text: str | None = connection.one("SELECT text FROM texts WHERE key = ?", [key])
    return text


def _kept(series: pa.Table, metric_type: str, wanted: Wanted | None) -> pa.Table:
    """The rows of series that are wanted."""
    if wanted is None:
        return series
    names = zip(*(series.column(name).to_pylist() for name in ("org", "entity", "name", "labels")), strict=True)
    return series.filter(pa.array([wanted(metric_type, *one) for one in names], pa.bool_()))
