"""Runs on an archive in S3: a server over a socket, and a recorder before it that says what was asked of it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.archive import s3_servers
from tests.archive.s3_servers import Recorder
from tests.builders import NOON_S
from tests.pipelines.worlds import Result, World, call, gauge, key, service_gauge
from transforms.core.backoff import Backoff

HOUR = 3600
HOURS = (-30, -28, -27, -26, -25, -13, -12, -1, 0, 1, 2, 3, 11, 12, 23, 24, 25, 29)
"""Of objects in the archive, from noon of 2025-11-01 on. For the hour from noon those named in [-26 h 10 min, 25 h) are read: lead-in, early, span; late."""

LISTED_HOURS = [hour for hour in HOURS if -27 <= hour < 25]
READ_HOURS = [hour for hour in HOURS if -26 <= hour < 25]


class S3World:
    """The objects of a world in a bucket, too, read from there by the same commands."""

    def __init__(self, world: World, client: Any, recorder: Recorder) -> None:
        self.local, self.client, self.recorder = world, client, recorder
        self.remote = world.beside("remote")
        self.url = f"s3://archive/metrics?endpoint_url={recorder.url}&region=us-east-1"

    def upload(self, **more: str) -> None:
        for path in sorted(self.local.archive.rglob("*")):
            if path.is_file():
                name = f"metrics/{path.relative_to(self.local.archive)}"
                self.client.put_object(Bucket="archive", Key=name, Body=path.read_bytes(), **more)

    def command(self, name: str, *more: str) -> Result:
        places = ("--store", f"parquet://{self.remote.store}", "--work-dir", str(self.remote.work))
        asked = ("--archive", self.url, "--period", "2025-11-01T12:00Z/PT1H", "--metric-types", "host,service") if "--plan" not in more else ()
        return call([name, *asked, *(places if asked else places[2:]), "--json", *more])

    def same_bytes(self) -> bool:
        """Whether a run on the files stores what the run on the bucket stored."""
        assert self.local.backfill("--run-id", "files", types="host,service").code == 0
        return self.local.but_generation("files") == self.remote.but_generation("s3") != {}


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[S3World]:
    with ExitStack() as ends:
        ends.enter_context(s3_servers.aws_environment())
        url = ends.enter_context(s3_servers.served(getattr(request, "param", "moto"), tmp_path))
        client = s3_servers.client(url)
        client.create_bucket(Bucket="archive")
        local = World(tmp_path, types="host,service")
        for hour in HOURS:
            at = hour * HOUR
            local.put(key(NOON_S + at, "a"), gauge("cpu", {max(0, min(3599, at)): float(hour)}, at=at + 1), gauge("load", {60: 1.5}, at=at + 1))
            local.put(key(NOON_S + at + 60, "b"), service_gauge("orders", {120: hour}, at=at + 61))
        yield S3World(local, client, ends.enter_context(s3_servers.recorded(url)))


@pytest.mark.parametrize("world", s3_servers.SERVERS, indirect=True)
def test_the_same_is_stored_as_from_files_with_two_operations_and_no_call_too_many(world: S3World) -> None:
    world.upload()
    result = world.command("backfill", "--run-id", "s3")
    assert result.code == 0, result.err
    folders = ["", "2025/", "2025/10/", "2025/11/", "2025/10/31/", "2025/11/01/", "2025/11/02/"]
    hours = [key(NOON_S + hour * HOUR).rpartition("/")[0] + "/" for hour in LISTED_HOURS]
    assert sorted(world.recorder.named("ListObjectsV2")) == sorted(f"metrics/{one}" for one in folders + hours)
    sampled, objects = 2, 2 * len(READ_HOURS)  # of noon's hour
    assert result.data["objects"] == objects
    assert world.recorder.operations() == {"ListObjectsV2": len(folders) + len(hours), "GetObject": objects + sampled}
    assert (result.data["retries"], result.data["unreadable_objects"]) == ({}, [])
    assert world.same_bytes()


@pytest.mark.parametrize(("workers", "processes_from_bytes"), [("1", 1 << 30), ("3", 1 << 30), ("2", 0)])
def test_the_order_of_arrival_of_bodies_changes_nothing(world: S3World, monkeypatch: pytest.MonkeyPatch, workers: str, processes_from_bytes: int) -> None:
    """One thread, several, and worker processes that open the archive themselves."""
    monkeypatch.setattr("pipelines.submit.PROCESSES_FROM_BYTES", processes_from_bytes)
    world.upload()
    assert world.command("backfill", "--run-id", "s3", "--workers", workers).code == 0
    assert world.same_bytes()


def test_repeated_calls_are_counted_in_the_report(world: S3World) -> None:
    world.upload()
    assert world.command("plan", "--run-id", "s3").code == 0
    world.recorder.passing = {f"metrics/{key(NOON_S + hour * HOUR)}": (503, "SlowDown") for hour in (-1, 0, 1)}
    before = len(world.recorder.requests)
    result = world.command("backfill", "--plan", "s3")
    assert (result.code, result.data["retries"]) == (0, {"SlowDown": 3})
    assert len(world.recorder.requests) - before == result.data["objects"] + 3
    assert "retries   SlowDown 3" in call(["backfill", "--plan", "s3", "--work-dir", str(world.remote.work)]).out
    assert world.same_bytes()


def test_objects_that_can_not_be_had_are_listed_and_the_rest_is_done(world: S3World) -> None:
    """Denied, archived, refused and gone: what is stored is what a local archive without them gives."""
    world.upload()
    assert world.command("plan", "--run-id", "s3").code == 0
    denied, archived, refused, gone = (f"{key(NOON_S + hour * HOUR, 'a')}" for hour in (0, 1, 2, 3))
    world.recorder.faults = {
        f"metrics/{denied}": (403, "AccessDenied"),
        f"metrics/{archived}": (403, "InvalidObjectState"),
        f"metrics/{refused}": (400, "InvalidRequest"),
    }
    world.client.delete_object(Bucket="archive", Key=f"metrics/{gone}")
    result = world.command("backfill", "--plan", "s3")
    assert (result.code, result.data["state"]) == (3, "dead letters")
    causes = {denied: "access denied", archived: "object archived", refused: "object refused", gone: "object missing"}
    assert {one["object"]: one["cause"] for one in result.data["unreadable_objects"]} == causes
    assert result.data["dead_letters"]["by_cause"] == {"access denied": 1, "object archived": 1, "object missing": 1, "object refused": 1}
    assert result.data["imbalances"] == []
    letters = [json.loads(line) for line in (world.remote.run_dir("s3") / "dead_letters.jsonl").read_text().splitlines()]
    assert {(one["object"], one["cause"], one["raw"]) for one in letters} == {(name, cause, "") for name, cause in causes.items()}
    accepted = call(["backfill", "--plan", "s3", "--work-dir", str(world.remote.work), "--max-dead-letters", "4"])
    assert accepted.code == 0
    assert f"unread    {denied}: access denied (AccessDenied: said by a test)" in accepted.out
    for name in causes:
        (world.local.archive / name).unlink()
    assert world.same_bytes()


def test_archived_storage_classes_are_told(world: S3World) -> None:
    """As the server itself answers for them, not as a test says that it would."""
    world.upload()
    frozen = key(NOON_S, "b")
    world.client.put_object(Bucket="archive", Key=f"metrics/{frozen}", Body=b"{}", StorageClass="DEEP_ARCHIVE")
    result = world.command("backfill", "--run-id", "s3")
    assert result.code == 3
    assert [(one["object"], one["cause"]) for one in result.data["unreadable_objects"]] == [(frozen, "object archived")]


def test_a_bucket_of_which_nothing_can_be_read_is_planned_and_told(world: S3World) -> None:
    world.upload()
    world.recorder.faults = {
        f"metrics/{key(NOON_S + hour * HOUR + after, name)}": (403, "AccessDenied") for hour in HOURS for name, after in (("a", 0), ("b", 60))
    }
    result = world.command("backfill", "--run-id", "s3")
    assert (result.code, result.data["dead_letters"]["by_cause"]) == (3, {"access denied": 2 * len(READ_HOURS)})
    assert not world.remote.stored()


def test_expired_credentials_are_no_dead_letters_and_the_run_goes_on_when_they_are_renewed(world: S3World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the patience of a real run; how it waits: tests/archive/test_s3_calls.py."""
    monkeypatch.setattr("transforms.calls.aws.RENEWAL_WAIT_S", 0.0)
    world.upload()
    assert world.command("plan", "--run-id", "s3").code == 0
    world.recorder.faults = {f"metrics/{key(NOON_S, 'a')}": (400, "ExpiredToken")}
    ended = world.command("backfill", "--plan", "s3", "--max-attempts", "2")
    assert (ended.code, ended.out) == (3, "")
    assert "ExpiredToken, and nobody renewed the credentials for 0 s: renew them and repeat the command to go on" in ended.err
    assert "attempt 1 of 2 ended early" in ended.err
    world.recorder.faults = {}
    result = world.command("backfill", "--plan", "s3")
    assert (result.code, result.data["dead_letters"]["total"]) == (0, 0)
    assert world.same_bytes()


def test_an_object_that_changed_after_the_plan_is_listed_and_the_rest_is_done(world: S3World) -> None:
    world.upload()
    assert world.command("plan", "--run-id", "s3").code == 0
    changed = key(NOON_S, "a")
    world.client.put_object(Bucket="archive", Key=f"metrics/{changed}", Body=gauge("cpu", [5.0]))
    result = world.command("backfill", "--plan", "s3", "--max-attempts", "1")
    assert (result.code, [(one["object"], one["cause"]) for one in result.data["unreadable_objects"]]) == (3, [(changed, "object changed")])
    (world.local.archive / changed).unlink()
    assert world.same_bytes()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts at each call, and no wait between them."""
    monkeypatch.setattr(Backoff, "delay_s", lambda _, failed, __: 0.0 if failed < 2 else None)


@pytest.mark.usefixtures("impatient")
def test_an_object_that_is_never_handed_out_is_listed_and_the_rest_is_done(world: S3World) -> None:
    """Also where it is among the few that a plan samples, and by a run that goes on; a replay reads it when it can be had."""
    world.upload()
    broken = [key(NOON_S, "a"), key(NOON_S + 60, "b")]
    world.recorder.faults = {f"metrics/{one}": (500, "InternalError") for one in broken}
    assert world.command("plan", "--run-id", "s3").code == 0
    result = world.command("backfill", "--plan", "s3")
    assert (result.code, result.data["retries"]["InternalError"]) == (3, 2)
    listed = [{"object": one, "cause": "object refused", "detail": "InternalError: said by a test"} for one in broken]
    assert result.data["unreadable_objects"] == listed
    assert result.data["dead_letters"]["by_cause"] == {"object refused": 2}
    still = call(["backfill", "--dead-letters", "s3", "--work-dir", str(world.remote.work)])
    assert (still.code, "none gives a point" in still.err) == (5, True)
    world.recorder.faults = {}
    replayed = call(["backfill", "--dead-letters", "s3", "--run-id", "again", "--work-dir", str(world.remote.work), "--json"])
    assert replayed.code == 0, replayed.err
    assert world.local.backfill("--run-id", "files", types="host,service").code == 0
    assert world.local.but_generation("files") == world.remote.stored(generations=dict.fromkeys(map(world.remote.generation, ("s3", "again")), 1))


@pytest.mark.usefixtures("impatient")
def test_a_service_that_hands_out_nothing_stops_the_run_and_no_object_is_to_blame(world: S3World) -> None:
    world.upload()
    assert world.command("plan", "--run-id", "s3").code == 0
    world.recorder.faults = {
        f"metrics/{key(NOON_S + hour * HOUR + after, name)}": (500, "InternalError") for hour in HOURS for name, after in (("a", 0), ("b", 60))
    }
    result = world.command("backfill", "--plan", "s3", "--max-attempts", "2")
    assert (result.code, result.out) == (3, "")
    assert "attempt 1 of 2 ended early" in result.err
    assert "2 attempts, the last one ended with InternalError" in result.err
    assert not list((world.remote.run_dir("s3") / "staging").glob("*"))
    world.recorder.faults = {}
    again = world.command("backfill", "--plan", "s3")
    assert (again.code, again.data["dead_letters"]["total"]) == (0, 0)
    assert world.same_bytes()


def test_only_the_beginning_of_large_objects_is_sampled(world: S3World) -> None:
    shutil.rmtree(world.local.archive / "2025")
    large = world.local.put(key(NOON_S), *(gauge(f"name{number}", [1.0] * 60, at=3601) for number in range(250)))
    world.upload()
    assert (world.local.archive / large).stat().st_size > 1 << 19
    assert world.command("plan", "--run-id", "s3").code == 0
    (headers,) = [headers for operation, _, headers in world.recorder.requests if operation == "GetObject"]
    assert headers["Range"] == f"bytes=0-{(1 << 18) - 1}"
    result = world.command("backfill", "--plan", "s3")
    assert (result.code, result.data["points"]["host"]["points"]) == (0, 250 * 60)


def test_hours_named_in_another_zone_and_pattern(world: S3World) -> None:
    """An archive of Tokyo's hours in Hive folders, and the same in UTC by the default names."""
    world.upload()
    listed = world.client.get_paginator("list_objects_v2").paginate(Bucket="archive")
    assert sum(len(page["Contents"]) for page in listed) == 2 * len(HOURS)
    for hour in HOURS:
        utc, tokyo = key(NOON_S + hour * HOUR, "a"), key(NOON_S + (hour + 9) * HOUR, "a")
        folder = tokyo[:13].replace("/", "-")
        body = (world.local.archive / utc).read_bytes()
        world.client.put_object(Bucket="archive", Key=f"tokyo/dt={folder[:10]}/hour={folder[11:13]}/{tokyo.rpartition('/')[2]}", Body=body)
        (world.local.archive / key(NOON_S + hour * HOUR + 60, "b")).unlink()
    world.url = world.url.replace("/metrics?", "/tokyo?")
    result = world.command("backfill", "--run-id", "s3", "--key-pattern", "dt=YYYY-MM-dd/hour=HH", "--key-time-zone", "Asia/Tokyo")
    assert (result.code, result.data["objects"], result.data["untimed_objects"]) == (0, len(READ_HOURS), 0), result.err
    assert len(world.recorder.named("ListObjectsV2")) == 1 + 3 + len(LISTED_HOURS)
    assert world.same_bytes()


def test_a_wrong_pattern_is_wrong_usage_before_anything_is_asked(world: S3World) -> None:
    result = world.command("backfill", "--key-pattern", "hour=HH")
    assert (result.code, "the key pattern 'hour=HH' is not of folders" in result.err) == (2, True)
    assert world.recorder.requests == []
