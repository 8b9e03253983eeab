"""Counters and deltas: tables computed by hand, and the oracle's dicts and loops on anything."""

import itertools
import warnings
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.core.kind_slices import COLUMNS, Sample, bits, expected, minutes_within, oracle, rows_of, slice_of
from tests.core.unit_slices import START_S, WHOLE_DAY
from transforms.core.fold import Average
from transforms.core.granularity import DAY_S
from transforms.core.rollup import Computed, UnitRollups, roll_up, roll_up_in_passes
from transforms.core.rows import joined
from transforms.core.united import IDENTITY


def rolled(*samples: Sample, lead_in_s: int = 600, computed: Computed = WHOLE_DAY) -> UnitRollups:
    return roll_up([slice_of(samples)], computed=computed, average="cascade", generation=1, lead_in_s=lead_in_s)


def column(result: UnitRollups, granularity: str, *names: str) -> dict[int, Any]:
    """By bucket start in minutes of the day."""
    rows = [(row[2] // 60, dict(zip(COLUMNS, row[3:], strict=True))) for row in rows_of(result.tables[granularity])]
    return {start: row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for start, row in rows}


def at(minute: int, value: float, start: float | None = None, arrival: int = 0) -> Sample:
    return Sample(60 * minute, value, arrival, start=start)


# Samples → increase by minute
INCREASES = {
    "nothing known before": ([at(20, 7), at(21, 9)], {20: None, 21: 2.0}),
    "over a gap of L": ([at(20, 7), at(30, 9)], {20: None, 30: 2.0}),
    "not over a longer one": ([at(20, 7), at(31, 9)], {20: None, 31: None}),
    "over the hour": ([at(59, 7), at(60, 9)], {59: None, 60: 2.0}),
    "a drop is a reset": ([at(20, 7), at(21, 3)], {20: None, 21: 3.0}),
    "no change": ([at(20, 7), at(21, 7)], {20: None, 21: 0.0}),
    "another start is a reset": ([at(20, 7, 60), at(21, 9, 1230)], {20: None, 21: 9.0}),
    "a start unknown before is none": ([at(20, 7), at(21, 9, 1230)], {20: None, 21: 2.0}),
    "a start L before the minute": ([at(20, 7, 600)], {20: 7.0}),
    "a start longer ago": ([at(20, 7, 599.999999)], {20: None}),
    "a start within the minute": ([at(20, 7, 1201)], {20: 7.0}),
    "last arrivals alone are compared": ([at(20, 7, arrival=9), at(20, 1, arrival=8), at(21, 5, arrival=1), at(21, 9, arrival=2)], {20: None, 21: 2.0}),
    "negative zero": ([at(20, -0.0, 1200), at(21, -0.0)], {20: 0.0, 21: 0.0}),
}


@pytest.mark.parametrize(("samples", "increases"), INCREASES.values(), ids=INCREASES)
def test_increase(samples: list[Sample], increases: dict[int, float | None]) -> None:
    assert bits(column(rolled(*samples), "1m", "increase")) == bits(increases)


def test_increases_are_added_over_what_is_present() -> None:
    result = rolled(at(0, 1), at(1, 4), at(4, 5), at(5, 2), at(30, 9))
    assert column(result, "5m", "increase") == {0: 4.0, 5: 2.0, 30: None}
    assert column(result, "1h", "increase", "sum", "count", "last", "first_value", "last_value") == {0: (6.0, 21.0, 5, 9.0, 1.0, 9.0)}


def test_the_start_of_the_last_value_is_stored_in_milliseconds() -> None:
    assert column(rolled(at(0, 1, 0.5), at(1, 4, 30.0019)), "5m", "start_time") == {0: 30_001}
    assert column(rolled(at(0, 1, 0.5), at(1, 4)), "1m", "start_time") == {0: 500, 1: None}


def test_lead_in_is_compared_with_and_not_stored() -> None:
    computed: Computed = {"1m": ((START_S + 600, START_S + 660),), "5m": ((START_S + 600, START_S + 900),)}
    result = rolled(at(8, 1), at(8, 2, arrival=1), at(10, 5), at(11, 6), computed=computed)
    assert column(result, "1m", "increase") == {10: 3.0}
    assert column(result, "5m", "increase") == {10: 4.0}
    assert (result.points, result.lead_in, result.superseded, result.kept) == (4, 2, 0, 2)


def delta(second: float, value: float, start: float | None = None, arrival: int = 0) -> Sample:
    return Sample(second, value, arrival, "delta", start)


def test_deltas_of_a_minute_are_added_in_time_order() -> None:
    """Every 10 seconds; the point at second 20 came twice, and the later arrival stands."""
    result = rolled(delta(30, -1e16), delta(0, 1e16), delta(10, 1), delta(20, 5, arrival=3), delta(20, 1, arrival=4), delta(60, 2))
    assert column(result, "1m", "sum", "increase", "count", "last") == {0: (0.0, 0.0, 1, 0.0), 1: (2.0, 2.0, 1, 2.0)}
    assert column(result, "1h", "sum", "increase", "count", "minutes", "avg") == {0: (2.0, 2.0, 2, 2, 1.0)}
    assert (result.points, result.superseded, result.kept, result.survivors["1m"]) == (6, 1, 5, 2)
    assert result.row_points["1m"].tolist() == [4, 1]
    assert result.row_points["1h"].tolist() == [5]


def test_deltas_of_other_starts_are_other_deltas() -> None:
    result = rolled(delta(30, 1, 0), delta(30, 2, 10), delta(30, 4, 10, arrival=1))
    assert (column(result, "1m", "sum"), result.superseded) == ({0: 5.0}, 1)


def test_a_sum_of_deltas_that_overflows_stays_and_is_counted() -> None:
    result = rolled(delta(0, 1.7e308), delta(1, 1.7e308), delta(60, -1.7e308), delta(61, -1.7e308))
    assert column(result, "1m", "sum") == {0: float("inf"), 1: float("-inf")}
    assert (column(result, "5m", "sum"), result.overflows) == ({0: float("inf")}, 4)


VALUES = (0.0, -0.0, 1.0, 2.0, 3.0, 0.1, 0.2, 1e16, -1.0, 1.7e308, -1.7e308, 5e-324)
seconds = st.integers(0, 18).map(lambda place: 20 * place) | st.integers(0, 4000) | st.sampled_from((59.5, 60.000001, 3599, 3600, 86_399))
samples = st.tuples(
    seconds,
    st.sampled_from(VALUES) | st.floats(0, 1e6),
    st.integers(0, 3),
    st.sampled_from(("counter", "delta", "gauge", "counter")),
    st.sampled_from((None, None, 0, 30.5, -599, 3000)),
    st.none(),
    st.sampled_from(("requests", "errors")),
).map(lambda fields: Sample(*fields))
hours = st.sets(st.integers(0, 24), max_size=6).map(lambda some: tuple(zip(*[iter(sorted(some))] * 2, strict=False)))
ranges = hours.map(lambda some: tuple((START_S + 3600 * a, START_S + 3600 * b) for a, b in some))
selections = st.just(WHOLE_DAY) | st.dictionaries(st.sampled_from(("1m", "5m", "1h")), ranges) | st.just({"5m": ((START_S + 600, START_S + 900),)})
averages = st.sampled_from(("cascade", "flat"))
slices_of_samples = st.lists(st.lists(samples, max_size=20), max_size=4)


@settings(max_examples=300, deadline=None)
@given(slices_of_samples, selections, averages, st.sampled_from((0, 60, 90, 600, 7200)))
def test_same_bits_as_the_oracle(slices: list[list[Sample]], computed: Computed, average: Average, lead_in_s: int) -> None:
    with warnings.catch_warnings(action="error"):
        result = roll_up([slice_of(one) for one in slices], computed=computed, average=average, generation=1, lead_in_s=lead_in_s)
    assert bits({name: rows_of(table) for name, table in result.tables.items()}) == bits(expected(slices, computed, average, lead_in_s))
    check_counts(result, slices, computed, lead_in_s)


def check_counts(result: UnitRollups, slices: list[list[Sample]], computed: Computed, lead_in_s: int) -> None:
    minute = [START_S + int(one.second) // 60 * 60 for some in slices for one in some]
    whole = oracle(slices, "flat", lead_in_s)["1m"]
    rows = [(start, row) for some in whole.values() for start, row in some.items() if minutes_within(computed, start)]
    assert result.points == len(minute)
    assert result.lead_in == sum(not minutes_within(computed, one) for one in minute)
    assert result.kept == sum(row["points"] for _, row in rows)
    assert result.superseded + result.no_predecessor == result.points - result.lead_in - result.kept
    for name, table in result.tables.items():
        inside = [row for start, row in rows if name in minutes_within(computed, start)]
        minutes = table["minutes"].to_pylist()
        assert result.survivors[name] == len(inside) == sum(minutes)
        assert sum(result.row_points.get(name, minutes)) == sum(row["points"] for row in inside)


@settings(max_examples=100, deadline=None)
@given(slices_of_samples, st.integers(1, 30), averages)
def test_passes_and_cuts_change_nothing(slices: list[list[Sample]], max_points: int, average: Average) -> None:
    rules: dict[str, Any] = {"computed": WHOLE_DAY, "average": average, "generation": 1}
    whole = roll_up([slice_of(one) for one in slices], **rules)
    single = [slice_of([one]) for some in slices for one in some]
    passes = list(roll_up_in_passes(single, max_points=max_points, **rules))
    for name, table in whole.tables.items():
        parts = joined([one.tables[name] for one in passes]).combine_chunks()
        assert parts.equals(table)
        assert all(parts[column].chunks == table[column].chunks for column in IDENTITY if table.num_rows)
        points = itertools.chain.from_iterable(one.row_points.get(name, one.tables[name]["minutes"].to_pylist()) for one in passes)
        assert list(points) == list(whole.row_points.get(name, table["minutes"].to_pylist()))
    for count in ("points", "superseded", "kept", "lead_in", "no_predecessor", "overflows", "rebinned"):
        assert sum(getattr(one, count) for one in passes) == getattr(whole, count)


def test_many_deltas_in_one_minute_are_folded_from_left_to_right() -> None:
    some = [delta(at / 100, (-1.0) ** at * 1e16 / (at + 1)) for at in range(500)]
    result = rolled(*reversed(some))
    wanted = expected([some], WHOLE_DAY, "cascade", 600)
    assert bits({name: rows_of(table) for name, table in result.tables.items()}) == bits(wanted)
    assert DAY_S == 86_400
