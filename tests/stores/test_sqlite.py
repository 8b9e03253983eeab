"""What is particular to SQLite stores: what people see in them, other programs that use the file, and what is said when it can't be used."""

import itertools
import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.harness import UNIT, every_granularity, in_processes, put, put_all, read
from tests.contracts.sqlite_place import SqlitePlace
from tests.core.rollup_tables import DAY, DAY_S, Row, row, rows_of, table
from transforms.core.errors import IncompleteError, RefusedError, RollupsError, UsageError
from transforms.core.model import SeriesKey
from transforms.core.units import Unit, shard_of
from transforms.stores import open_store, sqlite_database, sqlite_rows
from transforms.stores.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rollups.db"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return SqliteStore(path)


class Shell:
    """Another program that has the store's file open: a process of its own, as two libraries of SQLite in one process disturb each other."""

    def __init__(self, path: Path) -> None:
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=self._serve, args=(path, theirs), daemon=True)
        self._process.start()

    @staticmethod
    def _serve(path: Path, asked: Connection) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        while sql := asked.recv():
            try:
                asked.send(connection.execute(sql).fetchall())
            except sqlite3.Error as error:
                asked.send(error)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, or its error."""
        self._ours.send(sql)
        answer = self._ours.recv()
        if isinstance(answer, Exception):
            raise answer
        rows: list[tuple[Any, ...]] = answer
        return rows

    def close(self) -> None:
        self._ours.send("")
        self._process.join()


@pytest.fixture
def shell(path: Path, store: SqliteStore) -> Iterator[Shell]:
    store.issue_generation(1)
    with closing(Shell(path)) as shell:
        yield shell


# --- rows -------------------------------------------------------------------------------------------------------------


def count(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        number: int = database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        return number


FORMS: dict[str, Row] = {
    "value": row(value=0.1),
    "gauge": row(minutes=5),
    "gauge of different values": row(last=2.0),
    "gauge without a last value": row(last=None),
    "full by a percentile": row(p50=1.0),
    "full by lists without elements": row(bounds=[], bucket_counts=[]),
    "full by a start": row(start_time=1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", FORMS)
def test_a_row_lies_in_the_first_table_that_can_hold_it(store: SqliteStore, path: Path, before: str, form: str) -> None:
    """Also one that was of another form, in another table."""
    put(store, [FORMS[before] | {"generation": 1}], run_id="before")
    wanted = FORMS[form] | {"generation": 2}
    put(store, [wanted], run_id="after", allow_fewer=True)
    assert store.read_unit(UNIT, "1m").equals(table([wanted]))
    shape = form.partition(" ")[0]
    assert {name: count(path, f"rollups_1m_{name}") for name in ("value", "gauge", "full")} == {"value": 0, "gauge": 0, "full": 0} | {shape: 1}


def test_only_rows_that_differ_are_written(store: SqliteStore, path: Path) -> None:
    """The others keep what a trigger would change."""
    put(store, [row("h1", bucket_s, value=float(bucket_s), generation=1) for bucket_s in range(0, 600, 60)], run_id="a")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE log (verb TEXT, id INTEGER)")
        for verb, which in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            database.execute(f"CREATE TRIGGER log_{verb} AFTER {verb} ON rollups_1m_value BEGIN INSERT INTO log VALUES ('{verb}', {which}.id % 1440); END")
    second = [row("h1", 0, value=7.0, generation=2), *(row("h1", bucket_s, value=float(bucket_s), generation=2) for bucket_s in (120, 180, 300))]
    put(store, [*second, row("h1", 660, generation=2)], run_id="b")
    with closing(sqlite3.connect(path)) as database:
        assert sorted(database.execute("SELECT verb, id FROM log WHERE verb <> 'DELETE'")) == [
            ("INSERT", 11),
            ("UPDATE", 0),
            ("UPDATE", 2),
            ("UPDATE", 3),
            ("UPDATE", 5),
        ]
    assert read(store)["h1", 120] == (1, 120.0, 2)
    assert read(store)["h1", 60] == (1, 60.0, 1)


def test_series_without_rollups_are_forgotten(store: SqliteStore, path: Path) -> None:
    put(store, [row("h1", generation=1)], run_id="a")
    put(store, [row("h2", generation=2)], run_id="b")
    store.undo("b", generation=2, now_generation=3)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT entity FROM series").fetchall() == [("h1",)]


def test_a_rollup_that_begins_within_a_minute_is_an_error(store: SqliteStore) -> None:
    with pytest.raises(RollupsError, match="begins 1500 ms after its minute"):
        put(store, [row(bucket_start=DAY_S * 1000 + 1500)])


@pytest.mark.parametrize("piece_rows", [1, 1440, 5000])
def test_a_scan_comes_in_pieces_of_bounded_size(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, piece_rows: int) -> None:
    monkeypatch.setattr(sqlite_rows, "PIECE_ROWS", piece_rows)
    wanted = []
    for day, entity in itertools.product((0, 1, 2), ("h1", "h2", "h3")):
        starts = [day * 86_400 + bucket_s for bucket_s in (0, 7200, 86_340)]
        put(store, [row(entity, bucket_s) for bucket_s in starts], unit=UNIT._replace(window=f"2025-11-0{1 + day}"))
        wanted += [(entity, (DAY_S + start) * 1000) for start in starts]
    pieces = [rows_of(piece) for _, piece in store.scan("1m")]
    assert [(one["entity"], one["bucket_start"]) for piece in pieces for one in piece] == sorted(wanted)
    assert len(pieces) == {1: 9, 1440: 9, 5000: 3}[piece_rows]
    hour = [(DAY_S + 7200 + 59, DAY_S + 7260), (DAY_S + 2 * 86_400 - 1, DAY_S + 2 * 86_400 + 1)]
    found = [(one["entity"], one["bucket_start"] // 1000 - DAY_S) for _, piece in store.scan("1m", periods=hour) for one in rows_of(piece)]
    assert found == [(entity, start) for entity in ("h1", "h2", "h3") for start in (7200, 2 * 86_400 - 60, 2 * 86_400)]


# --- people who query it ----------------------------------------------------------------------------------------------


def test_the_view_finds_a_series_by_index(store: SqliteStore, shell: Shell, tmp_path: Path) -> None:
    """No table is read from end to end, whichever the granularity."""
    put_all(store, every_granularity(SqlitePlace(tmp_path), 7), "a")
    query = "SELECT bucket_start, avg FROM rollups WHERE entity = 'h1' AND name = 'cpu' AND granularity = '1m' AND day = '2025-11-01' ORDER BY bucket_start"
    assert shell.execute(query) == [("2025-11-01T00:00:00Z", 1.0), ("2025-11-01T00:01:00Z", 1.0)]
    plan = [detail for *_, detail in shell.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert not [
        detail for detail in plan if detail.startswith("SCAN") and "CONSTANT" not in detail and "subquery" not in detail.lower() and "rollups" not in detail
    ]
    assert any("SEARCH series USING" in detail and "series_by_name (entity=? AND name=?" in detail for detail in plan)
    assert any("USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in detail for detail in plan)


def test_the_tables_refuse_values_of_another_type(store: SqliteStore, shell: Shell) -> None:
    put(store, [row()])
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in REAL column"):
        shell.execute("UPDATE rollups_1m_value SET value = 'much'")


def test_rollups_of_another_writer_without_shards_said_count_as_a_partition(store: SqliteStore, shell: Shell) -> None:
    shards = {f"h{number}": shard_of(SeriesKey("host", "acme", f"h{number}", "cpu").encode(), 3) for number in range(9)}
    assert set(shards.values()) == {0, 1, 2}
    for number, (entity, shard) in enumerate(shards.items(), 1):
        shell.execute(f"INSERT INTO series VALUES ({number}, 'host', '{DAY}', {shard}, 'acme', '{entity}', 'cpu', '{{}}', 'gauge')")
        shell.execute(f"INSERT INTO rollups_1m_value VALUES ({number * 1440 + 2}, 4.0, NULL)")
    assert store.shard_count("host", DAY) == 3
    assert store.open_partition("host", DAY, 8) == 3
    assert read(store, Unit("host", DAY, shards["h1"]))["h1", 120] == (1, 4.0, None)
    shell.execute("UPDATE series SET shard = 0, day = '2025-11-02'")
    shell.execute("UPDATE series SET shard = 1 WHERE entity = 'h1'")
    with pytest.raises(RefusedError, match=r"with 2 shards, as the table series says, series acme/h\d/cpu would not be in shard"):
        store.shard_count("host", "2025-11-02")


# --- several at once --------------------------------------------------------------------------------------------------


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Of one unit and of several."""
    place = SqlitePlace(tmp_path)

    def work(number: int) -> None:
        for step in range(4):
            put(place.open(), [row(f"h{number}", 60 * step, generation=number + 1)], run_id=f"r{number}")
            put(place.open(), [row("all", 60 * step, generation=number + 1)], run_id=f"r{number}")
            put(place.open(), [row("own", 9 * 86_400)], unit=UNIT._replace(window="2025-11-10", shard=number % 3), shards=3)

    in_processes(6, work)
    assert read(place.open()) == {(f"h{number}", 60 * step): (1, 1.0, number + 1) for number in range(6) for step in range(4)} | {
        ("all", 60 * step): (1, 1.0, 6) for step in range(4)
    }


def test_readers_see_the_last_commit_while_a_writer_is_at_work(path: Path) -> None:
    put(SqliteStore(path), [row(value=1.0, generation=1)])
    seen = []

    def look(name: str) -> None:
        if name in {"after rows.write", "after commit.write"}:
            seen.append((name.split()[1], read(SqliteStore(path))["h1", 0][1]))

    put(SqliteStore(path, failpoint=look), [row(value=2.0, generation=2)], run_id="b")
    assert seen == [("rows.write", 1.0), ("commit.write", 2.0)]


def test_a_scan_is_of_one_moment(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_rows, "PIECE_ROWS", 1)
    put(store, [row("h1", value=1.0, generation=1), row("h2", value=1.0, generation=1)])
    pieces = store.scan("1m")
    first = rows_of(next(pieces)[1])
    put(store, [row("h1", value=2.0, generation=2), row("h2", value=2.0, generation=2), row("h3", generation=2)], run_id="b")
    assert [(one["entity"], one["sum"]) for one in [*first, *(one for _, piece in pieces for one in rows_of(piece))]] == [("h1", 1.0), ("h2", 1.0)]


def test_the_lock_is_not_taken_where_nothing_changes(path: Path, shell: Shell) -> None:
    store = SqliteStore(path, wait_s=0)
    put(store, [row()])
    shell.execute("BEGIN IMMEDIATE")
    put(store, [row()], run_id="again")
    assert read(store) == {("h1", 0): (1, 1.0, 1)}


def test_a_lock_held_for_longer_than_the_patience_ends_the_write_and_it_can_go_on(path: Path, shell: Shell) -> None:
    store = SqliteStore(path, wait_s=0.05)
    store.open_partition("host", DAY, 3)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(IncompleteError, match=r"another program held its lock for longer than the 0.05 s of --sqlite-wait-s") as ended:
        put(store, [row()])
    assert ended.value.exit_code == 3
    shell.execute("ROLLBACK")
    put(store, [row()])
    assert read(store) == {("h1", 0): (1, 1.0, 1)}


# --- what can't be used -----------------------------------------------------------------------------------------------


def test_a_disk_without_room_is_told_and_nothing_half_written(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, [row()], run_id="a")
    many = [row(f"h{number:04d}", 60 * place, value=number / 7, generation=9) for number in range(100) for place in range(50)]
    connected = sqlite_database.Database._connected

    def small(self: sqlite_database.Database, path: Path, mode: str) -> object:
        connection, close = connected(self, path, mode)
        connection.run(f"PRAGMA max_page_count = {path.stat().st_size // sqlite_database.PAGE_BYTES}")
        return connection, close

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_database.Database, "_connected", small)
        with pytest.raises(IncompleteError, match=r"there is no room left; make room and go on .*database or disk is full"):
            put(store, many, run_id="b")
    assert read(store) == {("h1", 0): (1, 1.0, 1)}
    put(store, many, run_id="b")
    assert len(read(store)) == 5001


def test_a_file_that_is_no_database(path: Path) -> None:
    for content in (b"not a database, whatever its name says " * 1000, b""):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"the file is no SQLite database|is a file of another program"):
            open_store(f"sqlite://{path}")
        assert path.read_bytes() == content


def test_a_database_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE rollups (bucket)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is a file of another program"):
        open_store(f"sqlite://{path}")
    with pytest.raises(UsageError, match="is a file of another program"):
        put(SqliteStore(path), [row()])
    assert path.read_bytes() == before


def test_a_store_of_a_later_format_or_without_its_tables(path: Path, shell: Shell) -> None:
    shell.execute("DROP TABLE rollups_1m_value")
    with pytest.raises(RefusedError, match="its tables are not those of a rollup store"):
        put(SqliteStore(path), [row()])
    shell.execute("PRAGMA user_version = 2")
    with pytest.raises(UsageError, match="has format 2, this version reads and writes format 1"):
        open_store(f"sqlite://{path}")


def test_paths_that_can_not_be_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for url, message in (
        (f"sqlite://{tmp_path}", "which is a folder: name a file, such as"),
        (f"sqlite://{tmp_path}/file/below.db", "file is not a folder"),
        ("sqlite://rollups.db", "has a relative path; write sqlite:///"),
        (f"sqlite://{tmp_path}/a.db?mode=memory", r"goes on with \?"),
    ):
        with pytest.raises(UsageError, match=message):
            open_store(url)
    with pytest.raises(UsageError, match="does not exist"):
        open_store(f"sqlite://{tmp_path}/none.db", writable=False)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file"]


def test_a_store_that_this_user_may_not_write(path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, [row()])
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda _path, mode: mode == 4)  # may be read
        with pytest.raises(UsageError, match="can't be written: this user has no right to"):
            open_store(f"sqlite://{path}")
        assert read(open_store(f"sqlite://{path}", writable=False)) == {("h1", 0): (1, 1.0, 1)}
    connected = sqlite_database.Database._connected
    monkeypatch.setattr(sqlite_database.Database, "_connected", lambda self, path, _mode: connected(self, path, "ro"))
    with pytest.raises(IncompleteError, match="this user may not write to it, or to its folder"):
        put(store, [row(value=2.0, generation=2)])


def test_a_path_is_any_text(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/a%20folder/caf%C3%A9 %3F %23 100%25.db"
    put(open_store(url), [row()])
    assert [one.name for one in (tmp_path / "a folder").iterdir()] == ["café ? # 100%.db"]
    assert read(open_store(url, writable=False)) == {("h1", 0): (1, 1.0, 1)}
