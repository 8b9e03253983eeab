"""Runs into DynamoDB: the same rollups as in a Parquet store, also after kills; undone; what has expired is refused and listed. On ministack."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.builders import NOON_S
from tests.pipelines.processes import KILLED, Forge
from tests.pipelines.worlds import GRANULARITIES, Row, World, bits, call, gauge, key, service_gauge
from tests.stores.dynamodb_proxy import Answer, Proxy, proxied, throttled
from tests.stores.dynamodb_servers import items_of, new_place

TYPES = "host,service"
PERIOD = "2025-11-01T11:00Z/PT3H"
FAST = ("--dynamodb-rru-per-s", "1000000", "--dynamodb-wru-per-s", "1000000")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@dataclass
class Remote:
    """The archive of a world, restored into a table."""

    world: World
    proxy: Proxy
    store: str

    @property
    def asked(self) -> tuple[str, ...]:
        places = ("--archive", f"file://{self.world.archive}", "--store", self.store, "--work-dir", str(self.world.work))
        return *places, "--period", PERIOD, "--metric-types", TYPES, "--json", *FAST

    def rows(self) -> list[Row]:
        every = "2025-10-01T00:00Z/2025-12-01T00:00Z"
        results = [call(["export", "--store", self.store, "--period", every, "--granularity", one, "--format", "json", *FAST]) for one in GRANULARITIES]
        assert [one.code for one in results] == [0, 0, 0], results[0].err
        return [row for one in results for row in json.loads(one.out)]


def remote_of(world: World, proxy: Proxy) -> Remote:
    return Remote(world, proxy, f"dynamodb://{new_place(proxy.url).table}?endpoint_url={proxy.url}&region=us-east-1")


@pytest.fixture
def remote(server: str, tmp_path: Path) -> Iterator[Remote]:
    with ExitStack() as ends:
        world = World(tmp_path, types=TYPES)
        for hour in (-1, 0, 1):
            at = hour * 3600
            hosts = [gauge("cpu", {at + minute * 60: minute / 7 + number for minute in range(60)}, at=at + 3600, host=f"h{number}") for number in range(3)]
            world.put(key(NOON_S + at), *hosts, service_gauge("orders", {at + 60: hour, at + 1800: 0.5}, at=at + 3600))
        yield remote_of(world, ends.enter_context(proxied(server)))


def test_repeated_calls_to_the_store_are_in_the_report(remote: Remote) -> None:
    refusals = {"PutItem": 3, "BatchGetItem": 2}

    def refuse(operation: str, request: dict[str, Any]) -> Answer | None:
        if not refusals.get(operation) or '"series": {"S": "[' not in json.dumps(request):
            return None
        refusals[operation] -= 1
        return throttled("TableWriteProvisionedThroughputExceeded")

    remote.proxy.instead = refuse
    result = call(["backfill", "--yes", *remote.asked, "--run-id", "november", "--verify", "none"])
    assert result.code == 0, result.err
    reason = f"{remote.store.partition('?')[0]} ProvisionedThroughputExceededException"
    assert (result.data["retries"], refusals) == ({reason: 5}, {"PutItem": 0, "BatchGetItem": 0})
    assert f"retries   {reason} 5" in call(["status", "november", "--work-dir", str(remote.world.work)]).out
    refusals["BatchGetItem"] = 1
    checked = call(["status", "november", "--recheck", "--work-dir", str(remote.world.work), "--json"])
    assert (checked.code, checked.data["retries"]) == (0, {reason: 1})


def test_a_run_stores_what_it_stores_in_files_and_its_undo_removes_it(remote: Remote) -> None:
    result = call(["backfill", "--yes", *remote.asked, "--run-id", "november"])
    assert result.code == 0, result.err
    files = remote.world.backfill("--run-id", "files", period=PERIOD)
    assert files.code == 0
    assert bits(remote.rows()) == bits(remote.world.all_rows())
    assert len(remote.rows()) == (3 * 180 + 6) + (3 * 36 + 6) + (3 * 3 + 3)
    assert {name: result.data["buckets"]["host"][name]["added"] for name in GRANULARITIES} == {"1m": 540, "5m": 108, "1h": 9}
    again = call(["backfill", "--yes", *remote.asked, "--run-id", "again"])
    assert again.data["buckets"]["host"]["1m"]["equal"] == 540
    undone = call(["undo", "november", "--yes", "--work-dir", str(remote.world.work), "--json"])
    assert undone.code == 0, undone.err
    assert remote.rows() != []  # the second run's versions, as newer ones, stay
    assert call(["undo", "again", "--yes", "--work-dir", str(remote.world.work), "--json"]).code == 0


def test_a_run_asks_first_and_tells_which_table(remote: Remote) -> None:
    refused = call(["backfill", *remote.asked, "--run-id", "november"])
    assert refused.code == 5
    shown = refused.err.splitlines()
    assert [one.split("  ")[0] for one in shown if one.startswith(("calls ", "cost ", "finish "))] == ["calls", "cost", "finish"]
    assert {"account     000000000000", "region      us-east-1", f"endpoint    {remote.proxy.url}"} <= set(shown)
    assert remote.rows() == []


def test_undo_says_of_which_units_before_images_are_gone(remote: Remote) -> None:
    assert call(["backfill", "--yes", *remote.asked, "--run-id", "november"]).code == 0
    place = new_place(remote.proxy.url)
    place = replace(place, table=remote.store.removeprefix("dynamodb://").partition("?")[0])
    for item in items_of(place):
        if "expires" in item and "host" in item["series"]["S"] + item["item"]["S"] and "1m" in item["series"]["S"] + item["item"]["S"]:
            place.client().delete_item(TableName=place.table, Key={name: item[name] for name in ("series", "item")})
    again = ["undo", "november", "--yes", "--work-dir", str(remote.world.work)]
    undone = call([*again, "--json"])
    (unit,) = undone.data["gone"]
    assert (undone.code, unit) == (5, "host-2025-10-30-0000 1m")
    assert undone.data["removed"] == {"1m": 6, "5m": 114, "1h": 12}
    assert {(row["metric_type"], row["minutes"]) for row in remote.rows()} == {("host", 1)}
    told = call(again).out
    assert "gone      before-images of 1 units have expired or were deleted: host-2025-10-30-0000 1m" in told


def test_undo_of_the_only_run_leaves_no_rollup(remote: Remote) -> None:
    assert call(["backfill", "--yes", *remote.asked, "--run-id", "november"]).code == 0
    undone = call(["undo", "november", "--yes", "--work-dir", str(remote.world.work), "--json"])
    assert undone.data["removed"] == {"1m": 546, "5m": 114, "1h": 12}
    assert remote.rows() == []


@pytest.mark.slow
def test_a_run_killed_at_any_write_and_resumed_ends_as_undisturbed(remote: Remote, server: str, tmp_path: Path) -> None:
    assert remote.world.backfill("--run-id", "files", period=PERIOD).code == 0
    with Forge(tmp_path) as forge:
        undisturbed = remote_of(remote.world.beside("undisturbed"), remote.proxy)
        assert forge.run(["backfill", "--yes", *undisturbed.asked, "--run-id", "run"]).code == 0
        writes = sum(is_write(one) for one, _ in remote.proxy.requests)
        assert writes > 20
        for place in range(4, writes, writes // 6):
            trial = remote_of(remote.world.beside(f"trial-{place}"), remote.proxy)
            left, child_pid = [place], [0]

            def kill(operation: str, _request: dict[str, Any], left: list[int] = left, child_pid: list[int] = child_pid) -> None:
                if is_write(operation) and child_pid[0]:
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(child_pid[0], signal.SIGKILL)

            with remote.proxy.lock:
                child = forge.start(["backfill", "--yes", *trial.asked, "--run-id", "run", "--workers", "1"])
                child_pid[0] = child.pid
                remote.proxy.instead = kill
            assert child.wait().code == KILLED
            remote.proxy.instead = lambda *_: None
            resumed = forge.run(["backfill", "--yes", *trial.asked, "--run-id", "run", "--workers", "1"])
            assert resumed.code == 0, resumed.err
            assert bits(trial.rows()) == bits(remote.world.all_rows())
            undone = call(["undo", "run", "--yes", "--work-dir", str(trial.world.work), "--json"])
            assert sum(undone.data["removed"].values()) == 546 + 114 + 12
            assert trial.rows() == []


def is_write(operation: str) -> bool:
    return operation in ("PutItem", "BatchWriteItem")


def test_what_has_expired_is_refused_listed_and_told(remote: Remote) -> None:
    result = call(["backfill", "--yes", *remote.asked, "--dynamodb-ttl", "1m=15d"])
    assert result.code == 5, result.err
    report = result.data
    assert {name: tally["refused"] for name, tally in report["buckets"]["host"].items()} == {"1m": 540, "5m": 0, "1h": 0}
    assert report["refused_lapsed"] == 546
    lines = [json.loads(line) for line in Path(report["refused_file"]).read_text().splitlines()]
    assert {line["cause"] for line in lines} == {"its time to live has passed"}
    assert len(lines) == 546
    assert report["imbalances"] == []
    assert {one["granularity"] for one in remote.rows()} == {"5m", "1h"}
    text = call(["backfill", "--yes", *(word for word in remote.asked if word != "--json"), "--dynamodb-ttl", "1m=15d", "--run-id", "told"])
    assert "of the refused, 546 would be removed at once: their time to live (--dynamodb-ttl) has passed" in text.out


def test_a_window_is_a_week_and_a_plan_shows_what_a_stream_would_start(remote: Remote) -> None:
    plan = call(["plan", *remote.asked, "--run-id", "planned"])
    assert plan.code == 0, plan.err
    assert plan.data["units"] == {"host": 1, "service": 1}
    assert plan.data["warnings"] == []
    stored = json.loads((remote.world.run_dir("planned") / "plan.json").read_text())
    assert stored["window_days"] == 7
    assert list(stored["shards"]["host"]) == ["2025-10-30"]


def test_the_command_makes_the_table_and_prints_its_template(server: str) -> None:
    store = f"dynamodb://made-by-command?endpoint_url={server}&region=us-east-1"
    first, second = (call(["store", "create", "--store", store, "--json"]) for _ in range(2))
    assert (first.code, len(first.data["done"])) == (0, 3)
    assert (second.code, second.data["done"]) == (0, [])
    printed = call(["store", "create", "--store", "dynamodb://rollups", "--print-cloudformation"])
    assert json.loads(printed.out)["Resources"]["Rollups"]["Properties"]["TableName"] == "rollups"
    assert call(["store", "destroy", "--store", store]).code == 2
