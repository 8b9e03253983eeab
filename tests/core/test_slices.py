"""From decoded objects to units' slices, against an oracle of dicts and loops."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.builders import DAY_START_S, NOON_S, Point, Posting, decoded
from transforms.core.cutting import Shards
from transforms.core.errors import ConservationError
from transforms.core.granularity import DAY_S, Range
from transforms.core.model import METRIC_TYPES, SLICE_SCHEMA, DeadLetter, DecodedObject, DecodeTally, SeriesKey
from transforms.core.roles import Membership
from transforms.core.selection import Reach, Selection
from transforms.core.slices import GroupColumns, GroupSlices
from transforms.core.units import Unit

US = 1_000_000
DAYS = {"2025-10-31": DAY_START_S - DAY_S, "2025-11-01": DAY_START_S, "2025-11-02": DAY_START_S + DAY_S}
ALL_TIMES: tuple[Range, ...] = ((0, 4_102_444_800),)
EVERYTHING = Selection(metric_types=METRIC_TYPES, computed={"1m": ALL_TIMES})

REACH = Reach()

Sample = tuple[int, int, float]
"""minute, arrival in µs, value."""

Staged = dict[Unit, dict[SeriesKey, list[Sample]]]
Object = tuple[list[Posting], list[Point]]
Numbers = dict[tuple[str, str], int]
"""A count by term and metric type."""


def one_shard(_metric_type: str, _window: str) -> int:
    return 1


@dataclass(frozen=True)
class Case:
    """What GroupColumns is told."""

    selection: Selection = EVERYTHING
    reach: Reach = REACH
    shards: Shards = one_shard
    members: tuple[tuple[str, str, str, int, int], ...] | None = None

    def slices(self, objects: Iterable[DecodedObject]) -> GroupSlices:
        columns = GroupColumns(self.selection, self.reach, self.shards, self.membership())
        for one in objects:
            columns.add(one)
        return columns.slices()

    def membership(self) -> Membership | None:
        if self.members is None:
            return None
        texts = (pa.array([one[place] for one in self.members], pa.string()) for place in range(3))
        return Membership(*texts, *(np.array([one[place] for one in self.members], np.int64) for place in (3, 4)))


def staged(slices: GroupSlices) -> Staged:
    """What the slices hold; checks on the way that the index covers the batch, in unit order, and that series are told apart."""
    assert slices.batch.schema == SLICE_SCHEMA
    ends = [one.first_row + one.rows for one in slices.index]
    assert [one.first_row for one in slices.index] == [0, *ends][: len(slices.index)]
    assert slices.batch.num_rows == (ends[-1] if ends else 0)
    assert [one.unit for one in slices.index] == sorted((one.unit for one in slices.index), key=lambda unit: (METRIC_TYPES.index(unit[0]), *unit[1:]))
    found: Staged = {}
    for one in slices.index:
        rows = slices.batch.slice(one.first_row, one.rows).to_pylist()
        of_unit = {key_of(row): list(zip(row["minute"], row["arrival_us"], row["value"], strict=True)) for row in rows}
        assert len(of_unit) == len(rows), "a series once a slice"
        assert sum(map(len, of_unit.values())) == one.points
        assert {row["kind"] for row in rows} == {"gauge"}
        assert one.unit not in found
        found[one.unit] = of_unit
    return found


def key_of(row: Mapping[str, str]) -> SeriesKey:
    labels = {"{}": ()} | {f'{{"host":"{host}"}}': (("host", host),) for host in HOSTS}
    return SeriesKey(row["metric_type"], row["org"], row["entity"], row["name"], labels[row["labels"]])


def numbers(counts: Mapping[str, Mapping[str, int]]) -> Numbers:
    return {(term, name): number for term, by_type in counts.items() for name, number in by_type.items()}


def expected_of(case: Case, objects: Sequence[Object]) -> tuple[Staged, Numbers]:
    """The dumbest way: point by point, copy by copy."""
    found: defaultdict[Unit, dict[SeriesKey, list[Sample]]] = defaultdict(dict)
    counted: Counter[tuple[str, str]] = Counter()
    for postings, points in objects:
        for point in points:
            posting = postings[point.posting]
            counted["points", posting.metric_type] += 1
            lag_us = posting.arrival_us - point.time_s * US
            if lag_us > case.reach.late_s * US:
                counted["dropped.late", posting.metric_type] += 1
                continue
            if -lag_us > case.reach.early_s * US:
                counted["dropped.early", posting.metric_type] += 1
                continue
            for key in keys_of(case, posting, point):
                if key.metric_type == "role":
                    counted["role_copies", "role"] += 1
                where = place(case.selection, key, point)
                counted[where, key.metric_type] += 1
                if where == "staged":
                    unit = unit_of(case, key, point)
                    found[unit].setdefault(key, []).append((point.time_s // 60, posting.arrival_us, point.value))
    return dict(found), dict(counted)


def keys_of(case: Case, posting: Posting, point: Point) -> list[SeriesKey]:
    keys = [SeriesKey(posting.metric_type, posting.org, posting.entity, point.name)]
    if posting.metric_type == "host" and "role" in case.selection.metric_types:
        keys += [SeriesKey("role", posting.org, role, point.name, (("host", posting.entity),)) for role in roles_of(case, posting)]
    return keys


def roles_of(case: Case, posting: Posting) -> set[str]:
    if posting.roles is not None:
        return set(posting.roles)
    members = case.members or ()
    return {role for org, host, role, from_us, to_us in members if (org, host) == (posting.org, posting.entity) and from_us <= posting.arrival_us < to_us}


def place(selection: Selection, key: SeriesKey, point: Point) -> str:
    if key.metric_type not in selection.metric_types:
        return "outside.type"
    if not any(from_s <= point.time_s < to_s for ranges in selection.computed.values() for from_s, to_s in ranges):
        return "outside.time"
    return "staged" if selection.selects(*key[:4]) else "outside.series"


def unit_of(case: Case, key: SeriesKey, point: Point) -> Unit:
    window = next(day for day, start_s in DAYS.items() if start_s <= point.time_s < start_s + DAY_S)
    return Unit(key.metric_type, window, crc32(key.encode()) % case.shards(key.metric_type, window))


HOSTS = ("h1", "h2", "é", "\U0001f600")
times = st.one_of(
    st.integers(min(DAYS.values()), max(DAYS.values()) + DAY_S - 1),
    st.tuples(st.sampled_from([0, DAY_S, 2 * DAY_S, 3 * DAY_S]), st.integers(-61, 61))
    .map(lambda one: DAY_START_S - DAY_S + one[0] + one[1])
    .filter(lambda time_s: DAY_START_S - DAY_S <= time_s < DAY_START_S + 2 * DAY_S),
)
reaches = st.builds(Reach, late_s=st.sampled_from([0, 60, DAY_S]), early_s=st.sampled_from([0, 60, DAY_S]))
members = st.tuples(
    st.sampled_from(["acme", ""]),
    st.sampled_from(HOSTS),
    st.sampled_from(["web:app", "db:é"]),
    st.integers(0, 72).map(lambda hours: (DAY_START_S - DAY_S + hours * 3_600) * US),
    st.integers(0, 72).map(lambda hours: (DAY_START_S - DAY_S + hours * 3_600) * US),
)
selections = st.builds(
    Selection,
    metric_types=st.sets(st.sampled_from(METRIC_TYPES), min_size=1).map(lambda some: tuple(sorted(some))),
    computed=st.fixed_dictionaries(
        {
            "1m": st.sampled_from([(), ((DAY_START_S, DAY_START_S + 60),), ((DAY_START_S - 3_600, DAY_START_S + 3_600), (NOON_S, NOON_S + DAY_S))]),
            "1h": st.sampled_from([(), ((DAY_START_S - DAY_S, DAY_START_S + 2 * DAY_S),), ((DAY_START_S, DAY_START_S + 3_600),)]),
        }
    ),
    orgs=st.sampled_from([(), (), ("acme",), ("", "nobody")]),
    series=st.sampled_from([(), (), ("*/cpu",), ("host/*/h?/*", "role/acme/web:*/*"), ("service/*",), ("role/*/*:é/*",)]),
)


@st.composite
def objects(draw: st.DrawFn, late_s: int, early_s: int) -> Object:
    """Records one after another; the points of a record's entities may be mixed, as in a bare array of several hosts."""
    postings: list[Posting] = []
    points: list[Point] = []
    for _ in range(draw(st.integers(0, 4))):
        entities = draw(st.lists(st.tuples(st.sampled_from(["host", "host", "service"]), st.sampled_from(HOSTS)), min_size=1, max_size=3, unique=True))
        first, time_s = len(postings), draw(times)
        lag_us = draw(st.sampled_from([0, 1, late_s * US, late_s * US + 1, -early_s * US, -early_s * US - 1, 30 * US]))
        org = draw(st.sampled_from(["acme", "acme", ""]))
        roles = draw(st.sampled_from([None, None, (), ("web:app",), ("web:app", "db:é", "web:app")]))
        postings += [Posting(name, org, entity, roles if name == "host" else None, time_s * US + lag_us) for name, entity in entities]
        mixed = st.tuples(
            st.integers(first, len(postings) - 1),
            st.sampled_from(["cpu", "load", 'é"\\']),
            st.sampled_from([time_s, time_s, time_s + 1 if time_s + 1 < max(DAYS.values()) + DAY_S else time_s]),
            st.integers(0, 10_000).map(float),
        ).map(lambda fields: Point(*fields))
        points += draw(st.lists(mixed, max_size=6))
    return postings, points


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, list[Object]]:
    reach = draw(reaches)
    counts = draw(st.dictionaries(st.tuples(st.sampled_from(METRIC_TYPES), st.sampled_from(sorted(DAYS))), st.integers(1, 5)))
    case = Case(
        selection=draw(selections),
        reach=reach,
        shards=lambda metric_type, window: counts.get((metric_type, window), 2),
        members=draw(st.none() | st.lists(members, max_size=6).map(tuple)),
    )
    return case, draw(st.lists(objects(reach.late_s, reach.early_s), max_size=4))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_point_is_staged_in_its_unit_in_order_or_counted(one: tuple[Case, list[Object]]) -> None:
    case, given_objects = one
    slices = case.slices(decoded(*each) for each in given_objects)
    expected, counted = expected_of(case, given_objects)
    assert staged(slices) == expected
    assert {name: number for name, number in numbers(slices.counts).items() if name[1] != "records"} == counted


def test_hosts_whose_points_are_mixed_in_one_record_are_copied_to_their_own_roles() -> None:
    """A bare array [h1, h2, h1]: the postings' numbers are not sorted."""
    postings = [Posting(entity="h1"), Posting(entity="h2")]
    points = [Point(0, "cpu", NOON_S, 1.0), Point(1, "cpu", NOON_S, 2.0), Point(0, "cpu", NOON_S + 60, 3.0), Point(1, "cpu", NOON_S + 60, 4.0)]
    always = (0, 2**62)
    case = Case(members=(("acme", "h1", "web:app", *always), ("acme", "h2", "db:main", *always)))
    minute, arrival = NOON_S // 60, NOON_S * US
    assert staged(case.slices([decoded(postings, points)]))[Unit("role", "2025-11-01", 0)] == {
        SeriesKey("role", "acme", "web:app", "cpu", (("host", "h1"),)): [(minute, arrival, 1.0), (minute + 1, arrival, 3.0)],
        SeriesKey("role", "acme", "db:main", "cpu", (("host", "h2"),)): [(minute, arrival, 2.0), (minute + 1, arrival, 4.0)],
    }


@pytest.mark.parametrize(("lag_us", "is_kept"), [(0, True), (600 * US, True), (600 * US + 1, False), (-60 * US, True), (-60 * US - 1, False)])
def test_late_and_early_begin_one_microsecond_beyond_the_limit(lag_us: int, is_kept: bool) -> None:
    slices = Case(reach=Reach(late_s=600, early_s=60)).slices([decoded([Posting(arrival_us=NOON_S * US + lag_us)], [Point()])])
    assert slices.batch.num_rows == is_kept
    reason = "staged" if is_kept else "dropped.late" if lag_us > 0 else "dropped.early"
    assert slices.counts == {"points": {"host": 1}, reason: {"host": 1}, "records": {"records": 1}, "decoded_records": {"records": 1}}


def test_a_dropped_host_point_is_not_copied() -> None:
    late = Posting(roles=("web:app",), arrival_us=(NOON_S + DAY_S) * US + 1)
    assert numbers(Case().slices([decoded([late], [Point()])]).counts).keys() & {("role_copies", "role"), ("dropped.late", "role")} == set()


def test_points_of_one_minute_stay_in_the_order_of_object_and_position() -> None:
    """Also when arrivals say otherwise: who wins is decided when rolling up."""
    first = decoded([Posting(arrival_us=NOON_S * US + 5)], [Point(value=1.0), Point(value=2.0), Point(time_s=NOON_S + 59, value=3.0)])
    second = decoded([Posting(arrival_us=NOON_S * US)], [Point(value=0.5)])
    minute = NOON_S // 60
    key = SeriesKey("host", "acme", "h1", "cpu")
    samples = [(minute, NOON_S * US + 5, 1.0), (minute, NOON_S * US + 5, 2.0), (minute, NOON_S * US + 5, 3.0), (minute, NOON_S * US, 0.5)]
    assert staged(Case().slices([first, second])) == {Unit("host", "2025-11-01", 0): {key: samples}}


def test_more_series_than_a_table_of_all_pairs_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.core.series._LUT_LIMIT", 3)
    postings = [Posting(entity=f"h{number}") for number in range(1, 3)]
    points = [Point(number, name, value=float(number)) for number in (0, 1) for name in ("cpu", "load")]
    case = Case(shards=lambda _type, _window: 4)
    assert staged(case.slices([decoded(postings, points)])) == expected_of(case, [(postings, points)])[0]


def test_nothing_is_an_empty_slice() -> None:
    slices = Case().slices([])
    assert (slices.batch.num_rows, slices.index, slices.counts) == (0, (), {})
    assert slices.batch.schema == SLICE_SCHEMA


def test_what_decoding_counted_is_taken_over() -> None:
    letters = [DeadLetter("k", 0, "bad JSON", "d", b"x"), DeadLetter("k", 9, "bad JSON", "d", b"y"), DeadLetter("k", 5, "broken point: name", "d", b"z")]
    tally = DecodeTally(
        records=5,
        decoded_records=3,
        dead_records=2,
        dead_points=1,
        points={"host": 4, "service": 1},
        dropped={"null": {"host": 2, "service": 1}, "nan": {"host": 1}},
        inexact={"host": 1},
    )
    slices = Case().slices([decoded([Posting()], [Point()], tally, letters), decoded([Posting()], [Point()])])
    assert slices.counts == {
        "records": {"records": 6},
        "decoded_records": {"records": 4},
        "dead_records": {"records": 2},
        "dead_points": {"records": 1},
        "cause.bad JSON": {"records": 2},
        "cause.broken point: name": {"records": 1},
        "points": {"host": 5, "service": 1},
        "inexact": {"host": 1},
        "dropped.null": {"host": 2, "service": 1},
        "dropped.nan": {"host": 1},
        "staged": {"host": 2},
    }


def test_a_tally_that_does_not_fit_the_points_is_no_success() -> None:
    with pytest.raises(ConservationError, match="host: 2 points came in and 1 are accounted for"):
        Case().slices([decoded([Posting()], [Point()], DecodeTally(records=1, points={"host": 2}))])
    with pytest.raises(ConservationError, match="host: 1 points came in and 2 are accounted for"):
        Case().slices([decoded([Posting()], [Point()], DecodeTally(records=1, points={"host": 1}, dropped={"null": {"host": 1}}))])
