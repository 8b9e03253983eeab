"""The rollup mathematics and the oracle's dicts and loops give the same bits, whatever the points."""

import itertools
import random
import warnings
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from scripts import oracle
from tests.core.unit_slices import LOAD, START_S, WHOLE_DAY, Cells, Sample, Series, bits, slice_of
from transforms.core.fold import Average
from transforms.core.granularity import WIDTH_S
from transforms.core.model import SERIES_COLUMNS
from transforms.core.rollup import Computed, UnitRollups, roll_up, roll_up_in_passes
from transforms.core.rows import joined
from transforms.core.united import IDENTITY

ODD_VALUES = (0.0, -0.0, 1.0, -1.0, 0.1, 0.2, 0.3, 1e16, -1e16, 5e-324, -5e-324, 2.2e-308, 1.7e308, -1.7e308, 1.7976931348623157e308)
ODD_TEXTS = ("", "a", "b", "é", "e\u0301", "\uffee", "\U0001f600", '"', "a,b")

values = st.sampled_from(ODD_VALUES) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.sampled_from(ODD_TEXTS)
series = st.tuples(texts, texts, texts, st.sampled_from(("{}", '{"host":"é"}')), st.just("gauge"))
minutes_of_day = st.integers(0, 12) | st.integers(55, 65) | st.sampled_from((0, 719, 720, 1439))
one_series = st.lists(st.builds(Sample, minutes_of_day, values, st.integers(0, 3), st.just(LOAD)), max_size=30)
averages = st.sampled_from(("cascade", "flat"))
ranges = st.sets(st.integers(0, 24), max_size=6).map(lambda hours: tuple(zip(*[iter(sorted(hours))] * 2, strict=False)))


@st.composite
def units(draw: st.DrawFn) -> list[list[Sample]]:
    """Slices of a few series with many meetings in the same minute, few distinct arrivals, every order."""
    known = draw(st.lists(series, min_size=1, max_size=5))
    sample = st.builds(Sample, minutes_of_day, values, st.integers(0, 3), st.sampled_from(known))
    return draw(st.lists(st.lists(sample, max_size=25), max_size=4))


@st.composite
def selections(draw: st.DrawFn) -> Computed:
    """Some granularities, each with its own hours."""
    names = draw(st.lists(st.sampled_from(list(WIDTH_S)), unique=True))
    return {name: tuple((START_S + 3600 * a, START_S + 3600 * b) for a, b in draw(ranges)) for name in names}


Rows = list[Cells]
Slices = Sequence[Sequence[Sample]]


def expected(slices: Slices, computed: Computed, average: Average) -> dict[str, Rows]:
    """By granularity, (org, entity, name, labels, bucket start, minutes, count, sum, min, max, avg, last), sorted."""
    samples = [sample for one in slices for sample in one]
    points = [
        oracle.Point(("host", *one.series[:4]), one.arrival, order, START_S + 60 * one.minute + order % 60, one.value) for order, one in enumerate(samples)
    ]
    rows: dict[str, Rows] = {name: [] for name in computed}
    for key, values_of in sorted(oracle.last_arrivals(points).items()):
        buckets = oracle.roll_up(values_of, average)
        for name in computed:
            inside = [start for start in buckets[name] if any(a <= start < b for a, b in computed[name])]
            rows[name] += [(*key[1:], start, *vars(buckets[name][start]).values()) for start in inside]
    return rows


def actual(table: pa.Table) -> Rows:
    start = [milli // 1000 for milli in table["bucket_start"].cast(pa.int64()).to_pylist()]
    columns = [table[name].to_pylist() for name in ("minutes", "count", "sum", "min", "max", "avg", "last")]
    return list(zip(*(table[name].to_pylist() for name in IDENTITY if name != "kind"), start, *columns, strict=True))


def check(result: UnitRollups, slices: Slices, computed: Computed, average: Average) -> None:
    rows = expected(slices, computed, average)
    assert {name: bits(actual(table)) for name, table in result.tables.items()} == {name: bits(some) for name, some in rows.items()}
    everywhere = expected(slices, WHOLE_DAY, average)["1m"]
    inside = {name: {row[:5] for row in everywhere if _within(row[4], name, computed)} for name in computed}
    assert result.points == sum(map(len, slices))
    inner = [sample for one in slices for sample in one if any(_within(START_S + 60 * sample.minute, name, computed) for name in computed)]
    assert result.superseded == len(inner) - len(set().union(*inside.values()))
    assert result.lead_in == result.points - len(inner)
    assert result.survivors == {name: len(some) for name, some in inside.items()}
    assert result.survivors == {name: sum(table["minutes"].to_pylist()) for name, table in result.tables.items()}
    assert result.kept == len(set().union(*inside.values()))
    infinite = (float("inf"), float("-inf"))
    assert result.overflows == sum(row[7] in infinite or row[10] in infinite for name in rows for row in rows[name])


def _within(minute_s: int, name: str, computed: Computed) -> bool:
    start = minute_s // WIDTH_S[name] * WIDTH_S[name]
    return any(a <= start < b for a, b in computed[name])


@settings(max_examples=150, deadline=None)
@given(units(), selections(), averages)
def test_same_bits_as_the_oracle(slices: Slices, computed: Computed, average: Average) -> None:
    with warnings.catch_warnings(action="error"):
        result = roll_up([slice_of(one) for one in slices], computed=computed, average=average, generation=1)
    check(result, slices, computed, average)


@settings(max_examples=60, deadline=None)
@given(units(), st.integers(1, 30), averages)
def test_passes_of_any_size_give_the_same(slices: Slices, max_points: int, average: Average) -> None:
    batches = [slice_of(one) for one in slices]
    whole = roll_up(batches, computed=WHOLE_DAY, average=average, generation=1)
    passes = list(roll_up_in_passes(batches, max_points=max_points, computed=WHOLE_DAY, average=average, generation=1))
    for name, table in whole.tables.items():
        parts = joined([one.tables[name] for one in passes]).combine_chunks()
        assert parts.equals(table)
        assert all(parts[at].chunks == table[at].chunks for at in IDENTITY if table.num_rows)
    for count in ("points", "superseded", "kept", "overflows"):
        assert sum(getattr(one, count) for one in passes) == getattr(whole, count)
    for name, survivors in whole.survivors.items():
        assert sum(one.survivors[name] for one in passes) == survivors
    assert all(one.points <= max_points or len(set(map(tuple, _identities(one)))) == 1 for one in passes)


def _identities(one: UnitRollups) -> list[tuple[str, ...]]:
    return list(zip(*(one.tables["1h"][name].to_pylist() for name in IDENTITY), strict=True))


@settings(max_examples=60, deadline=None)
@given(one_series, st.sets(st.integers(0, 30), max_size=4))
def test_cutting_into_slices_changes_nothing(samples: list[Sample], cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(samples)]
    cut = [slice_of(samples[a:b]) for a, b in itertools.pairwise(edges)]
    one, many = (roll_up(slices, computed=WHOLE_DAY, average="cascade", generation=1) for slices in ([slice_of(samples)], cut))
    assert one == many


@settings(max_examples=60, deadline=None)
@given(one_series, st.randoms())
def test_order_matters_only_among_equal_arrivals(samples: list[Sample], shuffler: random.Random) -> None:
    distinct = [sample._replace(arrival=at) for at, sample in enumerate(samples)]
    shuffled = shuffler.sample(distinct, len(distinct))
    one, other = (roll_up([slice_of(some)], computed=WHOLE_DAY, average="flat", generation=1) for some in (distinct, shuffled))
    assert one == other


@pytest.mark.parametrize("average", ["cascade", "flat"])
def test_a_busy_day_bit_for_bit(average: Average) -> None:
    """Twenty series, some dense, some with long gaps, a third of the points twice or more, in twelve slices."""
    rng = random.Random(11)
    known: list[Series] = [("acme", f"h{at % 7}", f"m{at}", "{}", "gauge") for at in range(20)]
    chosen = [(one, minute) for at, one in enumerate(known) for minute in range(1440) if rng.random() < (1, 0.3, 0.01)[at % 3]]
    samples = [Sample(minute, rng.gauss(0, 10) ** 3, rng.randrange(5), one) for one, minute in chosen for _ in range(rng.choice((1, 1, 2, 4)))]
    slices = [sorted(samples[at::12], key=lambda _: rng.random()) for at in range(12)]
    check(roll_up([slice_of(one) for one in slices], computed=WHOLE_DAY, average=average, generation=1), slices, WHOLE_DAY, average)


def test_identity_is_what_rows_are_sorted_by() -> None:
    assert ("metric_type", *IDENTITY) == SERIES_COLUMNS
