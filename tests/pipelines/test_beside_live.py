"""Beside a live workload on a server that limits for real: the backfill keeps its part, and the live workload is never refused. By the server's access log."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from scripts.s3_gateway import KEY, SECRET
from tests.archive import s3_servers
from tests.archive.nginx_front import Front, fronted, most_in_a_second
from tests.builders import NOON_S
from tests.pipelines.test_controlling import Run
from tests.pipelines.worlds import World, gauge, key

OBJECTS = 240
SERVER_PER_S = 50
OURS_PER_S, LIVE_PER_S = SERVER_PER_S * 4 // 10, SERVER_PER_S * 6 // 10
LIVE_THREADS = 6
OUTAGE_S = 5.0
LIVE, NAIVE = "live-workload", "naive-client"
THROTTLED = 503


def client_of(front: Front, agent: str, **config: Any) -> Any:
    more = Config(s3={"addressing_style": "path"}, user_agent_extra=agent, max_pool_connections=16, **config)
    session = boto3.session.Session()
    return session.client("s3", endpoint_url=front.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1", config=more)


@contextmanager
def live(front: Front) -> Iterator[None]:
    """Reads its 60 % of what the server takes, evenly, and makes up for nothing that it missed."""
    client, ended, every_s = client_of(front, LIVE, retries={"total_max_attempts": 1}), threading.Event(), LIVE_THREADS / LIVE_PER_S

    def read(number: int) -> None:
        due_s = time.monotonic() + number / LIVE_PER_S
        while not ended.wait(max(0.0, due_s - time.monotonic())):
            try:
                client.get_object(Bucket="archive", Key="live")["Body"].read()
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == THROTTLED  # noqa: PT017 - the access log counts them
            due_s = max(due_s + every_s, time.monotonic())

    with ThreadPoolExecutor(LIVE_THREADS) as pool:
        readers = [pool.submit(read, number) for number in range(LIVE_THREADS)]
        try:
            yield
        finally:
            ended.set()
    for one in readers:
        one.result()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """A server with half a second's worth of patience: an even stream passes, also if this machine is slow; whoever asks for more is refused soon."""
    with s3_servers.aws_environment(), s3_servers.served("versitygw", tmp_path) as url:
        client = s3_servers.client(url)
        client.create_bucket(Bucket="archive")
        client.put_object(Bucket="archive", Key="live", Body=b"x" * 1000)
        world = World(tmp_path / "files", types="host")
        for number in range(OBJECTS):
            at = number * 45
            world.put(key(NOON_S + at, f"{number:04d}"), gauge("cpu", {at - at % 60: float(number)}, at=at + 1))
        for path in sorted(world.archive.rglob("*")):
            if path.is_file():
                client.put_object(Bucket="archive", Key=f"m/{path.relative_to(world.archive)}", Body=path.read_bytes())
        with fronted(url, tmp_path / "front", per_s=SERVER_PER_S, burst=SERVER_PER_S // 2) as front:
            yield front


class Backfill(Run):
    """A backfill by so many workers that may use 40 % of what the server takes."""

    def __init__(self, folder: Path, front: Front, workers: int = 2) -> None:
        self.front = front
        super().__init__(folder, front, "--s3-get-per-s", str(OURS_PER_S), "--workers", str(workers))  # type: ignore[arg-type]

    def got(self) -> list[float]:
        return [one.at_s for one in ours(self.front)]


def ours(front: Front) -> list[Any]:
    return [one for one in front.reads() if LIVE not in one.agent and NAIVE not in one.agent]


def check_harmless(front: Front) -> None:
    """What the server says: the live workload was there and never refused, and no second of ours had more than the limit."""
    served, got = front.reads(LIVE), [one.at_s for one in ours(front)]
    assert [one for one in served if one.status == THROTTLED] == []
    during = [one for one in served if got[0] <= one.at_s <= got[-1]]
    assert len(during) / (got[-1] - got[0]) >= 0.7 * LIVE_PER_S, "the live workload asks for too little to be hurt"
    assert most_in_a_second(got) <= OURS_PER_S


def check_used(moments: list[float]) -> None:
    """After the ramp and before the last few, at least 85 % of the limit."""
    middle = moments[2 * OURS_PER_S : -OURS_PER_S]
    assert len(middle) > 5 * OURS_PER_S
    assert (len(middle) - 1) / (middle[-1] - middle[0]) >= 0.85 * OURS_PER_S


def check_bytes(run: Backfill, folder: Path) -> None:
    """The store has the bytes that a run from files makes."""
    files = World(folder / "files", types="host")
    assert files.backfill("--run-id", "r", period="2025-11-01T12:00Z/PT3H").code == 0
    restored = World(folder, types="host", archive=files.archive)
    assert restored.but_generation("r") == files.but_generation("r") != {}


def child_of(run: Backfill) -> psutil.Process:
    """One of the run's worker processes."""
    return next(one for one in psutil.Process(run.process.pid).children() if "resource_tracker" not in " ".join(one.cmdline()))


@pytest.mark.slow
class TestBesideLiveWorkload:
    def test_a_naive_client_hurts_it(self, tmp_path: Path, front: Front) -> None:
        """So the server limits, and the others of these tests could fail."""
        keys = [f"m/{one.relative_to(tmp_path / 'files' / 'archive')}" for one in (tmp_path / "files" / "archive").rglob("*") if one.is_file()]
        client = client_of(front, NAIVE)

        def read(name: str) -> None:
            try:
                client.get_object(Bucket="archive", Key=name)["Body"].read()
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == THROTTLED  # noqa: PT017 - it gives up after its attempts

        with live(front), ThreadPoolExecutor(16) as pool:
            list(pool.map(read, keys))
        assert any(one.status == THROTTLED for one in front.reads(LIVE))

    @pytest.mark.parametrize("workers", [1, 2, 4])
    def test_a_backfill_does_not_and_uses_what_it_may(self, tmp_path: Path, front: Front, workers: int) -> None:
        with live(front):
            run = Backfill(tmp_path, front, workers)
            code, _, err = run.ended()
        assert code == 0, err
        check_harmless(front)
        check_used(run.got())

    def test_a_killed_worker_process_changes_nothing(self, tmp_path: Path, front: Front) -> None:
        with live(front):
            run = Backfill(tmp_path, front)
            run.until_got(3 * OURS_PER_S)
            os.kill(child_of(run).pid, signal.SIGKILL)
            code, _, err = run.ended()
        assert (code, "attempt 1 of 3 ended early" in err) == (0, True), err
        check_harmless(front)
        check_bytes(run, tmp_path)

    def test_two_runs_at_once_share_the_limit(self, tmp_path: Path, front: Front) -> None:
        with live(front):
            first = Backfill(tmp_path, front)
            first.until_got(5)
            others = [one.replace("/store", "/other") for one in first.options]
            second = first.start(*others, "--run-id", "other", "--s3-get-per-s", str(OURS_PER_S))
            assert first.ended()[0] == 0
            second.communicate(timeout=120)
        assert second.returncode == 0
        assert len(first.got()) >= 2 * OBJECTS
        check_harmless(front)
        check_used(first.got())

    def test_an_outage_of_the_server_loses_nothing(self, tmp_path: Path, front: Front) -> None:
        run = Backfill(tmp_path, front)
        run.until_got(3 * OURS_PER_S)
        front.end()
        during(lambda: run.process.poll() is None, OUTAGE_S)
        front.start()
        code, _, err = run.ended()
        assert code == 0, err
        assert most_in_a_second(run.got()) <= OURS_PER_S
        check_bytes(run, tmp_path)


def during(holds: Callable[[], bool], seconds: float) -> None:
    """Returns after so long, in which that must go on being so."""
    ended_s = time.monotonic() + seconds
    while time.monotonic() < ended_s:
        assert holds()
        time.sleep(0.1)
