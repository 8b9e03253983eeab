"""What the behaviour suite needs of a store: empty places to put it, ways to look at all it keeps, ways to hold, count and kill its steps."""

import itertools
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tests.core.rollup_tables import DAY, Row, row, table, versions
from transforms.core.granularity import GRANULARITIES, WIDTH_S
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.units import Unit
from transforms.core.versions import Merged
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.protocol import RollupStore

UNIT = Unit("host", DAY, 0)
SHARDS = 1
"""Of a partition, unless a test opens it with more: rows are put into units without regard to their series' hash."""

PATIENCE_S = 30


class Place(Protocol):
    """Where one store lives; it starts without any store."""

    @property
    def granularities(self) -> tuple[str, ...]:
        """Those that its kind of store can hold; 1m is always one."""

    def open(self, failpoint: Failpoint = no_failpoint) -> RollupStore:
        """The store; `failpoint` is called around each of its steps, as `before STEP` and `after STEP`; `lock`, `….read`, and `….write` mean what they say."""

    def copy(self) -> "Place":
        """Another place with the same content."""

    def stored(self) -> dict[str, bytes]:
        """All rollups, byte by byte, by the place where they are kept."""


NewPlace = Callable[[], Place]


def put(
    store: RollupStore, rows: list[Row], *, run_id: str = "run", unit: Unit = UNIT, granularity: str = "1m", allow_fewer: bool = False, shards: int = SHARDS
) -> Merged:
    """Upsert rows of one granularity, opening the partition if need be."""
    store.open_partition(unit.metric_type, unit.window, shards)
    return store.upsert(unit, {granularity: table(rows)}, run_id=run_id, allow_fewer=allow_fewer)[granularity]


def put_all(store: RollupStore, rollups: Mapping[str, pa.Table], run_id: str) -> None:
    store.open_partition(UNIT.metric_type, UNIT.window, SHARDS)
    store.upsert(UNIT, rollups, run_id=run_id, allow_fewer=False)


def read(store: RollupStore, unit: Unit = UNIT, granularity: str = "1m") -> dict[tuple[str, int], tuple[int, float | None, int | None]]:
    """(minutes, sum, generation) by entity and bucket."""
    return versions(store.read_unit(unit, granularity))


def every_granularity(
    place: Place | tuple[str, ...], generation: int | None, value: float = 1.0, entities: tuple[str, ...] = ("h1", "h2")
) -> dict[str, pa.Table]:
    """Two buckets of each entity in each granularity of the place, or in these."""
    widths = {name: WIDTH_S[name] for name in (place if isinstance(place, tuple) else place.granularities)}
    return {name: table(row(entity, number * width, 1, value, generation) for entity in entities for number in (0, 1)) for name, width in widths.items()}


class Steps:
    """A failpoint that notes the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, name: str) -> None:
        self.calls.append(name)


def calls_of(action: Callable[[Failpoint], object]) -> int:
    """How many failpoints the action passes."""
    steps = Steps()
    action(steps)
    return len(steps.calls)


def killed(action: Callable[[Failpoint], object], at_call: int) -> bool:
    """Do the action in a process of its own that is killed at its n-th failpoint, counted from 0; whether it came so far."""
    calls = itertools.count()

    def failpoint(_name: str) -> None:
        if next(calls) == at_call:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        try:
            action(failpoint)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def in_processes(number: int, action: Callable[[int], object]) -> list[object]:
    """What the action answers in so many processes that start it at the same time."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(number), context.SimpleQueue()

    def work(place: int) -> None:
        barrier.wait(PATIENCE_S)
        answers.put(action(place))

    processes = [context.Process(target=work, args=(place,)) for place in range(number)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def overlapped(place: Place, first: Callable[[RollupStore], object], second: Callable[[RollupStore], object]) -> None:
    """Two writers at once: the first is held between reading and replacing until the second waits for it or, if nothing makes it wait, has read the same.

    In the latter case the second goes on when the first has finished, so that it replaces what it has never seen.
    """
    reached, first_done = threading.Event(), threading.Event()
    unstarted = threading.Lock()

    def second_hook(name: str) -> None:
        if name == "before lock" or _has_read(name):
            blind = not name.endswith("lock") and not reached.is_set()
            reached.set()
            assert not blind or first_done.wait(PATIENCE_S)

    thread = threading.Thread(target=lambda: second(place.open(second_hook)))

    def first_hook(name: str) -> None:
        if _has_read(name) and unstarted.acquire(blocking=False):  # never released: several threads of a store may have read at once
            thread.start()
            assert reached.wait(PATIENCE_S)

    try:
        first(place.open(first_hook))
    finally:
        first_done.set()
        if thread.ident:
            thread.join(PATIENCE_S)
    assert thread.ident
    assert not thread.is_alive()


def _has_read(name: str) -> bool:
    """Whether rows were just read; small texts (`text.read`) tell nothing of them."""
    return name.startswith("after ") and name.endswith(".read") and name != "after text.read"


class FolderPlace:
    """A store in a local folder, made by the class given."""

    granularities = GRANULARITIES

    def __init__(self, make: Callable[..., RollupStore], root: Path) -> None:
        self.make, self.root, self.copies = make, root, 0

    def open(self, failpoint: Failpoint = no_failpoint) -> RollupStore:
        return self.make(self.root, failpoint=failpoint)

    def copy(self) -> "FolderPlace":
        self.copies += 1
        root = self.root.with_name(f"{self.root.name}-{self.copies}")
        shutil.copytree(self.root, root)
        return FolderPlace(self.make, root)

    def stored(self) -> dict[str, bytes]:
        paths = [path for path in self.root.glob("metric_type=*/**/*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}


EMPTY = ROLLUP_SCHEMA.empty_table()
