"""Work on several elements at once inside one `process` call."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yields `work(item)` in the order of the items, with up to `threads` of them being worked on at a time.

    At most twice as many items as threads are taken in and their results not yet taken out, so that no thread waits for the item whose turn it is. The heavy
    steps (inflate, JSON, sort, Parquet) leave the interpreter lock, so threads of one process use the cores. An error of one item is raised in its turn, after
    those that are being worked on by then have ended; no others begin then.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(source, 2 * threads))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(source, 1))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
