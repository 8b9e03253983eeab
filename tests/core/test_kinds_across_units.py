"""Points of any kind from decoded objects over read groups, units and days to rollups: what the oracle makes of all points at once, and all sums hold."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given, settings, strategies as st

from scripts import oracle_kinds
from scripts.oracle_kinds import Histogram
from tests.builders import DAY_START_S, Point, Posting, decoded
from tests.core.kind_slices import COLUMNS, bits
from transforms.core.accounts import UnitRecord, account
from transforms.core.canonical import ordered
from transforms.core.counts import Counts
from transforms.core.granularity import DAY_S, GRANULARITIES, Range
from transforms.core.model import METRIC_TYPES, POINT_KINDS, ROLLUP_SCHEMA
from transforms.core.outcome import unit_record
from transforms.core.rollup import Computed, roll_up_in_passes
from transforms.core.rows import joined
from transforms.core.selection import Reach, Selection, computed_ranges
from transforms.core.slices import GroupColumns
from transforms.core.units import Unit
from transforms.core.versions import merge
from transforms.core.windows import DAILY

US = 1_000_000
Objects = list[list[tuple[Point, int]]]
"""Points with their arrival in seconds after midnight, by object."""

counts = st.integers(0, 4)
histograms = st.builds(
    lambda bounds, numbers, total: Histogram(sum(numbers[: len(bounds) + 1]), total, None, 7.5, bounds, tuple(numbers[: len(bounds) + 1])),
    st.sampled_from(((1.0, 2.0), (1.0, 2.0), (2.0, 4.0), ())),
    st.lists(counts, min_size=3, max_size=3),
    st.sampled_from((None, 1.5, 2.0)),
)


@st.composite
def points(draw: st.DrawFn) -> tuple[Point, int]:
    kind = draw(st.sampled_from(POINT_KINDS))
    minute = draw(st.integers(-13, 13) | st.integers(-70, 70) | st.integers(-1439, 1439))
    time_us = (DAY_START_S + 60 * minute + draw(st.sampled_from((0, 20, 59)))) * US + draw(st.sampled_from((0, 999_999)))
    histogram = draw(histograms) if "histogram" in kind else None
    as_dict = histogram and histogram._asdict() | {"bounds": list(histogram.bounds), "bucket_counts": list(histogram.bucket_counts)}
    start_us = draw(st.sampled_from((0, 0, DAY_START_S - 300, DAY_START_S))) * US
    value, labels = float(draw(counts)), draw(st.sampled_from(("{}", '{"a":"b"}')))
    return Point(0, "requests", time_us // US, value, labels, kind, start_us, time_us, as_dict), draw(st.integers(0, 3))


periods = st.sampled_from(
    (
        ((DAY_START_S - DAY_S, DAY_START_S + DAY_S),),
        ((DAY_START_S, DAY_START_S + 3600),),
        ((DAY_START_S - 420, DAY_START_S + 180),),
        ((DAY_START_S - 600, DAY_START_S - 300), (DAY_START_S + 120, DAY_START_S + 600)),
    )
)


def rolled_up(groups: Sequence[Objects], selection: Selection, max_points: int) -> tuple[dict[str, pa.Table], list[Counts], list[UnitRecord]]:
    """The rows of all units, the counts of the groups and the records of the units, as a run makes them."""
    slices: dict[Unit, list[pa.RecordBatch]] = {}
    footers, records, tables = [], [], {name: [ROLLUP_SCHEMA.empty_table()] for name in selection.computed}
    for group in groups:
        columns = GroupColumns(selection, Reach(), lambda _type, _window: 2)
        for given_points in group:
            postings = [Posting("labeled", arrival_us=(DAY_START_S + second) * US) for _, second in given_points]
            columns.add(decoded(postings, [point._replace(posting=place) for place, (point, _) in enumerate(given_points)]))
        staged = columns.slices()
        footers.append(staged.counts)
        for one in staged.index:
            slices.setdefault(one.unit, []).append(staged.batch.slice(one.first_row, one.rows))
    for unit, batches in slices.items():
        computed = selection.computed_within(DAILY.range_of(unit.window))
        rollups = list(roll_up_in_passes(batches, max_points=max_points, computed=computed, average="cascade", generation=1))
        of_unit = {name: joined([one.tables[name] for one in rollups]).combine_chunks() for name in selection.computed}
        merged = {name: merge(ROLLUP_SCHEMA.empty_table(), table, allow_fewer=False) for name, table in of_unit.items()}
        records.append(unit_record(unit, rollups, of_unit, merged, selection))
        for name, table in of_unit.items():
            tables[name].append(table)
    return {name: ordered(joined(some).combine_chunks()) for name, some in tables.items()}, footers, records


def expected(groups: Sequence[Objects], computed: Computed) -> dict[str, list[tuple[Any, ...]]]:
    samples = [pair for group in groups for one in group for pair in one]
    given_points = (
        oracle_kinds.Point(
            (point.name, point.labels), point.kind, arrival, order, point.time_us or 0, point.start_us, point.value,
            point.histogram and Histogram(**point.histogram | {name: tuple(point.histogram[name]) for name in ("bounds", "bucket_counts")}),
        )
        for order, (point, arrival) in enumerate(samples)
    )  # fmt: skip
    rolled = oracle_kinds.roll_up(given_points, "cascade", 600)
    return {
        name: [
            (*key, start, *(row.get(column) for column in COLUMNS if column != "start_time"))
            for key, rows in sorted(rolled[name].items())
            for start, row in sorted(rows.items())
            if any(a <= start < b for a, b in computed[name])
        ]
        for name in computed
    }


def actual(table: pa.Table) -> list[tuple[Any, ...]]:
    start = [milli // 1000 for milli in table["bucket_start"].cast(pa.int64()).to_pylist()]
    identity = [table[name].to_pylist() for name in ("name", "labels", "kind")]
    return list(zip(*identity, start, *(table[name].to_pylist() for name in COLUMNS if name != "start_time"), strict=True))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.lists(points(), max_size=10), max_size=3), max_size=3), periods, st.sampled_from((1, 5, 1000)))
def test_any_split_gives_what_the_oracle_makes_of_all_points(groups: list[Objects], period: tuple[Range, ...], max_points: int) -> None:
    selection = Selection(metric_types=METRIC_TYPES, computed={name: computed_ranges(period, name, "expand") for name in GRANULARITIES})
    tables, footers, records = rolled_up(groups, selection, max_points)
    assert bits({name: actual(table) for name, table in tables.items()}) == bits(expected(groups, selection.computed))
    sums = account(footers, records)
    assert sums.imbalances() == ()
    came = sum(len(one) for group in groups for one in group)
    assert sum(sums.counts.get("points", {}).values()) == came


def test_a_counter_goes_on_over_midnight_and_its_lead_in_is_counted() -> None:
    """Both days are computed: the points of 23:55 and 23:59 are the first day's, and copies lead into the second."""
    values = {-70: 1.0, -5: 3.0, -1: 4.0, 0: 6.0, 2: 1.0}
    given_points = [(Point(0, "requests", DAY_START_S + 60 * minute, value, kind="counter"), 0) for minute, value in values.items()]
    period = ((DAY_START_S - DAY_S, DAY_START_S + DAY_S),)
    selection = Selection(metric_types=("labeled",), computed={"1m": period, "1h": period})
    tables, footers, records = rolled_up([[given_points]], selection, 1000)
    assert [(row[3] - DAY_START_S, row[4 + COLUMNS.index("increase")]) for row in actual(tables["1m"])] == [
        (-4200, None), (-300, None), (-60, 1.0), (0, 2.0), (120, 1.0),
    ]  # fmt: skip
    counts = account(footers, records).counts
    assert {term: by_type["labeled"] for term, by_type in counts.items() if "labeled" in by_type} == {
        "points": 5, "lead_in_copies": 2, "staged": 7, "outside.lead-in": 2, "stored": 5,
    }  # fmt: skip
