"""The hot tier's 1m values to the long-term store, as a live writer left them: copied from Valkey into DynamoDB, on real servers, and compared."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.local_servers import ministack, valkey
from tests.archive.s3_servers import aws_environment
from tests.builders import NOON_S
from tests.pipelines.processes import KILLED, Forge
from tests.pipelines.worlds import Result, call, iso
from tests.stores.dynamodb_proxy import Proxy, proxied
from tests.stores.dynamodb_servers import items_of, new_place
from tests.stores.live_writer import LiveWriter
from transforms.stores import open_store
from transforms.stores.dynamodb_place import Place

HOSTS = [f"h{number:02d}" for number in range(12)]
MINUTES = 90
FAST = ("--dynamodb-read-units", "1000000", "--dynamodb-write-units", "1000000", "--valkey-ops-per-s", "100000")


@dataclass
class Tiers:
    """A hot tier in which a live writer left 90 minutes of twelve hosts, and a table behind a proxy."""

    live: LiveWriter
    hot: str
    proxy: Proxy
    place: Place
    work: Path

    @property
    def store(self) -> str:
        return f"dynamodb://{self.place.table}?endpoint_url={self.place.endpoint_url}&region=us-east-1"

    @property
    def asked(self) -> tuple[str, ...]:
        return "--period", f"{iso(NOON_S)}/PT2H", "--granularities", "1m", "--metric-types", "host", "--json", *FAST

    @property
    def copying(self) -> list[str]:
        return ["copy", "--from", self.hot, "--store", self.store, *self.asked, "--include-live", "--yes", "--work-dir", str(self.work)]

    def compare(self) -> Result:
        return call(["compare", self.hot, self.store, *self.asked])

    def into(self, table: Place) -> "Tiers":
        return Tiers(self.live, self.hot, self.proxy, table, self.work.parent / table.table)


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[Tiers]:
    with aws_environment(), ministack() as url, proxied(url) as proxy, valkey(tmp_path / "hot") as server, server.client() as client:
        live = LiveWriter(client)
        for place, host in enumerate(HOSTS):
            for minute in range(MINUTES):
                live.post(host, "cpu", NOON_S + 60 * minute + 7, minute / 7 + place)
        yield Tiers(live, f"valkey://127.0.0.1:{server.port}/0", proxy, new_place(proxy.url), tmp_path / "work")


def copied(result: Result) -> dict[str, int]:
    assert result.code == 0, result.err + result.out
    tally: dict[str, int] = result.data["buckets"]["host"]["1m"]
    return {name: number for name, number in tally.items() if number}


def rollups_of(place: Place) -> dict[tuple[str, str], Any]:
    return {(one["series"]["S"], one["item"]["S"]): one for one in items_of(place) if one["series"]["S"].startswith("[")}


def test_live_minutes_are_moved_once_and_a_changed_one_is_found(tiers: Tiers) -> None:
    everything = MINUTES * len(HOSTS)
    assert tiers.compare().data["buckets"]["host"]["1m"] == {"equal": 0, "missing": everything, "extra": 0, "different": 0}
    first = call([*tiers.copying, "--verify", "full"])
    assert copied(first) == {"added": everything}
    assert (first.data["read"]["host"], first.data["imbalances"]) == ({"read": everything, "stored": everything}, [])
    assert (first.data["verification"]["buckets"], first.data["verification"]["different"], first.data["verification"]["changed_since"]) == (everything, 0, 0)
    same = tiers.compare()
    assert (same.code, same.data["buckets"]["host"]["1m"]) == (0, {"equal": everything, "missing": 0, "extra": 0, "different": 0})
    before = rollups_of(tiers.place)
    values = {(row["entity"], row["bucket_start"].timestamp()): (row["avg"], row["generation"]) for row in exported(tiers.store)}
    assert values == {(host, NOON_S + 60 * minute): (minute / 7 + place, None) for place, host in enumerate(HOSTS) for minute in range(MINUTES)}
    assert copied(call(tiers.copying)) == {"equal": everything}
    assert rollups_of(tiers.place) == before
    tiers.live.post("h03", "cpu", NOON_S + 600, -1.0)
    other = tiers.compare()
    assert (other.code, other.data["buckets"]["host"]["1m"]) == (4, {"equal": everything - 1, "missing": 0, "extra": 0, "different": 1})


def exported(url: str) -> Iterator[dict[str, Any]]:
    for _, piece in open_store(url, writable=False).scan("1m"):
        yield from piece.to_pylist()


def test_killed_in_the_middle_and_resumed_everything_is_there_once(tiers: Tiers, tmp_path: Path) -> None:
    with Forge(tmp_path) as forge:
        child_pid, left = [0], [5]

        def kill(operation: str, request: dict[str, Any]) -> None:
            if operation == "PutItem" and request["Item"]["series"]["S"].startswith("[") and child_pid[0]:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(child_pid[0], signal.SIGKILL)

        tiers.proxy.instead = kill
        with tiers.proxy.lock:
            child = forge.start([*tiers.copying, "--run-id", "move", "--workers", "1"])
            child_pid[0] = child.pid
        assert child.wait().code == KILLED
        tiers.proxy.instead = lambda *_: None
        assert 0 < len(rollups_of(tiers.place)) < len(HOSTS)
        assert tiers.compare().code == 4
        resumed = forge.run([*tiers.copying, "--run-id", "move", "--workers", "1"])
        assert resumed.code == 0, resumed.err
    assert tiers.compare().code == 0
    undisturbed = tiers.into(new_place(tiers.place.endpoint_url))
    copied(call(undisturbed.copying))
    bodies = [{at: one["body"] for at, one in rollups_of(place).items()} for place in (tiers.place, undisturbed.place)]
    assert bodies[0] == bodies[1]


def test_a_tier_of_many_series_is_read_in_several_units(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.stores.valkey.READ_SERIES", 5)
    planned = call([*tiers.copying, "--plan-only", "--run-id", "many"])
    assert planned.data["units"] == {"host": 3}
    assert copied(call([*tiers.copying, "--run-id", "many"])) == {"added": MINUTES * len(HOSTS)}
    assert tiers.compare().code == 0
