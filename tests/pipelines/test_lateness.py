"""The report says how late points came, and warns when the limit seems to cut some off."""

from pathlib import Path

import pytest

from tests.builders import NOON_S
from tests.pipelines.worlds import World, call, gauge, key

DAY_S = 86_400
HOUR_S = 3_600


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def lateness(world: World, *more: str) -> tuple[dict[int, int], int, bool]:
    """Points by upper edge where there are any, points of the last bin, whether it looks cut."""
    result = world.backfill(*more)
    assert result.code == 0, result.err
    found = result.data["lateness"]
    return {one["up_to_s"]: one["points"] for one in found["bins"] if one["points"]}, found["last_points"], found["seems_cut"]


def arriving(world: World, *lags_s: float) -> None:
    """A point of noon for each lag, in an object each."""
    for place, lag_s in enumerate(lags_s):
        world.put(key(NOON_S, f"a{place}"), gauge("x", {0: 1.0}, at=lag_s, host=f"h{place}"))


def test_points_by_how_late_they_came(world: World) -> None:
    arriving(world, -5, 0, 9, 10, 11, 299.5, 300.5, HOUR_S, DAY_S - HOUR_S, DAY_S)
    assert lateness(world) == ({0: 2, 10: 2, 60: 1, 300: 1, 3_600: 2, 82_800: 1, 86_400: 1}, 1, True)


def test_what_is_dropped_or_lies_outside_the_period_is_not_counted(world: World) -> None:
    arriving(world, 1, DAY_S + 1, -DAY_S - 1)
    world.put(key(NOON_S, "b"), gauge("x", {-60: 1.0, 3_599: 1.0, 3_600: 1.0}, at=3_600, host="other"))
    world.put(key(NOON_S, "c"), gauge("x", {0: None}, at=1, host="null"))
    assert lateness(world) == ({10: 2}, 0, False)


def test_role_copies_do_not_count_twice(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {0: 1.0}, roles=["a:b", "c:d"]))
    assert lateness(world, "--metric-types", "host,role") == ({10: 1}, 0, False)


@pytest.mark.parametrize(("late", "cut"), [(1, False), (2, True)])
def test_the_warning_needs_more_than_one_in_a_thousand(world: World, late: int, cut: bool) -> None:
    world.put(key(NOON_S), *(gauge(f"x{n}", {60 * minute: 1.0 for minute in range(50)}, at=3_300) for n in range(20)))
    arriving(world, *[DAY_S - 60.0] * late)
    assert lateness(world) == ({3_600: 1_000, 86_400: late}, late, cut)
    shown = call(["status", world_run(world), "--work-dir", str(world.work)]).out
    assert f"lateness  up to 1 h 1,000, up to 1 d {late} (arrival - time)" in shown
    warning = "warning   2 of 1,002 points came in the last 1 h of --late-s 86400: others may have come after it and are dropped, a larger --late-s brings them"
    assert (warning in shown) is cut


def world_run(world: World) -> str:
    (run,) = (world.work / "runs").iterdir()
    return run.name


def test_a_resumed_run_counts_what_was_staged_before(world: World) -> None:
    arriving(world, 1, 20, 400)
    world.put(key(NOON_S, "z"), b"oops\n")
    first = world.backfill("--run-id", "r1")
    assert first.code == 3
    again = world.backfill("--run-id", "r1", "--max-dead-letters", "1")
    assert again.code == 0
    assert again.data["lateness"] == first.data["lateness"]
    assert sum(one["points"] for one in again.data["lateness"]["bins"]) == 3


def test_a_short_limit_has_a_short_last_bin(world: World) -> None:
    arriving(world, 1, 299, 301, 600)
    assert lateness(world, "--late-s", "600") == ({10: 1, 300: 1, 600: 2}, 2, True)
