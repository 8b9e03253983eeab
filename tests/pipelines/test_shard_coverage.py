"""Records that tell their shard: which shards end early or have a hole is named, by the hour, and held back; records that can't be decoded, too."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.encoders.envelopes import encoded
from tests.builders import NOON_S, host_record
from tests.pipelines.processes import KILLED, Forge
from tests.pipelines.worlds import World, call, key

SIX_HOURS = "2025-11-01T12:00Z/PT6H"
NOW_S = NOON_S + 86_400.0
MINUTES = 360
SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
SHARDS = 4


def sequence(shard: int, minute: int) -> str:
    return str(SEQUENCE + shard * 10**30 + minute)


def record(shard: int, minute: int, data: bytes | None = None) -> dict[str, Any]:
    """A Lambda record that arrived half a minute after the point in it."""
    at = NOON_S + 60 * minute
    posting = host_record(f"h{shard}", at + 30, [("cpu", at, float(minute))]) if data is None else data
    return {
        "kinesis": {"sequenceNumber": sequence(shard, minute), "data": encoded(posting), "approximateArrivalTimestamp": at + 30.25},
        "eventID": f"shardId-{shard:012d}:{sequence(shard, minute)}",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/posts",
    }


def put(world: World, shard: int, minutes: range, *, every: int = 5, step: int = 1) -> None:
    """Objects of a batch of a shard's records each, as Lambda hands them over."""
    for first in range(minutes.start, minutes.stop, every):
        inside = [one for one in range(first, min(first + every, minutes.stop)) if not one % step]
        if inside:
            event = {"Records": [record(shard, minute) for minute in inside]}
            world.put(key(NOON_S + 60 * first + 30, f"s{shard}"), json.dumps(event).encode())


def named(shard: int) -> str:
    return f"posts/shardId-{shard:012d}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for shard in range(SHARDS):
        put(world, shard, range(MINUTES))
    return world


def damage(world: World) -> None:
    """All of 14:00 to 15:00 is lost, and of the shard 2 all from 16:30 on."""
    shutil.rmtree(world.archive / "2025" / "11" / "01" / "14")
    for path in world.archive.rglob("*-s2"):
        if (int(path.parent.name), int(path.name.split("-")[6])) >= (16, 30):
            path.unlink()


HOURS = [
    {"hour": "2025-11-01T14:00:00Z", "objects": 0, "unreadable": 0, "share": 0.0, "records": 0, "dead_records": 0, "shards": 4, "lacking_shards": 4},
    {"hour": "2025-11-01T16:00:00Z", "objects": 42, "unreadable": 0, "share": 0.875, "records": 210, "dead_records": 0, "shards": 4, "lacking_shards": 1},
    {"hour": "2025-11-01T17:00:00Z", "objects": 36, "unreadable": 0, "share": 0.75, "records": 180, "dead_records": 0, "shards": 4, "lacking_shards": 1},
]
TAIL = {
    "shard": named(2),
    "what": "ends early",
    "last_arrival": "2025-11-01T16:29:30Z",
    "next_arrival": None,
    "missing_from": "2025-11-01T16:30:00Z",
    "missing_to": "2025-11-01T18:00:00Z",
    "after_sequence": sequence(2, 269),
    "until_sequence": None,
}


def test_an_intact_archive_is_whole(world: World) -> None:
    result = world.backfill(period=SIX_HOURS, now_s=NOW_S)
    assert result.data["coverage"] == {
        "hours": 6,
        "share": 1.0,
        "judged_by": ["objects", "records", "shards"],
        "incomplete": [],
        "shards": {"known": 4, "incomplete": []},
    }
    text = call(["status", result.data["run_id"], "--work-dir", str(world.work)]).out
    assert (result.code, "coverage" in text, "warning" in text) == (0, False, False)


def test_exactly_the_lost_hour_and_the_lost_tail_are_named(world: World) -> None:
    damage(world)
    result = world.backfill("--run-id", "r", period=SIX_HOURS, now_s=NOW_S)
    coverage = result.data["coverage"]
    assert (coverage["incomplete"], coverage["shards"]) == (HOURS, {"known": 4, "incomplete": [TAIL]})
    assert coverage["share"] == pytest.approx((3 + 0.875 + 0.75) / 6, abs=1e-6)
    lines = call(["status", "r", "--work-dir", str(world.work)]).out.splitlines()
    early = (
        f"shard {named(2)} ends early: its last record arrived at 2025-11-01T16:29:30Z (sequence number {sequence(2, 269)}), "
        "those of other shards until 2025-11-01T18:00:00Z"
    )
    at = next(place for place, line in enumerate(lines) if line.startswith("coverage"))
    assert lines[at : at + 5] == [
        "coverage    3 of 6 hours look incomplete, 77% is there:",
        "            2025-11-01T14:00:00Z 0%, 0 objects, 0 unreadable, 4 of 4 shards lack records",
        "            2025-11-01T16:00:00Z 87.5%, 42 objects, 0 unreadable, 1 of 4 shards lack records",
        "            2025-11-01T17:00:00Z 75%, 36 objects, 0 unreadable, 1 of 4 shards lack records",
        f"            {early}",
    ]
    assert "shard" not in "".join(lines[at + 5 :])


def test_the_plan_says_what_it_can_not_know(world: World) -> None:
    damage(world)
    planned = world.plan("--run-id", "r", period=SIX_HOURS, now_s=NOW_S).data
    assert [one["hour"] for one in planned["coverage"]["incomplete"]] == ["2025-11-01T14:00:00Z"]
    assert planned["coverage"]["judged_by"] == ["objects"]
    assert (planned["sampled_records"], planned["sampled_dead_records"]) == (5 * planned["sampled_objects"], 0)
    assert 1 <= planned["sampled_shards"] <= 4
    text = call(["plan", *world.places, "--period", SIX_HOURS, "--metric-types", "host"], now_s=NOW_S).out
    assert "shards that end early and records that can't be decoded are known only after reading (0 of 30 records sampled are dead letters, they name" in text


def test_the_guard_refuses_exactly_the_buckets_of_damaged_hours(world: World) -> None:
    damage(world)
    result = world.backfill("--min-coverage", "0.9", "--run-id", "r", period=SIX_HOURS, now_s=NOW_S)
    assert result.code == 5
    refused = {name: tally["refused"] for name, tally in result.data["buckets"]["host"].items()}
    assert refused == {"1m": 390, "5m": 78, "1h": 7}
    assert {row["bucket_start"][11:13] for row in world.all_rows()} == {"12", "13", "15"}
    lines = [json.loads(line) for line in (world.run_dir("r") / "refused.jsonl").read_text().splitlines()]
    assert ({line["bucket_start"][11:13] for line in lines}, len(lines)) == ({"16", "17"}, 475)
    assert result.data["coverage"]["incomplete"] == HOURS
    assert world.beside("enough").backfill("--min-coverage", "0.75", period="2025-11-01T15:00Z/PT3H", now_s=NOW_S).code == 0


def test_a_shard_with_a_hole_is_named(world: World) -> None:
    for path in world.archive.glob("2025/11/01/14/*-s1"):
        path.unlink()
    coverage = world.backfill(period=SIX_HOURS, now_s=NOW_S).data["coverage"]
    assert [(one["hour"], one["share"]) for one in coverage["incomplete"]] == [("2025-11-01T14:00:00Z", 0.75)]
    assert coverage["shards"]["incomplete"] == [
        {
            "shard": named(1),
            "what": "has a hole",
            "last_arrival": "2025-11-01T13:59:30Z",
            "next_arrival": "2025-11-01T15:00:30Z",
            "missing_from": "2025-11-01T14:00:00Z",
            "missing_to": "2025-11-01T15:00:00Z",
            "after_sequence": sequence(1, 119),
            "until_sequence": sequence(1, 180),
        }
    ]


def test_resharding_is_no_loss(tmp_path: Path) -> None:
    world = World(tmp_path)
    for shard, minutes in {0: range(MINUTES), 1: range(170), 2: range(MINUTES), 3: range(170, MINUTES), 4: range(171, MINUTES)}.items():
        put(world, shard, minutes)
    coverage = world.backfill(period=SIX_HOURS, now_s=NOW_S).data["coverage"]
    assert (coverage["share"], coverage["incomplete"], coverage["shards"]) == (1.0, [], {"known": 5, "incomplete": []})


def test_a_sparse_shard_is_no_loss(world: World) -> None:
    put(world, 7, range(300), step=29)
    coverage = world.backfill(period=SIX_HOURS, now_s=NOW_S).data["coverage"]
    assert (coverage["share"], coverage["incomplete"], coverage["shards"]) == (1.0, [], {"known": 5, "incomplete": []})


def test_keys_without_times_are_judged_by_shards(tmp_path: Path) -> None:
    world = World(tmp_path)
    for shard in range(SHARDS):
        minutes = [minute for minute in range(270 if shard == 2 else MINUTES) if not 120 <= minute < 180]
        world.put(f"shard-{shard}", *(json.dumps(record(shard, minute)).encode() for minute in minutes))
    coverage = world.backfill(period="2025-11-01T10:00Z/PT8H", now_s=NOW_S).data["coverage"]
    assert coverage["hours"] == 6
    assert [(one["hour"][11:13], one["share"]) for one in coverage["incomplete"]] == [("14", 0.0), ("16", 0.875), ("17", 0.75)]
    assert coverage["shards"]["incomplete"] == [TAIL]


def test_records_that_can_not_be_decoded_lower_the_share_of_the_hour_they_arrived_in(world: World) -> None:
    broken = [record(3, minute, b'{"type":"host"}' if minute % 4 == 0 else None) for minute in range(170, 190)]
    world.put(key(NOON_S + 60 * 170, "extra"), json.dumps({"Records": broken}).encode())
    coverage = world.backfill("--max-dead-letters", "9", period=SIX_HOURS, now_s=NOW_S).data["coverage"]
    found = {one["hour"][11:13]: (one["records"], one["dead_records"], one["share"], one["lacking_shards"]) for one in coverage["incomplete"]}
    assert found == {"14": (250, 2, 0.992, 0), "15": (250, 3, 0.988, 0)}
    text = world.beside("other").backfill("--min-coverage", "0.99", "--max-dead-letters", "9", period=SIX_HOURS, now_s=NOW_S)
    assert {row["bucket_start"][11:13] for row in world.beside("other").all_rows()} == {"12", "13", "14", "16", "17"}
    assert text.code == 5


def test_a_run_that_was_killed_and_resumed_reports_the_same(world: World, tmp_path: Path) -> None:
    damage(world)
    argv = ("backfill", *world.asking("--min-coverage", "0.9", "--run-id", "r", period=SIX_HOURS))
    whole = world.backfill("--min-coverage", "0.9", "--run-id", "whole", "--dry-run", period=SIX_HOURS, now_s=NOW_S)
    with Forge(tmp_path) as forge:
        assert forge.run(argv, die_at=("after staging.rename", 2)).code == KILLED
        assert forge.run(argv, die_at=("after record.rename", 1)).code == KILLED
        resumed = json.loads(forge.run(argv).out)
    assert resumed["coverage"] == whole.data["coverage"]
    assert {name: tally["refused"] for name, tally in resumed["buckets"]["host"].items()} == {"1m": 390, "5m": 78, "1h": 7}
