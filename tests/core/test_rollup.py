"""Rollups of hand-computed units: tiny literal tables."""

import warnings
from collections.abc import Sequence

import pyarrow as pa
import pytest

from tests.core.unit_slices import DAY, LOAD, START_S, WHOLE_DAY, Cells, Sample, bits, minutes, rows_of, slice_of
from transforms.core.errors import RollupsError
from transforms.core.fold import Average
from transforms.core.model import ROLLUP_SCHEMA, SERIES_COLUMNS
from transforms.core.rollup import Computed, UnitRollups, roll_up, roll_up_in_passes

HUGE = 1.7e308
TINY = 5e-324
INF = float("inf")

ZEROS = dict.fromkeys(range(5, 60), 0.0)


def rolled(slices: Sequence[pa.RecordBatch], *, average: Average = "cascade", computed: Computed = WHOLE_DAY, generation: int = 7) -> UnitRollups:
    return roll_up(slices, computed=computed, average=average, generation=generation)


# minutes and values → (bucket's minute of the day, minutes, count, sum, min, max, avg, last)
FIVES = {
    "one value": ({7: 3.5}, [(5, 1, 1, 3.5, 3.5, 3.5, 3.5, 3.5)]),
    "a full bucket": ({0: 1, 1: 5, 2: 3, 3: 2, 4: 4}, [(0, 5, 5, 15.0, 1.0, 5.0, 3.0, 4.0)]),
    "first and last minute only": ({10: 8, 14: -2}, [(10, 2, 2, 6.0, -2.0, 8.0, 3.0, -2.0)]),
    "neighbours don't mix": ({4: 1, 5: 2}, [(0, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0), (5, 1, 1, 2.0, 2.0, 2.0, 2.0, 2.0)]),
    "the day's edges": ({0: 1, 1439: 2}, [(0, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0), (1435, 1, 1, 2.0, 2.0, 2.0, 2.0, 2.0)]),
    "from left to right": ({0: 1e16, 1: 1, 2: 1, 3: -1e16}, [(0, 4, 4, 0.0, -1e16, 1e16, 0.0, -1e16)]),
    "tenths": ({0: 0.1, 1: 0.2, 2: 0.3}, [(0, 3, 3, 0.6000000000000001, 0.1, 0.3, 0.20000000000000004, 0.3)]),
    "negative zero": ({0: -0.0, 1: -0.0}, [(0, 2, 2, 0.0, 0.0, 0.0, 0.0, 0.0)]),
    "mean below the smallest number": ({0: -TINY, 1: -TINY, 2: -0.0, 3: 0.0, 4: 0.0}, [(0, 5, 5, -2 * TINY, -TINY, 0.0, 0.0, 0.0)]),
    "overflow stays": ({0: HUGE, 1: HUGE, 2: -HUGE}, [(0, 3, 3, INF, -HUGE, HUGE, INF, -HUGE)]),
}

HOURS = {
    "count, sum, min, max and last are of all minutes": (
        {0: 1, 4: 3, 5: 10, 59: -4},
        {"cascade": [(0, 4, 4, 10.0, -4.0, 10.0, 8 / 3, -4.0)], "flat": [(0, 4, 4, 10.0, -4.0, 10.0, 2.5, -4.0)]},
    ),
    "one point of 100 and 55 minutes of zeros": (
        {3: 100} | ZEROS,
        {"cascade": [(0, 56, 56, 100.0, 0.0, 100.0, 8.333333333333334, 0.0)], "flat": [(0, 56, 56, 100.0, 0.0, 100.0, 1.7857142857142858, 0.0)]},
    ),
    # 1e16 + 1 is 1e16, so a fold over the minutes would end there
    "sum of the sums": ({0: 1e16, 1: 1, 5: 1, 6: 1}, {"flat": [(0, 4, 4, 1e16 + 2, 1.0, 1e16, 2500000000000000.5, 1.0)]}),
    "infinities of both signs are no NaN": (
        {0: HUGE, 1: HUGE, 5: -HUGE, 6: -HUGE},
        {average: [(0, 4, 4, INF, -HUGE, HUGE, INF, -HUGE)] for average in ("cascade", "flat")},
    ),
    "hours are apart": (
        {59: 1, 60: 2, 1439: 3},
        {"cascade": [(0, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0), (60, 1, 1, 2.0, 2.0, 2.0, 2.0, 2.0), (1380, 1, 1, 3.0, 3.0, 3.0, 3.0, 3.0)]},
    ),
}


@pytest.mark.parametrize(("values", "expected"), FIVES.values(), ids=FIVES)
def test_five_minutes(values: dict[int, float], expected: list[Cells]) -> None:
    assert bits(rows_of(rolled(minutes(values)).tables["5m"])) == bits(expected)


@pytest.mark.parametrize(("values", "average", "expected"), [(values, *one) for values, by in HOURS.values() for one in by.items()])
def test_hours(values: dict[int, float], average: Average, expected: list[Cells]) -> None:
    assert bits(rows_of(rolled(minutes(values), average=average).tables["1h"])) == bits(expected)


def test_the_two_averages_of_the_design() -> None:
    slices = minutes({0: 100} | ZEROS)
    averages = [rolled(slices, average=average).tables["1h"]["avg"][0].as_py() for average in ("cascade", "flat")]
    assert [round(one, 2) for one in averages] == [8.33, 1.79]


def test_one_minute_is_its_value() -> None:
    table = rolled(minutes({0: 1.5, 61: -0.0, 2: -3})).tables["1m"]
    assert bits(rows_of(table)) == bits([(at, 1, 1, *[value] * 5) for at, value in ((0, 1.5), (2, -3.0), (61, 0.0))])


def test_row_has_every_column_of_the_schema() -> None:
    table = rolled(minutes({0: 1}), generation=1_762_000_000_123).tables["5m"]
    absent = dict.fromkeys(("increase", "p50", "p90", "p95", "p99", "first_value", "last_value", "start_time", "bounds", "bucket_counts"))
    (row,) = table.drop_columns(["bucket_start"]).to_pylist()
    assert table.schema.equals(ROLLUP_SCHEMA)
    assert row == absent | {
        "org": "acme", "entity": "h1", "name": "load", "labels": "{}", "kind": "gauge", "minutes": 1, "count": 1,
        "sum": 1.0, "min": 1.0, "max": 1.0, "avg": 1.0, "last": 1.0, "generation": 1_762_000_000_123,
    }  # fmt: skip


# Slices of (arrival, value) of one minute → the value that stands
WINNERS = {
    "the later arrival": ([[(5, 1.0), (9, 2.0)]], 2.0),
    "the later arrival, though it comes first": ([[(9, 1.0), (5, 2.0)]], 1.0),
    "the later arrival, though its slice comes first": ([[(9, 1.0)], [(5, 2.0)]], 1.0),
    "of equal arrivals the later slice": ([[(9, 1.0)], [(9, 2.0)], [(5, 3.0)]], 2.0),
    "of equal arrivals the later position": ([[(9, 1.0), (9, 2.0), (5, 3.0)]], 2.0),
    "the winner of its slice competes with the others'": ([[(1, 1.0)], [(0, 2.0), (8, 3.0), (7, 4.0)], [(6, 5.0)]], 3.0),
    "a lower value that came later": ([[(5, 100.0)], [(6, -1.0)]], -1.0),
    "one microsecond": ([[(1_000_001, 1.0), (1_000_000, 2.0)]], 1.0),
}


@pytest.mark.parametrize(("arrivals", "expected"), WINNERS.values(), ids=WINNERS)
def test_last_arrival_wins(arrivals: list[list[tuple[int, float]]], expected: float) -> None:
    bystanders = [Sample(4, 40.0, 3), Sample(3, 30.0, 9)]
    slices = [slice_of([*(Sample(2, value, arrival) for arrival, value in part), *bystanders]) for part in arrivals]
    result = rolled(slices)
    assert [row[-1] for row in rows_of(result.tables["1m"])] == [expected, 30.0, 40.0]
    points = sum(map(len, arrivals)) + 2 * len(slices)
    assert (result.points, result.superseded, result.kept) == (points, points - 3, 3)


def test_same_minute_of_another_series_is_no_rival() -> None:
    others = [(*LOAD[:at], other, *LOAD[at + 1 :]) for at, other in enumerate(("bcme", "h2", "load5", '{"host":"h1"}'))]
    result = rolled([slice_of([Sample(0, at, 9 - at, series) for at, series in enumerate([LOAD, *others])])])
    assert (result.superseded, result.tables["1m"].num_rows) == (0, 5)


def test_rows_are_sorted_by_series_in_code_point_order_then_time() -> None:
    names = ["a", "Z", "", "é", "\uffee", "\U0001f600", "a b", "aa", "e\u0301"]
    samples = [Sample(minute, 1.0, 0, ("acme", "h1", name, "{}", "gauge")) for name in names for minute in (70, 3)]
    for table in rolled([slice_of(samples[:7]), slice_of(samples[7:])]).tables.values():
        keys = list(zip(table["name"].to_pylist(), table["bucket_start"].to_pylist(), strict=True))
        assert keys == sorted(keys)
        assert sorted(set(names)) == table["name"].combine_chunks().dictionary.to_pylist()


def test_series_are_sorted_by_all_identity_columns_in_turn() -> None:
    series = [(org, entity, name, labels, "gauge") for org in "ba" for entity in "ba" for name in "ba" for labels in ("{}", '{"host":"a"}')]
    table = rolled([slice_of([Sample(0, 1.0, 0, one)]) for one in series]).tables["1h"]
    columns = [name for name in SERIES_COLUMNS if name != "metric_type"]
    assert list(zip(*(table[name].to_pylist() for name in columns), strict=True)) == sorted(series)


def test_only_computed_buckets_but_all_their_minutes() -> None:
    computed = {
        "1m": ((START_S + 60, START_S + 180), (START_S + 600, START_S + 660)),
        "5m": ((START_S + 300, START_S + 600),),
        "1h": ((START_S, START_S + 3600),),
    }
    result = rolled(minutes(dict.fromkeys((0, 1, 2, 3, 6, 10, 11, 60), 1.0)), computed=computed)
    assert {name: [row[:2] for row in rows_of(table)] for name, table in result.tables.items()} == {
        "1m": [(1, 1), (2, 1), (10, 1)],
        "5m": [(5, 1)],
        "1h": [(0, 7)],
    }
    assert (result.survivors, result.kept) == ({"1m": 3, "5m": 1, "1h": 7}, 7)


def test_kept_counts_a_point_of_any_granularity_once() -> None:
    computed = {"1m": ((START_S, START_S + 60),), "5m": ((START_S + 300, START_S + 600),)}
    result = rolled(minutes({0: 1, 1: 1, 5: 1, 9: 1}), computed=computed)
    assert (result.survivors, result.kept, list(result.tables)) == ({"1m": 1, "5m": 2}, 3, ["1m", "5m"])


def test_a_bucket_is_computed_if_its_start_is() -> None:
    result = rolled(minutes({0: 1, 3: 1, 4: 1, 5: 1, 9: 1}), computed={"5m": ((START_S + 60, START_S + 360),)})
    assert ([row[:2] for row in rows_of(result.tables["5m"])], result.survivors) == ([(5, 2)], {"5m": 2})


def test_points_outside_the_computed_buckets_are_lead_in_whether_superseded_or_not() -> None:
    result = rolled([slice_of([Sample(0, 1.0, 1), Sample(0, 2.0, 2), Sample(9, 3.0)])], computed={"5m": ((START_S + 300, START_S + 600),)})
    assert (result.points, result.superseded, result.lead_in, result.kept) == (3, 0, 2, 1)


def test_dictionaries_hold_only_what_the_rows_have() -> None:
    samples = [Sample(0, 1.0, 0, ("acme", "early", "x", "{}", "gauge")), Sample(90, 1.0, 0, ("acme", "late", "y", "{}", "gauge"))]
    table = rolled([slice_of(samples)], computed={"1m": ((START_S + 3600, START_S + 7200),)}).tables["1m"]
    assert [table[name].combine_chunks().dictionary.to_pylist() for name in ("entity", "name")] == [["late"], ["y"]]


@pytest.mark.parametrize("slices", [[], [slice_of([])]], ids=["no slices", "no series"])
def test_nothing_gives_empty_tables(slices: list[pa.RecordBatch]) -> None:
    result = rolled(slices)
    assert [table.num_rows for table in result.tables.values()] == [0, 0, 0]
    assert all(table.schema.equals(ROLLUP_SCHEMA) for table in result.tables.values())
    assert (result.points, result.superseded, result.kept, result.overflows) == (0, 0, 0, 0)
    assert not list(roll_up_in_passes(slices, max_points=10, computed=WHOLE_DAY, average="flat", generation=1))


def test_no_computed_range_gives_an_empty_table() -> None:
    result = rolled(minutes({0: 1}), computed={"5m": ()})
    assert (result.tables["5m"].num_rows, result.kept, result.points) == (0, 0, 1)


def test_overflows_are_counted_where_they_are_stored_and_warn_nobody() -> None:
    slices = minutes({0: HUGE, 1: HUGE, 5: -HUGE, 6: -HUGE, 60: HUGE, 66: HUGE, 120: 1.0})
    with warnings.catch_warnings(action="error"):
        result = rolled(slices)
    assert result.overflows == 4  # 5m at 0 and 5, 1h at 0 and 60
    assert rolled(slices, computed={"1h": ((START_S + 3600, START_S + 7200),)}).overflows == 1


def test_a_sum_of_averages_that_overflows_counts_too() -> None:
    result = rolled(minutes(dict.fromkeys(range(5), -HUGE / 5) | {5: HUGE, 10: HUGE}))
    assert [table["sum"].to_pylist()[-1] for table in result.tables.values()] == [HUGE, HUGE, HUGE]
    assert (result.tables["1h"]["avg"].to_pylist(), result.overflows) == ([INF], 1)


@pytest.mark.parametrize(("max_points", "sizes"), [(1, [3, 3, 1]), (5, [3, 4]), (6, [6, 1]), (7, [7])])
def test_passes_take_as_many_series_as_fit(max_points: int, sizes: list[int]) -> None:
    slices = [slice_of(Sample(minute, 1.0, 0, ("acme", host, "load", "{}", "gauge")) for host in hosts) for minute, hosts in enumerate(("aabb", "ab", "c"))]
    passes = roll_up_in_passes(slices, max_points=max_points, computed=WHOLE_DAY, average="flat", generation=1)
    assert [one.points for one in passes] == sizes


def test_one_minute_columns_share_their_values() -> None:
    table = rolled(minutes({0: 1, 1: 2})).tables["1m"]
    assert len({table[name].chunk(0).buffers()[1].address for name in ("sum", "min", "max", "avg", "last")}) == 1


def test_parts_of_larger_batches_are_read_as_they_are() -> None:
    samples = [Sample(minute, minute, 0, ("acme", entity, "load", "{}", "gauge")) for entity in "abcd" for minute in range(3)]
    whole = slice_of(samples)
    assert rolled([whole.slice(1, 2)]).tables["1m"].equals(rolled([slice_of(samples[3:9])]).tables["1m"])


@pytest.mark.parametrize("kind", ["summary", "Gauge"])
def test_other_kinds_are_refused(kind: str) -> None:
    slices = [slice_of([Sample(0, 1.0), Sample(0, 1.0, 0, (*LOAD[:4], kind))])]
    with pytest.raises(RollupsError, match=f"series of kind '{kind}': only counter, delta, gauge, histogram can be"):
        rolled(slices)


def test_bucket_starts_are_utc_milliseconds() -> None:
    (start,) = rolled(minutes({65: 1})).tables["1h"]["bucket_start"]
    assert (start.value, str(start.type)) == ((DAY * 86400 + 3600) * 1000, "timestamp[ms, tz=UTC]")


def test_tables_are_valid_arrow() -> None:
    for table in rolled([slice_of([Sample(0, 1.0), Sample(9, 2.0, 0, ("ä", "b", "c", "{}", "gauge"))])]).tables.values():
        table.validate(full=True)
        assert pa.ipc.open_stream(_written(table)).read_all().equals(table)


def _written(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
