"""How much is left for us: tables by hand, and properties over any sequence of readings."""

import math

import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import UsageError
from transforms.core.headroom import (
    DEFAULT_RESERVE,
    STALE_S,
    OwnUse,
    Reading,
    Reserve,
    floor_of,
    next_cap,
    parse_reserve,
    room_of,
)

NAMES = ("lambda-concurrency", "dynamodb-wru-per-s")
NOW = 10_000.0
NO_RESERVE = Reserve()


def reading(used: float, limit: float = 1000.0, refused: float = 0.0, end_s: float = NOW) -> Reading:
    return Reading(names=("lambda-concurrency",), what="Lambda", limit=limit, used=used, refused=refused, begin_s=end_s - 180, end_s=end_s)


def missing(cause: str = "denied") -> Reading:
    return Reading(names=("lambda-concurrency",), what="Lambda", missing=(cause,))


def cap_after(before: int, configured: int, one: Reading, reserve: Reserve = NO_RESERVE, own: float = 0.0) -> int:
    return next_cap(before, configured, one, room_of(one, one.names[0], reserve, own), NOW).units


@pytest.mark.parametrize(
    ("texts", "of_lambda", "of_table"),
    [
        ((), 200.0, 200.0),
        (("20%",), 200.0, 200.0),
        (("0.25",), 250.0, 250.0),
        (("100%",), 1000.0, 1000.0),
        (("0",), 0.0, 0.0),
        (("1",), 1.0, 1.0),
        (("300",), 300.0, 300.0),
        (("lambda-concurrency=300",), 300.0, 200.0),
        (("10%", "dynamodb-wru-per-s=50%"), 100.0, 500.0),
    ],
)
def test_a_reserve_is_a_share_or_a_number_for_all_or_for_one(texts: tuple[str, ...], of_lambda: float, of_table: float) -> None:
    reserve = parse_reserve(texts, NAMES)
    assert (reserve.of("lambda-concurrency", 1000.0), reserve.of("dynamodb-wru-per-s", 1000.0)) == (of_lambda, of_table)


@pytest.mark.parametrize(("limit", "kept_free"), [(1, 0), (2, 0), (3, 1), (4, 1), (10, 2), (1000, 200)])
def test_a_reserve_is_whole(limit: int, kept_free: int) -> None:
    assert DEFAULT_RESERVE.of("lambda-concurrency", limit) == kept_free


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (("much",), "'much' is neither a share such as 20% or 0.2 nor a number such as 200"),
        (("-1",), "'-1' is neither"),
        (("101%",), "'101%' is neither"),
        (("nan",), "'nan' is neither"),
        (("inf",), "'inf' is neither"),
        (("s3-get-per-s=5",), "'s3-get-per-s' in 's3-get-per-s=5' is no limit that is guarded: choose lambda-concurrency, dynamodb-wru-per-s"),
        (("1", "2"), "the reserve is given twice, the second time as '2'"),
        (("lambda-concurrency=1", "lambda-concurrency=2"), "the reserve of lambda-concurrency is given twice"),
    ],
)
def test_any_other_reserve_is_wrong_usage(texts: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_reserve(texts, NAMES)
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    ("used", "own", "others", "left"),
    [(0, 0, 0, 800), (500, 0, 500, 300), (500, 200, 300, 500), (100, 300, 0, 800), (950, 0, 950, -150)],
)
def test_a_limit_is_shared_out(used: float, own: float, others: float, left: float) -> None:
    room = room_of(reading(used), "lambda-concurrency", DEFAULT_RESERVE, own)
    assert room is not None
    assert (room.limit, room.others, room.reserve, room.left) == (1000, others, 200, left)


@pytest.mark.parametrize(
    ("before", "one", "cap"),
    [
        (400, reading(0), 400),
        (400, reading(500), 300),  # falls at once
        (400, reading(799.5), 0),  # whole units, and never too many
        (400, reading(900), 0),
        (0, reading(0), 50),  # from nothing to the floor
        (50, reading(0), 100),  # and then at most twice
        (300, reading(0), 400),
        (400, reading(0, refused=3), 200),
        (100, reading(0, refused=3), 50),
        (60, reading(0, refused=3), 50),
        (40, reading(0, refused=3), 40),  # lower already
        (400, reading(750, refused=3), 50),
        (400, missing(), 200),
        (60, missing(), 50),
        (50, missing(), 50),
        (0, missing(), 0),
        (400, reading(0, end_s=NOW - STALE_S), 400),
        (400, reading(0, end_s=NOW - STALE_S - 1), 200),
    ],
)
def test_caps_by_hand(before: int, one: Reading, cap: int) -> None:
    assert cap_after(before, 400, one, DEFAULT_RESERVE) == cap


def test_a_service_that_tells_no_limit_lowers_by_what_it_refuses() -> None:
    quiet = Reading(names=("s3-get-per-s",), what="S3, bucket", begin_s=NOW - 60, end_s=NOW)
    refusing = Reading(names=("s3-get-per-s",), what="S3, bucket", refused=12, begin_s=NOW - 60, end_s=NOW)
    assert [cap_after(1375, 1375, quiet), cap_after(1375, 1375, refusing), cap_after(687, 1375, quiet)] == [1375, 687, 1374]


def test_the_reason_tells_the_numbers() -> None:
    told = reading(700.0)
    room = room_of(told, "lambda-concurrency", DEFAULT_RESERVE, own=100.0)
    assert next_cap(400, 400, told, room, NOW).reason == "of 1,000 (Lambda) others use 600 and 200 are reserved"
    assert next_cap(400, 400, missing("denied"), None, NOW).reason == "no reading of Lambda: denied"
    assert next_cap(400, 400, reading(0, end_s=NOW - 200), None, NOW).reason == "the last reading of Lambda is 200 s old"
    assert next_cap(400, 400, reading(0, refused=1234), None, NOW).reason == "Lambda refused 1,234 calls"


@pytest.mark.parametrize(("configured", "floor"), [(1, 1), (4, 1), (8, 1), (16, 2), (500, 62)])
def test_the_floor_is_an_eighth_and_at_least_one(configured: int, floor: int) -> None:
    assert floor_of(configured) == floor


USES = st.floats(0, 3000)
READINGS = st.one_of(
    st.builds(missing),
    st.builds(reading, USES, st.floats(1, 2000), st.sampled_from([0.0, 0.0, 5.0]), st.floats(NOW - 600, NOW)),
)
RESERVES = st.one_of(st.builds(Reserve, st.floats(0, 1)), st.builds(lambda amount: Reserve(amount=amount), st.floats(1, 500)))


@given(st.integers(1, 2000), st.lists(st.tuples(READINGS, st.floats(0, 500)), min_size=1, max_size=40), RESERVES)
def test_whatever_is_read_no_cap_is_above_what_is_left_and_none_rises_unread(configured: int, steps: list[tuple[Reading, float]], reserve: Reserve) -> None:
    cap = configured
    for one, own in steps:
        before, cap = cap, cap_after(cap, configured, one, reserve, own)
        assert 0 <= cap <= configured
        if one.missing or NOW - one.end_s > STALE_S:
            assert min(before, floor_of(configured)) <= cap <= before
            continue
        assert one.used is not None
        assert one.limit is not None
        others = max(0.0, one.used - own)
        kept_free = reserve.of(one.names[0], one.limit)
        assert abs(kept_free - reserve.amount - reserve.share * one.limit) <= 0.5
        assert cap == 0 or cap + others + kept_free <= one.limit + 1e-6
        if one.refused:
            assert cap <= before
        else:
            assert cap in (min(configured, max(0, math.floor(one.limit - others - kept_free))), 2 * before, floor_of(configured))


@given(st.integers(1, 2000), st.integers(0, 2000))
def test_without_readings_every_cap_comes_down_to_the_floor_in_four_steps(configured: int, start: int) -> None:
    cap = min(start, configured)
    lowest = min(cap, floor_of(configured))
    for _ in range(4):
        cap = cap_after(cap, configured, missing())
    assert cap == lowest


@given(st.integers(1, 2000), st.integers(0, 2000), st.floats(0, 900))
def test_good_readings_bring_every_cap_up_to_what_is_left(configured: int, start: int, used: float) -> None:
    cap = min(start, configured)
    for _ in range(5):
        cap = cap_after(cap, configured, reading(used))
    assert cap == min(configured, math.floor(1000 - used))


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 300)), max_size=20), st.integers(0, 10), st.integers(1, 5))
def test_no_more_is_ours_than_we_used_in_each_minute_of_a_reading(noted: list[tuple[float, float]], first: int, length: int) -> None:
    own, at_s, by_time = OwnUse(), 0.0, []
    for step_s, used in noted:
        at_s += step_s
        own.note(at_s, {("lambda-concurrency", "f"): used})
        by_time.append((at_s, used))
    begin_s, end_s = first * 60.0, (first + length) * 60.0
    counted = [used for noted_s, used in by_time if noted_s >= begin_s and noted_s - 60 < end_s and at_s - noted_s <= OwnUse.KEPT_S]
    assert own.least(("lambda-concurrency", "f"), begin_s, end_s) == min(counted, default=0.0)
    assert own.least(("lambda-concurrency", "g"), begin_s, end_s) == 0.0
