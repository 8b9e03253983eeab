"""Runs through a writer function: the same rollups as in a Parquet store, also after kills; what is not taken is told and sent again. On ministack."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from scripts.local_servers import WRITER, deploy_writer, ministack
from tests.archive.s3_servers import aws_environment
from tests.builders import NOON_S
from tests.pipelines.processes import KILLED, Forge
from tests.pipelines.test_dynamodb_runs import FAST, PERIOD, TYPES
from tests.pipelines.worlds import GRANULARITIES, Row, World, bits, call, gauge, key, service_gauge
from tests.stores.dynamodb_servers import new_place
from tests.stores.lambda_endpoint import Endpoint, Reply, endpoint, function_error
from transforms.stores.dynamodb_place import Place

BUCKETS = {"1m": 546, "5m": 114, "1h": 12}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        deploy_writer(url)
        yield url


@dataclass
class Remote:
    """The archive of a world, restored through a function into a table."""

    world: World
    place: Place
    function: str
    url: str

    @property
    def store(self) -> str:
        read = quote(f"dynamodb://{self.place.table}?endpoint_url={self.place.endpoint_url}")
        return f"lambda://{self.function}?endpoint_url={self.url}&region=us-east-1&read={read}"

    @property
    def asked(self) -> tuple[str, ...]:
        places = ("--archive", f"file://{self.world.archive}", "--store", self.store, *self.work)
        return "--yes", *places, "--period", PERIOD, "--metric-types", TYPES, "--json", *FAST

    @property
    def work(self) -> tuple[str, ...]:
        return "--work-dir", str(self.world.work)

    def rows(self) -> list[Row]:
        every = "2025-10-01T00:00Z/2025-12-01T00:00Z"
        results = [call(["export", "--store", self.store, "--period", every, "--granularity", one, "--format", "json", *FAST]) for one in GRANULARITIES]
        assert [one.code for one in results] == [0, 0, 0], results[0].err
        return [row for one in results for row in json.loads(one.out)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, types=TYPES)
    for hour in (-1, 0, 1):
        at = hour * 3600
        hosts = [gauge("cpu", {at + minute * 60: minute / 7 + number for minute in range(60)}, at=at + 3600, host=f"h{number}") for number in range(3)]
        made.put(key(NOON_S + at), *hosts, service_gauge("orders", {at + 60: hour, at + 1800: 0.5}, at=at + 3600))
    return made


def test_a_run_stores_what_it_stores_in_files_and_its_undo_removes_it(world: World, server: str) -> None:
    remote = Remote(world, new_place(server), WRITER, server)
    result = call(["backfill", *remote.asked, "--run-id", "november"])
    assert result.code == 0, result.err
    assert world.backfill("--run-id", "files", period=PERIOD).code == 0
    assert bits(remote.rows()) == bits(world.all_rows())
    assert {name: result.data["buckets"]["host"][name]["added"] for name in GRANULARITIES} == {"1m": 540, "5m": 108, "1h": 9}
    assert result.data["verification"]["different"] == 0
    undone = call(["undo", "november", *remote.work, "--json"])
    assert undone.data["removed"] == BUCKETS, undone.err
    assert remote.rows() == []


@pytest.mark.slow
def test_a_run_killed_at_any_invocation_and_resumed_ends_as_undisturbed(world: World, server: str, tmp_path: Path) -> None:
    assert world.backfill("--run-id", "files", period=PERIOD).code == 0
    with Forge(tmp_path) as forge:
        for turn in range(6):
            with endpoint(new_place(server)) as function:
                remote = Remote(world.beside(f"trial-{turn}"), function.place, "writer", function.url)
                kill_at(function, forge, remote, turn)
                resumed = forge.run(["backfill", *remote.asked, "--run-id", "run", "--workers", "1"])
                assert resumed.code == 0, resumed.err
                assert bits(remote.rows()) == bits(world.all_rows())
                undone = call(["undo", "run", *remote.work, "--json"])
                assert undone.data["removed"] == BUCKETS, undone.err
                assert remote.rows() == []


def kill_at(function: Endpoint, forge: Forge, remote: Remote, turn: int) -> None:
    """Starts the run, and kills it while the function works on its n-th batch: for even ones before, for odd ones after it has written."""
    child_pid: list[int] = []

    def kill(batch: dict[str, Any]) -> Reply | None:
        with function.lock:
            if len(function.batches) != turn + 1 or not child_pid:
                return None
        function.instead = lambda _: None
        reply = function.reply(batch) if turn % 2 else None
        os.kill(child_pid[0], signal.SIGKILL)
        return reply

    function.instead = kill
    with function.lock:
        child = forge.start(["backfill", *remote.asked, "--run-id", "run", "--workers", "1"])
        child_pid.append(child.pid)
    assert child.wait().code == KILLED


def test_what_the_function_does_not_take_is_told_and_sent_again_by_the_same_run(world: World, server: str) -> None:
    assert world.backfill("--run-id", "files", period=PERIOD).code == 0
    with endpoint(new_place(server)) as function:
        remote = Remote(world.beside("trial"), function.place, "writer", function.url)
        function.instead = lambda batch: (
            function_error("poison") if any("h1" in one["series"] and one["item"].startswith("5m") for one in batch["items"]) else None
        )
        result = call(["backfill", *remote.asked, "--run-id", "november"])
        assert result.code == 3
        cause = "function error RuntimeError: poison"
        told = f"36 buckets of 1 units were not taken by the store's writer ({cause} 36): {remote.world.work}/runs/november/write_dead_letters"
        assert told in result.err
        assert f"all else is written; to send them again, `rollups backfill --plan november --work-dir {remote.world.work}`" in result.err
        status = call(["status", "november", *remote.work, "--json"])
        assert status.code == 3
        folder = f"{remote.world.work}/runs/november/write_dead_letters"
        assert status.data["write_dead_letters"] == {"total": 36, "units": 1, "by_cause": {cause: 36}, "folder": folder}
        assert f"undelivered {told}" in call(["status", "november", *remote.work]).out
        (line,) = [json.loads(one) for path in Path(folder).iterdir() for one in path.read_text().splitlines()]
        assert (line["entity"], line["granularity"], line["cause"], len(line["buckets"]), line["buckets"][0]) == ("h1", "5m", cause, 36, "2025-11-01T11:00:00Z")
        assert len(remote.rows()) == sum(BUCKETS.values()) - 36
        function.instead = lambda _: None
        resumed = call(["backfill", *remote.asked, "--run-id", "november"])
        assert resumed.code == 0, resumed.err
        assert bits(remote.rows()) == bits(world.all_rows())
        assert list(Path(folder).iterdir()) == []
        assert "undelivered" not in call(["status", "november", *remote.work]).out


def test_what_the_function_does_not_take_of_a_copy_is_told_and_sent_again_by_the_same_run(world: World, server: str) -> None:
    assert world.backfill("--run-id", "files", period=PERIOD).code == 0
    with endpoint(new_place(server)) as function:
        remote = Remote(world.beside("copied"), function.place, "writer", function.url)
        copying = (
            "copy",
            "--yes",
            "--from",
            f"parquet://{world.store}",
            "--store",
            remote.store,
            "--period",
            PERIOD,
            "--metric-types",
            TYPES,
            *remote.work,
            *FAST,
        )
        function.instead = lambda batch: function_error("poison") if any("h1" in one["series"] for one in batch["items"]) else None
        result = call([*copying, "--run-id", "c", "--json"])
        assert result.code == 3
        assert "buckets of 1 units were not taken by the store's writer (function error RuntimeError: poison 219)" in result.err
        assert f"`rollups copy --plan c --work-dir {remote.world.work}`" in result.err
        assert call(["status", "c", *remote.work, "--json"]).data["write_dead_letters"]["total"] == 180 + 36 + 3
        assert len(remote.rows()) == sum(BUCKETS.values()) - 219
        function.instead = lambda _: None
        assert call([*copying, "--run-id", "c", "--json"]).code == 0
        assert bits(remote.rows()) == bits(world.all_rows())
