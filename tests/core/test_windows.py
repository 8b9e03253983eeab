"""Store windows: names, widths, alignment to the epoch."""

import numpy as np
from hypothesis import given, strategies as st

from transforms.core.lead_in import LeadIn
from transforms.core.windows import DAILY, Windows

MIDNIGHT_S = 1_761_955_200
"""2025-11-01T00:00:00Z, a Saturday."""

WEEKLY = Windows(7)


def test_days_are_those_that_the_ranges_touch() -> None:
    assert DAILY.touched_by([]) == ()
    assert DAILY.touched_by([(MIDNIGHT_S, MIDNIGHT_S + 1)]) == ("2025-11-01",)
    assert DAILY.touched_by([(MIDNIGHT_S - 1, MIDNIGHT_S)]) == ("2025-10-31",)
    assert DAILY.touched_by([(MIDNIGHT_S - 1, MIDNIGHT_S + 1)]) == ("2025-10-31", "2025-11-01")
    assert DAILY.touched_by([(MIDNIGHT_S + 172_800, MIDNIGHT_S + 172_860), (MIDNIGHT_S, MIDNIGHT_S + 86_400)]) == ("2025-11-01", "2025-11-03")


def test_a_day_is_its_86400_seconds() -> None:
    assert DAILY.range_of("2025-11-01") == (MIDNIGHT_S, MIDNIGHT_S + 86_400)
    assert DAILY.range_of("1970-01-01") == (0, 86_400)


def test_weeks_begin_on_thursdays_as_the_epoch_did() -> None:
    assert WEEKLY.name(0) == "1970-01-01"
    assert WEEKLY.touched_by([(MIDNIGHT_S, MIDNIGHT_S + 1)]) == ("2025-10-30",)
    assert WEEKLY.range_of("2025-10-30") == (MIDNIGHT_S - 172_800, MIDNIGHT_S + 5 * 86_400)
    assert WEEKLY.touched_by([(MIDNIGHT_S - 172_801, MIDNIGHT_S + 5 * 86_400 + 1)]) == ("2025-10-23", "2025-10-30", "2025-11-06")


@given(st.integers(1, 9), st.integers(0, 4000))
def test_names_and_numbers_tell_the_same_times(days: int, number: int) -> None:
    windows = Windows(days)
    from_s, to_s = windows.range_of(windows.name(number))
    assert (from_s, to_s) == (number * windows.width_s, (number + 1) * windows.width_s)
    assert windows.touched_by([(from_s, to_s)]) == (windows.name(number),)


def test_lead_in_crosses_the_ends_of_weeks_and_not_those_of_their_days() -> None:
    week = WEEKLY.minutes
    lead_in = LeadIn(((week - 2000, week + 3000),), 10, week)
    minutes = np.array([week - 2011, week - 2010, week - 1440, week - 11, week - 10, week - 1, week, week + 1439], np.int32)
    assert lead_in.reaches(minutes).tolist() == [False, *[True] * 7]
    at, windows = lead_in.spread(minutes[1:], np.ones(7, bool))
    assert list(zip(at.tolist(), windows.tolist(), strict=True)) == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 1), (3, 1), (4, 1)]
