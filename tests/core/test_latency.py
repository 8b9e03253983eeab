"""Answers that take longer and longer."""

from transforms.core.latency import GROWN, LEAST_ANSWERS, RAISED, Latency


def noted(latency: Latency, seconds: float, number: int) -> list[bool]:
    return [latency.has_grown(seconds) for _ in range(number)]


def test_answers_that_take_as_long_as_ever_are_no_sign() -> None:
    latency = Latency()
    assert not any(noted(latency, 0.1, 1000))
    assert abs(latency.average_s - 0.1) < 1e-9


def test_one_slow_answer_is_no_sign() -> None:
    latency = Latency()
    noted(latency, 0.1, 100)
    assert not latency.has_grown(2.0)
    assert not any(noted(latency, 0.1, 100))


def test_answers_that_take_many_times_as_long_are_one_and_it_begins_anew() -> None:
    latency = Latency()
    noted(latency, 0.02, 100)
    found = noted(latency, 0.5, 40)
    assert found.index(True) < LEAST_ANSWERS
    assert found.count(True) == 2


def test_a_few_answers_are_not_trusted() -> None:
    latency = Latency()
    noted(latency, 0.001, LEAST_ANSWERS // 2)
    assert not any(noted(latency, 5.0, LEAST_ANSWERS // 2 - 1))


def test_who_became_slower_for_good_is_not_held_back_for_ever() -> None:
    latency = Latency()
    noted(latency, 0.02, 100)
    assert 1 <= noted(latency, 0.5, 2000).count(True) <= 4
    assert latency.lowest_s > 0.5 / GROWN / RAISED


def test_milliseconds_more_are_no_sign() -> None:
    latency = Latency()
    noted(latency, 0.001, 100)
    assert not any(noted(latency, 0.03, 200))
