"""Runs that re-seed a hot tier: what was lost is back, what lives stays, and the live writer goes on as if nothing had happened."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from scripts.oracle import expected_rows
from tests.builders import NOON_S
from tests.pipelines.worlds import NOON_HOUR, Result, World, call, gauge, key, seconds, tree
from tests.stores.live_writer import LiveWriter, Rollup
from tests.valkey_cluster import cluster, server

HOSTS = ("h1", "h2")
VALUES = {host: {60 * minute: float(minute * minute % 17) / (3 + place) for minute in range(60) if minute % 7 != place} for place, host in enumerate(HOSTS)}


@dataclass
class Tier:
    """An archive of an hour, and a live writer that posted the same points into a hot tier."""

    world: World
    client: Any
    url: str

    @property
    def live(self) -> LiveWriter:
        return LiveWriter(self.client)

    def backfill(self, *more: str, granularities: str = "1m", now_s: float = NOON_S + 7200) -> Result:
        places = ("--archive", f"file://{self.world.archive}", "--store", self.url, "--work-dir", str(self.world.work))
        return call(
            ["backfill", *places, "--period", NOON_HOUR, "--metric-types", "host", "--granularities", granularities, "--yes", "--json", *more], now_s=now_s
        )

    def minutes(self, host: str) -> dict[int, str]:
        return {int(field) - NOON_S: text.decode() for field, text in self.client.hgetall(self.live.key(host, "cpu", NOON_S)).items()}

    def rollups(self) -> dict[tuple[str, str, int], Rollup]:
        fives = {(host, "5m", start_s): one for host in HOSTS for start_s, one in self.live.five_minutes(host, "cpu", NOON_S)}
        return fives | {(host, "1h", NOON_S): self.live.hour(host, "cpu", NOON_S) for host in HOSTS}

    def expected(self) -> dict[tuple[str, str, int], Rollup]:
        rows = expected_rows(str(self.world.archive), periods_s=[(NOON_S, NOON_S + 3600)], granularities=["5m", "1h"], metric_types=["host"])
        names = ("count", "sum", "min", "max", "avg", "last")
        return {(row["entity"], row["granularity"], seconds(row["bucket_start"])): {name: row[name] for name in names} for row in rows}


@pytest.fixture(params=["valkey", "redis", "cluster"])
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tier]:
    world = World(tmp_path)
    for host, values in VALUES.items():
        world.put(key(NOON_S, host), gauge("cpu", values, at=3601, host=host))
    if request.param == "cluster":
        with cluster(tmp_path / "nodes") as members, _cluster_client(members[0].port) as client:
            yield Tier(world, client, f"valkey://127.0.0.1:{members[1].port}/0")
        return
    with server(tmp_path / "node") as running, running.client(db=3) as client:
        yield Tier(world, client, f"{request.param}://127.0.0.1:{running.port}/3")


def _cluster_client(port: int) -> Any:
    from valkey.cluster import ValkeyCluster

    return ValkeyCluster(host="127.0.0.1", port=port)


def posted(tier: Tier) -> None:
    for host, values in VALUES.items():
        for after, value in values.items():
            tier.live.post(host, "cpu", NOON_S + after + 7, value)


def test_lost_points_are_back_and_the_live_writer_rolls_up_what_the_oracle_does(tier: Tier) -> None:
    posted(tier)
    whole = tier.rollups()
    assert whole == tier.expected()
    before = {host: tier.minutes(host) for host in HOSTS}
    tier.client.hdel(tier.live.key("h1", "cpu", NOON_S), *(NOON_S + after for after in VALUES["h1"] if after < 1500))
    tier.client.delete(tier.live.key("h2", "cpu", NOON_S))
    assert tier.minutes("h2") == {}
    assert dict(tier.live.five_minutes("h1", "cpu", NOON_S)).keys() == set(range(NOON_S + 1500, NOON_S + 3600, 300))
    result = tier.backfill("--run-id", "reseed")
    assert result.code == 0, result.err
    assert {host: tier.minutes(host) for host in HOSTS} == before
    assert tier.rollups() == whole
    for host in HOSTS:
        tier.live.post(host, "cpu", NOON_S + 300, 8.5)
    assert dict(tier.live.five_minutes("h1", "cpu", NOON_S))[NOON_S + 300]["max"] >= 8.5


def commands(client: Any) -> dict[str, int]:
    """How often each command was called since CONFIG RESETSTAT."""
    return {name.removeprefix("cmdstat_"): told["calls"] for name, told in client.info("commandstats").items()}


@pytest.mark.parametrize("tier", ["valkey"], indirect=True)
def test_reading_back_and_rechecking_look_only_at_what_was_restored(tier: Tier) -> None:
    for number in range(50):
        tier.live.post(f"other{number}", "cpu", NOON_S, 1.0)
    posted(tier)
    tier.client.delete(tier.live.key("h2", "cpu", NOON_S))
    assert tier.backfill("--run-id", "reseed", "--verify", "full").code == 0
    assert "scan" not in commands(tier.client)
    tier.client.config_resetstat()
    checked = tier.world.command("status", "reseed", "--recheck")
    assert (checked.code, checked.data["rechecked"], checked.data["changed_since"]) == (0, sum(map(len, VALUES.values())), 0)
    called = commands(tier.client)
    assert (called["hgetall"], "scan" in called) == (4, False), "two items and what lies beside each"
    tier.live.post("h2", "cpu", NOON_S, -5.0)
    tier.client.hdel(tier.live.key("h1", "cpu", NOON_S), NOON_S + 60)
    changed = tier.world.command("status", "reseed", "--recheck")
    told = [(one["entity"], one["bucket_start"][11:16], one["stored_avg"]) for one in changed.data["changes_since"]]
    assert (changed.code, told) == (4, [("h1", "12:01", None), ("h2", "12:00", -5.0)])


def test_what_the_archive_lacks_stays_and_undo_takes_back_only_what_was_lost(tier: Tier) -> None:
    posted(tier)
    assert 840 not in VALUES["h1"]
    tier.live.post("h1", "cpu", NOON_S + 840, 77)
    tier.client.hdel(tier.live.key("h1", "cpu", NOON_S), NOON_S + 60, NOON_S + 120)
    before = {host: tier.minutes(host) for host in HOSTS}
    assert tier.backfill("--run-id", "reseed").code == 0
    assert tier.minutes("h1") == before["h1"] | {60: repr(VALUES["h1"][60]), 120: repr(VALUES["h1"][120])}
    undone = tier.world.command("undo", "reseed")
    assert undone.code == 0, undone.err
    assert {host: tier.minutes(host) for host in HOSTS} == before
    assert (undone.data["removed"], undone.data["left_alone"]) == ({"1m": 2}, {"1m": 0})


def test_export_reads_a_live_writers_values_and_ours(tier: Tier) -> None:
    posted(tier)
    tier.client.delete(tier.live.key("h2", "cpu", NOON_S))
    assert tier.backfill("--run-id", "reseed", "--series", "host/acme/h2/*").code == 0
    result = call(["export", "--store", tier.url, "--period", NOON_HOUR, "--granularity", "1m", "--json"])
    rows = json.loads(result.out)
    wanted = expected_rows(str(tier.world.archive), periods_s=[(NOON_S, NOON_S + 3600)], granularities=["1m"], metric_types=["host"])
    assert [{name: row[name] for name in wanted[0] if name != "generation"} for row in rows] == [
        {name: value for name, value in row.items() if name != "generation"} for row in wanted
    ]
    assert {(row["entity"], row["generation"] > 0) for row in rows} == {("h1", False), ("h2", True)}


def test_a_dry_run_finds_what_is_lost_and_writes_nothing(tier: Tier) -> None:
    posted(tier)
    tier.client.hdel(tier.live.key("h1", "cpu", NOON_S), NOON_S + 60)
    keys = sorted(tier.client.scan_iter())
    result = tier.backfill("--dry-run")
    assert result.code == 0, result.err
    assert sorted(tier.client.scan_iter()) == keys
    assert 60 not in tier.minutes("h1")


@pytest.mark.parametrize("tier", ["valkey"], indirect=True)
def test_what_has_left_the_hot_tier_is_not_put_back_into_it(tier: Tier) -> None:
    result = tier.backfill("--run-id", "late", now_s=NOON_S + 25 * 3600 + 1800)
    assert result.code == 5, result.err
    assert sorted(tier.minutes("h1")) == [after for after in VALUES["h1"] if after >= 1800]
    assert result.data["buckets"]["host"]["1m"]["left"] == len([after for values in VALUES.values() for after in values if after < 1800])


@pytest.mark.parametrize("tier", ["valkey"], indirect=True)
def test_a_run_asks_before_it_writes_and_shows_the_servers(tier: Tier) -> None:
    asked = ["--archive", f"file://{tier.world.archive}", "--store", tier.url, "--work-dir", str(tier.world.work), "--period", NOON_HOUR]
    result = call(["backfill", *asked, "--metric-types", "host", "--granularities", "1m"], now_s=NOON_S + 7200)
    assert result.code == 5
    assert re.search(r"^server +127\.0\.0\.1:\d+/3, [\d,]+ bytes in use, no maxmemory, maxmemory-policy noeviction$", result.err, re.MULTILINE)
    assert tier.minutes("h1") == {}


@pytest.mark.parametrize("tier", ["valkey"], indirect=True)
def test_worker_processes_find_the_password_and_it_is_kept_nowhere(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    tier.client.config_set("requirepass", "hunter2")
    monkeypatch.setenv("VALKEY_PASSWORD", "hunter2")
    with mock.patch("pipelines.submit.PROCESSES_FROM_BYTES", 0):
        result = tier.backfill("--run-id", "reseed", "--workers", "2")
    assert result.code == 0, result.err
    assert tier.minutes("h1").keys() == VALUES["h1"].keys()
    assert "hunter2" not in result.out + result.err
    assert not [path for path, content in tree(tier.world.work).items() if b"hunter2" in content]
    monkeypatch.setenv("VALKEY_PASSWORD", "hunter3")
    refused = tier.backfill("--run-id", "other")
    assert refused.code == 2
    assert "hunter" not in refused.err


@pytest.mark.parametrize("tier", ["valkey"], indirect=True)
@pytest.mark.parametrize("command", ["backfill", "export"])
def test_granularities_that_a_hot_tier_does_not_hold_are_exit_2(tier: Tier, command: str) -> None:
    if command == "export":
        result = call(["export", "--store", tier.url, "--period", NOON_HOUR, "--granularity", "5m"])
    else:
        result = tier.backfill(granularities="1m,5m,1h")
    assert result.code == 2
    lacks = "5m" if command == "export" else "5m, 1h"
    assert f"the store {tier.url} holds 1m rollups only, not {lacks}: ask for --granularities 1m" in result.err
    assert list(tier.client.scan_iter()) == []
