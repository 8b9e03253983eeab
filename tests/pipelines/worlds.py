"""A world for end-to-end tests: an archive of literal postings, a store, a work dir, and the command line run on them in this process."""

import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.cli import main
from scripts.oracle import COLUMNS, expected_rows
from tests.builders import NOON_S, host_record, service_record

NOON_HOUR = "2025-11-01T12:00Z/PT1H"
GRANULARITIES = ("1m", "5m", "1h")
WIDTH_S = {"1m": 60, "5m": 300, "1h": 3600}

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


def call(argv: Sequence[str], *, now_s: float | None = None) -> Result:
    """Runs one command in this process; `now_s` is the time it believes in."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True) for _ in range(2))
    with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err), clock_at(now_s):
        code = main(list(argv))
    return Result(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))  # type: ignore[attr-defined]


@contextmanager
def clock_at(now_s: float | None) -> Iterator[None]:
    if now_s is None:
        yield
    else:
        with mock.patch("pipelines.cli.time", SimpleNamespace(time=lambda: now_s, sleep=None)):
            yield


class World:
    """One archive, store and work dir below a folder. Everything the tests look at goes through the command line or the files."""

    def __init__(self, root: Path, *, types: str = "host", archive: Path | None = None) -> None:
        self.root, self.types = root, types
        self.archive, self.store, self.work = archive or root / "archive", root / "store", root / "work"
        self.archive.mkdir(parents=True, exist_ok=True)

    def reading(self, archive: str) -> "World":
        """The same store and work dir, but another archive."""
        return World(self.root, types=self.types, archive=self.root / archive)

    def beside(self, name: str) -> "World":
        """The same archive, but another store and work dir."""
        return World(self.root / name, types=self.types, archive=self.archive)

    def put(self, key: str, *records: bytes) -> str:
        """An object of these records; its key."""
        path = self.archive / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(records))
        return key

    @property
    def places(self) -> tuple[str, ...]:
        return "--archive", f"file://{self.archive}", "--store", f"parquet://{self.store}", "--work-dir", str(self.work)

    def asking(self, *more: str, period: str | Sequence[str] = NOON_HOUR, types: str | None = None) -> tuple[str, ...]:
        """The arguments that name archive, store, work dir, periods and types."""
        periods = [period] if isinstance(period, str) else period
        return *self.places, *(word for one in periods for word in ("--period", one)), "--metric-types", types or self.types, "--json", *more

    def backfill(self, *more: str, now_s: float | None = None, **asked: Any) -> Result:
        return call(["backfill", *self.asking(*more, **asked)], now_s=now_s)

    def plan(self, *more: str, now_s: float | None = None, **asked: Any) -> Result:
        return call(["plan", *self.asking(*more, **asked)], now_s=now_s)

    def execute(self, run_id: str, *more: str) -> Result:
        return call(["backfill", "--plan", run_id, "--work-dir", str(self.work), "--json", *more])

    def command(self, name: str, *more: str) -> Result:
        """A command that knows runs only: runs, status, undo."""
        return call([name, *more, "--work-dir", str(self.work), "--json"])

    def rows(self, granularity: str, *more: str, period: str = "2025-10-01T00:00Z/2025-12-01T00:00Z") -> list[Row]:
        """What `export` lists."""
        result = call(["export", "--store", f"parquet://{self.store}", "--period", period, "--granularity", granularity, "--format", "json", *more])
        assert result.code == 0, result.err
        return json.loads(result.out)

    def all_rows(self, *more: str) -> list[Row]:
        return [row for granularity in GRANULARITIES for row in self.rows(granularity, *more)]

    def column(self, name: str, column: str = "last", *, granularity: str = "1m", metric_type: str = "host", entity: str = "h1") -> dict[int, Any]:
        """One column of a series by bucket start, in seconds after noon of 2025-11-01."""
        return column_of(self.rows(granularity, "--series", f"{metric_type}/*/{entity}/{name}"), name, column, metric_type=metric_type, entity=entity)

    def expected(self, *, periods_s: Sequence[tuple[int, int]], **asked: Any) -> list[Row]:
        """What the oracle says that `export` lists, without generations."""
        asked = {"metric_types": self.types.split(",")} | asked
        return [row for one in GRANULARITIES for row in expected_rows(str(self.archive), periods_s=periods_s, granularities=[one], **asked)]

    def stored(self, *, generations: Mapping[int, int] | None = None) -> dict[str, bytes]:
        """The bytes of every file of rollups, by path.

        With `generations`, of the same rows with these generations renamed, written again.
        """
        paths = sorted(self.store.glob("metric_type=*/**/*.parquet"))
        return {str(path.relative_to(self.store)): path.read_bytes() if generations is None else renamed(path, generations) for path in paths}

    def run_dir(self, run_id: str) -> Path:
        return self.work / "runs" / run_id

    def generation(self, run_id: str) -> int:
        return json.loads((self.run_dir(run_id) / "plan.json").read_text())["generation"]

    def but_generation(self, *run_ids: str) -> dict[str, bytes]:
        """The stored rollups, with the generations of these runs called 1, 2 and so on."""
        return self.stored(generations={self.generation(run_id): place for place, run_id in enumerate(run_ids, 1)})

    def save(self) -> Path:
        """Keeps store and work dir as they are; `restore` brings them back."""
        saved = self.root / f"saved-{len(list(self.root.glob('saved-*')))}"
        for folder in (self.store, self.work):
            copy_folder(folder, saved / folder.name)
        return saved

    def restore(self, saved: Path) -> None:
        for folder in (self.store, self.work):
            shutil.rmtree(folder, ignore_errors=True)
            copy_folder(saved / folder.name, folder)


def column_of(rows: Sequence[Row], name: str, column: str = "last", *, metric_type: str = "host", entity: str = "h1") -> dict[int, Any]:
    """One column of a series by bucket start, in seconds after noon of 2025-11-01."""
    chosen = [row for row in rows if (row["metric_type"], row["entity"], row["name"]) == (metric_type, entity, name)]
    return {seconds(row["bucket_start"]) - NOON_S: row[column] for row in chosen}


def copy_folder(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copytree(source, target)


def renamed(path: Path, generations: Mapping[int, int]) -> bytes:
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index("generation")
    column = [None if one is None else generations.get(one, one) for one in table["generation"].to_pylist()]
    sink = pa.BufferOutputStream()
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(column, pa.int64())), sink, compression="none")
    return sink.getvalue().to_pybytes()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def key(time_s: int, name: str = "a", extension: str = "") -> str:
    """Firehose's key of an object whose oldest record arrived then."""
    at = datetime.fromtimestamp(time_s, UTC)
    return f"{at:%Y/%m/%d/%H}/metrics-1-{at:%Y-%m-%d-%H-%M-%S}-{name}{extension}"


def iso(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def period_of(from_s: int, to_s: int) -> str:
    return f"{iso(from_s)}/{iso(to_s)}"


def bits(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Rows but for the generation, every number by its `repr`, which tells all floats apart."""
    return sorted(tuple(repr(row[name]) for name in COLUMNS) for row in rows)


def gauge(name: str, values: Mapping[int, object] | Sequence[object], *, at: float = 1, host: str = "h1", **more: object) -> bytes:
    """A host's posting of one metric: values by seconds after noon, or one a minute from noon on; it arrives `at` seconds after noon."""
    points = values.items() if isinstance(values, Mapping) else ((60 * place, value) for place, value in enumerate(values))
    return host_record(host, NOON_S + at, [(name, NOON_S + after, value) for after, value in points], **more)


def service_gauge(name: str, values: Mapping[int, object], *, at: float = 1, service: str = "shop", **more: object) -> bytes:
    return service_record(service, NOON_S + at, [(name, NOON_S + after, value) for after, value in values.items()], **more)
