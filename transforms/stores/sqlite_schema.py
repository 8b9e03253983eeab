"""What is in the database of a SQLite store.

A series has a row in `series` for each day on which it has rollups; a rollup's `id` is that row's `id` * 1440 + the minute of the day in which its bucket
begins. So the rollups of a unit lie side by side, and those of a series and day in the order of time: the key is the index. A rollup is in one of the three
tables of its granularity, the first that can hold it; the view `rollups` unites them, with the columns of `export`.

    series               id, metric_type, day (2025-11-01), shard, org, entity, name, labels, kind
    rollups_1m_value     id, value, generation: minutes and count are 1; sum, min, max, avg and last are the value, the other columns are null
    rollups_1m_gauge     id, minutes, count, sum, min, max, avg, last, generation: the other columns are null
    rollups_1m_full      id and every column (`core.model.ROLLUP_SCHEMA`); start_time in ms, bounds and bucket_counts as arrays of little-endian 8-byte numbers
    (rollups_5m_…, rollups_1h_… likewise)
    texts                key, text: shards of partitions, the last generation issued, what undos have begun
    before               before-images: run_id, metric_type, day, shard, granularity, number (0: oldest), image (a Parquet file; null if nothing was there)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from transforms.core.granularity import GRANULARITIES
from transforms.core.model import EXPORT_COLUMNS, ROLLUP_SCHEMA
from transforms.core.united import IDENTITY

APPLICATION_ID: Final = 0x726F6C75
USER_VERSION: Final = 1

MINUTES: Final = 1440
"""Ids of a series and day."""

SAME: Final = ("sum", "min", "max", "avg", "last")
"""Columns that a rollup of one value has once."""


class Shape(NamedTuple):
    """A form of rows: the columns that its tables have; `value` stands for SAME. Columns without a place are null, minutes and count 1."""

    name: str
    columns: tuple[str, ...]

    def table(self, granularity: str) -> str:
        """The table of that form."""
        return f"rollups_{granularity}_{self.name}"

    @property
    def or_update(self) -> str:
        """End of an INSERT that writes over the row with that id, in its place where it has the same size: quicker than to remove it first."""
        return f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in self.columns)}"

    def stored(self, column: str) -> str:
        """What a column of ROLLUP_SCHEMA is in SQL."""
        if column in self.columns:
            return column
        if self is VALUE and column in {*SAME, "minutes", "count"}:
            return "value" if column in SAME else "1"
        return "NULL"


VALUE: Final = Shape("value", ("value", "generation"))
GAUGE: Final = Shape("gauge", ("minutes", "count", *SAME, "generation"))
FULL: Final = Shape("full", tuple(name for name in ROLLUP_SCHEMA.names if name not in {*IDENTITY, "bucket_start"}))
SHAPES: Final = (VALUE, GAUGE, FULL)

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"minutes": "INTEGER NOT NULL", "value": "REAL NOT NULL"}
    | dict.fromkeys(("count", "generation", "start_time"), "INTEGER")
    | dict.fromkeys(("bounds", "bucket_counts"), "BLOB")
)
"""Those that aren't REAL."""

TABLES: Final = tuple(shape.table(granularity) for granularity in GRANULARITIES for shape in SHAPES)

OF_UNIT: Final = "metric_type = ? AND day = ? AND shard = ?"
"""Condition on `series` and `before`; a `Unit` is its parameters."""

_UNIT: Final = "metric_type TEXT NOT NULL, day TEXT NOT NULL, shard INTEGER NOT NULL"


def statements() -> list[str]:
    """What makes an empty database."""
    identity = ", ".join(f"{name} TEXT NOT NULL" for name in IDENTITY)
    return [
        f"CREATE TABLE series (id INTEGER PRIMARY KEY, {_UNIT}, {identity}, UNIQUE (metric_type, day, shard, {', '.join(IDENTITY)})) STRICT",
        "CREATE INDEX series_by_name ON series (entity, name, org, metric_type, day)",
        *(_rollups(shape, granularity) for granularity in GRANULARITIES for shape in SHAPES),
        "CREATE TABLE texts (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID",
        f"CREATE TABLE before (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, {_UNIT}, granularity TEXT NOT NULL, number INTEGER NOT NULL, image BLOB) STRICT",
        "CREATE UNIQUE INDEX before_of_run ON before (run_id, metric_type, day, shard, granularity, number)",
        f"CREATE VIEW rollups AS {' UNION ALL '.join(_select(shape, granularity) for granularity in GRANULARITIES for shape in SHAPES)}",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {USER_VERSION}",
    ]


def _rollups(shape: Shape, granularity: str) -> str:
    columns = ", ".join(f"{name} {_TYPES.get(name, 'REAL')}" for name in shape.columns)
    return f"CREATE TABLE {shape.table(granularity)} (id INTEGER PRIMARY KEY, {columns}) STRICT"


def _select(shape: Shape, granularity: str) -> str:
    time = f"strftime('%Y-%m-%dT%H:%M:%SZ', strftime('%s', series.day) + (one.id % {MINUTES}) * 60, 'unixepoch')"
    special = {"metric_type": "metric_type", "granularity": f"'{granularity}'", "bucket_start": time, "generation": "coalesce(generation, 0)"}
    special |= {name: name for name in IDENTITY}
    columns = ", ".join(f"{special.get(name) or shape.stored(name)} AS {name}" for name in EXPORT_COLUMNS)
    return f"SELECT {columns}, day FROM series JOIN {shape.table(granularity)} AS one ON {within('one', 'series.id')}"


def within(rollups: str, series: str) -> str:
    """The condition that a rollup is of a series and day."""
    return f"{rollups}.id >= {series} * {MINUTES} AND {rollups}.id < ({series} + 1) * {MINUTES}"
