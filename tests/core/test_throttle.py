"""Pacing on a clock that only moves when somebody waits."""

import threading

import pytest
from hypothesis import given, strategies as st

from transforms.core.throttle import LEAST_SHARE, PACED_SHARE, Pacer, Ramp


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def pacer(limit: float, ramp: Ramp | None = None) -> tuple[Pacer, Time]:
    time = Time()
    return Pacer(limit, time.clock, time.wait, ramp), time


def test_calls_are_spread_evenly_from_the_first_on() -> None:
    paced, time = pacer(10)
    moments = []
    for _ in range(20):
        paced.take()
        moments.append(time.now - 1000)
    assert moments == pytest.approx([place / (10 * PACED_SHARE) for place in range(20)])
    assert paced.waited_s == pytest.approx(19 / (10 * PACED_SHARE))


def test_a_pause_is_not_saved_up() -> None:
    paced, time = pacer(10)
    paced.take()
    time.now += 60
    begin = time.now
    paced.take()
    paced.take()
    assert time.now - begin == pytest.approx(1 / (10 * PACED_SHARE))


def test_what_a_call_took_more_or_less_than_was_thought_is_settled() -> None:
    paced, time = pacer(100)
    paced.take(95)
    paced.settle(-47.5)
    paced.take()
    assert time.now == pytest.approx(1000.5)
    paced.settle(94)
    paced.take()
    assert time.now == pytest.approx(1000.5 + 1.0)


def test_a_large_call_makes_the_next_one_wait() -> None:
    paced, time = pacer(100)
    paced.take(95)
    assert time.now == 1000
    paced.take()
    assert time.now == pytest.approx(1001)


@given(st.lists(st.tuples(st.floats(0.5, 40), st.floats(0, 2)), min_size=1, max_size=60), st.floats(1, 500))
def test_no_second_gets_more_than_the_limit_and_one_call(calls: list[tuple[float, float]], limit: float) -> None:
    paced, time = pacer(limit)
    used = []
    for units, pause in calls:
        paced.take(units)
        used.append((time.now, units))
        time.now += pause
    for place, (begin, _) in enumerate(used):
        window = [units for moment, units in used[place:] if moment < begin + 1]
        assert sum(window) - window[-1] <= limit * (1 + 1e-9)


def test_the_ramp_doubles_until_the_limit() -> None:
    paced, time = pacer(100, Ramp(first=0.25, double_s=60))
    for passed, share in ((0, 0.25), (60, 0.5), (120, 1.0), (1000, 1.0)):
        time.now = 1000.0 + passed
        paced.take(0)
        begin = time.now
        paced.take()
        paced.take()
        assert time.now - begin == pytest.approx(1 / (100 * PACED_SHARE * share), rel=0.01)


def test_a_refusal_halves_the_rate_once_a_while_and_it_recovers_slowly() -> None:
    paced, time = pacer(100, Ramp(settle_s=1, recover_per_s=0.01))
    for _ in range(5):
        paced.refused()
    assert paced.refusals == 5

    def pause() -> float:
        paced.take(0)
        begin = time.now
        paced.take()
        paced.take()
        return time.now - begin

    assert pause() == pytest.approx(1 / (100 * PACED_SHARE * 0.5), rel=0.01)
    time.now = 1010.0
    assert pause() == pytest.approx(1 / (100 * PACED_SHARE * 0.6), rel=0.01)
    for _ in range(40):
        time.now += 1
        paced.refused()
    assert pause() == pytest.approx(1 / (100 * PACED_SHARE * LEAST_SHARE), rel=0.05)


def test_after_a_pause_calls_go_on_at_their_rate() -> None:
    paced, time = pacer(10)
    paced.take()
    paced.pause(30.0)
    moments = []
    for _ in range(3):
        paced.take()
        moments.append(time.now - 1000.0)
    assert moments == pytest.approx([30.0, 30.0 + 1 / 9.5, 30.0 + 2 / 9.5])


def test_threads_share_one_rate() -> None:
    lock, time = threading.Lock(), Time()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        with lock:
            waits.append(seconds)

    paced = Pacer(10, time.clock, wait)
    threads = [threading.Thread(target=lambda: [paced.take() for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([place / (10 * PACED_SHARE) for place in range(1, 100)])
