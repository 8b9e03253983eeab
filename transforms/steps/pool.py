"""Work on several elements at once inside one `process` call: by threads of this process, or by worker processes of its own.

The heavy steps (inflate, JSON, sort, Parquet) leave the interpreter lock, but what lies between them holds it, so that threads wait for each other. Worker
processes do not, but take time to start and the memory of an interpreter each: long runs use them and short ones do not. They end with the process that
started them, however that ends.
"""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from transforms.core.unneeded import do_without_unneeded

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
    """The worker processes of this process, by how many there are, and what they were given before it was asked for."""

    pools: dict[int, ProcessPoolExecutor] = field(default_factory=dict)
    begun: dict[Any, Future[Any]] = field(default_factory=dict)

    def get(self, number: int) -> ProcessPoolExecutor:
        if number not in self.pools:
            self.pools[number] = pool = ProcessPoolExecutor(number, multiprocessing.get_context(_start_method()), initializer=_begin)
            for _ in range(number):
                pool.submit(os.getpid)  # a process is started for each task that finds none idle
        return self.pools[number]

    def begin(self, number: int, work: Callable[..., Any], items: Iterable[tuple[Any, ...]]) -> None:
        pool = self.get(number)
        self.begun |= {_key(work, item): pool.submit(work, *item) for item in items}

    def submit(self, number: int, work: Callable[..., R], item: tuple[Any, ...]) -> Future[R]:
        """What was begun of it; if nothing was, it is begun now."""
        begun = self.begun.pop(_key(work, item), None) if self.begun else None
        return self.get(number).submit(work, *item) if begun is None else begun

    def end(self) -> None:
        self.begun.clear()
        while self.pools:
            self.pools.popitem()[1].shutdown(cancel_futures=True)


_PROCESSES: Final = _Processes()


def _key(work: Callable[..., Any], item: tuple[Any, ...]) -> Any:  # noqa: ANN401 - to compare with others
    """Equal for methods of equal objects with equal arguments."""
    return work.__name__, getattr(work, "__self__", None), item


class _Shared(Executor):
    """The worker processes, which outlive this."""

    def __init__(self, number: int) -> None:
        self._number = number

    def submit(self, work: Callable[..., R], /, *item: Any, **_: Any) -> Future[R]:  # noqa: ANN401 - as its class has it
        return _PROCESSES.submit(self._number, work, item)


def start_processes(number: int) -> None:
    """Lets so many worker processes, if any, start beside what this one does until they are asked for."""
    if number:
        _PROCESSES.get(number)


def begin(crew: Crew, work: Callable[..., Any], items: Iterable[tuple[Any, ...]]) -> None:
    """Gives the crew's processes, if it has any, work that they will be asked for later: whoever then submits the same takes over what was begun."""
    if crew.processes:
        _PROCESSES.begin(crew.processes, work, items)


def end_processes() -> None:
    """Ends all worker processes after what each is working on."""
    _PROCESSES.end()


@contextmanager
def at_work(crew: Crew) -> Iterator[Executor]:
    """The crew as an executor: threads for the time of this context, processes until `end_processes`."""
    if crew.processes:
        yield _Shared(crew.processes)
    else:
        with ThreadPoolExecutor(crew.threads) as pool:
            yield pool


def _start_method() -> str:
    """A fork has at once what this process took half a second to import; it is safe while no other thread, of Python or of gRPC, may hold a lock."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 and "grpc" not in sys.modules else "spawn"


def _begin() -> None:
    """In a worker process: the one that started it hears of interrupts, and takes this one along if it ends in any way."""
    do_without_unneeded()
    import_module("transforms.steps.worker")  # before there is work
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        signal.raise_signal(signal.SIGKILL)
