"""Work on several elements at once inside one `process` call: by threads of this process, or by worker processes of its own.

The heavy steps (inflate, JSON, sort, Parquet) leave the interpreter lock, but what lies between them holds it, so that threads wait for each other. Worker
processes do not, but take time to start and the memory of an interpreter each: long runs use them and short ones do not. They end with the process that
started them, however that ends.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

R = TypeVar("R")


class Crew(NamedTuple):
    """Who works inside one `process` call: so many threads of this process or, if there are `processes`, these."""

    threads: int
    processes: int = 0

    @property
    def ahead(self) -> int:
        """How many elements to take in."""
        return 2 * (self.processes or self.threads)


def map_ahead(executor: Executor, work: Callable[..., R], items: Iterable[tuple[Any, ...]], ahead: int) -> Iterator[R]:
    """Yields `work(*item)` in the order of the items.

    At most `ahead` items are taken in and their results not yet taken out: with more of them than workers no worker waits for the item whose turn it is. An
    error of one item is raised in its turn, after those that are being worked on by then have ended; no others begin then.
    """
    source = iter(items)
    waiting: deque[Future[R]] = deque(executor.submit(work, *item) for item in islice(source, ahead))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(executor.submit(work, *item) for item in islice(source, 1))
            yield result
    finally:
        wait([one for one in waiting if not one.cancel()])


@dataclass
class _Processes:
    """The worker processes of this process, by how many there are."""

    pools: dict[int, ProcessPoolExecutor] = field(default_factory=dict)

    def get(self, number: int) -> ProcessPoolExecutor:
        if number not in self.pools:
            self.pools[number] = pool = ProcessPoolExecutor(number, multiprocessing.get_context("spawn"), initializer=_begin)
            for _ in range(number):
                pool.submit(os.getpid)  # a process is started for each task that finds none idle
        return self.pools[number]

    def end(self) -> None:
        while self.pools:
            self.pools.popitem()[1].shutdown(cancel_futures=True)


_PROCESSES: Final = _Processes()


def start_processes(number: int) -> None:
    """Lets so many worker processes start beside what this one does until they are asked for."""
    _PROCESSES.get(number)


def end_processes() -> None:
    """Ends all worker processes after what each is working on."""
    _PROCESSES.end()


@contextmanager
def at_work(crew: Crew) -> Iterator[Executor]:
    """The crew as an executor: threads for the time of this context, processes until `end_processes`."""
    if crew.processes:
        yield _PROCESSES.get(crew.processes)
    else:
        with ThreadPoolExecutor(crew.threads) as pool:
            yield pool


def _begin() -> None:
    """In a worker process: the one that started it hears of interrupts, and takes this one along if it ends in any way."""
    import_module("transforms.steps.worker")  # before there is work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        signal.raise_signal(signal.SIGKILL)
