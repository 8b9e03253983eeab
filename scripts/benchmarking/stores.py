"""Rollups a second that each kind of store takes on its real server, beside a loop of unconditional puts into the same server: what safety costs.

Units of one day are shared out to processes that begin together; a pass takes until the last has ended. Limits are lifted: work is measured, not pacing.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any, Final, cast

import botocore.httpsession
import valkey.connection

from scripts.benchmarking.store_loads import DAY, FROM_S, PASSES, load, load_rows
from scripts.benchmarking.store_places import KINDS, place
from scripts.benchmarking.unsafe_stores import open_unsafe
from scripts.s3_gateway import client_environment
from transforms.calls.control import FixedControl, Wishes
from transforms.calls.limits import Limits
from transforms.core.limits import Rates, changed
from transforms.core.units import Unit
from transforms.core.versions import Verdict
from transforms.stores import open_store

UNITS: Final = 4
LIFTED: Final = changed(Rates(), {one.name: 1_000_000_000 for one in fields(Rates) if one.type is int})
VERDICTS: Final = {"fresh": Verdict.ADDED, "again": Verdict.EQUAL, "newer run": Verdict.EQUAL, "other values": Verdict.CHANGED}
"""What becomes of every rollup in a pass."""

HEAD: Final = ("store", "processes", "pass", "rollups", "rollups/s", "unsafe loop's", "times its time", "CPU s per M", "calls per 1,000", "unsafe loop's")


class WrongStore(Exception):
    """A store did not do what a pass asks of it, or a process ended with an error."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What all processes of a pass took; `cpu_s` is theirs, not the server's. `calls` are HTTP requests or commands, repeated ones too."""

    rollups: int
    wall_s: float
    cpu_s: float
    calls: int

    @property
    def rollups_per_s(self) -> float:
        """Of wall time."""
        return self.rollups / self.wall_s

    @property
    def calls_per_thousand(self) -> str:
        """Of rollups; empty for what is no service."""
        return f"{self.calls / self.rollups * 1000:.2f}" if self.calls else ""


@dataclass(frozen=True, kw_only=True)
class StoreSpeed:
    """One pass into one kind of store."""

    store: str
    processes: int
    case: str
    ours: Taken
    unsafe: Taken

    @property
    def times_unsafe(self) -> float:
        """Our wall time for a rollup over that of the loop."""
        return self.unsafe.rollups_per_s / self.ours.rollups_per_s

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        ours, unsafe = self.ours, self.unsafe
        speeds = f"{ours.rollups_per_s:,.0f}", f"{unsafe.rollups_per_s:,.0f}", f"{self.times_unsafe:.2f}", f"{ours.cpu_s / ours.rollups * 1e6:.2f}"
        return self.store, f"{self.processes}", self.case, f"{ours.rollups:,}", *speeds, ours.calls_per_thousand, unsafe.calls_per_thousand

    def data(self) -> dict[str, object]:
        """For JSON."""
        return vars(self) | {"ours": vars(self.ours), "unsafe": vars(self.unsafe), "times_unsafe": self.times_unsafe}


def measure_stores(names: Iterable[str], series: int, work: Path) -> Iterator[StoreSpeed]:
    """Every pass of each kind with each number of processes; `series` is how many a unit has in the fastest stores. Raises WrongStore."""
    for name in names:
        kind = KINDS[name]
        for processes in kind.processes:
            ours = _measured(name, _Asked(max(1, round(series * kind.share)), kind.granularities, processes), work, is_safe=True)
            unsafe = _measured(name, _Asked(max(1, round(series * kind.unsafe_share)), kind.granularities, processes), work, is_safe=False)
            for pass_name in PASSES:
                yield StoreSpeed(store=name, processes=processes, case=pass_name, ours=ours[pass_name], unsafe=unsafe[pass_name])


@dataclass(frozen=True)
class _Asked:
    """What is to be written: UNITS units with so many series. Each process has one more to begin with: connections are there then, functions have started."""

    series: int
    granularities: Sequence[str]
    processes: int

    @property
    def rollups(self) -> int:
        return UNITS * load_rows(self.series, self.granularities)

    def shards(self, process: int) -> range:
        return range(process, UNITS, self.processes)


def _measured(name: str, asked: _Asked, work: Path, *, is_safe: bool) -> dict[str, Taken]:
    with place(name, work) as url, _processes(url, asked, is_safe=is_safe) as (barrier, told):
        return {pass_name: _passed(barrier, told, asked) for pass_name in PASSES}


def _passed(barrier: Barrier, told: "Queue[tuple[float, int]]", asked: _Asked) -> Taken:
    barrier.wait()
    began = time.perf_counter()
    barrier.wait()
    wall_s = time.perf_counter() - began
    found = [told.get() for _ in range(asked.processes)]
    return Taken(rollups=asked.rollups, wall_s=wall_s, cpu_s=sum(cpu_s for cpu_s, _ in found), calls=sum(calls for _, calls in found))


@contextmanager
def _processes(url: str, asked: _Asked, *, is_safe: bool) -> Iterator[tuple[Barrier, "Queue[tuple[float, int]]"]]:
    """Processes that do pass after pass, each between two meetings at the barrier, and tell CPU seconds and calls."""
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(asked.processes + 1), context.Queue()
    children = [context.Process(target=_work, args=(url, asked, number, is_safe, barrier, told)) for number in range(asked.processes)]
    with ExitStack() as ends:
        for child in children:
            child.start()
            ends.callback(_end, child)
        try:
            yield barrier, told
        except BrokenBarrierError as error:
            for child in children:
                child.join(10)  # it says why
            raise WrongStore(f"{url.partition('?')[0]}: a process ended before its time; its error stands above") from error
        for child in children:
            child.join(60)
            if child.exitcode:
                raise WrongStore(f"{url.partition('?')[0]}: a process ended with {child.exitcode}; its error stands above")


def _end(child: BaseProcess) -> None:
    if child.is_alive():
        child.terminate()
    child.join()


def _work(url: str, asked: _Asked, number: int, is_safe: bool, barrier: Barrier, told: "Queue[tuple[float, int]]") -> None:  # noqa: FBT001 - all by place
    """One process."""
    os.environ.update(client_environment())
    calls = counted_calls()
    try:
        put = _safe(url, asked) if is_safe else _unsafe(url)
        put(UNITS + number, load(UNITS + number, 1, PASSES["fresh"], asked.granularities), "fresh")
        for name, one in PASSES.items():
            _pass(put, name, {shard: load(shard, asked.series, one, asked.granularities) for shard in asked.shards(number)}, barrier, told, calls)
    except BaseException:
        barrier.abort()
        raise


_Put = Callable[[int, Mapping[str, Any], str], None]


def _pass(put: _Put, name: str, loads: Mapping[int, Mapping[str, Any]], barrier: Barrier, told: "Queue[tuple[float, int]]", calls: Callable[[], int]) -> None:
    barrier.wait()
    before = time.process_time(), calls()
    for shard, rollups in loads.items():
        put(shard, rollups, name)
    after = time.process_time(), calls()
    barrier.wait()
    told.put((after[0] - before[0], after[1] - before[1]))


def _safe(url: str, asked: _Asked) -> _Put:
    store = open_store(url, limits=Limits(control=FixedControl(Wishes(rates=LIFTED))))
    (window,) = store.traits.windows.touched_by([(FROM_S, FROM_S + 1)])
    store.open_partition("host", window, UNITS + asked.processes)

    def put(shard: int, rollups: Mapping[str, Any], name: str) -> None:
        merged = store.upsert(Unit("host", window, shard), rollups, run_id=f"run{PASSES[name].generation}", allow_fewer=False)
        for granularity, one in merged.items():
            if wrong := int((one.verdicts != VERDICTS[name]).sum()):
                raise WrongStore(f"{url.partition('?')[0]}: {wrong} of {len(one.verdicts)} {granularity} rollups were not {VERDICTS[name].name} ({name})")

    return put


def _unsafe(url: str) -> _Put:
    into = open_unsafe(url)
    return lambda shard, rollups, _: into(Unit("host", DAY, shard), rollups)


def counted_calls() -> Callable[[], int]:
    """Tells how many HTTP requests of botocore and commands of Valkey's client this process has sent since."""
    lock, sent = threading.Lock(), [0]

    def count(number: int) -> None:
        with lock:
            sent[0] += number

    send, pack = botocore.httpsession.URLLib3Session.send, cast(Any, valkey.connection.AbstractConnection).pack_commands

    def counted_send(*args: Any) -> Any:  # noqa: ANN401 - whatever the client says
        count(1)
        return send(*args)

    def counted_pack(self: Any, commands: Any) -> Any:  # noqa: ANN401 - whatever the client says
        commands = list(commands)
        count(len(commands))
        return pack(self, commands)

    botocore.httpsession.URLLib3Session.send = counted_send
    valkey.connection.AbstractConnection.pack_commands = counted_pack  # type: ignore[method-assign]
    return lambda: sent[0]
