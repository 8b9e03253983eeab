"""Guards of real runs: caps where all processes of a work dir keep their limits, pauses in a run's control file."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from configs.guarding import Guarded
from pipelines.cli import main
from pipelines.guarding import HeadroomGuard
from pipelines.run_guards import PAUSED_BY, RunCaps, guarded
from pipelines.runtime import Runtime
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.calls.cloudwatch_stand_in import StandIn, cloudwatch
from tests.limits import limits
from tests.stores.dynamodb_proxy import proxied
from tests.stores.lambda_endpoint import Reply, endpoint
from transforms.calls.live_use import LambdaUse
from transforms.calls.waiting import Waiting
from transforms.core.headroom import DEFAULT_RESERVE
from transforms.steps.holding import Holding
from transforms.steps.ledger import Ledger
from transforms.stores.dynamodb_place import Place, place_of
from transforms.stores.dynamodb_table import create_table
from transforms.stores.files import no_failpoint
from transforms.stores.lambda_calls import FunctionCalls
from transforms.stores.lambda_place import Function
from transforms.stores.url import split_url

TABLE = ("dynamodb-wru-per-s", "dynamodb://rollups")
SLOTS = ("lambda-concurrency", "lambda://writer")


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_what_was_used_is_what_all_took_since(tmp_path: Path) -> None:
    times = Time()
    ours = limits(Waiting(clock=times.clock, sleep=times.wait), tmp_path, dynamodb_wru_per_s=1000)
    others = limits(Waiting(clock=times.clock, sleep=times.wait), tmp_path, dynamodb_wru_per_s=1000)
    caps = RunCaps(Ledger(str(tmp_path / "runs" / "r")), ours)
    assert caps.used([TABLE, SLOTS]) == {}
    pacer = others.pacer(*TABLE)
    for _ in range(30):
        pacer.take(10)
    pacer.settle(-60)
    with ours.slots(*SLOTS).one(), others.slots(*SLOTS).one():
        times.wait(15)
    times.now = 1060.0
    assert caps.used([TABLE, SLOTS]) == {TABLE: pytest.approx(240 / 60), SLOTS: pytest.approx(30 / 60)}
    times.now = 1120.0
    assert caps.used([TABLE]) == {TABLE: 0.0}


def test_a_cap_holds_for_all_processes_of_the_work_dir_until_it_is_lifted(tmp_path: Path) -> None:
    times = Time()
    waiting = Waiting(clock=times.clock, sleep=times.wait)
    caps = RunCaps(Ledger(str(tmp_path / "runs" / "r")), limits(waiting, tmp_path, dynamodb_wru_per_s=1000))
    pacer = limits(waiting, tmp_path, dynamodb_wru_per_s=1000, ramp_double_s=1).pacer(*TABLE)
    pacer.take()
    times.wait(60)

    def rate() -> float:
        began = times.now
        for _ in range(100):
            pacer.take()
        return 100 / (times.now - began)

    assert rate() > 850
    caps.set(TABLE, 100, "others")
    assert rate() <= 100
    caps.lift(TABLE)
    assert rate() > 850


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[str]:
    """Also Lambda, with 6 executions at once."""
    with aws_environment(LAMBDA_ACCOUNT_CONCURRENCY="6"), ministack() as url:
        yield url


@pytest.fixture
def stand_in(dynamodb: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with cloudwatch() as found, aws_environment(AWS_ENDPOINT_URL_CLOUDWATCH=found.url, AWS_ENDPOINT_URL_DYNAMODB=dynamodb, AWS_ENDPOINT_URL_LAMBDA=dynamodb):
        yield found


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One posting."""
    folder = tmp_path / "archive" / "2025" / "11" / "01" / "12"
    folder.mkdir(parents=True)
    posting = {"type": "service", "org": "acme", "service": "shop", "receivedAt": 1762000003.5, "metrics": [{"name": "n", "time": 1762000000, "value": 12}]}
    (folder / "metrics-1-2025-11-01-12-26-40-0000").write_text(json.dumps(posting))
    return tmp_path / "archive"


def backfill(archive: Path, tmp_path: Path, store: str, *more: str) -> int:
    what = ("--archive", f"file://{archive}", "--store", store, "--period", "2025-11-01T00:00Z/P1D", "--run-id", "r")
    return main(["backfill", *what, "--work-dir", str(tmp_path / "work"), "--yes", "--max-attempts", "1", *more])


def pauses(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "work" / "runs" / "r" / "control.json").read_text())["pauses"]
    return found


def test_a_run_is_slower_while_others_use_the_table(stand_in: StandIn, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = int(time.time()) // 60 * 60
    stand_in.minutes["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "Sum", "TableName=rollups"] = dict.fromkeys(range(now - 600, now + 600, 60), 3100 * 60)
    stand_in.minutes["AWS/DynamoDB", "ConsumedReadCapacityUnits", "Sum", "TableName=rollups"] = dict.fromkeys(range(now - 600, now + 600, 60), 60)
    assert main(["store", "create", "--store", "dynamodb://rollups"]) == 0
    assert backfill(archive, tmp_path, "dynamodb://rollups", "--reserve", "dynamodb-wru-per-s=300") == 0
    said = capsys.readouterr().err.splitlines()
    told = "of 4,000 (writes of the table rollups) others use 3,100 and 300 are reserved"
    assert f"--dynamodb-wru-per-s is 600 of 1,000 for now: {told}" in said
    assert not any("rru" in line for line in said)


def test_no_more_is_in_flight_than_others_leave_of_the_account(stand_in: StandIn, tmp_path: Path) -> None:
    """From the function's side. The account's limit is ministack's, the use by others is of a script."""
    with endpoint(Place(table="rollups")) as served:
        served.instead = lambda _batch: served.released.wait(0.1) or Reply(200, {})
        ours = limits(work_dir=tmp_path, lambda_concurrency=8)
        function = Function(function="writer", endpoint_url=served.url, region="us-east-1")
        watched = LambdaUse(place=function.limits_place)
        caps = RunCaps(Ledger(str(tmp_path / "runs" / "r")), limits(work_dir=tmp_path))
        guard = HeadroomGuard([watched], lambda: {"lambda-concurrency": 8}, DEFAULT_RESERVE, caps, [].append)

        def most_in_flight(by_others: int) -> int:
            stand_in.minutes["AWS/Lambda", "ClaimedAccountConcurrency", "Maximum"] = {1_762_000_020: by_others}
            guard.step(1_762_000_080.0)
            served.most_in_flight = 0
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: calls.invoke(b"{}"), range(24)))
            return served.most_in_flight

        calls = FunctionCalls(function, ours, no_failpoint)
        seen = [most_in_flight(one) for one in (3, 0)]
    assert seen[0] <= 2 < seen[1] <= 5


def test_a_run_calls_nothing_while_it_is_red_and_goes_on_when_it_is_green(
    dynamodb: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, red = list[int](), list[int]()
    waits, green, hold = Event(), Event(), Holding.hold

    def note(self: Holding) -> object:
        if self.limits.control.wishes().pauses:
            waits.set()
        return hold(self)

    with proxied(dynamodb) as proxy, aws_environment(AWS_ENDPOINT_URL_DYNAMODB=proxy.url):
        create_table(place_of(split_url("dynamodb://paused")), lambda _: None)

        def check() -> str:
            seen.append(len(proxy.requests))
            if waits.is_set() and not green.is_set():
                red.append(len(proxy.requests))
                if len(red) == 5:
                    green.set()
            return "" if green.is_set() else "red"

        monkeypatch.setattr("pipelines.health.checks_of", lambda _url, _command: [check])
        monkeypatch.setattr("pipelines.guarding.HealthGuard.every_s", 0.2)
        monkeypatch.setattr(Holding, "hold", note)
        assert backfill(archive, tmp_path, "dynamodb://paused", "--unguarded", "--guard-command", "check") == 0
        assert red == [seen[0]] * 5
        assert len(proxy.requests) > seen[0]
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith(("paused:", "goes on"))] == [
        "paused: red; goes on when it is green again",
        "goes on: the health check is green again",
    ]
    assert pauses(tmp_path) == {}
    assert [one["told"] for one in Ledger(str(tmp_path / "work" / "runs" / "r")).logged()] == [line for line in said if line.startswith(("paused:", "goes on"))]


def runtime_of(ledger: Ledger, said: list[str]) -> Runtime:
    """As much of a runtime as guards need."""
    never: Any = None
    return Runtime(clock=lambda: 0.0, wait=never, say=said.append, show=never, ask=never, out=never, terminal=False, environ={}, limits=ledger.limits())


def test_a_red_health_check_pauses_the_run_and_not_the_next_one(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "work" / "runs" / "r"))
    ledger.path.mkdir(parents=True)
    said: list[str] = []
    runtime = runtime_of(ledger, said)
    with guarded(Guarded(guard_command="/bin/false"), (), ledger, runtime):
        assert pauses(tmp_path) == {PAUSED_BY: "/bin/false ended with 1"}
    assert pauses(tmp_path) == {}
    RunCaps(ledger, runtime.limits).pause("killed while it was red")
    with guarded(Guarded(), (), ledger, runtime):
        assert pauses(tmp_path) == {}
    assert said == [
        "paused: /bin/false ended with 1; goes on when it is green again",
        "goes on: nobody asks the health check any more",
    ]


def test_somebody_elses_pause_stays(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "work" / "runs" / "r"))
    ledger.path.mkdir(parents=True)
    ledger.wish(lambda wishes: replace(wishes, pauses={"user": "lunch"}))
    caps = RunCaps(ledger, ledger.limits())
    caps.pause("red")
    assert pauses(tmp_path) == {"user": "lunch", PAUSED_BY: "red"}
    caps.resume("green")
    assert pauses(tmp_path) == {"user": "lunch"}
