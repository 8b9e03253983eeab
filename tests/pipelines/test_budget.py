"""Budgets and forecasts of runs, against what servers were asked for: recorders before them count, apart from the code under test."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.local_servers import ministack
from tests.archive import s3_servers
from tests.archive.s3_servers import Recorder
from tests.builders import NOON_S
from tests.pipelines.processes import Forge
from tests.pipelines.worlds import Result, World, call, gauge, key
from tests.stores.dynamodb_proxy import Proxy, proxied
from tests.stores.dynamodb_servers import new_place
from tests.stores.lambda_endpoint import endpoint
from transforms.steps.ledger import Ledger

HOUR_S = 3600
OBJECTS = 6
PERIOD = "2025-11-01T12:00Z/PT6H"
FAST = ("--s3-get-per-s", "1000000", "--s3-list-per-s", "1000000", "--s3-put-per-s", "1000000", "--ramp-double-s", "1")
FAST_TABLE = ("--dynamodb-rru-per-s", "10000000", "--dynamodb-wru-per-s", "10000000", "--lambda-invoke-per-s", "1000000", "--ramp-double-s", "1")


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    with s3_servers.aws_environment():
        yield


def six_hours(world: World) -> list[str]:
    """An object an hour, each of a host's minutes."""
    return [
        world.put(key(NOON_S + hour * HOUR_S), gauge("cpu", {hour * HOUR_S + minute * 60: minute / 7 for minute in range(60)}, at=(hour + 1) * HOUR_S))
        for hour in range(OBJECTS)
    ]


@dataclass
class Bucket:
    """A world whose archive is in a bucket."""

    world: World
    recorder: Recorder
    keys: list[str]

    def asked(self, *more: str, store: str = "") -> tuple[str, ...]:
        archive = f"s3://archive/metrics?endpoint_url={self.recorder.url}&region=us-east-1"
        places = ("--archive", archive, "--store", store or f"parquet://{self.world.store}", "--period", PERIOD, "--metric-types", "host")
        return *places, *self.how(*more)

    def how(self, *more: str) -> tuple[str, ...]:
        return "--work-dir", str(self.world.work), "--json", *FAST, *more

    def calls(self) -> Counter[str]:
        """What the server was asked for, by the names of usage."""
        named = {"GetObject": "s3_get", "ListObjectsV2": "s3_list"}
        return Counter(named.get(operation, "s3_put" if operation.startswith("PUT") else operation) for operation, _, _ in self.recorder.requests)

    def used(self, run_id: str) -> dict[str, float]:
        return Ledger(str(self.world.run_dir(run_id))).tally.used().data()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with ExitStack() as ends:
        url = ends.enter_context(s3_servers.served("moto", tmp_path))
        client, world = s3_servers.client(url), World(tmp_path)
        client.create_bucket(Bucket="archive")
        client.create_bucket(Bucket="rollups")
        keys = [f"metrics/{one}" for one in six_hours(world)]
        for one in keys:
            client.put_object(Bucket="archive", Key=one, Body=(world.archive / one.removeprefix("metrics/")).read_bytes())
        yield Bucket(world, ends.enter_context(s3_servers.recorded(url)), keys)


def s3_of(figures: dict[str, Any]) -> dict[str, int]:
    return {name: figures[name] for name in ("s3_get", "s3_list", "s3_put") if figures[name]}


class TestCallsToS3:
    def test_a_plan_of_reading_a_bucket_is_what_is_called(self, bucket: Bucket) -> None:
        result = call(["backfill", *bucket.asked("--run-id", "run")])
        assert result.code == 0, result.err
        calls = result.data["calls"]
        assert s3_of(calls["expected"]) == s3_of(calls["used"]) == dict(bucket.calls())
        sizes = sum((bucket.world.archive / one.removeprefix("metrics/")).stat().st_size for one in bucket.keys)
        assert calls["used"]["s3_bytes"] >= 2 * sizes  # sampled, then read, and what listings hold is none of it
        assert calls["expected"]["s3_bytes"] == calls["used"]["s3_bytes"]
        assert calls["used_dollars"]["total"] == pytest.approx(sum(value for name, value in calls["used_dollars"].items() if name != "total"), abs=1e-5)

    def test_a_plan_alone_says_so_before(self, bucket: Bucket) -> None:
        planned = call(["plan", *bucket.asked("--run-id", "run", "--max-gets", "100", "--max-cost", "2.5")])
        assert planned.code == 0, planned.err
        before = dict(bucket.calls())
        assert planned.data["expected"]["s3_get"] == before["s3_get"] + OBJECTS
        assert planned.data["budget"] == {"max_cost": 2.5, "max_gets": 100}
        status = call(["status", "run", "--work-dir", str(bucket.world.work), "--json"]).data["calls"]
        assert (status["expected"], s3_of(status["used"])) == (planned.data["expected"], before)
        result = call(["backfill", "--plan", "run", *bucket.how()])
        assert result.code == 0, result.err
        assert result.data["calls"]["expected"] == planned.data["expected"]
        assert s3_of(result.data["calls"]["used"]) == dict(bucket.calls())
        assert result.data["calls"]["budget"] == planned.data["budget"]

    @pytest.mark.parametrize("verify", ["none", "sample", "full"])
    def test_a_store_in_a_bucket_is_asked_for_what_was_planned(self, bucket: Bucket, verify: str) -> None:
        store = f"parquet+s3://rollups/of?endpoint_url={bucket.recorder.url}&region=us-east-1"
        result = call(["backfill", "--yes", *bucket.asked("--run-id", "run", "--verify", verify, store=store)])
        assert result.code == 0, result.err
        calls = result.data["calls"]
        assert s3_of(calls["used"]) == dict(bucket.calls())
        assert s3_of(calls["expected"]) == s3_of(calls["used"])


class TestBudget:
    def test_a_plan_beyond_it_is_refused_before_anything_is_read_but_the_sample(self, bucket: Bucket) -> None:
        result = call(["backfill", *bucket.asked("--run-id", "run", "--max-gets", "9")])
        assert (result.code, result.out) == (5, "")
        assert "the plan takes 12 S3 GET calls, more than --max-gets 9 allows, planning included: about 50% of what was asked for would fit" in result.err
        assert bucket.calls()["s3_get"] == 6  # the sample's
        assert not bucket.world.run_dir("run").exists()

    def test_planning_itself_stays_within_it(self, bucket: Bucket) -> None:
        result = call(["plan", *bucket.asked("--run-id", "run", "--max-gets", "2")])
        assert result.code == 5
        assert "planning alone takes more than the run may use" in result.err
        assert bucket.calls()["s3_get"] == 2

    def test_money_is_a_budget_as_well_at_prices_of_ones_own(self, bucket: Bucket, tmp_path: Path) -> None:
        prices = tmp_path / "prices.yaml"
        prices.write_text("s3_get_per_1000: 1000\ns3_list_per_1000: 0\ns3_out_per_gb: 0\n")
        result = call(["plan", *bucket.asked("--run-id", "run", "--max-cost", "11", "--prices", str(prices))])
        assert result.code == 5
        assert "the plan takes $12.00, more than --max-cost 11 dollars allow, planning included: about 83% of what" in result.err
        assert call(["plan", *bucket.asked("--run-id", "run", "--max-cost", "12", "--prices", str(prices))]).code == 0

    def test_a_run_stops_within_it_and_goes_on_with_a_larger_one(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two objects are refused at first: what is repeated is paid for."""
        monkeypatch.setattr("transforms.core.backoff.Backoff.delay_s", lambda *_: 0.0)
        assert call(["plan", *bucket.asked("--run-id", "run", "--max-gets", "12")]).code == 0
        bucket.recorder.passing = dict.fromkeys(bucket.keys[:2], (503, "SlowDown"))
        stopped = call(["backfill", "--plan", "run", *bucket.how("--workers", "2", "--max-gets", "13")])
        assert (stopped.code, stopped.out) == (3, ""), stopped.err
        assert "the run has used up its budget, the next call would make it 14 S3 GET calls, more than --max-gets 13 allows" in stopped.err
        assert bucket.calls()["s3_get"] == 13
        again = call(["backfill", "--plan", "run", *bucket.how()])
        assert again.code == 3
        assert bucket.calls()["s3_get"] == 13
        done = call(["backfill", "--plan", "run", *bucket.how("--max-gets", "30")])
        assert done.code == 0, done.err
        used = done.data["calls"]["used"]["s3_get"]
        assert used == bucket.calls()["s3_get"] <= 30
        assert bucket.world.backfill("--run-id", "files", period=PERIOD).code == 0
        assert done.data["buckets"]["host"]["1m"]["added"] == 360

    def test_none_lifts_it(self, bucket: Bucket) -> None:
        assert call(["plan", *bucket.asked("--run-id", "run", "--max-gets", "12")]).code == 0
        bucket.recorder.passing = {bucket.keys[0]: (503, "SlowDown")}
        assert call(["backfill", "--plan", "run", *bucket.how()]).code == 3
        lifted = call(["backfill", "--run-id", "run", *bucket.how("--max-gets", "none")])
        assert (lifted.code, lifted.data["calls"]["budget"]) == (0, {}), lifted.err

    def test_worker_processes_share_it(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipelines.submit.PROCESSES_FROM_BYTES", 0)
        assert call(["plan", *bucket.asked("--run-id", "run", "--workers", "2")]).code == 0
        stopped = call(["backfill", "--plan", "run", *bucket.how("--workers", "2", "--max-gets", "9")])
        assert stopped.code == 5  # it was planned for more
        bucket.recorder.passing = dict.fromkeys(bucket.keys[2:], (503, "SlowDown"))
        stopped = call(["backfill", "--plan", "run", *bucket.how("--workers", "2", "--max-gets", "12")])
        assert (stopped.code, bucket.calls()["s3_get"]) == (3, 12), stopped.err

    def test_a_killed_run_has_counted_every_call_that_was_made(self, bucket: Bucket, tmp_path: Path) -> None:
        assert call(["plan", *bucket.asked("--run-id", "run", "--max-gets", "20")]).code == 0
        with Forge(tmp_path) as forge:
            child = forge.start(["backfill", "--plan", "run", *bucket.how("--workers", "1")])
            while bucket.calls()["s3_get"] < 6 + 3:
                pass
            assert child.kill().code == -signal.SIGKILL
            made = bucket.calls()["s3_get"]
            assert made <= bucket.used("run")["s3_get"] <= made + 8  # what its threads had begun
            done = forge.run(["backfill", "--plan", "run", *bucket.how("--workers", "1", "--max-gets", "40")])
            assert done.code == 0, done.err
        assert bucket.calls()["s3_get"] <= bucket.used("run")["s3_get"] <= bucket.calls()["s3_get"] + 8


class TestCopies:
    def test_a_copy_keeps_its_budget_over_resumptions_and_tells_what_it_used(self, bucket: Bucket) -> None:
        store = f"parquet+s3://rollups/of?endpoint_url={bucket.recorder.url}&region=us-east-1"
        assert call(["backfill", "--yes", *bucket.asked("--run-id", "run", store=store)]).code == 0
        bucket.recorder.requests.clear()
        copying = ["copy", "--from", store, "--store", f"parquet://{bucket.world.root / 'copied'}", "--period", PERIOD, "--metric-types", "host"]
        refused = call([*copying, *bucket.how("--run-id", "none", "--max-gets", "0")])
        assert (refused.code, bucket.calls()["s3_get"]) == (5, 0), refused.err
        planned = call([*copying, *bucket.how("--run-id", "copy", "--plan-only")])
        assert planned.code == 0, planned.err
        of_plan = bucket.calls()["s3_get"]
        for _ in range(2):
            stopped = call(["copy", "--plan", "copy", *bucket.how("--max-gets", str(of_plan + 2))])
            assert (stopped.code, bucket.calls()["s3_get"]) == (3, of_plan + 2), stopped.err
        done = call(["copy", "--plan", "copy", *bucket.how("--max-gets", "100")])
        assert done.code == 0, done.err
        assert bucket.used("copy")["s3_get"] == done.data["calls"]["used"]["s3_get"]
        assert s3_of(done.data["calls"]["used"])["s3_get"] == bucket.calls()["s3_get"]
        assert planned.data["expected"]["s3_get"] == done.data["calls"]["expected"]["s3_get"]
        assert planned.data["expected"]["s3_get"] == pytest.approx(bucket.calls()["s3_get"], abs=3)  # what was read when the budget stopped it is read again
        assert planned.data["estimate"]["rows"] == 360
        assert (planned.data["estimate"]["series"], planned.data["binding"]) == (1, "processors")
        told = call(["copy", "--plan", "copy", "--work-dir", str(bucket.world.work)]).out
        assert f"calls     S3 {bucket.calls()['s3_get']} GET" in told
        assert "budget    --max-gets 100" in told


@dataclass
class Table:
    """A world whose store is a table."""

    world: World
    proxy: Proxy
    store: str

    def backfill(self, *more: str) -> Result:
        places = ("--archive", f"file://{self.world.archive}", "--store", self.store, "--work-dir", str(self.world.work))
        return call(["backfill", "--yes", *places, "--period", PERIOD, "--metric-types", "host", "--json", *FAST_TABLE, *more])


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with ministack() as url, proxied(url) as one:
        yield one


@pytest.fixture
def table(proxy: Proxy, tmp_path: Path) -> Table:
    world = World(tmp_path)
    six_hours(world)
    proxy.reads = proxy.writes = 0.0
    place = new_place(proxy.url)
    proxy.requests.clear()
    return Table(world, proxy, f"dynamodb://{place.table}?endpoint_url={proxy.url}&region=us-east-1")


class TestUnitsOfDynamoDB:
    def test_units_are_those_that_are_charged_and_a_plan_is_close(self, table: Table) -> None:
        result = table.backfill("--run-id", "run")
        assert result.code == 0, result.err
        calls = result.data["calls"]
        assert (calls["used"]["dynamodb_wru"], calls["used"]["dynamodb_rru"]) == (table.proxy.writes, table.proxy.reads)
        assert calls["expected"]["dynamodb_wru"] == pytest.approx(table.proxy.writes, rel=0.1)
        assert calls["expected"]["dynamodb_rru"] == pytest.approx(table.proxy.reads, rel=0.25)
        reads = sum(len(table.proxy.named(one)) for one in ("Query", "BatchGetItem"))
        writes = sum(len(table.proxy.named(one)) for one in ("PutItem", "BatchWriteItem"))
        assert (calls["used"]["dynamodb_read"], calls["used"]["dynamodb_write"]) == (reads, writes)

    def test_a_budget_in_dollars_stops_writing(self, table: Table, tmp_path: Path) -> None:
        prices = tmp_path / "prices.yaml"
        prices.write_text("dynamodb_wru_per_million: 1000000\ndynamodb_rru_per_million: 0\n")  # a dollar a unit
        result = table.backfill("--run-id", "run", "--max-cost", "405", "--prices", str(prices))  # an item may take 400 until it is known what it took
        assert result.code == 3, result.err
        assert "more than --max-cost 405 dollars allow" in result.err
        assert 0 < table.proxy.writes <= 6
        assert table.backfill("--run-id", "run", "--max-cost", "none").code == 0


class TestTransfersOfDynamoDB:
    """What is reckoned from one unit is what is charged, about."""

    @staticmethod
    def transfer(table: Table, command: str, *more: str) -> Result:
        return call([command, "--yes", *more, "--work-dir", str(table.world.work), "--period", PERIOD, "--metric-types", "host", "--json", *FAST_TABLE])

    def test_a_copy_into_a_table(self, table: Table, tmp_path: Path) -> None:
        prices = tmp_path / "prices.yaml"
        prices.write_text("dynamodb_wru_per_million: 1000000\ndynamodb_rru_per_million: 0\n")
        assert table.world.backfill("--run-id", "files", period=PERIOD).code == 0
        places = ("--from", f"parquet://{table.world.store}", "--store", table.store)
        refused = self.transfer(table, "copy", *places, "--run-id", "none", "--max-cost", "3", "--prices", str(prices))
        assert (refused.code, table.proxy.writes) == (5, 0), refused.err
        assert "the plan takes" in refused.err
        how = ("--work-dir", str(table.world.work), "--period", PERIOD, "--metric-types", "host", *FAST_TABLE)
        told = call(["copy", *places, "--run-id", "told", "--plan-only", *how]).out
        assert "reads       about 360 rollups of 1 series" in told
        assert "calls       about DynamoDB" in told
        assert "finish      in about" in told
        table.proxy.reads = table.proxy.writes = 0.0
        planned = self.transfer(table, "copy", *places, "--run-id", "copy", "--plan-only")
        result = call(["copy", "--plan", "copy", "--yes", "--work-dir", str(table.world.work), "--json"])
        assert result.code == 0, result.err
        calls = result.data["calls"]
        assert calls["expected"] == planned.data["expected"]
        assert (calls["used"]["dynamodb_wru"], calls["used"]["dynamodb_rru"]) == (table.proxy.writes, table.proxy.reads)
        assert calls["expected"]["dynamodb_wru"] == pytest.approx(table.proxy.writes, rel=0.1)
        assert calls["expected"]["dynamodb_rru"] == pytest.approx(table.proxy.reads, rel=0.3)

    def test_a_recalculation_within_it(self, table: Table) -> None:
        assert table.backfill("--run-id", "minutes", "--granularities", "1m").code == 0
        table.proxy.reads = table.proxy.writes = 0.0
        result = self.transfer(table, "recalculate", "--store", table.store, "--run-id", "again")
        assert result.code == 0, result.err
        calls = result.data["calls"]
        assert (calls["used"]["dynamodb_wru"], calls["used"]["dynamodb_rru"]) == (table.proxy.writes, table.proxy.reads)
        assert table.proxy.writes <= calls["expected"]["dynamodb_wru"] <= 1.5 * table.proxy.writes  # as if others were there to be replaced
        assert table.proxy.reads <= calls["expected"]["dynamodb_rru"] <= 1.5 * table.proxy.reads


class TestInvocations:
    def test_a_plan_of_invocations_is_what_is_invoked_and_a_budget_holds(self, tmp_path: Path, proxy: Proxy) -> None:
        world = World(tmp_path)
        six_hours(world)
        with endpoint(new_place(proxy.url)) as function:
            read = f"dynamodb%3A%2F%2F{function.place.table}%3Fendpoint_url%3D{proxy.url}"
            table = Table(world, proxy, f"lambda://writer?endpoint_url={function.url}&region=us-east-1&read={read}")
            refused = table.backfill("--run-id", "few", "--max-invocations", "2")
            assert refused.code == 5
            assert "the plan takes 3 Lambda invocations, more than --max-invocations 2 allows" in refused.err
            result = table.backfill("--run-id", "run", "--max-invocations", "3")
            assert result.code == 0, result.err
            calls = result.data["calls"]
            assert calls["expected"]["lambda_invoke"] == calls["used"]["lambda_invoke"] == len(function.batches) == 3
            assert 0 < calls["used"]["lambda_gb_s"] < 3 * 60


def test_a_local_run_says_nothing_of_calls(tmp_path: Path) -> None:
    world = World(tmp_path)
    six_hours(world)
    result = world.backfill("--run-id", "run", period=PERIOD)
    assert set(result.data["calls"]["used"].values()) == {0}
    told = call(["backfill", "--plan", "run", "--work-dir", str(world.work)])
    assert "calls  " not in told.out
    assert "cost  " not in told.out
