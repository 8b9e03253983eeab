"""What a plan says: objects and why these, groups, units, estimates, and what is refused before anything is read."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.prices import load_prices
from pipelines import planning
from tests.builders import NOON_S, host_record
from tests.pipelines.worlds import Result, World, call, gauge, key, seconds, tree
from transforms.archive.local import LocalArchive
from transforms.core.manifest import ArchiveObject
from transforms.core.windows import Windows
from transforms.steps.ledger import Ledger
from transforms.stores import open_store
from transforms.stores.backend import Traits
from transforms.stores.parquet import ParquetFolder

DAY_S = 86_400
HOUR_S = 3_600
NOW_S = NOON_S + 10 * DAY_S + 0.25


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def plan(world: World, *more: str, **asked: Any) -> Any:
    result = world.plan(*more, now_s=NOW_S, **asked)
    assert result.code == 0, result.err
    return result.data


def stored_plan(world: World, run_id: str) -> Any:
    return json.loads((world.run_dir(run_id) / "plan.json").read_text())


def refused(result: Result, code: int) -> str:
    assert (result.code, result.out) == (code, "")
    return result.err.splitlines()[-1].removeprefix("rollups: ")


# --- objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "from_s", "to_s"),
    [
        ((), -600 - DAY_S - 2 * HOUR_S, HOUR_S + DAY_S),
        (("--lead-in-s", "0"), -DAY_S - 2 * HOUR_S, HOUR_S + DAY_S),
        (("--early-s", "60"), -600 - 60 - 2 * HOUR_S, HOUR_S + DAY_S),
        (("--object-span-s", "10"), -600 - DAY_S - 10, HOUR_S + DAY_S),
        (("--late-s", "60"), -600 - DAY_S - 2 * HOUR_S, HOUR_S + 60),
        (("--lead-in-s", "1", "--early-s", "20", "--object-span-s", "300", "--late-s", "4000"), -321, HOUR_S + 4_000),
    ],
)
def test_objects_are_those_that_may_hold_points_of_the_period(world: World, more: tuple[str, ...], from_s: int, to_s: int) -> None:
    """[S - L - F - B, E + P), by the second in the name of the object."""
    record = gauge("cpu", [1.0])
    inside = [world.put(key(NOON_S + after, name), record) for after, name in ((from_s, "first"), (to_s - 1, "last"), (0, "noon"))]
    for after, name in ((from_s - 1, "before"), (to_s, "after")):
        world.put(key(NOON_S + after, name), record)
    data = plan(world, "--run-id", "r1", *more)
    assert (data["objects"], data["listed_objects"], data["untimed_objects"]) == (3, 5, 0)
    assert data["object_bytes"] == 3 * len(record)
    assert read_keys(world, "r1") == sorted(inside)


def read_keys(world: World, run_id: str) -> list[str]:
    ledger = Ledger(str(world.run_dir(run_id)))
    return [one.key for one in ledger.manifest(ledger.plan()).objects]


def test_padding_is_of_the_computed_buckets_not_of_the_period(world: World) -> None:
    """A minute at 12:30 is in the hour from 12:00 to 13:00."""
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    data = plan(world, period="2025-11-01T12:30Z/PT1M")
    assert data["object_times"] == ["2025-10-31T09:50:00Z/2025-11-02T13:00:00Z"]
    data = plan(world, "--granularities", "1m", period="2025-11-01T12:30Z/PT1M")
    assert data["object_times"] == ["2025-10-31T10:20:00Z/2025-11-02T12:31:00Z"]


def test_objects_that_show_no_time_are_read_with_a_warning(world: World) -> None:
    world.put("anything", gauge("cpu", [1.0]))
    world.put(key(NOON_S - 90 * DAY_S), gauge("cpu", [1.0]))
    data = plan(world, "--run-id", "r1")
    assert (data["objects"], data["untimed_objects"], read_keys(world, "r1")) == (1, 1, ["anything"])
    result = call(["plan", *world.places, "--period", "2025-11-01T12:00Z/PT1H"])
    assert "\nwarning     1 objects show no time in their key and are read in any case\n" in result.out


def test_an_hourly_folder_is_read_if_any_of_its_hour_may_be_needed(world: World) -> None:
    for hour in (9, 10, 11, 12):
        world.put(f"2025/11/01/{hour:02d}/part", gauge("cpu", [1.0]))
    reach = ("--lead-in-s", "0", "--early-s", "0", "--object-span-s", "3601", "--late-s", "0")
    plan(world, "--run-id", "r1", *reach, "--granularities", "1m", period="2025-11-01T12:00Z/PT1M")
    assert read_keys(world, "r1") == ["2025/11/01/10/part", "2025/11/01/11/part", "2025/11/01/12/part"]


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_says_everything_and_stores_the_same(world: World) -> None:
    sizes = [len((world.archive / world.put(key(NOON_S + hour * HOUR_S), gauge("cpu", [1.0, 2.0], at=61))).read_bytes()) for hour in range(3)]
    data = plan(
        world, "--run-id", "r1", "--workers", "2", types="host,role", period=["2025-11-01T11:30:30Z/2025-11-01T12:00Z", "2025-11-01T12:00Z/2025-11-01T12:10Z"]
    )
    free = data.pop("free_bytes")
    duration = data.pop("duration_s_estimated")
    rate = data.pop("points_per_s_estimated")
    assert free > 0
    assert duration >= planning.START_S
    assert 0 < rate <= 6 / planning.START_S
    finish = data.pop("finish"), data.pop("finish_s")
    assert finish[1] == pytest.approx(duration, abs=0.1)
    assert seconds(finish[0]) >= NOW_S // 1
    assert set(data.pop("expected").values()) == set(data.pop("expected_dollars").values()) == {0}
    assert (data.pop("budget"), data.pop("limits_s"), data.pop("binding")) == ({}, {}, "processors")
    assert data.pop("prices") == load_prices().as_of
    assert data == {
        "run_id": "r1",
        "archive": f"file://{world.archive}",
        "store": f"parquet://{world.store}",
        "periods": ["2025-11-01T11:30:30Z/2025-11-01T12:10:00Z"],
        "metric_types": ["host", "role"],
        "orgs": [],
        "series": [],
        "series_file": "",
        "series_file_globs": 0,
        "hash_slots": "",
        "hash_key": "",
        "computed": {
            "1m": ["2025-11-01T11:30:00Z/2025-11-01T12:10:00Z"],
            "5m": ["2025-11-01T11:30:00Z/2025-11-01T12:10:00Z"],
            "1h": ["2025-11-01T11:00:00Z/2025-11-01T13:00:00Z"],
        },
        "edge": "expand",
        "edge_buckets": {
            "1m": ["2025-11-01T11:30:00Z/2025-11-01T11:31:00Z"],
            "5m": ["2025-11-01T11:30:00Z/2025-11-01T11:35:00Z"],
            "1h": ["2025-11-01T11:00:00Z/2025-11-01T12:00:00Z", "2025-11-01T12:00:00Z/2025-11-01T13:00:00Z"],
        },
        "generation": round(NOW_S * 1000),
        "objects": 3,
        "object_bytes": sum(sizes),
        "listed_objects": 3,
        "untimed_objects": 0,
        "object_times": ["2025-10-31T08:50:00Z/2025-11-02T13:00:00Z"],
        "reach_s": {"late": 86_400, "early": 86_400, "lead_in": 600, "object_span": 7_200},
        "groups": 3,
        "units": {"host": 1, "role": 1},
        "sampled_objects": 1,
        "points_estimated": 6,
        "series_estimated": 1,
        "staging_bytes_estimated": 40,
        "sampled_records": 1,
        "sampled_dead_records": 0,
        "sampled_shards": 0,
        "coverage": {
            "hours": 2,
            "share": 0.5,
            "judged_by": ["objects"],
            "incomplete": [{"hour": "2025-11-01T11:00:00Z", "objects": 0, "unreadable": 0, "share": 0.0}],
        },
        "warnings": [],
    }
    stored = stored_plan(world, "r1")
    assert (stored["generation"], stored["periods"], stored["groups"]) == (round(NOW_S * 1000), [[NOON_S - 1_770, NOON_S + 600]], [[0, 1], [1, 1], [2, 1]])
    assert stored["shards"] == {"host": {"2025-11-01": 1}, "role": {"2025-11-01": 1}}
    assert stored["request"]["periods"] == ["2025-11-01T11:30:30Z/2025-11-01T12:00Z", "2025-11-01T12:00Z/2025-11-01T12:10Z"]


def test_the_text_tells_what_is_read_and_why(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", {600: 1.0, 660: 2.0}, at=661))
    result = call(["plan", *world.places, "--period", "2025-11-01T12:10Z/PT1H", "--run-id", "r1", "--edge", "clip", "--metric-types", "host"], now_s=NOW_S)
    lines = result.out.splitlines()
    assert lines[:8] == [
        f"run         r1 (generation {round(NOW_S * 1000)})",
        f"archive     file://{world.archive}",
        f"store       parquet://{world.store}",
        "period      2025-11-01T12:10:00Z/2025-11-01T13:10:00Z",
        "computed    1m: 2025-11-01T12:10:00Z/2025-11-01T13:10:00Z",
        "computed    5m: 2025-11-01T12:10:00Z/2025-11-01T13:10:00Z",
        "computed    1h: nothing",
        "edges       1h: 2025-11-01T12:00:00Z, 2025-11-01T13:00:00Z left out",
    ]
    assert lines[8].startswith("objects     1 of 1, ")
    assert lines[9:14] == [
        "named       2025-10-31T10:00:00Z/2025-11-02T13:10:00Z",
        "            = computed times, less 10 min for lead-in, 1 d for early points",
        "            and 2 h for the span of an object, plus 1 d for late points",
        "groups      1 read groups",
        "units       host 1",
    ]
    assert lines[14] == "points      about 2 in 1 series (from 1 objects decoded)"
    assert lines[15].startswith("staging     about 40 B; ")
    assert lines[16].startswith("duration    about 2 s")
    assert lines[-1] == f"execute it  rollups backfill --plan r1 --work-dir {world.work}"


def test_planning_writes_nothing_but_the_plan_and_the_generation(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    before = tree(world.archive)
    plan(world, "--run-id", "r1")
    assert tree(world.archive) == before
    assert sorted(tree(world.run_dir("r1"))) == ["budget.json", "control.json", "control.json.lock", "lock", "manifest.arrow", "plan.json", "used"]
    assert [name for name in tree(world.store) if not name.startswith("_locks/")] == ["_generation"]


def test_a_generation_is_new_even_within_one_millisecond_or_if_the_clock_goes_back(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    first, second = plan(world)["generation"], plan(world)["generation"]
    assert (first, second) == (round(NOW_S * 1000), first + 1)
    late = world.plan(now_s=NOON_S)
    assert late.data["generation"] == second + 1


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("series", "shards"), [(1, 1), (600, 1), (601, 2), (1_200, 2), (1_201, 4), (2_400, 4), (2_401, 6)])
def test_shards_are_one_or_an_even_number_of_at_most_600_series(world: World, series: int, shards: int) -> None:
    metrics = [(f"metric.{number}", NOON_S, 1.0) for number in range(series)]
    world.put(key(NOON_S), host_record("h1", NOON_S + 1, metrics, roles=[]))
    assert plan(world, types="host,role,service")["units"] == {"host": shards, "role": 1, "service": 1}


def test_shards_are_those_that_the_store_has(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    open_store(f"parquet://{world.store}").open_partition("host", "2025-11-01", 5)
    assert plan(world, types="host,role,service")["units"] == {"host": 5, "role": 1, "service": 1}


def test_shards_are_of_600_series_days_where_windows_are_longer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ParquetFolder, "traits", property(lambda _self: Traits(windows=Windows(7))))
    metrics = [(f"metric.{number}", NOON_S, 1.0) for number in range(172)]
    world.put(key(NOON_S), host_record("h1", NOON_S + 1, metrics, roles=[]))
    assert plan(world)["units"] == {"host": 4}  # 1204 series-days in the week from 30 October


def test_every_day_of_the_period_has_its_units(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    open_store(f"parquet://{world.store}").open_partition("host", "2025-11-02", 4)
    assert plan(world, period="2025-10-31T12:00Z/2025-11-03T00:00Z")["units"] == {"host": 1 + 1 + 4}


# --- groups and estimates ---------------------------------------------------------------------------------------------


def test_groups_are_at_least_four_a_worker_and_bounded_in_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in range(24):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0]))
    assert plan(world, "--workers", "2")["groups"] == 8
    assert plan(world, "--workers", "6")["groups"] == 24
    monkeypatch.setattr(planning, "MAX_GROUP_BYTES", len(gauge("cpu", [1.0])) * 2)
    assert plan(world, "--workers", "1")["groups"] == 12


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the objects that are read while planning."""
    keys: list[str] = []
    read = LocalArchive.read

    def noted(self: LocalArchive, one: ArchiveObject, first_bytes: int | None = None) -> bytes:
        keys.append(one.key)
        return read(self, one, first_bytes)

    monkeypatch.setattr(LocalArchive, "read", noted)
    return keys


@pytest.mark.parametrize("objects", [1, 5, 6, 7, 11, 13, 24])
def test_the_sample_is_spread_over_the_manifest(world: World, sampled: list[str], objects: int) -> None:
    keys = [world.put(key(NOON_S + 60 * minute), gauge("cpu", [1.0])) for minute in range(objects)]
    data = plan(world)
    assert data["sampled_objects"] == len(sampled) == len(set(sampled)) <= 6
    places = [keys.index(one) for one in sampled]
    gaps = [after - before for before, after in zip([-1, *places], [*places, objects], strict=True)]
    assert max(gaps) <= objects / len(sampled) + 2


def test_points_are_estimated_from_the_sample_by_size(world: World) -> None:
    for minute in range(30):
        world.put(key(NOON_S + 60 * minute), gauge("cpu", dict.fromkeys(range(0, 600, 60), 1.0), at=700))
    data = plan(world)
    assert (data["sampled_objects"], data["points_estimated"], data["series_estimated"], data["staging_bytes_estimated"]) == (6, 300, 1, 6_000)


def test_points_outside_the_period_take_no_room_in_staging(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", {0: 1.0, 7_200: 1.0, -7_200: 1.0}))
    data = plan(world)
    assert (data["points_estimated"], data["staging_bytes_estimated"]) == (3, 20)


def test_staging_that_does_not_fit_is_refused_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(key(NOON_S), gauge("cpu", dict.fromkeys(range(0, 3_600, 60), 1.0), at=3_700))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1_199))
    message = f"staging needs about 1.2 kB and '{world.work}/runs' has 1.2 kB free: make room, name another --work-dir, or ask for a shorter period"
    assert refused(world.plan("--run-id", "r1"), 5) == message
    assert refused(world.backfill("--run-id", "r1"), 5) == message
    assert not (world.run_dir("r1") / "plan.json").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1_200))
    assert plan(world)["free_bytes"] == 1_200


def test_roles_of_the_membership_count_in_the_estimate(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", [1.0], at=5))
    roles = world.root / "roles.csv"
    roles.write_text("org,host,role,valid_from,valid_to\nacme,h1,web:app,,\nacme,h1,web:db,,2025-11-01T12:00:05Z\n")
    data = plan(world, "--role-membership", str(roles), types="role")
    assert (data["series_estimated"], data["staging_bytes_estimated"]) == (1, 20)


# --- executing it later -----------------------------------------------------------------------------------------------


def test_an_object_that_changed_since_it_was_planned_is_listed(world: World) -> None:
    changed = world.archive / world.put(key(NOON_S), gauge("cpu", [1.0]))
    os.utime(changed, ns=(0, 5))
    plan(world, "--run-id", "r1")
    os.utime(changed, ns=(0, 6))
    result = world.execute("r1")
    size = changed.stat().st_size
    detail = f"{size}-5 when planned, {size}-6 now, as bytes-modification time"
    assert (result.code, result.data["unreadable_objects"]) == (3, [{"object": key(NOON_S), "cause": "object changed", "detail": detail}])
    assert "attempt 1" not in result.err, "trying again would find the same"
    assert world.stored() == {}


def test_what_was_planned_is_executed_whatever_has_come_since(world: World) -> None:
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    planned = plan(world, "--run-id", "r1", period="-240h/now")
    world.put(key(NOON_S + 1), gauge("cpu", [9.0], at=2))
    open_store(f"parquet://{world.store}").open_partition("host", "2025-11-01", 3)
    report = world.execute("r1").data
    assert (report["objects"], report["periods"], report["generation"]) == (1, planned["periods"], planned["generation"])
    assert world.column("cpu") == {0: 1.0}
    assert stored_plan(world, "r1")["shards"]["host"]["2025-11-01"] == 3, "the partition was made meanwhile, with other shards"
