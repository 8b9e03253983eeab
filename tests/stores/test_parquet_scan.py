"""Reading in order what is spread over files, in bounded pieces, while others write."""

import itertools
from pathlib import Path

import pytest

from tests.contracts.harness import UNIT, put
from tests.core.rollup_tables import DAY_S, Row, row, rows_of
from transforms.core.granularity import Range
from transforms.core.model import ROLLUP_SCHEMA, SeriesKey
from transforms.core.units import Unit, shard_of
from transforms.stores import scanning
from transforms.stores.parquet import ParquetStore

SHARDS_OF_DAY = {0: 3, 1: 2, 2: 1}
"""Partitions may have different numbers of shards, so a series' shard changes from day to day."""


@pytest.fixture
def store(tmp_path: Path) -> ParquetStore:
    units: dict[Unit, list[Row]] = {}
    for (day, shards), number in itertools.product(SHARDS_OF_DAY.items(), range(20)):
        entity = f"h{number:02d}"
        unit = Unit("host", f"2025-11-0{day + 1}", shard_of(SeriesKey("host", "acme", entity, "cpu").encode(), shards))
        if number % (day + 1) == 0:
            units.setdefault(unit, []).extend(row(entity, day * 86_400 + bucket_s) for bucket_s in range(0, 300, 60))
    store = ParquetStore(tmp_path)
    for unit, rows in units.items():
        put(store, rows, unit=unit, shards=3)
    return store


def everything(store: ParquetStore, periods: list[Range] | None = None) -> tuple[list[tuple[str, int]], int]:
    """(entity, bucket start) of all rows in the order of the scan, and the rows of the largest piece."""
    pieces = [piece for _, piece in store.scan("1m", periods=periods)]
    return [(one["entity"], one["bucket_start"] // 1000 - DAY_S) for piece in pieces for one in rows_of(piece)], max(map(len, pieces), default=0)


WANTED = sorted(
    (f"h{number:02d}", day * 86_400 + bucket_s)
    for day, number, bucket_s in itertools.product(SHARDS_OF_DAY, range(20), range(0, 300, 60))
    if number % (day + 1) == 0
)


@pytest.mark.parametrize("rows", [1, 15, 16, 40, 1000])
def test_pieces_are_bounded_and_make_one_order(store: ParquetStore, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(scanning, "PIECE_ROWS", rows)
    found, largest = everything(store)
    assert found == WANTED
    assert largest <= max(rows, 15)


@pytest.mark.parametrize("periods", [[(0, 60)], [(59, 61)], [(60, 60 + 86_400)], [(0, 1), (86_400 + 299, 86_400 + 301)], [(-500, 0)], [(10**6, 10**7)], []])
def test_a_bucket_is_in_a_period_that_it_overlaps(store: ParquetStore, periods: list[Range]) -> None:
    found, _ = everything(store, [(DAY_S + from_s, DAY_S + to_s) for from_s, to_s in periods])
    assert found == [(entity, start) for entity, start in WANTED if any(start < to_s and start + 60 > from_s for from_s, to_s in periods)]


def test_files_replaced_or_removed_meanwhile_are_read_as_they_are_then(store: ParquetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "PIECE_ROWS", 1)
    pieces = store.scan("1m")
    found: list[Row] = rows_of(next(pieces)[1])
    assert {one["entity"] for one in found} == {"h00"}
    unit = Unit("host", "2025-11-03", 0)
    put(store, [row("h00a", 2 * 86_400), row("h06", 2 * 86_400, value=7.0, generation=9)], unit=unit, shards=3)
    for shard in (0, 1):
        store.backend.layout.shard(Unit("host", "2025-11-02", shard), "1m").unlink()
    rest = [one for _, piece in pieces for one in rows_of(piece)]
    starts = [(one["entity"], one["bucket_start"]) for one in [*found, *rest]]
    assert starts == sorted(set(starts))
    assert [one["sum"] for one in rest if one["entity"] == "h06" and one["bucket_start"] == (DAY_S + 2 * 86_400) * 1000] == [7.0]
    second_day = (DAY_S + 86_400) * 1000, (DAY_S + 2 * 86_400) * 1000
    assert not [one for one in rest if second_day[0] <= one["bucket_start"] < second_day[1]]


def test_columns_come_in_the_order_of_the_schema(store: ParquetStore) -> None:
    pieces = [piece for _, piece in store.scan("1m", columns=["sum", "entity", "generation"])]
    assert [piece.column_names for piece in pieces] == [["entity", "sum", "generation"]]
    assert [piece.column_names for _, piece in store.scan("1m")] == [ROLLUP_SCHEMA.names]


def test_rows_of_one_series_stay_apart_by_kind(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    put(store, [row(kind="gauge", bucket_s=0), row(kind="counter", bucket_s=60), row(kind="gauge", bucket_s=120)], unit=UNIT)
    found = [(one["kind"], one["bucket_start"] // 1000 - DAY_S) for _, piece in store.scan("1m") for one in rows_of(piece)]
    assert found == [("counter", 60), ("gauge", 0), ("gauge", 120)]
