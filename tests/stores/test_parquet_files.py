"""The files of the Parquet store: bytes that tell nothing of their history, and readers that know nothing of us."""

import threading
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.contracts.harness import PATIENCE_S, UNIT, every_granularity, put, put_all
from tests.core.rollup_tables import DAY_S, row, rows_of, table
from transforms.core.canonical import canonical
from transforms.core.errors import UsageError
from transforms.core.granularity import GRANULARITIES
from transforms.core.model import EXPORT_COLUMNS, ROLLUP_SCHEMA
from transforms.core.restoring import with_generation
from transforms.core.units import Unit
from transforms.stores.files import temporary
from transforms.stores.frame import exported, load
from transforms.stores.parquet import ParquetStore
from transforms.stores.shard_files import ROW_GROUP, read_table, write_table

SHARD = Path("metric_type=host/granularity=1m/day=2025-11-01/shard-0000.parquet")


@pytest.fixture
def store(tmp_path: Path) -> ParquetStore:
    return ParquetStore(tmp_path / "root")


def grid(series: int, buckets: int) -> pa.Table:
    """Many rows, quickly: every series has every minute, values of all magnitudes."""
    rows = series * buckets
    values = np.random.default_rng(1).random(rows) * np.logspace(-9, 9, rows)
    texts = {"org": "acme", "labels": "{}", "kind": "gauge"}
    columns = {name: pa.array([text] * rows) for name, text in texts.items()}
    columns["entity"] = pa.array([f"h{one // 10:04d}" for one in range(series)]).take(pa.array(np.repeat(np.arange(series), buckets)))
    columns["name"] = pa.array([f"m{one % 10}" for one in range(series)]).take(pa.array(np.repeat(np.arange(series), buckets)))
    columns["bucket_start"] = pa.array(np.tile(np.arange(buckets) * 60_000, series) + DAY_S * 1000).cast(ROLLUP_SCHEMA.field("bucket_start").type)
    columns |= {"minutes": pa.array(np.ones(rows, np.int32)), "count": pa.array(np.ones(rows, np.int64)), "generation": pa.array(np.full(rows, 7))}
    columns |= dict.fromkeys(("sum", "min", "max", "avg", "last"), pa.array(values))
    plain = [columns[field.name] if field.name in columns else pa.nulls(rows, field.type) for field in ROLLUP_SCHEMA]
    return canonical(pa.table([one.dictionary_encode() if one.type == pa.string() else one for one in plain], schema=ROLLUP_SCHEMA))


def test_bytes_are_the_same_whatever_the_history(tmp_path: Path) -> None:
    rows, unit = grid(100, 1440), UNIT
    chosen = np.arange(rows.num_rows) % 1440
    pieces = [canonical(rows.filter(pa.array(mask))) for mask in (chosen >= 700, (chosen < 900) & (chosen > 300), chosen < 400)]
    histories = {
        "at once": [rows],
        "in pieces": pieces,
        "backwards": pieces[::-1],
        "over another run's": [with_generation(pieces[1], 3), rows],
        "in chunks of other dictionaries": [pa.concat_tables([rows.slice(0, 70_000), canonical(rows.slice(70_000))])],
    }
    found = {}
    for name, history in histories.items():
        store = ParquetStore(tmp_path / name)
        store.open_partition(unit.metric_type, unit.window, 1)
        for one in history:
            store.upsert(unit, {"1m": one}, run_id="run", allow_fewer=False)
        found[name] = (tmp_path / name / SHARD).read_bytes()
    assert len(set(found.values())) == 1, {name: len(content) for name, content in found.items()}
    assert read_table(tmp_path / "at once" / SHARD).equals(rows)


def test_row_groups_are_fixed_and_nothing_else_is_told(tmp_path: Path) -> None:
    write_table(grid(100, 1440), tmp_path / "file")
    metadata = pq.read_metadata(tmp_path / "file")
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [ROW_GROUP, ROW_GROUP, 144_000 - 2 * ROW_GROUP]
    assert set(metadata.metadata) == {b"ARROW:schema"}
    assert metadata.row_group(0).column(ROLLUP_SCHEMA.names.index("entity")).statistics.max == "h0004"


def test_all_files_have_one_schema(store: ParquetStore, tmp_path: Path) -> None:
    put(store, [row()], shards=3)
    put(store, [row(value=None, generation=None, bounds=[0.1], bucket_counts=[1, 2])], unit=UNIT._replace(shard=1), shards=3)
    schemas = [pq.read_schema(path) for path in tmp_path.rglob("*.parquet")]
    assert len(schemas) == 2
    assert schemas[0].equals(schemas[1], check_metadata=True)
    assert schemas[0].equals(ROLLUP_SCHEMA)


@pytest.fixture
def filled(store: ParquetStore) -> ParquetStore:
    """Two types, two days, rows with and without generation, before-images, a leftover of a killed writer."""
    put(store, [row("h1", 0, value=1.0), row("é", 60, value=2.0, generation=None)], shards=3)
    put(store, [row("h1", 0, value=1.5, generation=5)], run_id="second", shards=3)
    put(store, [row("h2", 86_400, value=3.0, labels='{"k":"v"}')], unit=Unit("service", "2025-11-02", 2), shards=3)
    put(store, [row("h1", 0, value=9.0)], granularity="1h", shards=3)
    temporary(store.backend.layout.shard(UNIT, "1m")).write_bytes(b"half a file")
    return store


EXPECTED = [("host", "1m", "h1", 1.5), ("host", "1m", "é", 2.0), ("service", "1m", "h2", 3.0), ("host", "1h", "h1", 9.0)]


def test_pandas_reads_the_folder(filled: ParquetStore, tmp_path: Path) -> None:
    frame = pd.read_parquet(tmp_path / "root")
    found = [tuple(one) for one in frame[["metric_type", "granularity", "entity", "sum"]].itertuples(index=False)]
    assert sorted(found) == sorted(EXPECTED)
    assert {str(frame[name].dtype) for name in ("metric_type", "granularity", "entity", "labels", "day")} <= {"category", "str", "object"}
    assert str(frame["bucket_start"].dtype) == "datetime64[ms, UTC]"
    assert frame[frame["day"] == "2025-11-02"]["bucket_start"].tolist() == [pd.Timestamp("2025-11-02", tz="UTC")]


def test_duckdb_reads_the_same_rows(filled: ParquetStore, tmp_path: Path) -> None:
    query = f"from read_parquet('{tmp_path}/root/**/*.parquet', hive_partitioning=true)"
    found = duckdb.sql(f"select metric_type, granularity, entity, sum {query}").fetchall()
    assert sorted(found) == sorted(EXPECTED)
    days = duckdb.sql(f"select distinct day::varchar, epoch_ms(bucket_start) // 86400000 {query} order by 1").fetchall()
    assert days == [("2025-11-01", DAY_S // 86_400), ("2025-11-02", DAY_S // 86_400 + 1)]


def test_load_gives_a_data_frame_of_the_exported_columns(filled: ParquetStore, tmp_path: Path) -> None:
    frame = load(f"parquet://{tmp_path}/root", "1m")
    assert tuple(frame.columns) == EXPORT_COLUMNS
    assert list(zip(frame["metric_type"], frame["granularity"], frame["entity"], frame["sum"], strict=True)) == EXPECTED[:3]
    assert frame["generation"].tolist() == [5, 0, 1]
    assert str(frame["bucket_start"].dtype) == "datetime64[ms, UTC]"
    assert str(frame["name"].dtype) == "category"
    assert load(tmp_path / "root", "1m", metric_types=["service"], period=(DAY_S + 86_400, DAY_S + 86_460))["entity"].tolist() == ["h2"]
    assert load(tmp_path / "root", "5m").empty
    assert str(load(tmp_path / "root", "5m")["bucket_start"].dtype) == "datetime64[ms, UTC]"


def test_exported_rows_are_sorted_and_show_generation_0(filled: ParquetStore) -> None:
    rows = [one for piece in exported(filled, "1m", periods=[(DAY_S, DAY_S + 90_000), (DAY_S, DAY_S + 60)]) for one in rows_of(piece)]
    assert [(one["metric_type"], one["entity"], one["generation"]) for one in rows] == [("host", "h1", 5), ("host", "é", 0), ("service", "h2", 1)]


def test_a_leftover_of_a_killed_writer_is_removed_by_the_next_upsert(filled: ParquetStore) -> None:
    leftover = temporary(filled.backend.layout.shard(UNIT, "1m"))
    assert leftover.exists()
    put(filled, [row("h1", 0, value=9.0)], granularity="1h")
    assert not leftover.exists()


def test_before_images_are_links_and_made_only_for_writes(filled: ParquetStore, tmp_path: Path) -> None:
    images = sorted(str(path.relative_to(tmp_path / "root" / "_before")) for path in tmp_path.rglob("*.image"))
    first = "metric_type=host/granularity=1m/day=2025-11-01/shard-0000.0.image"
    assert f"run/{first}" in images
    assert f"second/{first}" in images
    assert (tmp_path / "root/_before/run" / first).stat().st_size == 0
    assert rows_of(read_table(tmp_path / "root/_before/second" / first)) == rows_of(table([row("h1", 0, value=1.0), row("é", 60, value=2.0, generation=None)]))
    put(filled, [row("h1", 0, value=1.5, generation=5)], run_id="third")
    assert not (tmp_path / "root/_before/third").exists()


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden", "_locks", "undo-x"])
def test_a_run_id_that_is_no_file_name_is_refused(store: ParquetStore, run_id: str) -> None:
    with pytest.raises(UsageError, match="run id"):
        put(store, [row()], run_id=run_id)
    assert not list(store.backend.layout.root.rglob("*.parquet"))


def test_a_file_goes_to_disk_while_the_next_one_is_written(tmp_path: Path) -> None:
    """The disk is not ready with the first file before the second one is being written."""
    writing, seen = threading.Event(), []

    def failpoint(name: str) -> None:
        if name == "before shard.fsync" and not writing.is_set():
            assert writing.wait(PATIENCE_S)
        if name == "before shard.write":
            seen.append(name)
            if len(seen) == 2:
                writing.set()

    store = ParquetStore(tmp_path / "root", failpoint=failpoint)
    put_all(store, every_granularity(GRANULARITIES, 7), "run")
    assert len(seen) == 3
    assert [store.read_unit(UNIT, name).num_rows for name in ("1m", "5m", "1h")] == [4, 4, 4]


def test_a_file_that_can_not_be_placed_is_an_error(tmp_path: Path) -> None:
    def failpoint(name: str) -> None:
        if name == "before shard.rename":
            raise OSError(name)

    with pytest.raises(OSError, match=r"before shard\.rename"):
        put_all(ParquetStore(tmp_path / "root", failpoint=failpoint), every_granularity(GRANULARITIES, 7), "run")
    assert not list((tmp_path / "root").rglob("*.tmp"))
