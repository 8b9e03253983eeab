"""Gaps in the names of objects are gaps of the archive, and a healthy archive has none."""

import pytest

from transforms.core.coverage import coverage, without_unreadable
from transforms.core.granularity import HOUR_S


def shares(listed_s: list[int], *asked: tuple[int, int]) -> dict[int, float]:
    """Share by number of the hour, where it is not whole."""
    found = coverage(listed_s, asked or ((0, 24 * HOUR_S),))
    return {one.start_s // HOUR_S: one.share for one in found if one.share != 1}


@pytest.mark.parametrize("every_s", [60, 300, 900, HOUR_S])
def test_an_intact_archive_is_whole(every_s: int) -> None:
    assert shares(list(range(17, 24 * HOUR_S, every_s))) == {}


def test_uneven_cadence_is_no_gap() -> None:
    assert shares([minute * 60 + minute * 7919 % 50 for minute in range(0, 24 * 60, 3) if minute % 7]) == {}


@pytest.mark.parametrize("every_s", [60, 300, 900, HOUR_S])
def test_exactly_the_hour_that_was_deleted_is_named(every_s: int) -> None:
    listed = [at for at in range(0, 24 * HOUR_S, every_s) if not 5 * HOUR_S <= at < 6 * HOUR_S]
    assert shares(listed) == {5: 0.0}


def test_half_an_hour_that_was_deleted_is_a_share() -> None:
    listed = [at for at in range(0, 24 * HOUR_S, 60) if not 5.5 * HOUR_S <= at < 6 * HOUR_S]
    assert shares(listed) == {5: pytest.approx(0.5, abs=1e-9)}


def test_hours_after_the_last_object_are_missing() -> None:
    assert shares(list(range(0, 22 * HOUR_S, 300))) == {22: 0.0, 23: 0.0}


def test_only_hours_that_were_asked_for_are_judged() -> None:
    listed = [at for at in range(0, 24 * HOUR_S, 300) if not 5 * HOUR_S <= at < 6 * HOUR_S]
    assert shares(listed, (6 * HOUR_S, 9 * HOUR_S)) == {}
    assert [one.start_s // HOUR_S for one in coverage(listed, [(4 * HOUR_S + 1, 6 * HOUR_S + 1)])] == [4, 5, 6]


def test_unreadable_objects_take_their_part() -> None:
    hours = without_unreadable(coverage(list(range(0, 24 * HOUR_S, 900)), [(0, 24 * HOUR_S)]), [7 * HOUR_S, 7 * HOUR_S + 900])
    assert {one.start_s // HOUR_S: (one.unreadable, one.share) for one in hours if one.share != 1} == {7: (2, 0.5)}


def test_an_archive_of_rare_objects_has_no_missing_hours() -> None:
    assert shares(list(range(0, 24 * HOUR_S, 4 * HOUR_S))) == {}


def test_nothing_listed_is_nothing_covered() -> None:
    assert shares([], (0, 2 * HOUR_S)) == {0: 0.0, 1: 0.0}
