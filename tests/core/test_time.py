"""Times, durations and periods: every form, every refusal."""

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import UsageError
from transforms.core.granularity import Range
from transforms.core.time import format_period, format_time, parse_duration, parse_period, parse_time, unite

NOW_S = 1_762_000_000
"""2025-11-01T12:26:40Z."""

LATER = "and TO (exclusive) must be later than FROM"

MIDNIGHT_S = 1_761_955_200
"""2025-11-01T00:00:00Z."""


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("1970-01-01T00:00Z", 0),
        ("1969-12-31T23:59:59Z", -1),
        ("2025-11-01T00:00Z", 1_761_955_200),
        ("2025-11-01T00:00:00Z", 1_761_955_200),
        ("2025-11-01T00:00:01+00:00", 1_761_955_201),
        ("2025-10-30T00:00+09:00", 1_761_750_000),
        ("2025-10-29T15:00Z", 1_761_750_000),
        ("2025-11-05T13:00+09:00", 1_762_315_200),
        ("2025-10-31T18:30-05:30", 1_761_955_200),
        ("2025-11-01 00:00Z", 1_761_955_200),
        ("20251101T000000Z", 1_761_955_200),
        ("2024-02-29T00:00Z", 1_709_164_800),
        ("now", NOW_S),
        ("-0s", NOW_S),
        ("-1s", NOW_S - 1),
        ("-30m", NOW_S - 1_800),
        ("-24h", NOW_S - 86_400),
        ("-7d", NOW_S - 604_800),
        ("-2w", NOW_S - 1_209_600),
        ("+1h", NOW_S + 3_600),
    ],
)
def test_a_time_has_an_offset_or_is_relative(text: str, time_s: int) -> None:
    assert parse_time(text, NOW_S) == time_s


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2025-11-01T00:00", "the time '2025-11-01T00:00' has no offset: write 2025-11-01T00:00Z for UTC or, for example, 2025-11-01T00:00+09:00"),
        ("2025-11-01", "the time '2025-11-01' has no offset: write 2025-11-01T00:00Z for UTC or, for example, 2025-11-01T00:00+09:00"),
        ("2025-11-01T00:00:00.5Z", "the time '2025-11-01T00:00:00.5Z' has a fraction of a second: periods are in whole seconds"),
        ("yesterday", "'yesterday' is no time: write it like 2025-11-01T00:00Z, 2025-11-01T09:00+09:00, -24h or now"),
    ],
)
def test_a_refused_time_is_told_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time(text, NOW_S)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "24h",
        "-24",
        "-24H",
        "-1.5h",
        "--24h",
        "-24h ",
        "NOW",
        "now-1h",
        "1762000000",
        "2025-13-01T00:00Z",
        "2025-02-29T00:00Z",
        "2025-11-01T24:00Z",
        "2025-11-01T00:00+9",
        "PT1H",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time: write it like"):
        parse_time(text, NOW_S)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("PT6H", 21_600), ("P1D", 86_400), ("P1DT12H", 129_600), ("P1DT30M", 88_200), ("PT90S", 90), ("P2W", 1_209_600), ("P1W2DT3H4M5S", 788_645), ("PT0S", 0)],
)
def test_a_duration_has_units_of_fixed_length(text: str, duration_s: int) -> None:
    assert parse_duration(text) == duration_s


@pytest.mark.parametrize("text", ["", "P", "PT", "P1", "P1M", "P1Y", "P1Y2D", "PT1.5H", "P-1D", "-P1D", "1D", "PT1M1H", "PT1D", "pt6h", "P1D ", "P1H"])
def test_another_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"{text!r} is no duration: write it like PT6H, P1D or P1DT30M (years and months have no fixed length)"


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("2025-10-30T00:00+09:00/2025-11-05T13:00+09:00", (1_761_750_000, 1_762_315_200)),
        ("2025-11-01T00:00Z/PT6H", (MIDNIGHT_S, MIDNIGHT_S + 21_600)),
        ("PT6H/2025-11-01T00:00Z", (MIDNIGHT_S - 21_600, MIDNIGHT_S)),
        ("-24h/now", (NOW_S - 86_400, NOW_S)),
        ("-24h/PT1H", (NOW_S - 86_400, NOW_S - 82_800)),
        ("PT1H/now", (NOW_S - 3_600, NOW_S)),
        ("-48h/-24h", (NOW_S - 172_800, NOW_S - 86_400)),
        ("now/+1s", (NOW_S, NOW_S + 1)),
    ],
)
def test_a_period_is_two_times_or_a_time_and_a_duration(text: str, period: Range) -> None:
    assert parse_period(text, NOW_S) == period


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2025-11-02T00:00Z/2025-11-01T00:00Z",
            "the period '2025-11-02T00:00Z/2025-11-01T00:00Z' is reversed: it goes from 2025-11-02T00:00:00Z to 2025-11-01T00:00:00Z, " + LATER,
        ),
        ("now/now", "the period 'now/now' is empty: it goes from 2025-11-01T12:26:40Z to 2025-11-01T12:26:40Z, " + LATER),
        ("2025-11-01T09:00+09:00/2025-11-01T00:00Z", "is empty"),
        ("now/PT0S", "is empty"),
        ("now", "the period 'now' is not FROM/TO: write it like 2025-11-01T00:00Z/2025-11-02T00:00Z, 2025-11-01T00:00Z/PT6H or -24h/now"),
        ("-2h/-1h/now", "the period '-2h/-1h/now' is not FROM/TO"),
        ("", "the period '' is not FROM/TO"),
        ("/now", "'' is no time"),
        ("-24h/", "'' is no time"),
        ("PT1H/PT2H", "'PT2H' is no time"),
        ("-24h/P1M", "'P1M' is no duration"),
        ("2025-11-01T00:00/2025-11-02T00:00", "the time '2025-11-01T00:00' has no offset"),
        ("2025-11-01T00:00Z/2025-11-02T00:00", "the time '2025-11-02T00:00' has no offset"),
    ],
)
def test_another_period_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_period(text, NOW_S)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["-999999999999h/now", "now/P99999999W", "-99999999999999999999s/-1s", "now/9999-12-31T23:59-09:00", "P99999999W/now"])
def test_a_period_beyond_the_calendar_is_refused_too(text: str) -> None:
    """Not an OverflowError when the times are shown later."""
    with pytest.raises(UsageError):
        format_period(parse_period(text, NOW_S))


ranges = st.tuples(st.integers(-40, 40), st.integers(1, 15)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(ranges, max_size=8))
def test_uniting_keeps_exactly_the_times(given_ranges: list[Range]) -> None:
    united = unite(given_ranges)
    assert {time for one in united for time in range(*one)} == {time for one in given_ranges for time in range(*one)}
    assert all(one[1] < other[0] for one, other in pairwise(united)), "sorted, disjoint and not touching"
    assert unite(united) == united


def test_ranges_that_touch_become_one() -> None:
    assert unite([(5, 6), (0, 2), (2, 3), (8, 9), (1, 2)]) == ((0, 3), (5, 6), (8, 9))
    assert unite([(0, 10), (2, 3), (4, 5)]) == ((0, 10),)
    assert unite([]) == ()


def test_times_are_written_in_utc() -> None:
    assert format_time(1_762_000_000) == "2025-11-01T12:26:40Z"
    assert format_period((0, 1_709_164_800)) == "1970-01-01T00:00:00Z/2024-02-29T00:00:00Z"


@given(st.integers(946_684_800, 4_102_444_799))
def test_a_written_time_is_read_as_the_same(time_s: int) -> None:
    assert parse_time(format_time(time_s), NOW_S) == time_s
