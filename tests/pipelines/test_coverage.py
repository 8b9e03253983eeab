"""Plan and report name the hours that look incomplete, and no others."""

import shutil
from pathlib import Path

import pytest

from scripts.archive_maker.archive import make_archive
from scripts.archive_maker.options import ArchiveOptions
from tests.builders import NOON_S
from tests.pipelines.worlds import World, gauge, key

DAY = "2025-11-01T00:00Z/2025-11-02T00:00Z"
NOW_S = NOON_S + 10 * 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, types="host,service")
    make_archive(world.archive, ArchiveOptions(hosts=1, services=1, metrics=2, duration_s=86_400, object_interval_s=900))
    return world


def test_an_intact_archive_is_whole(world: World) -> None:
    assert world.plan(period=DAY, now_s=NOW_S).data["coverage"] == {"hours": 24, "share": 1.0, "incomplete": []}


def test_an_hour_that_was_deleted_is_named(world: World) -> None:
    shutil.rmtree(world.archive / "2025" / "11" / "01" / "05")
    missing = {"hour": "2025-11-01T05:00:00Z", "objects": 0, "unreadable": 0, "share": 0.0}
    planned = world.plan(period=DAY, now_s=NOW_S).data["coverage"]
    assert planned == {"hours": 24, "share": pytest.approx(23 / 24, abs=1e-6), "incomplete": [missing]}
    assert world.backfill(period=DAY, now_s=NOW_S).data["coverage"] == planned


def test_hours_to_come_are_not_missing(world: World) -> None:
    assert world.plan(period="2025-11-01T20:00Z/2025-11-03T00:00Z", now_s=NOON_S + 43_200).data["coverage"]["hours"] == 4


def test_unreadable_objects_are_named_in_the_report(tmp_path: Path) -> None:
    world = World(tmp_path)
    for minute in range(0, 60, 15):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0], at=60 * minute))
    broken = world.archive / key(NOON_S + 900)
    broken.write_bytes(b"\x1f\x8b\x08\0" + bytes(range(40)))
    report = world.backfill("--max-dead-letters", "9", now_s=NOW_S).data
    assert report["coverage"]["incomplete"] == [{"hour": "2025-11-01T12:00:00Z", "objects": 4, "unreadable": 1, "share": 0.75}]


def test_keys_without_times_say_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("some/object", gauge("cpu", [1.0]))
    assert world.plan(now_s=NOW_S).data["coverage"] == {"hours": 0, "share": None, "incomplete": []}
