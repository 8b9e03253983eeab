"""Which buckets a run left in the store, and which were changed since, against loops over rows."""

import tracemalloc
from typing import Any

import pyarrow as pa
from hypothesis import given, strategies as st

from tests.core.rollup_tables import DAY_S, Row, row, rows_of, table
from transforms.core.restored import COMPARED, RESTORED, changed_since, read_back, restored, restored_buckets
from transforms.core.versions import Merged, merge

WINDOW = (DAY_S, DAY_S + 86_400)
WIDTHS = {"1m": 60, "5m": 300, "1h": 3600}

buckets = st.builds(
    lambda entity, place, minutes, value, generation: (entity, place, minutes, value, generation),
    st.sampled_from(("h1", "h2", "h3")),
    st.sampled_from((0, 1, 7, 8, 23)),
    st.integers(1, 2),
    st.sampled_from((1.0, 2.0)),
    st.sampled_from((None, 5, 10, 15)),
)


def rows_at(granularity: str, some: list[tuple[Any, ...]], generation: int | None = None) -> list[Row]:
    distinct = {(entity, place): row(entity, place * WIDTHS[granularity], minutes, value, generation or own) for entity, place, minutes, value, own in some}
    return list(distinct.values())


def key_of(one: Row) -> tuple[str, int]:
    return one["entity"], one["bucket_start"] // 1000


@given(st.sampled_from(tuple(WIDTHS)), st.lists(buckets, max_size=8), st.lists(buckets, max_size=8), st.lists(buckets, max_size=8))
def test_changed_since_names_exactly_what_lost_the_runs_version(granularity: str, before: list[Any], new: list[Any], later: list[Any]) -> None:
    stored = table(rows_at(granularity, before))
    ours = table(rows_at(granularity, new, generation=10))
    merged = merge(stored, ours, allow_fewer=False)
    expected = restored({granularity: ours}, {granularity: merged}, WINDOW)
    assert changed_since(expected, merged.table, granularity, WINDOW)[1] == []
    named = restored_buckets(expected, granularity, WINDOW)
    there = {key_of(one) for one, verdict in zip(rows_of(ours), merged.verdicts.tolist(), strict=True) if verdict in {0, 1, 2}}
    starts_s = [one // 1000 for one in named["bucket_start"].cast("int64").to_pylist()]
    assert list(zip(named["entity"].to_pylist(), starts_s, strict=True)) == sorted(there)
    now = {key_of(one): one for one in rows_of(merged.table)} | {key_of(one): one for one in rows_at(granularity, later)}
    removed = sorted(now)[::3]
    for one in removed:
        del now[one]
    number, changes = changed_since(expected, table(now.values()), granularity, WINDOW)
    assert number == len(there)
    wanted = sorted(one for one in there if one not in now or (now[one].get("generation") or 0) < 10)
    assert sorted((one.series[1], one.bucket_start_s) for one in changes) == wanted
    for one in changes:
        left = now.get((one.series[1], one.bucket_start_s))
        assert (one.stored_minutes, one.stored_avg) == ((left["minutes"], left["avg"]) if left else (0, None))


def test_series_and_granularities_are_told_apart() -> None:
    tables = {"1m": table([row("h1"), row("h1", labels='{"a":"b"}', bucket_s=60)]), "5m": table([row("h1", bucket_s=86_100)])}
    merged = {name: merge(table([]), one, allow_fewer=False) for name, one in tables.items()}
    expected = restored(tables, merged, WINDOW)
    assert expected.schema == RESTORED
    assert [(one["labels"], one["granularity"], one["buckets"].rstrip(b"\0")) for one in expected.to_pylist()] == [
        ('{"a":"b"}', "1m", b"\x40"),
        ("{}", "1m", b"\x80"),
        ("{}", "5m", b"\0" * 35 + b"\x01"),
    ]
    assert changed_since(expected, table([]), "5m", WINDOW)[0] == 1


def test_rows_that_were_copied_have_each_its_own_generation() -> None:
    copied = table([row("h1", 0, generation=7), row("h1", 60, generation=None), row("h1", 120, generation=7), row("h2", 0, generation=9)])
    expected = restored({"1m": copied}, {"1m": merge(table([]), copied, allow_fewer=False)}, WINDOW)
    assert sorted((one["entity"], one["generation"], one["buckets"].rstrip(b"\0")) for one in expected.to_pylist()) == [
        ("h1", 0, b"\x40"),
        ("h1", 7, b"\xa0"),
        ("h2", 9, b"\x80"),
    ]
    assert changed_since(expected, copied, "1m", WINDOW) == (4, [])
    now = table([row("h1", 0, generation=8), row("h1", 60, value=5.0, generation=None), row("h1", 120, generation=None), row("h2", 0, generation=8)])
    number, changes = changed_since(expected, now, "1m", WINDOW)
    assert (number, [(one.series[1], one.bucket_start_s - DAY_S) for one in changes]) == (4, [("h1", 120), ("h2", 0)])
    assert len(changed_since(expected, table([]), "1m", WINDOW)[1]) == 4


def test_nothing_restored_has_nothing_to_be_changed() -> None:
    expected = restored({"1m": table([])}, {"1m": merge(table([]), table([]), allow_fewer=False)}, WINDOW)
    assert changed_since(expected, table([row()]), "1m", WINDOW) == (0, [])


def test_looking_for_changes_makes_no_object_for_a_row_that_nobody_changed() -> None:
    ours = table([row(f"h{number:02d}", 60 * minute, generation=10) for number in range(10) for minute in range(1440)])
    merged = merge(table([]), ours, allow_fewer=False)
    expected, stored = restored({"1m": ours}, {"1m": merged}, WINDOW), merged.table.select(COMPARED)
    tracemalloc.start()
    try:
        assert changed_since(expected, stored, "1m", WINDOW) == (14_400, [])
        assert tracemalloc.get_traced_memory()[1] < 55 * 14_400, "six arrays of 8 bytes; an integer alone has 32"
    finally:
        tracemalloc.stop()


def merging(stored: pa.Table, new: pa.Table) -> dict[str, Merged]:
    return {"1m": merge(stored, new, allow_fewer=False)}


def test_what_is_read_back_is_what_was_written_or_newer() -> None:
    new = table([row("h1", 0, generation=10), row("h1", 60, generation=10), row("h2", 0, generation=10), row("h3", 0, 1, generation=10)])
    merged = merging(table([row("h3", 0, 2, generation=9)]), new)
    assert read_back({"1m": new}, merged, merging(merged["1m"].table, new)) == (3, ())
    now = table([row("h1", 0, value=7.0, generation=11), row("h1", 60, 1, value=7.0, generation=None), row("h3", 0, 2, generation=9)])
    checked, different = read_back({"1m": new}, merged, merging(now, new))
    assert checked == 3
    assert [(one.series[1], one.bucket_start_s - DAY_S, one.stored_minutes, one.stored_avg, one.avg) for one in different] == [
        ("h1", 60, 1, 7.0, 1.0),
        ("h2", 0, 0, None, 1.0),
    ]
