"""Whole runs into the other stores: what they export is, byte for byte, what a local Parquet store does after the same commands."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.archive import s3_servers
from tests.builders import DAY_START_S, NOON_S, host_record
from tests.pipelines.test_kinds_runs import PERIOD_S, archived
from tests.pipelines.worlds import GRANULARITIES, Result, World, call, gauge, key, period_of, service_gauge

NOW_S = DAY_START_S + 30 * 86_400.0
PERIODS = ("--period", period_of(*PERIOD_S), "--period", period_of(NOON_S, NOON_S + 3600))


class Runs:
    """The same archive for every store; each has a work dir of its own."""

    def __init__(self, world: World, url: str, work: Path) -> None:
        self.world, self.url, self.work, self.now_s = world, url, work, NOW_S

    def command(self, name: str, *more: str) -> Result:
        self.now_s += 1
        return call([name, *more, "--work-dir", str(self.work), "--json"], now_s=self.now_s)

    def backfill(self, *more: str) -> Result:
        archive = f"file://{self.world.archive}"
        return self.command("backfill", "--archive", archive, "--store", self.url, *PERIODS, "--metric-types", "service,labeled,role,host", "--yes", *more)

    def exports(self) -> list[str]:
        """The CSV of every granularity."""
        asked = ["export", "--store", self.url, "--period", "2025-10-01T00:00Z/2025-12-01T00:00Z", "--granularity"]
        results = [call([*asked, name]) for name in GRANULARITIES]
        assert {(one.code, one.err) for one in results} == {(0, "")}
        return [one.out for one in results]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Points of all kinds around midnight; gauges of hosts and a service at noon come with `fill_noon`."""
    world = World(tmp_path)
    archived(world)
    return world


def fill_noon(world: World, value: float) -> None:
    metrics = [("cpu", NOON_S + 60 * place, value + place / 7) for place in range(50)]
    for host in ("h1", "h2", "日本"):
        world.put(key(NOON_S + 3000, host), host_record(host, NOON_S + 3000, metrics, roles=["web:app"]))
    world.put(key(NOON_S + 60, "s"), service_gauge("cpu", {0: value, 60: -0.0, 3000: 1e300}, at=61))


@pytest.fixture(params=["sqlite", "parquet+s3"])
def other(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Runs]:
    with ExitStack() as ends:
        url = f"sqlite://{tmp_path}/rollups.db"
        if request.param == "parquet+s3":
            ends.enter_context(s3_servers.aws_environment())
            server = ends.enter_context(s3_servers.served("moto", tmp_path))
            s3_servers.client(server).create_bucket(Bucket="rollups")
            url = f"parquet+s3://rollups/of/metrics?endpoint_url={server}&region=us-east-1"
        yield Runs(world, url, tmp_path / "work-other")


@pytest.fixture
def local(world: World, tmp_path: Path) -> Runs:
    return Runs(world, f"parquet://{tmp_path}/store", tmp_path / "work-local")


def test_the_same_commands_export_the_same_bytes(world: World, local: Runs, other: Runs) -> None:
    fill_noon(world, 5.0)
    for runs in (local, other):
        result = runs.backfill("--run-id", "first")
        assert result.code == 0, result.err
        assert result.data["imbalances"] == []
    first = local.exports()
    assert min(text.count("\n") for text in first) > 12
    assert other.exports() == first
    fill_noon(world, 4.0)
    reports = [runs.backfill("--run-id", "second").data for runs in (local, other)]
    assert [reports[1][part] for part in ("buckets", "largest_changes", "refused")] == [reports[0][part] for part in ("buckets", "largest_changes", "refused")]
    second = local.exports()
    assert other.exports() == second != first
    for runs in (local, other):
        assert runs.command("undo", "second", "--yes").code == 0
    assert other.exports() == local.exports()


def test_worker_processes_write_into_one_store(world: World, local: Runs, other: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of several types and days."""
    monkeypatch.setattr("pipelines.submit.PROCESSES_FROM_BYTES", 0)
    for number in range(8):
        world.put(
            key(NOON_S + number, "a"),
            gauge("cpu", [float(number)] * 20, at=1300, host=f"h{number}"),
            service_gauge("cpu", {0: number}, service=f"s{number}"),
        )
    for runs in (local, other):
        result = runs.backfill("--run-id", "many", "--workers", "2")
        assert result.code == 0, result.err
    assert other.exports() == local.exports()


def test_the_view_of_a_sqlite_store_is_the_export(world: World, tmp_path: Path) -> None:
    """As the sqlite3 of Python, or the shell of that name, shows it."""
    fill_noon(world, 5.0)
    runs = Runs(world, f"sqlite://{tmp_path}/rollups.db", tmp_path / "work")
    assert runs.backfill().code == 0
    for granularity, text in zip(GRANULARITIES, runs.exports(), strict=True):
        columns = text.partition("\n")[0]
        with closing(sqlite3.connect(tmp_path / "rollups.db")) as database:
            rows = database.execute(f"SELECT {columns} FROM rollups WHERE granularity = ? ORDER BY {columns}", [granularity]).fetchall()
        listed = call(["export", "--store", runs.url, "--period", "2025-10-01T00:00Z/2025-12-01T00:00Z", "--granularity", granularity, "--format", "json"])
        assert [dict(zip(columns.split(","), row, strict=True)) for row in rows] == json.loads(listed.out)
