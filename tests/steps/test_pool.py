"""Working ahead: in order, a bounded number at a time, errors in their turn; by threads that meet at barriers (nobody sleeps), and by processes."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import pytest

from transforms.core.errors import IncompleteError
from transforms.steps.pool import _PROCESSES, Crew, at_work, begin, end_processes, map_ahead
from transforms.steps.worker import Worker

R = TypeVar("R")

ROOT = Path(__file__).parents[2]

WAIT_S = 10.0
"""A barrier that is not met by then has failed the test."""


def by_threads(work: Callable[[int], R], items: Iterable[int], threads: int) -> Iterator[R]:
    crew = Crew(threads)
    with at_work(crew) as executor:
        yield from map_ahead(executor, work, ((item,) for item in items), crew.ahead)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(by_threads(lambda item: item * item, range(20), threads)) == [item * item for item in range(20)]
    assert list(by_threads(str, [], threads)) == []


def test_a_slow_first_item_does_not_let_a_later_one_go_first() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(WAIT_S)
        else:
            second_done.set()
        return item

    assert list(by_threads(work, [0, 1], 2)) == [0, 1]


def test_as_many_are_worked_on_at_once_as_there_are_threads() -> None:
    meeting = threading.Barrier(3)
    assert [number >= 0 for number in by_threads(lambda _item: meeting.wait(WAIT_S), range(6), 3)] == [True] * 6


def test_one_thread_works_on_one_at_a_time() -> None:
    running = 0
    most = 0

    def work(_item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        running -= 1

    list(by_threads(work, range(50), 1))
    assert most == 1


def test_no_more_items_are_taken_than_may_be_under_way() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = by_threads(lambda item: item, source(), 3)
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
        seen.extend(item for item in by_threads(work, range(100), 2))
    assert done[:2] == [0, 1]
    assert len(done) <= 5, "those that were taken in, at most"


def test_results_before_an_error_are_handed_out() -> None:
    results = by_threads(lambda item: 1 // (2 - item), range(5), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


# --- worker processes -------------------------------------------------------------------------------------------------

TWO = Crew(threads=2, processes=2)


@pytest.fixture
def processes() -> Iterator[Any]:
    """Two worker processes, ended with the test."""
    try:
        with at_work(TWO) as executor:
            yield executor
    finally:
        end_processes()


def test_processes_answer_in_order_and_live_on(processes: Any) -> None:
    assert list(map_ahead(processes, divmod, [(7, 2), (9, 4)], TWO.ahead)) == [(3, 1), (2, 1)]
    first = set(map_ahead(processes, os.getpid, [()] * 20, TWO.ahead))
    with at_work(TWO) as again:
        assert set(map_ahead(again, os.getpid, [()] * 20, TWO.ahead)) | first <= set(_PROCESSES.pools[2]._processes)
    assert os.getpid() not in first
    assert len(_PROCESSES.pools[2]._processes) == 2


def test_an_error_keeps_its_class_and_message_on_the_way(processes: Any, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="there is no run") as raised:
        list(map_ahead(processes, Worker(str(tmp_path)).stage, [(0,)], TWO.ahead))
    assert type(raised.value).__module__ == IncompleteError.__module__


def test_a_killed_process_is_an_error_and_not_a_wait(processes: Any) -> None:
    with pytest.raises(BrokenProcessPool):
        list(map_ahead(processes, signal.raise_signal, [(signal.SIGKILL,)], TWO.ahead))
    end_processes()
    with at_work(TWO) as others:
        assert list(map_ahead(others, abs, [(-1,)], TWO.ahead)) == [1]


def test_what_was_begun_is_taken_over_once(processes: Any, tmp_path: Path) -> None:
    """Each time that it is really done, the file has one letter more."""
    log = tmp_path / "log"
    shell = f"printf x >>'{log}'"
    begin(TWO, os.system, [(shell,), ("exit 3",)])
    assert processes.submit(os.system, shell).result() == 0
    assert log.read_text() == "x"
    assert processes.submit(os.system, shell).result() == 0
    assert log.read_text() == "xx", "asked for twice, begun once"
    end_processes()
    assert not _PROCESSES.begun, "forgotten, although nobody asked for it"


def test_only_the_same_work_on_the_same_object_is_taken_over(processes: Any, tmp_path: Path) -> None:
    one, other = Path(tmp_path / "one"), Path(tmp_path / "other")
    begin(TWO, one.touch, [(0o600, False)])
    processes.submit(other.touch, 0o600, False).result()
    processes.submit(Path(str(one)).touch, 0o600, False).result()
    with pytest.raises(FileExistsError):
        processes.submit(one.touch, 0o600, False).result()
    assert other.exists()


def test_threads_have_nothing_begun_for_them(tmp_path: Path) -> None:
    begin(Crew(threads=2), (tmp_path / "file").touch, [()])
    assert (_PROCESSES.begun, _PROCESSES.pools) == ({}, {})


def test_workers_of_one_run_are_equal(tmp_path: Path) -> None:
    one = Worker(str(tmp_path / "r1"))
    assert one == Worker(str(tmp_path / "r1"))
    assert hash(one) == hash(Worker(str(tmp_path / "r1")))
    assert one != Worker(str(tmp_path / "r2"))


START_METHODS = """
import sys, threading
from transforms.steps import pool
print(pool._start_method())
held = threading.Event()
other = threading.Thread(target=held.wait)
other.start()
print(pool._start_method())
held.set()
other.join()
print(pool._start_method())
sys.modules["grpc"] = threading
print(pool._start_method())
"""


def test_processes_are_forked_only_from_a_process_of_one_thread() -> None:
    told = subprocess.run([sys.executable, "-c", START_METHODS], capture_output=True, text=True, check=True, cwd=ROOT)
    fork = "fork" if sys.platform == "linux" else "spawn"
    assert told.stdout.split() == [fork, "spawn", fork, "spawn"]


PARENT = """
import sys
from transforms.steps.pool import Crew, at_work, map_ahead
import os
if __name__ == "__main__":
    crew = Crew(2, 2)
    with at_work(crew) as executor:
        print(*set(map_ahead(executor, os.getpid, [()] * 20, crew.ahead)), flush=True)
        sys.stdin.read()
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        watched = [os.pidfd_open(pid) for pid in children]
        parent.kill()
    ends = [select.select([one], [], [], WAIT_S)[0] for one in watched]
    for one in watched:
        os.close(one)
    assert all(ends)
    assert children
