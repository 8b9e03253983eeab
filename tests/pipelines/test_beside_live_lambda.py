"""Beside a live workload in an account whose concurrency is limited for real: a backfill through a function keeps its part of it. By the server's record.

The account has so many executions for all functions together; whoever comes beyond that is answered 429. The live workload keeps 60 % of them busy.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from scripts.local_servers import ministack
from scripts.s3_gateway import KEY, SECRET
from tests.archive.s3_servers import aws_environment
from tests.builders import NOON_S
from tests.pipelines.test_dynamodb_runs import FAST
from tests.pipelines.test_lambda_runs import Remote
from tests.pipelines.worlds import World, bits, call, gauge, key
from tests.stores.dynamodb_servers import new_place
from tests.stores.lambda_endpoint import Endpoint, Reply, endpoint, too_many
from transforms.stores import lambda_delivery
from transforms.stores.lambda_calls import ACCOUNT

ACCOUNT_LIMIT = 10
LIVE = ACCOUNT_LIMIT * 6 // 10
OURS = ACCOUNT_LIMIT - LIVE - 1
SERIES = 120
WORK_S = 0.15
LIVE_PAYLOAD = b'{"items": [], "live": true}'


@dataclass
class Account:
    """A Lambda endpoint that has ACCOUNT_LIMIT executions, and remembers who was in flight when: (at, live, others) at each change, and whom it refused."""

    function: Endpoint
    lock: threading.Lock = field(default_factory=threading.Lock)
    flights: dict[str, int] = field(default_factory=lambda: {"live": 0, "other": 0})
    changes: list[tuple[float, int, int]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=lambda: {"live": 0, "other": 0})
    worked: threading.Event = field(default_factory=threading.Event)

    def enter(self, batch: dict[str, Any]) -> Reply | None:
        """The function works for a while unless the account is full."""
        who = "live" if "live" in batch else "other"
        with self.lock:
            if sum(self.flights.values()) >= ACCOUNT_LIMIT:
                self.refused[who] += 1
                return too_many(ACCOUNT)
            self._change(who, 1)
        try:
            self.worked.wait(WORK_S)
            return Reply(200, {}) if who == "live" else self.work(batch)
        finally:
            with self.lock:
                self._change(who, -1)

    def work(self, batch: dict[str, Any]) -> Reply | None:
        """What the writer answers; the naive client's payload has nothing to be written."""
        return Endpoint(self.function.place).reply(batch) if batch["items"] else Reply(200, {})

    def _change(self, who: str, more: int) -> None:
        self.flights[who] += more
        self.changes.append((time.monotonic(), self.flights["live"], self.flights["other"]))

    def used(self) -> tuple[int, float]:
        """The most of others in flight, and their mean while there were some, without the first and last fifth."""
        busy = [at for at, _, others in self.changes if others]
        low, high = busy[len(busy) // 5], busy[-len(busy) // 5]
        stretches = zip(self.changes, self.changes[1:], strict=False)
        held = sum(others * max(0.0, min(until, high) - max(at, low)) for (at, _, others), (until, *_) in stretches)
        return max(others for *_, others in self.changes), held / (high - low)


def client_of(function: Endpoint, **config: Any) -> Any:
    session = boto3.session.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
    return session.client("lambda", endpoint_url=function.url, config=Config(max_pool_connections=64, **config))


@contextmanager
def live(account: Account) -> Iterator[None]:
    """Keeps its 60 % busy, one invocation after the other in each thread."""
    client, ended = client_of(account.function, retries={"total_max_attempts": 1}), threading.Event()

    def invoke() -> None:
        while not ended.is_set():
            try:
                client.invoke(FunctionName="live", Payload=LIVE_PAYLOAD)
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429  # noqa: PT017 - the account counts them

    with ThreadPoolExecutor(LIVE) as pool:
        callers = [pool.submit(invoke) for _ in range(LIVE)]
        try:
            yield
        finally:
            ended.set()
    for one in callers:
        one.result()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(lambda_delivery, "BATCH_ITEMS", 3)
    with aws_environment(), ministack() as url, endpoint(new_place(url)) as function:
        made = Account(function)
        function.instead = made.enter
        yield made


@pytest.mark.slow
class TestBesideLive:
    def test_a_naive_client_hurts_the_live_workload(self, account: Account) -> None:
        """Without this the others would show nothing."""
        client = client_of(account.function)

        def invoke(_: int) -> None:
            with suppress(ClientError):  # it gives up after some attempts
                client.invoke(FunctionName="writer", Payload=b'{"items": []}')

        with live(account), ThreadPoolExecutor(32) as pool:
            list(pool.map(invoke, range(200)))
        assert account.refused["live"] > 0

    @pytest.mark.parametrize("workers", [1, 2, 4])
    def test_a_backfill_keeps_its_part_uses_it_and_hurts_nobody(self, tmp_path: Path, account: Account, workers: int) -> None:
        world = World(tmp_path, types="host")
        minutes = [float(number) for number in range(30)]
        world.put(key(NOON_S), *(gauge("cpu", minutes, host=f"h{number:03d}", at=1900) for number in range(SERIES)))
        remote = Remote(world, account.function.place, "writer", account.function.url)
        how = ("--lambda-concurrency", str(OURS), "--workers", str(workers), "--unguarded")
        with live(account):
            result = call(["backfill", *[word for word in remote.asked if word not in FAST], *FAST, *how, "--run-id", "r"])
        assert result.code == 0, result.err
        most, mean = account.used()
        assert account.refused == {"live": 0, "other": 0}
        assert most <= OURS
        assert mean >= 0.85 * OURS
        assert max(lives for _, lives, _ in account.changes) == LIVE
        assert world.backfill("--run-id", "files", period="2025-11-01T11:00Z/2025-11-01T14:00Z").code == 0
        assert bits(remote.rows()) == bits(world.all_rows())
