"""Working ahead: in order, a bounded number at a time, errors in their turn. Threads meet at barriers, nobody sleeps."""

import threading
from collections.abc import Iterator

import pytest

from transforms.steps.pool import map_ahead

WAIT_S = 10.0
"""A barrier that is not met by then has failed the test."""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(map_ahead(lambda item: item * item, range(20), threads)) == [item * item for item in range(20)]
    assert list(map_ahead(str, [], threads)) == []


def test_a_slow_first_item_does_not_let_a_later_one_go_first() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(WAIT_S)
        else:
            second_done.set()
        return item

    assert list(map_ahead(work, [0, 1], 2)) == [0, 1]


def test_as_many_are_worked_on_at_once_as_there_are_threads() -> None:
    meeting = threading.Barrier(3)
    assert [number >= 0 for number in map_ahead(lambda _item: meeting.wait(WAIT_S), range(6), 3)] == [True] * 6


def test_one_thread_works_on_one_at_a_time() -> None:
    running = 0
    most = 0

    def work(_item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        running -= 1

    list(map_ahead(work, range(50), 1))
    assert most == 1


def test_no_more_items_are_taken_than_may_be_under_way() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = map_ahead(lambda item: item, source(), 3)
    assert taken == [], "nothing before it is asked for"
    assert next(results) == 0
    assert len(taken) <= 7
    assert next(results) == 1
    assert len(taken) <= 8
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 8


def test_an_error_is_raised_in_its_turn_and_ends_the_rest() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 2:
            msg = "two"
            raise ValueError(msg)
        done.append(item)
        return item

    seen: list[int] = []
    with pytest.raises(ValueError, match="two"):
        seen.extend(item for item in map_ahead(work, range(100), 2))
    assert done[:2] == [0, 1]
    assert len(done) <= 5, "those under way end, no others begin"


def test_results_before_an_error_are_handed_out() -> None:
    results = map_ahead(lambda item: 1 // (2 - item), range(5), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
