"""Sums of what was used, added to by many at the same time, and by processes that are killed."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from transforms.calls.tally import FileTally, MemoryTally, Tally
from transforms.core.errors import BudgetReached
from transforms.core.usage import NOTHING, Budget, Usage

ONE = Usage(s3_get=1)


@pytest.fixture(params=["memory", "file"])
def tally(request: pytest.FixtureRequest, tmp_path: Path) -> Tally:
    return MemoryTally() if request.param == "memory" else FileTally(tmp_path / "used")


def spend(path: Path, budget: int, tries: int) -> None:
    tally = FileTally(path)
    for _ in range(tries):
        try:
            tally.add(ONE, lambda used: Budget(max_gets=budget).check_sent(used, ONE))
        except BudgetReached:
            return


def add_and_die(path: Path) -> None:
    tally = FileTally(path)
    tally.add(ONE)
    tally.add(ONE, lambda _: os.kill(os.getpid(), signal.SIGKILL))  # with the lock in its hands


def test_it_begins_with_nothing_and_adds(tally: Tally) -> None:
    assert tally.used() == NOTHING
    tally.add(Usage(s3_get=2, lambda_gb_s=0.25))
    tally.add(Usage(s3_get=-1))
    assert tally.used() == Usage(s3_get=1, lambda_gb_s=0.25)


def test_what_the_check_refuses_is_not_added(tally: Tally) -> None:
    budget = Budget(max_gets=2)
    for _ in range(2):
        tally.add(ONE, lambda used: budget.check_sent(used, ONE))
    with pytest.raises(BudgetReached):
        tally.add(ONE, lambda used: budget.check_sent(used, ONE))
    assert tally.used() == Usage(s3_get=2)


def test_threads_lose_nothing(tally: Tally) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: tally.add(ONE), range(400)))
    assert tally.used() == Usage(s3_get=400)


def test_processes_share_one_budget_and_use_it_up_exactly(tmp_path: Path) -> None:
    path = tmp_path / "used"
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=spend, args=(path, 500, 300)) for _ in range(3)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(30)
    assert [one.exitcode for one in processes] == [0, 0, 0]
    assert FileTally(path).used() == Usage(s3_get=500)


def test_who_is_killed_holding_the_lock_keeps_nobody_waiting_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "used"
    process = multiprocessing.get_context("forkserver").Process(target=add_and_die, args=(path,))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    FileTally(path).add(ONE)
    assert FileTally(path).used() == Usage(s3_get=2)


def test_a_file_of_something_else_is_not_counted_from_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "used"
    path.write_bytes(b"x" * 88)
    with pytest.raises(ValueError, match="does not hold what the run has used"):
        FileTally(path).used()
    with pytest.raises(ValueError, match="does not hold what the run has used"):
        FileTally(path).add(ONE)
    assert path.read_bytes() == b"x" * 88
