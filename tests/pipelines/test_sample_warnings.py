"""A plan of which the sample's points would be dropped says so, and what to do about it."""

from pathlib import Path

from tests.builders import NOON_S
from tests.pipelines.test_inspection_guesses import bare
from tests.pipelines.worlds import World, call, gauge, key

OUTSIDE = "they came more than 1 d {} their time; accept them with --{}-s, or see `rollups inspect`"


def warnings(world: World, *more: str) -> list[str]:
    result = world.plan(*more)
    assert result.code == 0, result.err
    found: list[str] = result.data["warnings"]
    return found


def test_points_of_objects_in_folders_that_show_no_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    for minute in range(4):
        world.put(f"raw/dt=2025-11-01/hour=12/{minute}", bare(NOON_S + 60 * minute))
    (warning,) = warnings(world)
    why = "they came more than 1 d after their time, for objects show no time in their key and count as arrived when they were last changed"
    assert warning == f"all 4 points of the sample would be dropped as late: {why}; their folders look like --key-pattern dt=YYYY-MM-dd/hour=HH"
    assert warnings(world, "--key-pattern", "dt=YYYY-MM-dd/hour=HH") == []


def test_without_dated_folders_nothing_is_proposed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("raw/x", bare(NOON_S))
    (warning,) = warnings(world)
    assert warning.endswith("count as arrived when they were last changed; name --key-pattern, or accept them with --late-s")


def test_late_and_early_ones_by_what_they_say_themselves(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", {0: 1.0, 60: 1.0}, at=90_000), gauge("cpu", {120: 1.0}, at=-90_000))
    late, early = warnings(world)
    assert late == f"2 of 3 points of the sample would be dropped as late: {OUTSIDE.format('after', 'late')}"
    assert early == f"1 of 3 points of the sample would be dropped as early: {OUTSIDE.format('before', 'early')}"


def test_few_late_points_are_as_usual(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", dict.fromkeys(range(0, 600, 60), 1.0), at=700), gauge("cpu", {0: 1.0}, at=90_000))
    assert warnings(world) == []


def test_the_text_has_the_warning(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("raw/x", bare(NOON_S))
    out = call([word for word in ["plan", *world.asking()] if word != "--json"]).out
    assert "\nwarning     all 1 points of the sample would be dropped as late" in out
