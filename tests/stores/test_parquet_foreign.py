"""Files of other writers with the same layout."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.contracts.harness import UNIT, put, read
from tests.core.rollup_tables import DAY, DAY_S, row, rows_of, table, unordered
from transforms.core.errors import RefusedError
from transforms.core.model import SeriesKey
from transforms.core.units import Unit, shard_of
from transforms.stores.frame import exported
from transforms.stores.parquet import ParquetStore

ROWS = [row("h2", 60, generation=None), row("h1", 60, generation=None), row("h1", 0, generation=None)]
IN_ORDER = {("h1", 0): (1, 1.0, None), ("h1", 60): (1, 1.0, None), ("h2", 60): (1, 1.0, None)}


@pytest.fixture
def store(tmp_path: Path) -> ParquetStore:
    return ParquetStore(tmp_path)


def plant(store: ParquetStore, content: pa.Table, unit: Unit = UNIT, granularity: str = "1m", **options: object) -> Path:
    """Write a shard's file as another writer may."""
    path = store.backend.layout.shard(unit, granularity)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path, **options)
    return path


def plain(content: pa.Table) -> pa.Table:
    """Texts as plain strings, as most writers have them."""
    texts = pa.schema([pa.field(field.name, pa.string()) if pa.types.is_dictionary(field.type) else field for field in content.schema])
    return content.cast(texts)


VARIANTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "unsorted": lambda content: content,
    "plain strings": plain,
    "large strings": lambda content: content.set_column(1, "entity", plain(content).column("entity").cast(pa.large_string())),
    "columns in another order": lambda content: content.select(content.column_names[::-1]),
    "without the trailing columns": lambda content: content.drop_columns(["first_value", "last_value", "start_time", "bounds", "bucket_counts"]),
    "without a generation": lambda content: content.drop_columns(["generation"]),
    "a generation of nulls": lambda content: content.set_column(18, "generation", pa.nulls(len(content), pa.null())),
    "wider integers": lambda content: content.set_column(6, "minutes", content.column("minutes").cast(pa.int64())),
    "microseconds": lambda content: content.set_column(5, "bucket_start", content.column("bucket_start").cast(pa.timestamp("us", "UTC"))),
    "times without a zone": lambda content: content.set_column(5, "bucket_start", content.column("bucket_start").cast(pa.timestamp("ms"))),
    "partition columns inside": lambda content: content.append_column("day", pa.array([DAY] * len(content))),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_foreign_file_is_read_as_ours(store: ParquetStore, variant: str) -> None:
    plant(store, VARIANTS[variant](unordered(ROWS)), row_group_size=2, use_dictionary=False, store_schema=variant != "plain strings")
    assert store.read_unit(UNIT, "1m").equals(table(ROWS))
    assert [one["entity"] for piece in exported(store, "1m") for one in rows_of(piece)] == ["h1", "h1", "h2"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_merging_into_a_foreign_file_keeps_its_rows(store: ParquetStore, variant: str) -> None:
    path = plant(store, VARIANTS[variant](unordered(ROWS)), UNIT._replace(shard=0))
    store.backend.layout.partition("host", DAY).parent.mkdir(parents=True)
    store.backend.layout.partition("host", DAY).write_text('{"format":1,"shards":3,"hash":"crc32"}')
    before = path.read_bytes()
    put(store, [row("h1", 0, minutes=0, value=5.0, generation=9)])
    assert path.read_bytes() == before
    put(store, [row("h1", 0, value=5.0, generation=9)])
    assert read(store) == IN_ORDER | {("h1", 0): (1, 5.0, 9)}
    other = ParquetStore(store.backend.layout.root / "other")
    put(other, [*ROWS[:2], row("h1", 0, value=5.0, generation=9)])
    assert path.read_bytes() == other.backend.layout.shard(UNIT, "1m").read_bytes()


BROKEN: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "column missing": (lambda content: content.drop_columns(["minutes"]), "column 'minutes' is missing"),
    "null where none may be": (
        lambda content: plain(content).set_column(1, "entity", pa.array(["h1", None, "h2"])),
        "column 'entity' has 1 nulls",
    ),
    "another type": (lambda content: content.set_column(8, "sum", pa.array(["a", "b", "c"])), "column 'sum' is string and can't be read as double"),
    "an instant between milliseconds": (
        lambda content: content.set_column(5, "bucket_start", pa.array([1, 2, 3]).cast(pa.timestamp("us", "UTC"))),
        "column 'bucket_start' is timestamp",
    ),
    "a column of their own": (lambda content: content.append_column("mood", pa.array([1, 2, 3])), "column 'mood' is not a rollup's"),
    "a bucket twice": (lambda content: pa.concat_tables([content, content.slice(1, 1)]), "acme/h1/cpu {} at 2025-11-01T00:01:00Z twice"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_refused_with_file_and_column(store: ParquetStore, case: str) -> None:
    change, message = BROKEN[case]
    path = plant(store, change(unordered(ROWS)))
    with pytest.raises(RefusedError) as refused:
        store.read_unit(UNIT, "1m")
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("damage", ["not parquet", "cut", "flipped"])
def test_a_broken_file_is_refused_by_name(store: ParquetStore, damage: str) -> None:
    path = plant(store, unordered(ROWS * 1), compression="snappy")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[4:2000] = bytes(1996)
    path.write_bytes({"not parquet": b"entity,sum\n", "cut": bytes(content[:-40]), "flipped": bytes(content)}[damage])
    with pytest.raises(RefusedError, match="can't be read as Parquet"):
        store.read_unit(UNIT, "1m")


def entity_of_shard(shard: int, shards: int) -> str:
    entities = (f"h{number}" for number in range(1000))
    return next(one for one in entities if shard_of(SeriesKey("host", "acme", one, "cpu").encode(), shards) == shard)


def test_shards_of_another_writer_are_adopted(store: ParquetStore) -> None:
    for shard, granularity in ((0, "1m"), (2, "1m"), (4, "5m")):
        plant(store, unordered([row(entity_of_shard(shard, 5), generation=None)]), UNIT._replace(shard=shard), granularity)
    assert store.shard_count("host", DAY) == 5
    assert not store.backend.layout.partition("host", DAY).exists()
    assert store.open_partition("host", DAY, 1) == 5
    assert store.backend.layout.partition("host", DAY).exists()
    assert ParquetStore(store.backend.layout.root).shard_count("host", DAY) == 5


def test_shards_of_another_hash_are_refused(store: ParquetStore) -> None:
    plant(store, unordered([row(entity_of_shard(1, 5))]), UNIT._replace(shard=4))
    with pytest.raises(RefusedError, match=r'with 5 shards, as the file names say, series acme/h\d+/cpu/{}/gauge would not be in .*"shards":N'):
        store.open_partition("host", DAY, 1)


def test_files_that_are_no_shards_are_refused_but_exported(store: ParquetStore) -> None:
    path = plant(store, unordered(ROWS))
    path.rename(path.with_name("part-0.parquet"))
    with pytest.raises(RefusedError, match=r"part-0\.parquet is not named like shard-0003\.parquet"):
        store.shard_count("host", DAY)
    assert [one["entity"] for piece in exported(store, "1m") for one in rows_of(piece)] == ["h1", "h1", "h2"]


def test_labels_that_are_no_json_are_refused_when_shards_are_adopted(store: ParquetStore) -> None:
    plant(store, unordered([row(labels="k=v")]))
    with pytest.raises(RefusedError, match="the labels 'k=v' of series acme/h1/cpu are not a JSON object"):
        store.shard_count("host", DAY)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format":2,"shards":4,"hash":"crc32"}', '{"format":1,"shards":0,"hash":"crc32"}', '{"format":1,"shards":4,"hash":"md5"}']
)
def test_a_partition_file_that_is_not_understood_is_refused(store: ParquetStore, text: str) -> None:
    path = store.backend.layout.partition("host", DAY)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(RefusedError, match="is not a partition as"):
        store.open_partition("host", DAY, 1)


def test_a_generation_that_is_not_understood_is_refused(store: ParquetStore) -> None:
    store.backend.layout.root.mkdir(exist_ok=True)
    store.backend.layout.text("generation").write_text("yesterday")
    with pytest.raises(RefusedError, match="'yesterday' is not a generation"):
        store.issue_generation(1)


def test_an_undo_record_that_is_not_understood_is_refused(store: ParquetStore) -> None:
    put(store, [row(generation=20)], run_id="wrong")
    store.undo("wrong", generation=20, now_generation=30)
    store.backend.layout.text("undo/wrong").write_text('{"run":"wrong"}')
    with pytest.raises(RefusedError, match=r"reading the undo of run wrong in parquet:///.* does not tell what it has begun"):
        store.undo("wrong", generation=20, now_generation=31)


def test_rows_outside_the_window_are_not_written(store: ParquetStore) -> None:
    with pytest.raises(Exception, match="lie outside the window"):
        put(store, [row(bucket_s=86_400)])
    assert DAY_S % 86_400 == 0


def test_undo_removes_nothing_that_a_live_writer_wrote_since(store: ParquetStore) -> None:
    put(store, [row("h1", generation=20), row("h2", generation=20)], run_id="wrong")
    plant(store, plain(unordered([row("h1", value=7.0, generation=None), row("h2", generation=20)])))
    counts = store.undo("wrong", generation=20, now_generation=30)
    assert read(store) == {("h1", 0): (1, 7.0, None)}
    assert (counts.removed, counts.restored) == ({"1m": 1}, {"1m": 0})
