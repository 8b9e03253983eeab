"""One SQLite database: opened for each piece of work, made whole or not at all, its errors told in the project's words.

All access is by ADBC's driver, which binds and fetches Arrow columns. It brings its own SQLite: the sqlite3 of Python must not have the same file open in the
same process at the same time, because closing it in one library drops the file locks of the other (https://www.sqlite.org/howtocorrupt.html, 2.2.1).
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import adbc_driver_sqlite.dbapi as adbc
import numpy as np
import pyarrow as pa
from adbc_driver_manager import Error

from transforms.core.errors import IncompleteError, RefusedError, RollupsError, UsageError
from transforms.stores.files import Files, fsync, make_folder, temporary
from transforms.stores.sqlite_schema import APPLICATION_ID, USER_VERSION, statements

PAGE_BYTES: Final = 16_384
CACHE_KB: Final = 65_536
"""Holds what a unit of 600 series changes in a day, so that no page is written twice."""

AT_ONCE: Final = 180
"""Values of one INSERT, about."""

FETCHED_AT_ONCE: Final = 1 << 22
"""Rows in one batch. The driver knows a column's type from its first batch: it must hold all rows, or a column of nulls at first is one of integers."""

_ERRORS: Final[Mapping[str, tuple[type[RollupsError], str]]] = {
    "database is locked": (IncompleteError, "another program held its lock for longer than the {wait_s:g} s of --sqlite-wait-s; end it and go on"),
    "database or disk is full": (IncompleteError, "there is no room left; make room and go on"),
    "disk I/O error": (IncompleteError, "the disk did not do what it was asked to; see to it and go on"),
    "readonly database": (IncompleteError, "this user may not write to it, or to its folder; see to it and go on"),
    "file is not a database": (UsageError, "the file is no SQLite database; name another"),
    "failed to open": (UsageError, "it can't be opened; this user needs the right to read and write the file and its folder"),
    "database disk image is malformed": (RefusedError, "the database is damaged; restore it"),
    "Type mismatch": (RefusedError, "a column holds values of several types; put right what another program wrote"),
    "no such ": (RefusedError, "its tables are not those of a rollup store; restore it or name another file"),
}
"""Errors and what to do about them, by a part of SQLite's message (the driver passes no codes on)."""


class Connection:
    """An open database. Its methods raise the project's errors."""

    def __init__(self, raw: Any, refuse: Callable[[Exception], RollupsError]) -> None:  # noqa: ANN401 - the driver has no types
        """Wrap the driver's connection."""
        self._raw, self._refuse = raw, refuse

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """A statement without rows."""
        self.fetch(sql, parameters)

    def fetch(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table:
        """The rows of a query."""
        with self._told(), self._raw.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(FETCHED_AT_ONCE)})
            cursor.execute(sql, list(parameters) or None)
            return cursor.fetch_arrow_table() if cursor.description else pa.table({})

    def one(self, sql: str, parameters: Sequence[object] = ()) -> Any:  # noqa: ANN401 - a value of any type
        """The first column of the first row, None if there is none."""
        table = self.fetch(sql, parameters)
        return table.column(0)[0].as_py() if table.num_rows else None

    def many(self, sql: str, rows: pa.Table) -> None:
        """A statement once for each row, whose columns are its parameters."""
        with self._told(), self._raw.cursor() as cursor:
            cursor.executemany(sql, rows)

    def insert(self, table: str, rows: pa.Table, rest: str = "") -> None:
        """All rows, whose columns are the table's in its order, several by each statement; `rest` is what statements end with.

        One at a time, 864,000 rows of three columns took half as long again: what a statement costs, and a search of its place, is paid once for its rows.
        """
        number = max(1, AT_ONCE // rows.num_columns)
        whole = rows.num_rows // number * number
        for some, each in ((rows.slice(0, whole), number), (rows.slice(whole), 1)):
            if some.num_rows:
                values = ", ".join([f"({', '.join('?' * some.num_columns)})"] * each)
                self.many(f"INSERT INTO {table} VALUES {values} {rest}", side_by_side(some, each))

    def version(self) -> int:
        """A number that is another one when another connection has changed the database."""
        return int(self.one("PRAGMA data_version"))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (Error, OSError) as error:
            raise self._refuse(error) from error


def side_by_side(rows: pa.Table, number: int) -> pa.Table:
    """Each `number` rows in one: the columns of the first, of the second, and so on."""
    if number == 1:
        return rows
    parts = [rows.take(pa.array(np.arange(place, rows.num_rows, number))) for place in range(number)]
    columns = [column for part in parts for column in part.columns]
    return pa.table(columns, names=[str(place) for place in range(len(columns))])


@dataclass(frozen=True)
class Database:
    """A file that may not be there yet. `wait_s` is how long a write waits for other writers."""

    path: Path
    wait_s: float = 60.0
    files: Files = field(default_factory=Files)

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"sqlite://{self.path}"

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """The database as it is at the first query, whatever is written meanwhile; None if it is not there."""
        if not self.path.exists():
            yield None
            return
        with self._opened() as connection:
            connection.run("BEGIN")
            yield connection

    @contextmanager
    def working(self) -> Iterator[Connection]:
        """The database, made if it is not there, without a transaction."""
        if not self.path.exists():
            self._make()
        with self._opened() as connection:
            yield connection

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """The only writer until the end, which is on disk then."""
        with self.files.step("lock"):
            connection.run("BEGIN IMMEDIATE")
        yield
        with self.files.step("commit.write"):
            connection.run("COMMIT")

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        """What is not committed at the end is undone."""
        connection, close = self._connected(self.path, "rw")
        try:
            self._check(connection)
            yield connection
        finally:
            close()

    def _connected(self, path: Path, mode: str) -> tuple[Connection, Callable[[], None]]:
        try:
            raw = adbc.connect(f"{path.absolute().as_uri()}?mode={mode}", autocommit=True)
        except Error as error:
            raise self._refused(error) from error
        connection = Connection(raw, self._refused)
        try:
            for pragma in (f"busy_timeout = {round(self.wait_s * 1000)}", "synchronous = FULL", f"cache_size = -{CACHE_KB}"):
                connection.run(f"PRAGMA {pragma}")
        except RollupsError:
            raw.close()
            raise
        return connection, raw.close

    def _check(self, connection: Connection) -> None:
        """Raises UsageError for a database of another program."""
        found = connection.one("PRAGMA application_id"), connection.one("PRAGMA user_version")
        if found[0] != APPLICATION_ID:
            raise UsageError(
                f"the store {self.name} is a file of another program (application_id {found[0]}, a store's is {APPLICATION_ID}): name another file"
            )
        if found[1] != USER_VERSION:
            raise UsageError(f"the store {self.name} has format {found[1]}, this version reads and writes format {USER_VERSION}: use the version that made it")

    def _make(self) -> None:
        """An empty store, unless another process has made one meanwhile; killed, nothing but a file that the next one replaces."""
        make_folder(self.path.parent)
        folder, temp = os.open(self.path.parent, os.O_RDONLY), temporary(self.path)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self.path.exists():
                return
            temp.unlink(missing_ok=True)
            with self.files.step("database.write"):
                self._write_empty(temp)
            with self.files.step("database.rename"):
                temp.rename(self.path)
            fsync(self.path.parent)
        finally:
            os.close(folder)

    def _write_empty(self, path: Path) -> None:
        connection, close = self._connected(path, "rwc")
        try:
            for statement in (f"PRAGMA page_size = {PAGE_BYTES}", "PRAGMA journal_mode = WAL", "BEGIN", *statements(), "COMMIT"):
                connection.run(statement)
        finally:
            close()
        fsync(path)

    def _refused(self, error: Exception) -> RollupsError:
        message = str(error)
        for part, (kind, advice) in _ERRORS.items():
            if part in message:
                return kind(f"using the store {self.name}: {advice.format(wait_s=self.wait_s)} ({message})")
        return RollupsError(f"using the store {self.name}: {message}")
