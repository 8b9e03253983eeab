"""Pacing on a clock that only moves when somebody waits."""

import heapq
import math
import threading
from collections.abc import Callable, Sequence
from itertools import count

import pytest
from hypothesis import given, settings, strategies as st

from transforms.core.throttle import (
    CAP,
    CATCH_UP_S,
    IDLE_S,
    LEAST_S,
    LEAST_SHARE,
    LIMIT,
    LOOK_S,
    PACED_SHARE,
    PAUSED,
    RAMP,
    REFUSED,
    STALE_S,
    Allowance,
    MemoryCell,
    Pacer,
    Ramp,
    alone,
)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Prompt(Pacer):
    """Every call is answered at once."""

    def take(self, units: float = 1.0) -> float:
        taken_s = super().take(units)
        self.answered(units, taken_s)
        return taken_s


def prompt(limit: float, clock: Callable[[], float], wait: Callable[[float], None], ramp: Ramp | None = None) -> Pacer:
    return Prompt([Allowance(limit, ramp=ramp or Ramp())], clock, wait)


def pacer(limit: float, ramp: Ramp | None = None) -> tuple[Pacer, Time]:
    time = Time()
    return prompt(limit, time.clock, time.wait, ramp), time


def moments(paced: Pacer, time: Time, number: int) -> list[float]:
    taken = []
    for _ in range(number):
        paced.take()
        taken.append(time.now - 1000)
    return taken


def pace(paced: Pacer, time: Time) -> float:
    """Seconds between two calls, after nothing is left to be caught up with."""
    for _ in range(6):
        paced.take()
    begin = time.now
    paced.take()
    return time.now - begin


def test_calls_are_spread_evenly_from_the_first_on() -> None:
    paced, time = pacer(10)
    assert moments(paced, time, 20) == pytest.approx([place / (10 * PACED_SHARE) for place in range(20)])
    assert paced.waits() == pytest.approx({LIMIT: 19 / (10 * PACED_SHARE)})
    assert paced.waits() == {}


def test_of_a_pause_no_more_is_saved_up_than_waking_late_takes() -> None:
    paced, time = pacer(10)
    paced.take()
    time.now += 60
    begin = time.now
    paced.take()
    paced.take()
    assert time.now - begin == pytest.approx(1 / (10 * PACED_SHARE) - CATCH_UP_S)


def test_who_wakes_late_does_not_make_the_rate_smaller() -> None:
    time = Time()
    paced = prompt(100, time.clock, lambda seconds: time.wait(seconds + 0.004))
    taken = moments(paced, time, 96)
    assert taken[-1] == pytest.approx(1.0, abs=0.01)


def test_what_a_call_took_more_or_less_than_was_thought_is_settled() -> None:
    paced, time = pacer(100)
    paced.take(2)
    paced.settle(-1)
    paced.take(2)
    assert time.now == pytest.approx(1000 + 1 / 95)
    paced.settle(94)
    paced.take(2)
    assert time.now == pytest.approx(1000 + (1 + 2 + 94) / 95)


def test_a_large_call_has_the_time_before_and_after_it_for_itself() -> None:
    paced, time = pacer(100)
    for _ in range(20):
        paced.take()
    assert time.now - 1000 == pytest.approx(19 / 95)
    paced.take(95)
    assert 1001 <= time.now <= 1001.3
    begin = time.now
    paced.take()
    assert 1 - CATCH_UP_S <= time.now - begin <= 1.1
    paced.take(400)
    begin = time.now
    paced.take()
    assert time.now - begin >= 4


def most_in_a_second(used: Sequence[tuple[float, float]]) -> float:
    """Units in any second that holds its beginning and not its end."""
    return max(sum(units for moment, units in used[place:] if moment < begin + 1) for place, (begin, _) in enumerate(used))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 2)), min_size=1, max_size=60), st.integers(1, 500))
def test_no_second_gets_more_than_the_limit(calls: list[tuple[int, float]], limit: int) -> None:
    paced, time = pacer(limit)
    used = []
    for units, pause in calls:
        paced.take(min(units, limit))
        used.append((time.now, min(units, limit)))
        time.now += pause
    assert most_in_a_second(used) <= limit * (1 + 1e-9)


class Machine:
    """Workers that each make one call after the other, on one clock and one cell; some die, none wakes in time, and calls are late on their way."""

    def __init__(self, limit: int, workers: int, late_s: Callable[[], float], ends: Sequence[float]) -> None:
        cell, order = MemoryCell(), count()
        self.now = 5_000.0
        self.used: list[tuple[float, float]] = []
        self.calls = [0] * workers
        waiting = [(self.now + number * 1e-3, next(order), number) for number in range(workers)]
        pacers = [Pacer([Allowance(limit, cell, Ramp(first=1.0))], lambda: self.now, self.stop) for _ in range(workers)]
        answered: dict[int, tuple[Pacer, float]] = {}
        while waiting:
            self.now, _, number = heapq.heappop(waiting)
            if self.now - 5_000 > ends[number]:
                continue
            if number in answered:
                pacer, taken_s = answered.pop(number)
                pacer.answered(1.0, taken_s)
            try:
                pacers[number].take()
            except Stopped as stopped:
                heapq.heappush(waiting, (self.now + stopped.seconds + late_s(), next(order), number))
            else:
                arrives_s = self.now + 10 * late_s()
                self.used.append((arrives_s, 1.0))
                self.calls[number] += 1
                answered[number] = pacers[number], self.now
                heapq.heappush(waiting, (arrives_s + late_s(), next(order), number))

    def stop(self, seconds: float) -> None:
        raise Stopped(seconds)


class Stopped(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 6), st.randoms(use_true_random=False), st.data())
def test_workers_that_share_a_limit_keep_it_whoever_dies_and_nobody_starves(limit: int, workers: int, random: object, data: st.DataObject) -> None:
    ends = [data.draw(st.sampled_from([0.4, 1.7, 6.0])) for _ in range(workers)]
    machine = Machine(limit, workers, lambda: random.random() * 0.02, ends)  # type: ignore[attr-defined]
    assert most_in_a_second(sorted(machine.used)) <= limit
    assert all(calls for calls, end in zip(machine.calls, ends, strict=True) if end * limit > 4 * workers * workers)
    assert len(machine.used) >= 5 * min(0.6 * limit, 2.5 * ends.count(6.0)) - 1, "a worker makes five calls a second at best"


def test_calls_of_several_units_use_what_is_left_of_each_second() -> None:
    paced, time = pacer(10)
    used = []
    for _ in range(60):
        paced.take(3)
        used.append((time.now, 3.0))
    assert most_in_a_second(used) == 9
    assert 60 * 3 / (time.now - 1000) >= 8


def test_a_call_that_is_held_up_waits_for_room_when_it_goes_out() -> None:
    time = Time()
    paced = alone(10, time.clock, time.wait)
    used: list[tuple[float, float]] = []
    first = paced.take()
    time.now += 1.2
    for _ in range(9):
        paced.answered(1.0, paced.sent(1.0, paced.take()))
        used.append((time.now, 1.0))
    late = [paced.take() for _ in range(2)]
    time.now += 0.5
    for taken_s in (first, *late):
        paced.sent(1.0, taken_s)
        used.append((time.now, 1.0))
    assert most_in_a_second(used) <= 10
    assert paced.sent(1.0, time.now) == time.now


def test_the_ramp_doubles_until_the_limit() -> None:
    paced, time = pacer(100, Ramp(first=0.25, double_s=60))
    for passed, share in ((0, 0.25), (60, 0.5), (120, 1.0), (240, 1.0)):
        time.now = 1000.0 + passed
        assert pace(paced, time) == pytest.approx(1 / (100 * PACED_SHARE * share), rel=0.01)
    assert paced.waits().keys() == {RAMP, LIMIT}


def test_after_a_rest_the_ramp_begins_again() -> None:
    paced, time = pacer(100, Ramp(first=0.25, double_s=60))
    for passed, share in ((0, 0.25), (120, 1.0), (120 + IDLE_S - 1, 1.0), (120 + 2 * IDLE_S + 5, 0.25)):
        time.now = 1000.0 + passed
        assert pace(paced, time) == pytest.approx(1 / (100 * PACED_SHARE * share), rel=0.01)


def test_a_clock_that_begins_anew_begins_the_ramp_anew() -> None:
    paced, time = pacer(100, Ramp(first=0.25, double_s=60))
    paced.pause(1e6)
    with paced.allowances[0].cell.held() as state:
        state.cap_per_s, state.cap_at_s = 1.0, 1000.0
    time.now = 2_000_000.0
    pace(paced, time)
    time.now = 3.0
    assert pace(paced, time) == pytest.approx(1 / (100 * PACED_SHARE * 0.25), rel=0.01)


def test_a_refusal_halves_the_rate_once_a_while_and_it_recovers_slowly() -> None:
    paced, time = pacer(100, Ramp(settle_s=1, recover_per_s=0.01))
    for _ in range(5):
        paced.refused()
    assert paced.refusals == 5
    assert pace(paced, time) == pytest.approx(1 / (100 * PACED_SHARE * 0.5), rel=0.01)
    assert REFUSED in paced.waits()
    time.now = 1010.0
    assert pace(paced, time) == pytest.approx(1 / (100 * PACED_SHARE * 0.6), rel=0.01)
    for _ in range(40):
        time.now += 1
        paced.refused()
    paced.take()
    assert pace(paced, time) < 1 / (100 * PACED_SHARE * 0.02)


def test_after_a_pause_calls_go_on_at_their_rate() -> None:
    paced, time = pacer(10)
    paced.take()
    paced.pause(30.0)
    assert moments(paced, time, 3) == pytest.approx([30.0, 30.0 + 1 / 9.5 - CATCH_UP_S, 30.0 + 2 / 9.5 - CATCH_UP_S])
    assert paced.waits()[PAUSED] == pytest.approx(30.0)


def test_a_cap_holds_at_once_and_falls_while_nobody_confirms_it() -> None:
    paced, time = pacer(100)
    with paced.allowances[0].cell.held() as state:
        state.cap_per_s, state.cap_at_s = 40.0, time.now
    assert pace(paced, time) == pytest.approx(1 / (40 * PACED_SHARE), rel=0.01)
    assert paced.waits().keys() == {CAP}
    for halvings, rate in ((1, 20.0), (2, 10.0)):
        time.now = 1000.0 + halvings * STALE_S + 10
        assert pace(paced, time) == pytest.approx(1 / (rate * PACED_SHARE), rel=0.01)
    while time.now < 1000.0 + 9 * STALE_S:
        time.now += 100
        paced.take()
    assert 1 / (100 * LEAST_SHARE) < pace(paced, time) < 1.1


def test_a_cap_of_a_guard_that_was_killed_ends_when_nobody_has_used_the_limit_for_long() -> None:
    paced, time = pacer(100)
    with paced.allowances[0].cell.held() as state:
        state.cap_per_s, state.cap_at_s = 40.0, time.now
    pace(paced, time)
    time.now += IDLE_S + 1
    assert pace(paced, time) == pytest.approx(1 / (100 * PACED_SHARE), rel=0.01)


def test_a_cap_that_is_confirmed_outlives_a_pause() -> None:
    paced, time = pacer(100)
    pace(paced, time)
    time.now += IDLE_S + 1
    with paced.allowances[0].cell.held() as state:
        state.cap_per_s, state.cap_at_s = 40.0, time.now - 60
    assert pace(paced, time) == pytest.approx(1 / (40 * PACED_SHARE), rel=0.01)


def test_nothing_passes_a_cap_of_nothing_until_it_is_lifted() -> None:
    time = Time()

    def wait(seconds: float) -> None:
        time.now += seconds
        if time.now > 1060:
            with cell.held() as state:
                state.cap_per_s = math.inf

    cell = MemoryCell()
    paced = Prompt([Allowance(100, cell)], time.clock, wait)
    with cell.held() as state:
        state.cap_per_s, state.cap_at_s = 0.0, time.now
    paced.take()
    assert 1060 <= time.now <= 1060 + LOOK_S


def test_who_is_paused_looks_again_soon() -> None:
    time, paused = Time(), [True]

    def wait(seconds: float) -> None:
        time.now += seconds
        paused[0] = time.now < 1007

    paced = Prompt([Allowance(100)], time.clock, wait, lambda: paused[0])
    paced.take()
    assert 1007 <= time.now <= 1007 + LOOK_S
    assert paced.waits() == {PAUSED: pytest.approx(7, abs=LOOK_S)}


def test_the_smallest_of_the_limits_in_use_holds_for_all() -> None:
    time, cell = Time(), MemoryCell()
    large, small = (Prompt([Allowance(limit, cell)], time.clock, time.wait) for limit in (100, 10))
    small.take()
    large.take()
    assert time.now - 1000 == pytest.approx(1 / (10 * PACED_SHARE))
    time.now += LEAST_S + 1
    assert pace(large, time) == pytest.approx(1 / (100 * PACED_SHARE), rel=0.01)


def test_a_call_keeps_all_its_limits_and_takes_none_of_one_while_it_waits_for_another() -> None:
    time, shared = Time(), MemoryCell()
    narrow = Prompt([Allowance(10), Allowance(100, shared)], time.clock, time.wait)
    other = Prompt([Allowance(100, shared)], time.clock, time.wait)
    assert moments(narrow, time, 3) == pytest.approx([0, 1 / 9.5, 2 / 9.5])
    narrow.refused()
    assert pace(narrow, time) == pytest.approx(2 / 9.5, rel=0.02)
    begin = time.now
    for _ in range(95):
        other.take()
    assert time.now - begin == pytest.approx(1.0, abs=0.03)


def test_threads_share_one_rate() -> None:
    lock, time = threading.Lock(), Time()

    def wait(seconds: float) -> None:
        with lock:
            time.now += seconds

    paced = prompt(10, time.clock, wait)
    threads = [threading.Thread(target=lambda: [paced.take() for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.now - 1000 == pytest.approx(99 / (10 * PACED_SHARE))
