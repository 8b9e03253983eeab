"""The shared limiter on a real server: never above the limit, nobody starves, leases end with their holders, and without it the work dir's limits hold."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from scripts.local_servers import valkey
from tests.limits import limits
from transforms.calls.limiter import AGAIN_S, LEASE, LEASE_S, TURN, SharedLimiter, limiter_server
from transforms.calls.valkey import Server
from transforms.calls.waiting import Waiting
from transforms.core.errors import UsageError
from transforms.core.throttle import CATCH_UP_S, PACED_SHARE

TOLD = """local told = redis.call('TIME')
local now = told[1] * 1000000 + told[2]
"""
SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Any]:
    with server.client() as made:
        yield made


@pytest.fixture
def url(server: Any) -> str:
    return f"valkey://127.0.0.1:{server.port}/0"


def timed(script: str) -> str:
    """A script whose time is its last argument."""
    assert TOLD in script
    return script.replace(TOLD, "local now = tonumber(ARGV[#ARGV])\n")


# --- rates, by the scripts themselves with a clock of ours ------------------------------------------------------------------


def most_in_a_second(moments: list[tuple[float, int]]) -> int:
    return max(sum(units for at, units in moments if begin <= at < begin + SECOND_US) for begin, _ in moments)


@settings(max_examples=60)
@given(
    limit=st.integers(40, 400),
    asks=st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 3), st.integers(0, 3)), min_size=50, max_size=300),
    steps=st.dictionaries(st.integers(0, 299), st.integers(-3 * SECOND_US, 3 * SECOND_US), max_size=3),
)
def test_no_second_has_more_than_the_limit_whoever_asks_when(client: Any, limit: int, asks: list[tuple[int, int, int]], steps: dict[int, int]) -> None:
    """Askers with limits of their own that come as they like, some give up, and the server's clock is set: of any true second no more is let pass."""
    client.flushdb()
    now_us, offset_us, passed = 10 * SECOND_US, 0, list[tuple[float, int]]()
    for place, (pause_us, units, more) in enumerate(asks):
        now_us += pause_us
        offset_us += steps.get(place, 0)
        if client.eval(timed(TURN), 1, "rate", float(limit + more * 100), float(units), now_us + offset_us) == b"0":
            passed.append((now_us, units))
    asked_for = min([limit + more * 100 for _, _, more in asks])
    bound = max(asked_for, limit + max(more for *_, more in asks) * 100)  # the smallest holds for two seconds after who has it asked
    forward = sum(step > 0 for step in steps.values())  # each may give time away that was not there: what may be caught up with
    if passed:
        assert most_in_a_second(passed) <= bound + forward * (bound * CATCH_UP_S + 3)


@settings(max_examples=40)
@given(limit=st.integers(20, 300), askers=st.integers(1, 5), units=st.integers(1, 2), seed=st.integers(0, 1000))
def test_who_asks_again_as_told_gets_its_turn_and_the_limit_is_used(client: Any, limit: int, askers: int, units: int, seed: int) -> None:
    client.flushdb()
    chance = random.Random(seed)
    due = {asker: 20.0 * SECOND_US + asker for asker in range(askers)}
    turns, end_us = dict.fromkeys(due, 0), 23.0 * SECOND_US
    while (asker := min(due, key=lambda one: due[one])) is not None and due[asker] < end_us:
        wait_us = int(client.eval(timed(TURN), 1, "rate", float(limit), float(units), due[asker]))
        turns[asker] += not wait_us
        due[asker] += wait_us + chance.random() * CATCH_UP_S * SECOND_US if wait_us else 1
    used = sum(turns.values()) * units
    assert 0.85 * 3 * limit - 2 * units <= used <= 3 * limit * PACED_SHARE + limit * CATCH_UP_S + 2 * units
    assert min(turns.values()) > 0


def test_the_smallest_limit_of_those_who_ask_holds(client: Any) -> None:
    client.flushdb()
    ask = timed(TURN)
    assert client.eval(ask, 1, "rate", 10.0, 1.0, 10 * SECOND_US) == b"0"
    assert int(client.eval(ask, 1, "rate", 1000.0, 1.0, 10 * SECOND_US + 1)) == pytest.approx(SECOND_US / 9.5 - CATCH_UP_S * SECOND_US, rel=0.01)
    assert client.eval(ask, 1, "rate", 1000.0, 1.0, 13 * SECOND_US) == b"0"
    assert int(client.eval(ask, 1, "rate", 1000.0, 1.0, 13 * SECOND_US)) < SECOND_US / 900


# --- leases ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    limit=st.integers(1, 4), moves=st.lists(st.tuples(st.sampled_from(["take", "renew", "give", "die"]), st.integers(0, 7), st.integers(0, 40)), max_size=80)
)
def test_no_more_leases_are_held_than_there_are_and_those_of_the_dead_end(client: Any, limit: int, moves: list[tuple[str, int, int]]) -> None:
    client.flushdb()
    held: dict[str, float] = {}
    now_s = 100.0
    for move, who, pause_s in moves:
        now_s += pause_s
        held = {one: end_s for one, end_s in held.items() if end_s >= now_s}
        lease = f"lease-{who}"
        if move == "give":
            client.zrem("leases", lease)
            held.pop(lease, None)
        elif move != "die":
            expected = lease in held or len(held) < limit
            answer = client.eval(timed(LEASE), 2, "leases", "state", limit, lease, round(LEASE_S * SECOND_US), round(now_s * SECOND_US))
            assert bool(answer) == expected
            if expected:
                held[lease] = now_s + LEASE_S
        assert len(held) <= limit


# --- as threads use it ------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_s, self.said = 1000.0, list[str]()

    def waiting(self) -> Waiting:
        return Waiting(clock=lambda: self.now_s, sleep=lambda _: None, say=self.said.append)


def test_two_work_dirs_share_a_rate(url: str, client: Any, tmp_path: Path) -> None:
    client.flushdb()
    both = [limits(None, tmp_path / name, s3_get_per_s=50, limiter=url) for name in ("one", "other")]
    taken: list[float] = []

    def take(one: Any) -> None:
        pacer = one.pacer("s3-get-per-s", "aws")
        for _ in range(40):
            pacer.take()
            taken.append(time.monotonic() * SECOND_US)

    threads = [threading.Thread(target=take, args=(one,)) for one in both]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(taken) == 80
    assert most_in_a_second([(at, 1) for at in taken]) <= 50
    assert sum(seconds for one in both for (_, cause), seconds in one.waits().items() if cause == "limiter") > 0


def test_two_work_dirs_share_what_may_be_in_flight(url: str, client: Any, tmp_path: Path) -> None:
    client.flushdb()
    both = [limits(None, tmp_path / name, lambda_concurrency=2, limiter=url) for name in ("one", "other")]
    lock, in_flight, most = threading.Lock(), [0], [0]

    def work(one: Any) -> None:
        for _ in range(10):
            with one.slots("lambda-concurrency", "lambda://writer").one():
                with lock:
                    in_flight[0] += 1
                    most[0] = max(most[0], in_flight[0])
                client.ping()
                with lock:
                    in_flight[0] -= 1

    threads = [threading.Thread(target=work, args=(one,)) for one in both for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2
    assert client.keys("rollups-limit:*leases") == []


def test_gone_it_lets_pass_says_so_once_and_is_asked_again(tmp_path: Path) -> None:
    clock = Clock()
    with valkey(tmp_path / "valkey") as running:
        limiter = SharedLimiter(f"valkey://127.0.0.1:{running.port}/0", clock.waiting())
        assert limiter.wait_s("a", 1.0, 1.0) == 0.0
        assert limiter.wait_s("a", 1.0, 1.0) > 0.5
        running.stop()
    assert [limiter.wait_s("a", 1.0, 1.0) for _ in range(3)] == [0.0] * 3
    with limiter.lease("b", 1) as one, limiter.lease("b", 1) as other:
        assert one
        assert other
    with valkey(tmp_path / "again") as running:
        assert len(clock.said) == 1
        assert "the limiter is gone, the limits of the work dir hold alone; it is asked again every 5 s: asking the limiter for a turn" in clock.said[0]
        clock.now_s += AGAIN_S
        limiter._calls.server = Server("127.0.0.1", running.port)
        limiter._calls._clients = None
        assert limiter.wait_s("a", 1.0, 1.0) == 0.0
        assert limiter.wait_s("a", 1.0, 1.0) > 0.5
    assert clock.said[1:] == ["the limiter is there again"]


WRONG = {
    "scheme": ("http://host/0", "'http://host/0' is no limiter: write valkey://HOST:PORT/DB"),
    "password": ("valkey://me:secret@host/0", "the limiter at host/0 is given with a user name or password"),
    "port": ("valkey://host:99999/0", "is no limiter"),
    "db": ("valkey://host/zero", "is no limiter"),
    "none": ("valkey://", "is no limiter"),
}


@pytest.mark.parametrize(("given_url", "told"), WRONG.values(), ids=WRONG)
def test_what_is_no_limiter_is_said(given_url: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        limiter_server(given_url)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_servers_that_urls_name() -> None:
    assert limiter_server("valkey://limits.internal") == Server("limits.internal", 6379)
    assert limiter_server("rediss://limits.internal:7000/3") == Server("limits.internal", 7000, 3, tls=True)
