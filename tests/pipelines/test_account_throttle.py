"""A whole account at its limit while a run works: what the service then sees of it, what the run says, and how it goes on. Through a writer function."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.alarms import AlarmWatch, alarms
from pipelines.runtime import Runtime
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.builders import NOON_S
from tests.pipelines.test_dynamodb_runs import FAST, PERIOD
from tests.pipelines.test_lambda_runs import Remote
from tests.pipelines.worlds import World, bits, call, gauge, key
from tests.stores.dynamodb_proxy import WRITES, proxied, throttled
from tests.stores.dynamodb_servers import new_place
from tests.stores.lambda_endpoint import Endpoint, Reply, endpoint, too_many
from transforms.calls.control import ACCOUNT, Wishes
from transforms.steps.ledger import Ledger
from transforms.stores import lambda_calls
from transforms.stores.lambda_calls import ACCOUNT as FULL

TOLD = "Lambda says that the whole account is at its limit of concurrent executions (ConcurrentInvocationLimitExceeded): others are hurt. "


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@pytest.fixture
def function(server: str) -> Iterator[Endpoint]:
    """Says once, to the second batch, that the account is full."""
    with endpoint(new_place(server)) as made:

        def full_once(_: dict[str, Any]) -> Reply | None:
            with made.lock:
                return too_many(FULL) if len(made.batches) == 2 else None

        made.instead = full_once
        yield made


@pytest.fixture
def remote(tmp_path: Path, function: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setattr(lambda_calls, "ACCOUNT_PAUSE_S", 0.2)
    world = World(tmp_path, types="service,host")
    world.put(key(NOON_S), *(gauge("cpu", [1.0, 2.0, 3.0], host=f"h{number}") for number in range(3)))
    return Remote(world, function.place, "writer", function.url)


def restored(remote: Remote) -> bool:
    """Whether the function's table holds what a run into files stores."""
    assert remote.world.backfill("--run-id", "files", period="2025-11-01T11:00Z/2025-11-01T14:00Z").code == 0
    return bits(remote.rows()) == bits(remote.world.all_rows())


def test_it_pauses_says_so_and_goes_on_by_itself(remote: Remote, function: Endpoint) -> None:
    result = call(["backfill", *remote.asked, "--run-id", "r", "--account-hold-s", "1"])
    assert result.code == 0, result.err
    assert f"ALARM  {TOLD}The run pauses for 1 s, or until `rollups resume`" in result.err
    assert "going on slowly, 1 s after the account was at its limit" in result.err
    (alarm,) = result.data["alarms"]
    assert alarm.endswith(f"{TOLD}The run pauses for 1 s, or until `rollups resume`")
    assert result.data["throttled_s"]["lambda"]["paused"] > 0
    assert len(function.batches) > 2
    assert restored(remote)


def test_it_stops_in_good_order_and_is_taken_up_again(remote: Remote) -> None:
    result = call(["backfill", *remote.asked, "--run-id", "r", "--on-account-throttle", "stop"])
    assert result.code == 3, result.err
    assert "the run 'r' was asked to end (Lambda says that the whole account is at its limit" in result.err
    assert f"{TOLD}The run ends what was begun" in result.err
    resumed = call(["backfill", *remote.asked, "--run-id", "r"])
    assert resumed.code == 0, resumed.err
    assert len(resumed.data["alarms"]) == 1
    assert restored(remote)


def test_it_slows_down_only(remote: Remote) -> None:
    result = call(["backfill", *remote.asked, "--run-id", "r", "--on-account-throttle", "slow"])
    assert result.code == 0, result.err
    assert f"{TOLD}The run goes on with the least that there is" in result.err
    assert "going on slowly" not in result.err
    assert restored(remote)


def test_a_table_s_account_is_an_account_too(remote: Remote, server: str) -> None:
    with proxied(server) as proxy:
        place, world = new_place(proxy.url), remote.world
        full = iter([None] * 4 + [throttled("TableWriteAccountLimitExceeded")])  # the first writes are those of planning
        proxy.instead = lambda operation, _: next(full, None) if operation in WRITES else None
        store = f"dynamodb://{place.table}?endpoint_url={proxy.url}&region=us-east-1"
        places = ("--archive", f"file://{world.archive}", "--store", store, *remote.work, "--period", PERIOD, "--metric-types", "host")
        result = call(["backfill", "--yes", *places, "--json", *FAST, "--run-id", "r", "--on-account-throttle", "slow"])
    assert result.code == 0, result.err
    (alarm,) = result.data["alarms"]
    assert "DynamoDB says that the whole account is at its limit (ProvisionedThroughputExceededException): others are hurt" in alarm


def test_what_is_not_such_a_thing_is_wrong_usage(remote: Remote) -> None:
    result = call(["backfill", *remote.asked, "--on-account-throttle", "wait"])
    assert (result.code, "'wait' is no thing to do: choose pause, slow, stop" in result.err) == (2, True), result.err


# --- the driver's part, step by step -------------------------------------------------------------------------------------


def test_a_pause_ends_when_its_time_is_over_and_only_this_one(tmp_path: Path) -> None:
    ledger, said, now_s = Ledger(str(tmp_path / "work" / "runs" / "r")), list[str](), [1000.0]
    ledger.path.mkdir(parents=True)
    never: Any = None
    runtime = Runtime(clock=lambda: now_s[0], wait=never, say=said.append, show=never, ask=never, out=never, terminal=False, environ={})
    watch = AlarmWatch(ledger, runtime)
    ledger.wish(lambda _: Wishes(pauses={"user": "lunch"}, hold_s=60).on_account_full("full", 990.0))
    for at_s in (1000.0, 1049.0, 1050.0, 1051.0):
        now_s[0] = at_s
        watch.look(ledger.wishes())
    assert ledger.wishes().pauses == {"user": "lunch"}
    assert said == [
        "ALARM  full: others are hurt. The run pauses for 1 min, or until `rollups resume`",
        "going on slowly, 1 min after the account was at its limit",
    ]
    assert alarms(ledger) == ["1970-01-01T00:16:40Z full: others are hurt. The run pauses for 1 min, or until `rollups resume`"]
    AlarmWatch(ledger, runtime).look(ledger.wishes())
    assert len(said) == 2
    assert ACCOUNT not in ledger.wishes().pauses
