"""Histograms: tables computed by hand, the error of percentiles, and the oracle's dicts and loops on anything."""

import itertools
import math
import random
import warnings
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from scripts import oracle_kinds
from scripts.oracle_kinds import Histogram
from tests.core.kind_slices import COLUMNS, Sample, bits, expected, minutes_within, oracle, rows_of, slice_of
from tests.core.unit_slices import START_S, WHOLE_DAY
from transforms.core.errors import RollupsError
from transforms.core.fold import Average
from transforms.core.rollup import Computed, UnitRollups, roll_up, roll_up_in_passes
from transforms.core.rows import joined
from transforms.core.united import IDENTITY

DELTA, TOTAL = "histogram", "cumulative histogram"
FIVE = (1.0, 2.0, 5.0)


def rolled(*samples: Sample, lead_in_s: int = 600, computed: Computed = WHOLE_DAY) -> UnitRollups:
    return roll_up([slice_of(samples)], computed=computed, average="cascade", generation=1, lead_in_s=lead_in_s)


def column(result: UnitRollups, granularity: str, *names: str) -> dict[int, Any]:
    """By bucket start in minutes of the day."""
    rows = [(row[2] // 60, dict(zip(COLUMNS, row[3:], strict=True))) for row in rows_of(result.tables[granularity])]
    return {start: row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for start, row in rows}


def of(*counts: int, bounds: tuple[float, ...] = FIVE, total: float | None = None, low: float | None = None, high: float | None = None) -> Histogram:
    return Histogram(sum(counts), total, low, high, bounds, counts)


def sample(second: float, histogram: Histogram, kind: str = DELTA, start: float | None = None, arrival: int = 0) -> Sample:
    return Sample(second, 0.0, arrival, kind, start, histogram)


def test_deltas_of_a_minute_are_merged() -> None:
    """Three points of a minute, one of which came again and changed."""
    result = rolled(
        sample(0, of(1, 0, 0, 0, total=0.5, low=0.5, high=0.5)),
        sample(20, of(0, 9, 0, 0), arrival=1),
        sample(20, of(0, 2, 0, 0, total=3.0, low=1.25, high=1.75), arrival=2),
        sample(40, of(0, 0, 0, 1, total=8.0, low=8.0, high=8.0)),
    )
    assert column(result, "1m", "count", "sum", "min", "max", "avg", "last", "increase") == {0: (4, 11.5, 0.5, 8.0, 2.875, None, None)}
    assert column(result, "5m", "bounds", "bucket_counts", "p50", "p90") == {0: ([1.0, 2.0, 5.0], [1, 2, 0, 1], 1.5, 6.800000000000001)}
    assert (result.points, result.superseded, result.kept, result.survivors["1h"], result.rebinned) == (4, 1, 3, 1, 0)


def test_cumulative_histograms_are_compared_with_their_predecessor() -> None:
    """20: nothing known before; 21: a difference; 22: a bucket fell, so it was reset; 23: another start; 40: too far away, but a start shortly before."""
    result = rolled(
        sample(20 * 60, of(5, 5, 0, 0, total=9.0, low=0.1, high=1.9), TOTAL, 60),
        sample(21 * 60, of(5, 7, 1, 0, total=15.0, low=0.1, high=4.0), TOTAL, 60),
        sample(22 * 60, of(0, 9, 9, 9, total=99.0, low=1.1, high=9.0), TOTAL, 60),
        sample(23 * 60, of(9, 9, 9, 9, total=50.0), TOTAL, 1321),
        sample(40 * 60, of(9, 9, 9, 9, total=51.0), TOTAL, 1801),
        sample(55 * 60, of(9, 9, 9, 9, total=51.0), TOTAL),
    )
    assert column(result, "1m", "count", "sum", "min", "max", "bucket_counts") == {
        21: (3, 6.0, None, None, [0, 2, 1, 0]),
        22: (27, 99.0, 1.1, 9.0, [0, 9, 9, 9]),
        23: (36, 50.0, None, None, [9, 9, 9, 9]),
        40: (36, 51.0, None, None, [9, 9, 9, 9]),
    }
    assert column(result, "1h", "minutes", "count", "sum") == {0: (4, 102, 206.0)}
    assert (result.points, result.kept, result.no_predecessor) == (6, 4, 2)


def test_lead_in_is_subtracted_and_counts_apart() -> None:
    computed: Computed = {"1m": ((START_S + 600, START_S + 660),)}
    result = rolled(sample(540, of(1, 0, 0, 0), TOTAL), sample(600, of(1, 1, 0, 0), TOTAL), computed=computed)
    assert column(result, "1m", "bucket_counts") == {10: [0, 1, 0, 0]}
    assert (result.lead_in, result.kept, result.no_predecessor) == (1, 1, 0)


# Members → bounds, counts, whether rebinned
MERGES = {
    "the same bounds": ([of(1, 2, 3, 4), of(1, 0, 0, 0)], (FIVE, (2, 2, 3, 4)), False),
    "equal buckets add, an edge of empty ones goes": ([of(0, 2, 3, 0), of(0, 1, 0, 0, bounds=(1, 2, 9))], (FIVE, (0, 3, 3, 0)), False),
    "a finer scale joins the coarser": ([of(0, 1, 2, 0, bounds=(1, 2, 4)), of(0, 5, 0, bounds=(1, 4))], ((1, 4), (0, 8, 0)), True),
    "what overlaps becomes the hull": ([of(0, 1, 0, bounds=(1, 3)), of(0, 2, 0, bounds=(2, 5))], ((1, 5), (0, 3, 0)), True),
    "a chain of overlaps": ([of(0, 1, 0, bounds=(1, 3)), of(0, 1, 0, bounds=(4, 6)), of(0, 1, 0, bounds=(2, 5))], ((1, 6), (0, 3, 0)), True),
    "what touches stays apart": ([of(0, 1, 0, bounds=(1, 3)), of(0, 2, 0, bounds=(3, 5))], ((1, 3, 5), (0, 1, 2, 0)), False),
    "a gap is an empty bucket": ([of(0, 1, 0, bounds=(1, 3)), of(0, 2, 0, bounds=(4, 5))], ((1, 3, 4, 5), (0, 1, 0, 2, 0)), False),
    "ends of the line": ([of(1, 0, bounds=(1,)), of(0, 2, bounds=(4,))], ((1, 4), (1, 0, 2)), False),
    "no bounds cover all": ([of(7, bounds=()), of(1, 2, 3, 4)], ((), (17,)), True),
    "nothing observed": ([of(0, 0, bounds=(1,)), of(0, 0, bounds=(2,))], ((), (0,)), False),
}


@pytest.mark.parametrize(("members", "merged", "is_rebinned"), MERGES.values(), ids=MERGES)
def test_merge(members: list[Histogram], merged: tuple[tuple[float, ...], tuple[int, ...]], is_rebinned: bool) -> None:
    for order in itertools.permutations(members):
        result = rolled(*(sample(60 * minute, one) for minute, one in enumerate(order)))
        assert column(result, "5m", "bounds", "bucket_counts", "count") == {0: (list(merged[0]), list(merged[1]), sum(merged[1]))}
        assert result.rebinned == 2 * is_rebinned
        assert oracle_kinds.merge(list(order))[0][4:] == merged


PERCENTILES = {
    "in the middle": (of(0, 4, 0, 0), (1.5, 1.9, 1.95, 1.99)),
    "over several": (of(0, 5, 5, 0), (2.0, 4.4, 4.7, 4.94)),
    "first and last closed by what was observed": (of(5, 0, 0, 5, low=0.0, high=10.0), (1.0, 9.0, 9.5, 9.9)),
    "first and last not closed": (of(5, 0, 0, 5), (1.0, 5.0, 5.0, 5.0)),
    "extremes on the wrong side": (of(5, 0, 0, 5, low=3.0, high=4.0), (1.0, 5.0, 5.0, 5.0)),
    "no bounds": (of(5, bounds=(), low=1.0, high=2.0), (None,) * 4),
    "nothing observed": (of(0, 0, 0, 0), (None,) * 4),
}


@pytest.mark.parametrize(("histogram", "wanted"), PERCENTILES.values(), ids=PERCENTILES)
def test_percentiles(histogram: Histogram, wanted: tuple[float | None, ...]) -> None:
    (found,) = column(rolled(sample(0, histogram)), "1m", "p50", "p90", "p95", "p99").values()
    assert [None if one is None else round(one, 9) for one in found] == list(wanted)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60), st.sets(st.integers(-60, 60), min_size=1, max_size=9))
def test_a_percentile_is_off_by_a_buckets_width_at_most(observed: list[float], edges: set[int]) -> None:
    bounds = tuple(float(one) for one in sorted(edges))
    ends = [-math.inf, *bounds, math.inf]
    counts = [sum(lo < one <= hi for one in observed) for lo, hi in itertools.pairwise(ends)]
    histogram = Histogram(len(observed), None, min(observed), max(observed), bounds, tuple(counts))
    (found,) = column(rolled(sample(0, histogram)), "1m", "p50", "p90", "p95", "p99").values()
    for share, value in zip((0.5, 0.9, 0.95, 0.99), found, strict=True):
        true = sorted(observed)[math.ceil(share * len(observed)) - 1]
        lo, hi = next((lo, hi) for lo, hi in itertools.pairwise(ends) if lo < true <= hi)
        width = (max(observed) if hi == math.inf else hi) - (min(observed) if lo == -math.inf else lo)
        assert abs(value - true) <= width + 1e-9


def test_a_histogram_without_one_bucket_more_than_bounds_is_no_success() -> None:
    with pytest.raises(RollupsError, match=r"'bounds': \[1.0, 2.0\], 'bucket_counts': \[1, 2\]} has not one bucket more than bounds"):
        rolled(sample(0, of(1, 2, bounds=(1.0, 2.0))), sample(60, of(1, 2, 3, bounds=(1.0, 2.0))))


def test_huge_counts_fit() -> None:
    some = [sample(60 * minute, of(0, 1 << 61, 1 << 61, 0)) for minute in (0, 10, 20)]
    assert column(rolled(*some), "1m", "p50", "p90") == dict.fromkeys((0, 10, 20), (2.0, 4.4))


MOST = (1 << 63) - 1


def test_counts_beyond_64_bits_stay_at_the_largest_one() -> None:
    """Minutes 0 and 1 together are too many, in one bucket and in all; minutes 5 and 6 in all alone; minute 20 is as many as there can be."""
    half = 1 << 62
    result = rolled(
        sample(0, of(0, half, 5, 0, total=1.0, low=1.5, high=3.0)),
        sample(60, of(0, half, 6, 0, total=2.0, low=1.5, high=4.0)),
        sample(300, of(half, 0, 0, 0, total=1.0)),
        sample(360, of(half, 0, 0, 0, bounds=(1.0, 3.0, 9.0), total=1.0)),
        sample(365, of(0, half, 0, 0, bounds=(1.0, 3.0, 9.0), total=1.0)),
        sample(1200, of(0, MOST, 0, 0, total=1.0)),
        sample(1500, of(0, MOST - 1, 0, 0, total=1.0)),
    )
    assert column(result, "5m", "count", "bucket_counts") == {
        0: (MOST, [0, MOST, 11, 0]), 5: (MOST, [MOST, half, 0]), 20: (MOST, [0, MOST, 0, 0]), 25: (MOST - 1, [0, MOST - 1, 0, 0])
    }  # fmt: skip
    assert column(result, "5m", "sum", "min", "max") == {0: (3.0, 1.5, 4.0), 5: (3.0, None, None), 20: (1.0, None, None), 25: (1.0, None, None)}
    assert column(result, "5m", "avg", "p50") == {0: (None, None), 5: (None, None), 20: (None, None), 25: (1.0 / (MOST - 1), 1.5)}
    assert column(result, "1h", "count", "avg") == {0: (MOST, None)}
    assert result.overflows == 2 + 3 + 1, "minutes 6 and 20, three of 5, the hour"


def test_a_difference_of_the_largest_counts_is_exact() -> None:
    result = rolled(sample(0, of(0, MOST - 4, 4, 0), TOTAL), sample(60, of(0, MOST - 4, 4, 0, bounds=(1.0, 2.0, 6.0)), TOTAL))
    assert column(result, "1m", "count") == {1: 0}
    assert result.overflows == 0


def exponential(scale: int, first: int, counts: tuple[int, ...]) -> Histogram:
    """Bounds written out as decoders do."""
    return of(0, *counts, 0, bounds=tuple(2.0 ** (place / 2.0**scale) for place in range(first, first + len(counts) + 1)))


def test_a_change_of_an_exponential_scale_ends_at_the_coarser_one() -> None:
    fine, coarse = exponential(1, 2, (1, 2, 3, 4)), exponential(0, 1, (10, 20))
    result = rolled(sample(0, fine), sample(60, coarse))
    assert column(result, "5m", "bounds", "bucket_counts") == {0: ([2.0, 4.0, 8.0], [0, 13, 27, 0])}
    assert (result.rebinned, result.kept) == (2, 2)


counts = st.sampled_from((0, 0, 1, 2, 5)) | st.sampled_from((0, 1, 1 << 58, (1 << 60) - 1))


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    if draw(st.booleans()):
        one = exponential(draw(st.integers(-1, 2)), draw(st.integers(-3, 3)), tuple(draw(st.lists(counts, max_size=5))))
    else:
        bounds = draw(st.sampled_from((FIVE, FIVE, FIVE, (1.0, 3.0), (-0.0, 2.0, 9.0), ())))
        one = of(*draw(st.lists(counts, min_size=len(bounds) + 1, max_size=len(bounds) + 1)), bounds=bounds)
    known = draw(st.sampled_from((None, -0.0, 0.5, 3.0, 1e300, 1.7e308)))
    return one._replace(sum=known, min=draw(st.sampled_from((None, -0.0, 0.5))), max=draw(st.sampled_from((None, 0.5, 7.0))))


seconds = st.integers(0, 30).map(lambda place: 20 * place) | st.sampled_from((1250, 3590, 3600, 3661, 86_399))
samples = st.tuples(
    seconds, st.just(0.0), st.integers(0, 3), st.sampled_from((DELTA, TOTAL, TOTAL)), st.sampled_from((None, None, 0, 30.5, -599)), histograms(),
    st.sampled_from(("requests", "latency")),
).map(lambda fields: Sample(*fields))  # fmt: skip


@st.composite
def growing(draw: st.DrawFn) -> list[Sample]:
    """A cumulative histogram with few resets, sometimes with other bounds."""
    total, some = [0] * 4, []
    for minute in sorted(draw(st.sets(st.integers(0, 75), max_size=12))):
        more = [draw(counts) for _ in total]
        total = [one + grown for one, grown in zip(total, more, strict=True)] if draw(st.integers(0, 5)) and sum(total) + sum(more) <= MOST else more
        bounds = FIVE if draw(st.integers(0, 5)) else (1.0, 2.0, 4.0)
        some.append(
            sample(60 * minute + draw(st.integers(0, 59)), of(*total, bounds=bounds, total=float(sum(total))), TOTAL, draw(st.sampled_from((0, 0, None, 60))))
        )
    return some


gauges = st.tuples(seconds, st.sampled_from((1.0, -2.5)), st.integers(0, 3), st.sampled_from(("gauge", "counter", "delta"))).map(lambda one: Sample(*one))
slices_of_samples = st.lists(st.lists(samples | samples | gauges, max_size=12) | growing(), max_size=4)
hours = st.sets(st.integers(0, 24), max_size=6).map(lambda some: tuple(zip(*[iter(sorted(some))] * 2, strict=False)))
ranges = hours.map(lambda some: tuple((START_S + 3600 * a, START_S + 3600 * b) for a, b in some))
selections = st.just(WHOLE_DAY) | st.dictionaries(st.sampled_from(("1m", "5m", "1h")), ranges) | st.just({"5m": ((START_S + 300, START_S + 600),)})


@settings(max_examples=300, deadline=None)
@given(slices_of_samples, selections, st.sampled_from(("cascade", "flat")), st.sampled_from((0, 60, 600, 7200)))
def test_same_bits_as_the_oracle(slices: list[list[Sample]], computed: Computed, average: Average, lead_in_s: int) -> None:
    with warnings.catch_warnings(action="error"):
        result = roll_up([slice_of(one) for one in slices], computed=computed, average=average, generation=1, lead_in_s=lead_in_s)
    assert bits({name: rows_of(table) for name, table in result.tables.items()}) == bits(expected(slices, computed, average, lead_in_s))
    check_counts(result, slices, computed, lead_in_s)


def check_counts(result: UnitRollups, slices: list[list[Sample]], computed: Computed, lead_in_s: int) -> None:
    minutes = [START_S + int(one.second) // 60 * 60 for some in slices for one in some]
    rolled_up = oracle(slices, "flat", lead_in_s)
    rows = [(start, row) for some in rolled_up["1m"].values() for start, row in some.items() if minutes_within(computed, start)]
    assert result.points == len(minutes) == result.lead_in + result.kept + result.superseded + result.no_predecessor
    assert result.lead_in == sum(not minutes_within(computed, one) for one in minutes)
    assert result.kept == sum(row["points"] for _, row in rows)
    left_out = lost_minutes(slices, lead_in_s)
    assert result.no_predecessor == sum(bool(minutes_within(computed, start)) for start in left_out)
    for name, table in result.tables.items():
        inside = [row for start, row in rows if name in minutes_within(computed, start)]
        assert result.survivors[name] == len(inside) == sum(table["minutes"].to_pylist())
        assert sum(result.row_points.get(name, table["minutes"].to_pylist())) == sum(row["points"] for row in inside)
    chosen = [row for name in computed for some in rolled_up[name].values() for start, row in some.items() if inside_of(start, computed[name])]
    assert result.rebinned == sum(row.get("rebinned", False) for row in chosen)


def inside_of(start_s: int, some: tuple[tuple[int, int], ...]) -> bool:
    return any(a <= start_s < b for a, b in some)


def lost_minutes(slices: list[list[Sample]], lead_in_s: int) -> list[int]:
    """Minutes of cumulative histograms that nothing precedes, by series."""
    lost = []
    for name in ("requests", "latency"):
        totals = [one for some in slices for one in some if (one.name, one.kind) == (name, TOTAL)]
        for minute in sorted({START_S + int(one.second) // 60 * 60 for one in totals}):
            rows = oracle([[one for one in totals if START_S + int(one.second) // 60 * 60 <= minute]], "flat", lead_in_s)["1m"]
            lost += [minute] * all(minute not in some for some in rows.values())
    return lost


@settings(max_examples=100, deadline=None)
@given(slices_of_samples, st.integers(1, 30))
def test_passes_and_cuts_change_nothing(slices: list[list[Sample]], max_points: int) -> None:
    rules: dict[str, Any] = {"computed": WHOLE_DAY, "average": "flat", "generation": 1}
    whole = roll_up([slice_of(one) for one in slices], **rules)
    single = [slice_of([one]) for some in slices for one in some]
    passes = list(roll_up_in_passes(single, max_points=max_points, **rules))
    for name, table in whole.tables.items():
        parts = joined([one.tables[name] for one in passes]).combine_chunks()
        assert parts.equals(table)
        assert all(parts[at].chunks == table[at].chunks for at in IDENTITY if table.num_rows)
    for term in ("points", "superseded", "kept", "lead_in", "no_predecessor", "overflows", "rebinned"):
        assert sum(getattr(one, term) for one in passes) == getattr(whole, term)


def test_many_series_bit_for_bit() -> None:
    """Twenty series every 15 seconds for two hours with their own bounds, of both temporalities, some points twice, in eight slices."""
    rng = random.Random(7)
    some: list[Sample] = []
    for number in range(20):
        total, bounds = [0] * 6, tuple(sorted(rng.sample(range(100), 5)))
        for second in range(0, 7200, 15):
            grown = [rng.choice((0, 0, 1, 3)) for _ in range(6)]
            total = [a + b for a, b in zip(total, grown, strict=True)] if rng.random() > 0.01 else grown
            if rng.random() < 0.01:
                bounds = tuple(sorted(rng.sample(range(100), 5)))
            counted = of(*(grown if number % 2 else total), bounds=tuple(map(float, bounds)), total=rng.gauss(9, 3))
            kind = DELTA if number % 2 else TOTAL
            some += [Sample(second, 0.0, rng.randrange(5), kind, None, counted, f"m{number}")] * rng.choice((0, 1, 1, 1, 2))
    slices = [some[at::8] for at in range(8)]
    result = roll_up([slice_of(one) for one in slices], computed=WHOLE_DAY, average="flat", generation=1)
    assert bits({name: rows_of(table) for name, table in result.tables.items()}) == bits(expected(slices, WHOLE_DAY, "flat", 600))
