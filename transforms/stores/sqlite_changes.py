"""Changing the rollups of one unit in a SQLite store: what is there, what differs, and the statements that write just that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import Identity, canonical, find, keys_of, one_chunk, pick, series_runs
from transforms.core.model import ROLLUP_SCHEMA, Bools, Ints
from transforms.core.united import IDENTITY
from transforms.core.units import Unit
from transforms.core.versions import differing
from transforms.stores.backend import Change
from transforms.stores.files import Files
from transforms.stores.shard_files import encode_table
from transforms.stores.sqlite_database import Connection
from transforms.stores.sqlite_rows import fetch, ids_of, parameters, series_days, shapes_of
from transforms.stores.sqlite_schema import OF_UNIT, SHAPES, TABLES, within


class Planned(NamedTuple):
    """What is stored of one granularity, what shall be there instead (None: that), and the before-image (None where nothing is stored)."""

    stored: pa.Table
    table: pa.Table | None = None
    image: bytes | None = None


class _Differences(NamedTuple):
    """New rows of which a value differs from what is stored, or all; those of which only the generation does; stored rows to be removed from their table."""

    changed: Bools
    newer: Bools
    gone: Bools


@dataclass(frozen=True)
class UnitChanges:
    """Work on one unit over one connection."""

    connection: Connection
    unit: Unit
    files: Files

    def stored(self, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        """The stored rows, canonical and in order; columns as `Backend.read` has them."""
        names = ", ".join(IDENTITY)
        with self.files.step("rows.read"):
            series = self.connection.fetch(f"SELECT id, day, {names} FROM series WHERE {OF_UNIT} ORDER BY {names}", self.unit)
            pieces = list(fetch(self.connection, granularity, series_days(series), columns))
        return canonical(pa.concat_tables(pieces)) if pieces else ROLLUP_SCHEMA.empty_table().select(list(columns))

    def planned(self, changes: Mapping[str, Change], before: Mapping[str, Planned] = MappingProxyType({})) -> dict[str, Planned]:
        """What the changes make of what is stored now; where that is what it was `before`, what was planned then."""
        planned = {}
        for granularity, change in changes.items():
            stored, known = self.stored(granularity), before.get(granularity)
            planned[granularity] = known if known and known.stored.equals(stored) else _plan(stored, change)
        return planned

    def write(self, granularity: str, one: Planned, run_id: str) -> None:
        """Keep the before-image, write the rows that differ, remove those that are no longer there; needs the lock."""
        if one.table is not None:
            self._keep(granularity, run_id, one.image)
            self._write(granularity, one.stored, one.table)

    def _write(self, granularity: str, stored: pa.Table, new: pa.Table) -> None:
        ids = self._series_ids(new)
        old_ids, new_ids = ids_of(stored, ids), ids_of(new, ids)
        old_shapes, new_shapes = shapes_of(stored), shapes_of(new)
        differences = _compared(stored, old_shapes, new, new_shapes)
        for number, shape in enumerate(SHAPES):
            table, here = shape.table(granularity), new_shapes == number
            self._many(f"DELETE FROM {table} WHERE id = ?", pa.table({"id": old_ids[differences.gone & (old_shapes == number)]}))
            rows = np.flatnonzero(differences.changed & here)
            self._insert(table, parameters(new, new_ids, rows, shape), shape.or_update if stored.num_rows else "")
            rows = np.flatnonzero(differences.newer & here)
            self._many(
                f"UPDATE {table} SET generation = ? WHERE id BETWEEN ? AND ?", _stretches(new_ids[rows], pick(new.select(["generation"]), rows).column(0))
            )
        if differences.gone.any():
            self._forget()

    def _keep(self, granularity: str, run_id: str, image: bytes | None) -> None:
        """The next before-image."""
        number = f"(SELECT count(*) FROM before WHERE run_id = ? AND {OF_UNIT} AND granularity = ?)"
        sql = f"INSERT INTO before (run_id, metric_type, day, shard, granularity, number, image) VALUES (?, ?, ?, ?, ?, {number}, ?)"
        asked = [run_id, *self.unit, granularity]
        with self.files.step("image.write"):
            self.connection.run(sql, [*asked, *asked, image])

    def _series_ids(self, table: pa.Table) -> dict[Identity, int]:
        """Ids of the unit's series; those of the table that have none get one."""
        rows = self.connection.fetch(f"SELECT id, {', '.join(IDENTITY)} FROM series WHERE {OF_UNIT}", self.unit)
        ids, *identity = (column.to_pylist() for column in rows.columns)
        known: dict[Identity, int] = dict(zip(zip(*identity, strict=True), ids, strict=True))
        new = [key for key in series_runs(table).keys if key not in known]
        if not new:
            return known
        first = self.connection.one("SELECT coalesce(max(id), 0) + 1 FROM series")
        added = dict(zip(new, range(first, first + len(new)), strict=True))
        texts = [pa.array(column, pa.string()) for column in zip(*new, strict=True)]
        unit = [pa.array([value] * len(new)) for value in self.unit]
        rows = pa.table([pa.array(list(added.values())), *unit, *texts], names=["id", *Unit._fields, *IDENTITY])
        self._insert("series", rows)
        return known | added

    def _insert(self, table: str, rows: pa.Table, rest: str = "") -> None:
        if rows.num_rows:
            with self.files.step("rows.write"):
                self.connection.insert(table, rows, rest)

    def _many(self, sql: str, rows: pa.Table) -> None:
        if rows.num_rows:
            with self.files.step("rows.write"):
                self.connection.many(sql, rows)

    def _forget(self) -> None:
        """Remove the unit's series that have no rollups left."""
        empty = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {table} AS one WHERE {within('one', 'series.id')})" for table in TABLES)
        with self.files.step("series.write"):
            self.connection.run(f"DELETE FROM series WHERE {OF_UNIT} AND {empty}", self.unit)


def _plan(stored: pa.Table, change: Change) -> Planned:
    table = change.make(stored)
    return Planned(stored) if table is None else Planned(stored, table, encode_table(stored) if stored.num_rows else None)


def _compared(stored: pa.Table, old_shapes: npt.NDArray[np.int8], new: pa.Table, new_shapes: npt.NDArray[np.int8]) -> _Differences:
    old_keys, new_keys = keys_of([stored, new])
    places, found = find(new_keys, old_keys)
    met, partners = np.flatnonzero(found), places[found]
    changed, newer, gone = ~found, np.zeros(len(new_keys), bool), np.ones(len(old_keys), bool)
    rows = pick(new, met), pick(stored, partners)
    changed[met], newer[met] = differing(*rows), differing(*rows, ["generation"])
    gone[partners] = old_shapes[partners] != new_shapes[met]
    return _Differences(changed, newer & ~changed, gone)


def _stretches(ids: Ints, generations: pa.ChunkedArray) -> pa.Table:
    """Stretches of consecutive ids of one generation, as (generation, first id, last id)."""
    values = one_chunk(generations)
    known = pc.fill_null(values, -1).to_numpy()
    edges = np.ones(len(ids) + 1, bool)
    edges[1:-1] = (np.diff(ids) != 1) | (np.diff(known) != 0)
    first, last = np.flatnonzero(edges[:-1]), np.flatnonzero(edges[1:])
    return pa.table({"generation": values.take(pa.array(first)), "first": ids[first], "last": ids[last]})
