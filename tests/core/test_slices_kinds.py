"""Slices of points with labels and kinds, and lead-in, against an oracle of dicts and loops."""

from collections import Counter, defaultdict
from zlib import crc32

from hypothesis import example, given, settings, strategies as st

from tests.builders import DAY_START_S, NOON_S, Point, Posting, decoded
from transforms.core.granularity import DAY_S, Range
from transforms.core.model import METRIC_TYPES, POINT_KINDS, SeriesKey, labels_pairs
from transforms.core.selection import Reach, Selection
from transforms.core.slices import GroupColumns, GroupSlices

US = 1_000_000
ALWAYS = ((0, 4_102_444_800),)
HISTOGRAM = {"count": 3, "sum": 1.5, "min": 0.1, "max": 1.0, "bounds": [0.5], "bucket_counts": [1, 2]}
ACCUMULATING = ("counter", "cumulative histogram")

Staged = dict[tuple[str, ...], list[tuple[object, ...]]]
"""By unit's type, window and shard, then entity, name, labels and kind: minute, arrival, value, start, time and the histogram's count of each point."""


def slices_of(objects: list[list[Point]], computed: tuple[Range, ...], lead_in_s: int, series: tuple[str, ...] = ()) -> GroupSlices:
    selection = Selection(metric_types=METRIC_TYPES, computed={"1m": computed}, series=series)
    columns = GroupColumns(selection, Reach(lead_in_s=lead_in_s), lambda _type, _window: 3)
    for points in objects:
        columns.add(decoded([Posting("labeled", arrival_us=DAY_START_S * US), Posting("service", arrival_us=DAY_START_S * US)], points))
    return columns.slices()


def staged(slices: GroupSlices) -> Staged:
    found: Staged = {}
    for one in slices.index:
        for row in slices.batch.slice(one.first_row, one.rows).to_pylist():
            number = len(row["minute"])
            assert (row["start_us"] is None) == (row["time_us"] is None) == (row["kind"] == "gauge")
            assert (row["histogram"] is None) == ("histogram" not in row["kind"])
            empty = [None] * number
            histograms = [None if each is None else each["count"] for each in row["histogram"] or empty]
            columns = (row["minute"], row["arrival_us"], row["value"], row["start_us"] or empty, row["time_us"] or empty, histograms)
            key = (*map(str, one.unit), row["entity"], row["name"], row["labels"], row["kind"])
            assert key not in found
            found[key] = list(zip(*columns, strict=True))
    return found


def expected(objects: list[list[Point]], computed: tuple[Range, ...], lead_in_s: int) -> tuple[Staged, Counter[tuple[str, str]]]:
    """For every point and every day: which days have a computed minute that needs it."""
    found: defaultdict[tuple[str, ...], list[tuple[object, ...]]] = defaultdict(list)
    counted: Counter[tuple[str, str]] = Counter()
    days = {day: DAY_START_S + day * DAY_S for day in (-1, 0, 1)}
    for ahead in (0, 1):
        for points in objects:
            for point in points:
                metric_type = ("labeled", "service")[point.posting]
                minute_s = point.time_s // 60 * 60
                landings = []
                for day, start_s in days.items():
                    minutes = [at for a, b in computed for at in range(a, b, 60) if start_s <= at < start_s + DAY_S]
                    on_day = start_s <= minute_s < start_s + DAY_S
                    is_lead_in = point.kind in ACCUMULATING and any(0 < at - minute_s <= lead_in_s // 60 * 60 for at in minutes)
                    if (on_day and minute_s in minutes) or is_lead_in:
                        landings.append((day, not on_day))
                if not ahead:
                    counted["points", metric_type] += 1
                    counted["outside.time", metric_type] += not landings
                    counted["staged", metric_type] += len(landings)
                    counted["lead_in_copies", metric_type] += max(0, len(landings) - 1)
                for day, is_later in landings:
                    if is_later == bool(ahead):
                        window = {-1: "2025-10-31", 0: "2025-11-01", 1: "2025-11-02"}[day]
                        shard = crc32(SeriesKey(metric_type, "acme", "h1", point.name, labels_pairs(point.labels)).encode()) % 3
                        more = (None, None) if point.kind == "gauge" else (point.start_us, point.time_us)
                        key = (metric_type, window, str(shard), "h1", point.name, point.labels, point.kind)
                        histogram = None if point.histogram is None else point.histogram["count"]
                        found[key].append((point.time_s // 60, DAY_START_S * US, point.value, *more, histogram))
    return dict(found), +counted


times = st.integers(-1500, 1500).map(lambda minute: DAY_START_S + 60 * minute) | st.integers(-20, 20).map(lambda minute: DAY_START_S + 60 * minute)
in_range = times.filter(lambda time_s: DAY_START_S - DAY_S <= time_s < DAY_START_S + DAY_S)


@st.composite
def points(draw: st.DrawFn) -> Point:
    kind, time_s = draw(st.sampled_from(POINT_KINDS)), draw(in_range)
    count = draw(st.integers(0, 9))
    return Point(
        draw(st.integers(0, 1)),
        draw(st.sampled_from(["cpu", "load"])),
        time_s,
        float(count),
        draw(st.sampled_from(["{}", '{"a":"b"}', '{"a":"é","b":"\\""}'])),
        kind,
        draw(st.sampled_from([0, DAY_START_S * US])),
        time_s * US + draw(st.integers(0, US - 1)),
        HISTOGRAM | {"count": count} if "histogram" in kind else None,
    )


ranges = st.sampled_from(
    [
        ((DAY_START_S, DAY_START_S + DAY_S),),
        ((DAY_START_S - 3600, DAY_START_S + 3600),),
        ((DAY_START_S - 120, DAY_START_S), (DAY_START_S + 300, DAY_START_S + 600), (DAY_START_S + 900, DAY_START_S + 960)),
        ((DAY_START_S - 120, DAY_START_S - 60), (DAY_START_S + 60, DAY_START_S + 600)),
        (),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(points(), max_size=8), max_size=4), ranges, st.sampled_from([0, 59, 60, 600, 7200]))
@example([[Point(time_s=DAY_START_S - 240, kind="counter", time_us=0)]], ((DAY_START_S - 120, DAY_START_S + 3600),), 600)
def test_every_point_is_in_the_units_that_need_it_or_outside(objects: list[list[Point]], computed: tuple[Range, ...], lead_in_s: int) -> None:
    slices = slices_of(objects, computed, lead_in_s)
    found, counted = expected(objects, computed, lead_in_s)
    assert staged(slices) == found
    assert {(term, name): number for term, by_type in slices.counts.items() for name, number in by_type.items() if name != "records"} == counted


def test_gauges_with_labels_are_series_of_their_own_and_have_no_lead_in() -> None:
    given_points = [Point(labels='{"a":"b"}', value=2.0), Point(value=1.0), Point(time_s=DAY_START_S - 60)]
    slices = slices_of([given_points], ((DAY_START_S, DAY_START_S + DAY_S),), 600)
    found = {key[5:]: samples for key, samples in staged(slices).items()}
    assert found == {(labels, "gauge"): [(NOON_S // 60, DAY_START_S * US, value, None, None, None)] for labels, value in (("{}", 1.0), ('{"a":"b"}', 2.0))}
    assert slices.counts["outside.time"] == {"labeled": 1}


def test_a_series_that_is_not_selected_has_no_lead_in_copies() -> None:
    both = [Point(name=name, time_s=DAY_START_S - 60, kind="counter") for name in ("cpu", "load")]
    slices = slices_of([both], ((DAY_START_S - 60, DAY_START_S + DAY_S),), 600, series=("*/cpu",))
    assert {term: by_type["labeled"] for term, by_type in slices.counts.items() if "labeled" in by_type} == {
        "points": 2, "lead_in_copies": 1, "outside.series": 1, "staged": 2,
    }  # fmt: skip


def test_a_hosts_points_in_a_role_keep_their_labels_and_kind() -> None:
    selection = Selection(metric_types=METRIC_TYPES, computed={"1m": ALWAYS})
    columns = GroupColumns(selection, Reach(), lambda _type, _window: 1)
    columns.add(decoded([Posting(roles=("web:app",))], [Point(labels='{"z":"1"}', kind="counter"), Point()]))
    rows = columns.slices().batch.to_pylist()
    assert sorted((row["metric_type"], row["entity"], row["labels"], row["kind"]) for row in rows) == [
        ("host", "h1", '{"z":"1"}', "counter"),
        ("host", "h1", "{}", "gauge"),
        ("role", "web:app", '{"host":"h1","z":"1"}', "counter"),
        ("role", "web:app", '{"host":"h1"}', "gauge"),
    ]


def test_gauges_among_themselves_carry_no_columns_of_other_kinds() -> None:
    columns = GroupColumns(Selection(metric_types=METRIC_TYPES, computed={"1m": ALWAYS}), Reach(), lambda _type, _window: 1)
    columns.add(decoded([Posting("labeled")], [Point(labels='{"a":"b"}', start_us=5)]))
    (part,) = columns._parts
    assert (part.start_us, part.time_us, part.histogram) == (None, None, None)
