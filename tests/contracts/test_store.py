"""The behaviour suite over every store, and over a wrong one, for which it has to fail."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from tests.archive import s3_servers
from tests.contracts import behaviours, kind_behaviours, undo_behaviours
from tests.contracts.harness import FolderPlace, NewPlace
from tests.contracts.s3_place import S3Place, Server
from tests.contracts.sqlite_place import sqlite_places
from transforms.core.units import Unit
from transforms.core.versions import Merged, merge
from transforms.stores.backend import Change
from transforms.stores.parquet import ParquetStore
from transforms.stores.parquet_s3 import ParquetS3Store
from transforms.stores.protocol import RollupStore
from transforms.stores.rollups import Rollups
from transforms.stores.sqlite import SqliteStore

BEHAVIOURS = [
    one
    for module in (behaviours, kind_behaviours, undo_behaviours)
    for name, one in vars(module).items()
    if callable(one) and getattr(one, "__module__", "") == module.__name__ and not name.startswith("_")
]


class Unconditional(Rollups):
    """Wrong on purpose: each new row replaces the stored one, as a plain put of items does, whatever came between reading and writing."""

    def upsert(self, unit: Unit, rollups: Mapping[str, pa.Table], *, run_id: str, allow_fewer: bool) -> dict[str, Merged]:
        results = {}
        for granularity, table in rollups.items():
            stored = self.backend.read(unit, granularity)
            untouched = stored.filter(pa.array(merge(stored, table, allow_fewer=allow_fewer).unmatched))
            results[granularity] = blind = merge(untouched, table, allow_fewer=True)
            self.backend.update(unit, {granularity: Change(table, partial(_instead, blind.table))}, run_id)
        return results


def _instead(table: pa.Table, _stored: pa.Table) -> pa.Table:
    return table


CAUGHT = {
    "a_repeated_upsert_writes_nothing",
    "three_runs_end_alike_in_every_order",
    "two_writers_between_read_and_replace_lose_nothing",
    "an_older_generation_does_not_replace_a_newer_one",
    "fewer_minutes_are_refused_unless_allowed",
    "rows_without_a_generation_count_as_0",
    "a_unit_of_a_partition_that_is_not_open_is_an_error",
}
"""Behaviours that an unconditional put does not have."""


def places(make: Callable[..., RollupStore], folder: Path) -> NewPlace:
    numbers = itertools.count()
    return lambda: FolderPlace(make, folder / str(next(numbers)))


class UnconditionalParquet(Unconditional, ParquetStore):
    pass


class UnconditionalSqlite(Unconditional, SqliteStore):
    pass


class UnconditionalS3(Unconditional, ParquetS3Store):
    pass


STORES: dict[str, Callable[[Path], NewPlace]] = {
    "parquet": lambda folder: places(ParquetStore, folder),
    "sqlite": sqlite_places,
}

WRONG_STORES: dict[str, Callable[[Path], NewPlace]] = {
    "parquet": lambda folder: places(UnconditionalParquet, folder),
    "sqlite": lambda folder: sqlite_places(folder, UnconditionalSqlite),
}


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_servers.aws_environment(), s3_servers.served(request.param, tmp_path_factory.mktemp("s3")) as url:
        yield Server(url)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_behaviour(behaviour: Callable[[NewPlace], None], store: str, tmp_path: Path) -> None:
    behaviour(STORES[store](tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("s3_server", ["versitygw"], indirect=True)
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_behaviour_in_s3(behaviour: Callable[[NewPlace], None], s3_server: Server) -> None:
    behaviour(partial(S3Place, s3_server))


@pytest.mark.parametrize("s3_server", ["moto"], indirect=True)
@pytest.mark.parametrize("behaviour", [one for one in BEHAVIOURS if "killed" not in one.__name__], ids=lambda behaviour: behaviour.__name__)
def test_behaviour_in_s3_of_another_server(behaviour: Callable[[NewPlace], None], s3_server: Server) -> None:
    """Without what takes hundreds of calls."""
    behaviour(partial(S3Place, s3_server))


UNKEPT = [one for one in BEHAVIOURS if one.__name__ in CAUGHT]


@pytest.mark.parametrize("store", WRONG_STORES)
@pytest.mark.parametrize("behaviour", UNKEPT, ids=lambda behaviour: behaviour.__name__)
def test_the_suite_catches_an_unconditional_put(behaviour: Callable[[NewPlace], None], store: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        behaviour(WRONG_STORES[store](tmp_path))
    assert len(UNKEPT) == len(CAUGHT)


@pytest.mark.parametrize("s3_server", ["moto"], indirect=True)
@pytest.mark.parametrize("behaviour", UNKEPT, ids=lambda behaviour: behaviour.__name__)
def test_the_suite_catches_an_unconditional_put_in_s3(behaviour: Callable[[NewPlace], None], s3_server: Server) -> None:
    with pytest.raises(AssertionError):
        behaviour(partial(S3Place, s3_server, UnconditionalS3))
