"""Plan and report name the hours that look incomplete, and no others."""

import random
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
    assert world.plan(period=DAY, now_s=NOW_S).data["coverage"] == {"hours": 24, "share": 1.0, "judged_by": ["objects"], "incomplete": []}
    read = {"hours": 24, "share": 1.0, "judged_by": ["objects", "records"], "incomplete": [], "shards": None}
    assert world.backfill(period=DAY, now_s=NOW_S).data["coverage"] == read


def test_an_hour_that_was_deleted_is_named(world: World) -> None:
    shutil.rmtree(world.archive / "2025" / "11" / "01" / "05")
    missing = {"hour": "2025-11-01T05:00:00Z", "objects": 0, "unreadable": 0, "share": 0.0}
    planned = world.plan(period=DAY, now_s=NOW_S).data["coverage"]
    assert planned == {"hours": 24, "share": pytest.approx(23 / 24, abs=1e-6), "judged_by": ["objects"], "incomplete": [missing]}
    read = world.backfill(period=DAY, now_s=NOW_S).data["coverage"]
    assert read["incomplete"] == [missing | {"records": 0, "dead_records": 0, "shards": 0, "lacking_shards": 0}]
    assert read["share"] == planned["share"]


def test_hours_to_come_are_not_missing(world: World) -> None:
    assert world.plan(period="2025-11-01T20:00Z/2025-11-03T00:00Z", now_s=NOON_S + 43_200).data["coverage"]["hours"] == 4


def test_unreadable_objects_are_named_in_the_report(tmp_path: Path) -> None:
    world = World(tmp_path)
    for minute in range(0, 60, 15):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0], at=60 * minute))
    broken = world.archive / key(NOON_S + 900)
    broken.write_bytes(b"\x1f\x8b\x08\0" + bytes(range(40)))
    report = world.backfill("--max-dead-letters", "9", now_s=NOW_S).data
    seen = {"objects": 4, "unreadable": 1, "share": 0.75, "records": 4, "dead_records": 1, "shards": 0, "lacking_shards": 0}
    assert report["coverage"]["incomplete"] == [{"hour": "2025-11-01T12:00:00Z"} | seen]


def test_records_that_can_not_be_decoded_count_for_the_hour_of_their_object(tmp_path: Path) -> None:
    world = World(tmp_path)
    for minute in range(0, 120, 15):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0], at=60 * minute), *([b'{"type":"host"}'] if minute == 30 else []))
    report = world.backfill("--max-dead-letters", "9", period="2025-11-01T12:00Z/PT2H", now_s=NOW_S).data
    assert [(one["hour"], one["records"], one["dead_records"], one["share"]) for one in report["coverage"]["incomplete"]] == [
        ("2025-11-01T12:00:00Z", 5, 1, 0.8)
    ]


def half_of_the_objects_are_noise(world: World) -> None:
    """An hour of 12 objects of 60 records; six are overwritten with 500 bytes that are nothing, with newlines between them."""
    chance = random.Random(4)
    for minute in range(0, 60, 5):
        postings = [gauge("cpu", {60 * minute + 60 * (place % 5): 1.0}, host=f"h{place // 5}", at=60 * minute + 299) + b"\n" for place in range(60)]
        world.put(key(NOON_S + 60 * minute), *([chance.randbytes(500)] if minute % 10 else postings))


def test_objects_of_which_nothing_decodes_are_unreadable(tmp_path: Path) -> None:
    world = World(tmp_path)
    half_of_the_objects_are_noise(world)
    (hour,) = world.backfill("--max-dead-letters", "99", now_s=NOW_S).data["coverage"]["incomplete"]
    assert (hour["objects"], hour["unreadable"], hour["share"]) == (12, 6, 0.5)
    assert 0 < hour["dead_records"] < 36


def test_objects_of_which_nothing_decodes_count_for_the_guard(tmp_path: Path) -> None:
    world = World(tmp_path)
    half_of_the_objects_are_noise(world)
    result = world.backfill("--max-dead-letters", "99", "--min-coverage", "0.9", now_s=NOW_S)
    assert (result.code, world.all_rows()) == (5, [])
    assert {name: tally["refused"] for name, tally in result.data["buckets"]["host"].items()} == {"1m": 360, "5m": 72, "1h": 12}
    assert world.backfill("--max-dead-letters", "99", "--min-coverage", "0.5", now_s=NOW_S).code == 0


def test_an_object_of_which_one_point_decodes_is_read(tmp_path: Path) -> None:
    world = World(tmp_path)
    for minute in range(0, 60, 15):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0], at=60 * minute), *([b'\n{"type":"host"}'] * 3 if minute == 30 else []))
    (hour,) = world.backfill("--max-dead-letters", "9", now_s=NOW_S).data["coverage"]["incomplete"]
    assert (hour["unreadable"], hour["share"]) == (0, 0.5714)


def test_what_firehose_could_not_deliver_does_not_make_its_object_unreadable(tmp_path: Path) -> None:
    world = World(tmp_path)
    for minute in range(0, 60, 15):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0], at=60 * minute))
    refused = b'{"attemptsMade":4,"arrivalTimestamp":1762000100000,"errorCode":"Lambda.Failed","rawData":"eA=="}'
    world.put("errors/" + key(NOON_S + 60), refused)
    (hour,) = world.backfill("--max-dead-letters", "9", now_s=NOW_S).data["coverage"]["incomplete"]
    assert (hour["objects"], hour["unreadable"], hour["share"]) == (5, 0, 0.8)


def test_keys_without_times_say_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("some/object", gauge("cpu", [1.0]))
    assert world.plan(now_s=NOW_S).data["coverage"] == {"hours": 0, "share": None, "judged_by": ["objects"], "incomplete": []}


# --- the guard --------------------------------------------------------------------------------------------------------


def half_an_hour_missing(world: World) -> None:
    for hour in range(24):
        for minute in range(0, 60, 5):
            if not (hour == 5 and minute >= 30):
                at = NOON_S - 12 * 3600 + hour * 3600 + minute * 60
                world.put(key(at), gauge("cpu", {at - NOON_S + 60 * one: 1.0 + hour for one in range(5)}, at=at - NOON_S + 300))


def test_hours_below_the_minimum_are_refused_and_listed(tmp_path: Path) -> None:
    world = World(tmp_path)
    half_an_hour_missing(world)
    result = world.backfill("--min-coverage", "0.9", "--run-id", "r", period=DAY, now_s=NOW_S)
    assert result.code == 5, result.err
    refused = {name: tally["refused"] for name, tally in result.data["buckets"]["host"].items()}
    assert refused == {"1m": 30, "5m": 6, "1h": 1}
    assert result.data["points"]["host"]["refused"] == 30
    assert len((world.run_dir("r") / "refused.jsonl").read_text().splitlines()) == 37
    assert {row["bucket_start"][11:13] for row in world.all_rows()} == {f"{hour:02d}" for hour in range(24) if hour != 5}


def test_what_is_stored_of_a_held_hour_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    half_an_hour_missing(world)
    assert world.backfill(period=DAY, now_s=NOW_S).code == 0
    before = [row for row in world.all_rows() if row["bucket_start"][11:13] == "05"]
    assert len(before) == 37
    result = world.backfill("--min-coverage", "0.9", "--allow-fewer", period=DAY, now_s=NOW_S + 1)
    assert result.code == 5
    assert [row for row in world.all_rows() if row["bucket_start"][11:13] == "05"] == before
    dry = world.backfill("--min-coverage", "0.9", "--dry-run", period=DAY, now_s=NOW_S + 2)
    assert dry.data["buckets"]["host"]["1h"]["refused"] == 1


def test_objects_that_turn_out_unreadable_count_for_the_guard(tmp_path: Path) -> None:
    world = World(tmp_path)
    half_an_hour_missing(world)
    (world.archive / key(NOON_S)).write_bytes(b"\x1f\x8b\x08\0" + bytes(range(40)))
    result = world.backfill("--min-coverage", "0.95", "--max-dead-letters", "9", period="2025-11-01T12:00Z/PT2H", now_s=NOW_S)
    assert (result.code, result.data["buckets"]["host"]["1h"]) == (5, result.data["buckets"]["host"]["1h"] | {"added": 1, "refused": 1})


@pytest.mark.parametrize("written", ["1.1", "-0.1", "half", "nan"])
def test_a_share_is_a_number_from_0_to_1(world: World, written: str) -> None:
    result = world.backfill("--min-coverage", written)
    assert (result.code, f"--min-coverage: {written!r} is no number from 0 to 1" in result.err) == (2, True)
