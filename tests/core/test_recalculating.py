"""Coarser rollups from stored finer ones: the bits of a backfill and of the oracle, and nothing guessed."""

import struct
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings, strategies as st

from tests.core import test_counters_deltas as scalars, test_histograms as histograms, test_rollup_oracle as gauges, unit_slices
from tests.core.kind_slices import Sample, bits, expected, rows_of, slice_of
from tests.core.rollup_tables import DAY_S, Row, row, rows_of as plain_rows, table
from tests.core.unit_slices import WHOLE_DAY
from transforms.core import recalculating
from transforms.core.canonical import canonical
from transforms.core.fold import Average
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.recalculating import SOURCES, Recalculated, recalculate, recalculate_in_passes
from transforms.core.rollup import Computed, UnitRollups, roll_up
from transforms.core.rows import joined

averages = st.sampled_from(("cascade", "flat"))
DAY: Computed = {"5m": ((DAY_S, DAY_S + 86_400),), "1h": ((DAY_S, DAY_S + 86_400),)}
HOURS: Computed = {"1h": DAY["1h"]}


def coarser(computed: Computed, finer: str) -> Computed:
    return {name: computed[name] for name in SOURCES[finer] if name in computed}


def again(whole: UnitRollups, finer: str, computed: Computed, average: Average) -> Recalculated:
    """What is made of the finer rows of a backfill of everything."""
    with warnings.catch_warnings(action="error"):
        return recalculate(canonical(whole.tables[finer]), finer, computed=computed, average=average, generation=1)


def check(slices: list[list[Sample]], computed: Computed, average: Average, lead_in_s: int) -> None:
    """Recalculated rows have the bits of the oracle, and so of a backfill of the same buckets."""
    whole = roll_up([slice_of(one) for one in slices], computed=WHOLE_DAY, average=average, generation=1, lead_in_s=lead_in_s)
    for finer in SOURCES:
        asked = coarser(computed, finer)
        result = again(whole, finer, asked, average)
        assert bits({name: rows_of(one) for name, one in result.rollups.tables.items()}) == bits(expected(slices, asked, average, lead_in_s))
        check_minutes(result, whole, finer)


def check_minutes(result: Recalculated, whole: UnitRollups, finer: str) -> None:
    minutes = sum(whole.tables[finer]["minutes"].to_pylist())
    assert result.rollups.points == minutes == result.rollups.kept + result.outside
    assert result.unusable == result.rollups.superseded == 0
    assert result.rollups.survivors == {name: sum(one["minutes"].to_pylist()) for name, one in result.rollups.tables.items()}


@settings(max_examples=150, deadline=None)
@given(gauges.units(), gauges.selections(), averages)
def test_gauges_have_the_bits_of_a_backfill(slices: Sequence[Sequence[unit_slices.Sample]], computed: Computed, average: Average) -> None:
    points = [unit_slices.slice_of(one) for one in slices]
    whole, asked = (roll_up(points, computed=one, average=average, generation=1) for one in (WHOLE_DAY, computed))
    for finer in SOURCES:
        result = again(whole, finer, coarser(computed, finer), average)
        for name, found in result.rollups.tables.items():
            assert found.schema == ROLLUP_SCHEMA
            assert bits(rows_of(found)) == bits(rows_of(asked.tables[name]))
        check_minutes(result, whole, finer)


@settings(max_examples=120, deadline=None)
@given(scalars.slices_of_samples, scalars.selections, averages, st.sampled_from((0, 60, 600)))
def test_counters_and_deltas_have_the_bits_of_the_oracle(slices: list[list[Sample]], computed: Computed, average: Average, lead_in_s: int) -> None:
    check(slices, computed, average, lead_in_s)


@settings(max_examples=150, deadline=None)
@given(histograms.slices_of_samples, histograms.selections, averages, st.sampled_from((0, 600)))
def test_histograms_have_the_bits_of_the_oracle(slices: list[list[Sample]], computed: Computed, average: Average, lead_in_s: int) -> None:
    check(slices, computed, average, lead_in_s)


@settings(max_examples=60, deadline=None)
@given(histograms.slices_of_samples | scalars.slices_of_samples, st.integers(1, 9))
def test_passes_of_any_size_give_the_same(slices: list[list[Sample]], size: int) -> None:
    whole = roll_up([slice_of(one) for one in slices], computed=WHOLE_DAY, average="cascade", generation=1)
    rules: dict[str, Any] = {"computed": coarser(WHOLE_DAY, "1m"), "average": "cascade", "generation": 1}
    one = recalculate(canonical(whole.tables["1m"]), "1m", **rules)
    with mock.patch.object(recalculating, "PASS_ROWS", size):
        passes = list(recalculate_in_passes(canonical(whole.tables["1m"]), "1m", **rules))
    for name, table_ in one.rollups.tables.items():
        assert joined([some.rollups.tables[name] for some in passes]).combine_chunks().equals(table_)
    assert sum(some.rollups.kept for some in passes) == one.rollups.kept


COUNTER = {"kind": "counter", "first_value": 1.0, "last_value": 1.0}
BARE = {"kind": "histogram", "sum": 1.0}
HISTOGRAM = BARE | {"bounds": [1.0], "bucket_counts": [1, 0]}
CASES: dict[str, tuple[str, Row]] = {
    "a gauge without a value": ("1m", {"last": None}),
    "a gauge that is not a number": ("1m", {"last": float("nan")}),
    "a minute of several values": ("1m", {"count": 3}),
    "a minute that is no minute": ("1m", {"minutes": 0, "count": 0}),
    "a minute of several minutes": ("1m", {"minutes": 2, "count": 2}),
    "a minute that begins within one": ("1m", {"bucket_start": (DAY_S + 30) * 1000}),
    "a counter without a value": ("1m", COUNTER | {"last": None}),
    "a delta without a value": ("1m", {"kind": "delta", "last": None}),
    "a histogram without buckets": ("1m", BARE),
    "a histogram with too few buckets": ("1m", HISTOGRAM | {"bucket_counts": [1]}),
    "a histogram without a count": ("1m", HISTOGRAM | {"count": None}),
    "a kind that is none": ("1m", {"kind": "summary"}),
    "a 5m gauge without a minimum": ("5m", {"min": None}),
    "a 5m gauge without an average": ("5m", {"avg": None}),
    "a 5m gauge of more values than minutes": ("5m", {"count": 2}),
    "a 5m counter without its first value": ("5m", COUNTER | {"first_value": None}),
    "a 5m counter without its last value": ("5m", COUNTER | {"last_value": None}),
    "a 5m bucket of six minutes": ("5m", {"minutes": 6, "count": 6}),
    "a 5m bucket that begins within one": ("5m", {"bucket_start": (DAY_S + 60) * 1000}),
    "5m percentiles alone": ("5m", BARE | {"p50": 1.0, "p90": 1.0, "p95": 1.0, "p99": 1.0}),
}


@pytest.mark.parametrize(("finer", "changes"), CASES.values(), ids=CASES)
def test_a_bucket_of_which_a_row_lacks_something_is_not_made(finer: str, changes: Row) -> None:
    """The row's own 5m and 1h buckets are left out, the series' other ones are not."""
    others = [row(bucket_s=at, **changes | {name: row()[name] for name in ("minutes", "count", "sum", "min", "max", "avg", "last")}) for at in (300, 3600)]
    whole = [one | (HISTOGRAM if one["kind"] == "histogram" else COUNTER if one["kind"] == "counter" else {}) for one in others]
    stored = table([row(**changes), *(one | {"bucket_start": (DAY_S + at) * 1000} for one, at in zip(whole, (300, 3600), strict=True))])
    result = recalculate(stored, finer, computed=DAY if finer == "1m" else HOURS, average="cascade", generation=1)
    made = {name: [one["bucket_start"] // 1000 - DAY_S for one in plain_rows(some)] for name, some in result.rollups.tables.items()}
    if changes.get("kind") == "summary":
        assert made == {"5m": [], "1h": []}
    else:
        assert made == ({"5m": [300, 3600], "1h": [3600]} if finer == "1m" else {"1h": [3600]})
    assert result.rollups.points == result.rollups.kept + result.unusable + result.outside
    assert result.rollups.survivors == {name: sum(some["minutes"].to_pylist()) for name, some in result.rollups.tables.items()}


def test_what_is_unusable_and_what_is_outside_is_told_apart() -> None:
    """5m is asked for the first ten minutes, 1h not at all: the third row is outside, the second can't be used."""
    stored = table([row(bucket_s=0), row(bucket_s=300, last=None), row(bucket_s=360), row(bucket_s=900)])
    result = recalculate(stored, "1m", computed={"5m": ((DAY_S, DAY_S + 600),)}, average="cascade", generation=1)
    assert (result.rollups.points, result.rollups.kept, result.unusable, result.outside) == (4, 1, 2, 1)


def test_unknown_increases_and_starts_stay_unknown() -> None:
    stored = table(
        [row(bucket_s=at, **COUNTER, increase=increase, start_time=start) for at, increase, start in ((0, None, 0), (60, 2.0, None), (3600, None, 5))]
    )
    result = recalculate(stored, "1m", computed=HOURS, average="cascade", generation=9)
    found = [(one.get("increase"), one.get("start_time"), one["generation"]) for one in plain_rows(result.rollups.tables["1h"])]
    assert found == [(2.0, None, 9), (None, 5, 9)]


def test_a_start_at_the_epoch_is_known() -> None:
    result = recalculate(table([row(**COUNTER, start_time=0)]), "1m", computed=HOURS, average="cascade", generation=1)
    assert [one["start_time"] for one in plain_rows(result.rollups.tables["1h"])] == [0]


def test_a_stored_negative_zero_is_zero() -> None:
    result = recalculate(table([row(value=-0.0)]), "1m", computed=HOURS, average="cascade", generation=1)
    assert [struct.pack("<d", one["sum"]) for one in plain_rows(result.rollups.tables["1h"])] == [bytes(8)]


def test_nothing_stored_gives_empty_tables() -> None:
    result = recalculate(ROLLUP_SCHEMA.empty_table(), "1m", computed=DAY, average="cascade", generation=1)
    assert {name: one.num_rows for name, one in result.rollups.tables.items()} == {"5m": 0, "1h": 0}
    assert all(one.schema == ROLLUP_SCHEMA for one in result.rollups.tables.values())
    assert replace(result, rollups=replace(result.rollups, tables={})) == Recalculated(
        UnitRollups(tables={}, points=0, superseded=0, survivors={"5m": 0, "1h": 0}, kept=0, overflows=0), unusable=0, outside=0
    )
