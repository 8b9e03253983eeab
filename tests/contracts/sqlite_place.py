"""A SQLite store for the behaviour suite, and its rows as the sqlite3 of Python sees them."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.contracts.harness import NewPlace
from transforms.core.granularity import GRANULARITIES
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.sqlite import SqliteStore

IDENTITY = "org, entity, name, labels, kind"


class SqlitePlace:
    """A database of its own in a folder of its own."""

    def __init__(self, folder: Path, make: type[SqliteStore] = SqliteStore) -> None:
        self.folder, self.make, self.copies = folder, make, 0

    @property
    def path(self) -> Path:
        return self.folder / "rollups.db"

    @property
    def granularities(self) -> tuple[str, ...]:
        return GRANULARITIES

    def open(self, failpoint: Failpoint = no_failpoint) -> SqliteStore:
        return self.make(self.path, failpoint=failpoint)

    def copy(self) -> "SqlitePlace":
        self.copies += 1
        folder = self.folder.with_name(f"{self.folder.name}-{self.copies}")
        shutil.copytree(self.folder, folder)
        return SqlitePlace(folder, self.make)

    def stored(self) -> dict[str, bytes]:
        """By unit and granularity; without ids, which tell in which order series came."""
        if not self.path.exists():
            return {}
        found: dict[str, list[str]] = {}
        with closing(sqlite3.connect(self.path)) as database:
            for granularity in GRANULARITIES:
                for shape in ("value", "gauge", "full"):
                    table = f"rollups_{granularity}_{shape}"
                    sql = f"SELECT metric_type, day, shard, {IDENTITY}, {table}.id % 1440, {table}.* FROM {table} JOIN series ON series.id = {table}.id / 1440"
                    for metric_type, day, shard, *rest in database.execute(sql):
                        found.setdefault(f"{metric_type}/{day}/{shard}/{granularity}", []).append(repr((*rest[:6], shape, *rest[7:])))
                    assert database.execute(f"SELECT count(*) FROM {table} WHERE id / 1440 NOT IN (SELECT id FROM series)").fetchone() == (0,)
        return {place: "\n".join(sorted(rows)).encode() for place, rows in found.items()}


def sqlite_places(folder: Path, make: type[SqliteStore] = SqliteStore) -> NewPlace:
    numbers = iter(range(1000))
    return lambda: SqlitePlace(folder / f"place{next(numbers)}", make)
