"""Whole runs on Prism, Beam's portable runner: what a local run stores, by workers that have nothing of this project but what the job brings."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest

from scripts.local_servers import ministack
from scripts.portable_workers import Environment, PortableWorkers, loopback_only, portable_workers
from tests.archive import s3_servers
from tests.builders import NOON_S
from tests.pipelines.test_controlling import MINDED_S, Run, archive_of_objects, most_in_a_second
from tests.pipelines.test_dynamodb_runs import FAST
from tests.pipelines.worlds import GRANULARITIES, World, bits, call, gauge, key, service_gauge
from tests.stores.dynamodb_servers import new_place

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PERIOD = "2025-11-01T11:00Z/PT3H"
OWN = ("duration_s", "duration_s_estimated", "steps", "store", "generation", "dead_letters", "refused_file", "archive", "run_id", "calls", "lateness")
"""What a report says of the run itself: times, places and names."""


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    """Prism and worker pools listen on all interfaces."""
    with loopback_only():
        yield


@pytest.fixture(params=get_args(Environment))
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortableWorkers]:
    with s3_servers.aws_environment(), portable_workers(tmp_path / "workers", request.param) as made:
        yield made


def backfill(*words: str) -> dict[str, Any]:
    """What a run in a process of its own answers."""
    command = [sys.executable, "-m", "pipelines.backfill", *words, "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert ended.stdout, ended.stderr[-4000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, types="service,role,host")
    for hour in (-1, 0, 1, 2):
        at = hour * 3600
        hosts = [
            gauge("cpu", {at + 60 * minute: minute / 7 + number for minute in range(60)}, at=at + 3600, host=f"h{number}", roles=["web"]) for number in range(3)
        ]
        made.put(key(NOON_S + at), *hosts, service_gauge("orders", {at + 60: hour, at + 1800: 0.5}, at=at + 3600))
    made.put(key(NOON_S + 60, "bad"), b'{"type": "host", "metrics": 7}')
    return made


def said(report: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on when and where the run was."""
    return {name: value for name, value in report.items() if name not in OWN} | {"letters": report["dead_letters"]["by_cause"]}


def test_the_same_is_stored_and_told_as_by_a_local_run(world: World, workers: PortableWorkers, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """From a bucket over a socket."""
    environment = request.node.callspec.params["workers"]
    brought = [workers.site_packages / name / "__init__.py" for name in ("pipelines", "transforms", "configs")]
    assert not any(one.exists() for one in brought)
    with s3_servers.served("versitygw", tmp_path) as url:
        client = s3_servers.client(url)
        client.create_bucket(Bucket="archive")
        for path in sorted(world.archive.rglob("*")):
            if path.is_file():
                client.put_object(Bucket="archive", Key=f"m/{path.relative_to(world.archive)}", Body=path.read_bytes())
        remote = world.beside("remote")
        places = ("--archive", f"s3://archive/m?endpoint_url={url}&region=us-east-1", "--store", f"parquet://{remote.store}", "--work-dir", str(remote.work))
        report = backfill(*places, "--period", PERIOD, "--metric-types", world.types, "--run-id", "prism", *workers.options)
    local = world.backfill("--run-id", "local", period=PERIOD)
    assert report["exit_code"] == local.code == 3  # of the dead letter
    assert said(report) == said(local.data)
    assert remote.but_generation("prism") == world.but_generation("local") != {}
    assert all(one.exists() for one in brought) == (environment != "LOOPBACK")


@pytest.mark.parametrize("workers", ["PROCESS"], indirect=True)
def test_a_table_holds_what_files_hold(world: World, workers: PortableWorkers) -> None:
    with ministack() as url:
        place = new_place(url)
        store = f"dynamodb://{place.table}?endpoint_url={url}&region=us-east-1"
        places = ("--archive", f"file://{world.archive}", "--store", store, "--work-dir", str(world.work), "--period", PERIOD, "--metric-types", world.types)
        report = backfill(*places, "--yes", "--run-id", "prism", "--max-dead-letters", "1", *FAST, *workers.options)
        assert report["exit_code"] == 0
        every = "2025-10-01T00:00Z/2025-12-01T00:00Z"
        listed = [call(["export", "--store", store, "--period", every, "--granularity", one, "--format", "json", *FAST]) for one in GRANULARITIES]
    assert world.backfill("--run-id", "local", period=PERIOD).code == 3
    assert bits([row for one in listed for row in json.loads(one.out)]) == bits(world.all_rows())


@pytest.mark.parametrize("workers", ["PROCESS"], indirect=True)
def test_workers_keep_the_limit_together_and_mind_what_the_run_is_told(tmp_path: Path, workers: PortableWorkers) -> None:
    """By the server's record: paused within five seconds, resumed, another limit; no second has more than the limit, and it is used."""
    with archive_of_objects(tmp_path) as recorder:
        run = Run(tmp_path, recorder, "--s3-get-per-s", "20", *workers.options)
        run.until_got(20)
        run.command("pause")
        paused = time.monotonic()
        time.sleep(MINDED_S + 2)
        assert [one for one in run.got() if one > paused + MINDED_S] == []
        run.command("resume")
        run.until_got(len(run.got()) + 40)
        before = len(run.got())
        run.command("throttle", "--s3-get-per-s", "5")
        throttled = time.monotonic()
        code, report, err = run.ended()
    assert code == 0, err
    assert most_in_a_second(run.got()) <= 20
    assert before < len(run.got())
    assert most_in_a_second([one for one in run.got() if one > throttled + MINDED_S] or [0.0]) <= 5
    assert report["throttled_s"]["s3"]["limit"] > 1


@pytest.mark.parametrize("workers", ["PROCESS"], indirect=True)
def test_a_run_whose_worker_was_killed_is_taken_up_to_the_same_bytes(tmp_path: Path, workers: PortableWorkers) -> None:
    with archive_of_objects(tmp_path) as recorder:
        run = Run(tmp_path, recorder, "--s3-get-per-s", "20", "--max-attempts", "1", *workers.options)
        run.until_got(30)
        worker = next(one for one in psutil.Process(run.process.pid).children(recursive=True) if "apache_beam.runners.worker.sdk_worker_main" in one.cmdline())
        worker.kill()
        code, _, err = run.ended()
        assert code == 3, err
        begun = len(run.whole())
        run.process = run.start("--plan", "r", "--s3-get-per-s", "1000", *workers.options)
        code, report, err = run.ended()
        assert code == 0, err
        assert len({*run.whole()}) == report["objects"]
        assert len(run.whole()) < begun + report["objects"]  # what was staged is not read again
        (tmp_path / "again").mkdir()
        undisturbed = Run(tmp_path / "again", recorder, "--s3-get-per-s", "1000")
        assert undisturbed.ended()[0] == 0
    stored = [World(place, types="host").but_generation("r") for place in (tmp_path, tmp_path / "again")]
    assert stored[0] == stored[1] != {}
