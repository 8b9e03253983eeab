"""The only place that opens clients, stores and clocks from a job."""

import os
import secrets
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from configs.budget_options import new_budget
from transforms.archive import Archive, open_archive
from transforms.calls.limits import Limits
from transforms.calls.meter import Meter
from transforms.core.errors import UsageError
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.limits import changed
from transforms.core.store_settings import StoreSettings
from transforms.core.usage import NOTHING, Usage, changed_budget
from transforms.steps.ledger import Ledger
from transforms.stores import open_store
from transforms.stores.protocol import RollupStore


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The world outside: time, terminal, environment. `say` writes a line to standard error, `show` a progress line that the next one replaces.

    `cpu_clock` tells the CPU seconds of the calling thread. `limits` are those that calls of this process keep.
    """

    clock: Callable[[], float]
    wait: Callable[[float], None]
    say: Callable[[str], None]
    show: Callable[[str], None]
    ask: Callable[[str], bool]
    out: BinaryIO
    terminal: bool
    environ: Mapping[str, str]
    cpu_clock: Callable[[], float] = time.thread_time
    limits: Limits = field(default_factory=Limits)

    def now_s(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock())

    def tell(self, ledger: Ledger, line: str) -> None:
        """A line to standard error and to the run's log."""
        self.say(line)
        ledger.log(self.now_s(), line)

    def workers(self, asked: int) -> int:
        """The number asked for, or the processors this process may use."""
        return asked or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else asked or os.cpu_count() or 1

    def runs_dir(self, work_dir: str) -> Path:
        """Where runs are kept."""
        return runs_dir(work_dir, self.environ)

    def resume_command(self, work_dir: str, run_id: str, command: str = "backfill") -> str:
        """What to type to execute a planned run, or to go on with it."""
        return self.command(f"{command} --plan", run_id, work_dir)

    def command(self, words: str, run_id: str, work_dir: str) -> str:
        """What to type to do something to a run."""
        return f"rollups {words} {run_id}" + (f" --work-dir {shlex.quote(work_dir)}" if work_dir else "")

    def ledger(self, work_dir: str, run_id: str) -> Ledger:
        """The run directory of an id."""
        return Ledger(str(self.runs_dir(work_dir) / run_id))

    def metered(self, budget: Mapping[str, Any]) -> "Runtime":
        """For a run that is being planned: its calls are counted, in a budget if one is asked for."""
        return replace(self, limits=self.limits.metered(Meter(budget=new_budget(budget))))

    def used(self) -> Usage:
        """What was used, by the run or while it is planned."""
        return self.limits.meter.tally.used() if self.limits.meter else NOTHING

    def begun(self, ledger: Ledger, rates: Mapping[str, Any], budget: Mapping[str, Any]) -> "Runtime":
        """For who works on a run from now on: its limits and its budget, changed as is asked; calls are counted, also those of planning it.

        Written before the plan is: a run that is resumed keeps what it was planned with.
        """
        ledger.allow(changed_budget(ledger.budget(new_budget({})), budget))
        ledger.tally.add(self.used())
        ledger.wish(lambda wishes: replace(wishes, rates=changed(wishes.rates, rates), stop=False, why=""))
        return replace(self, limits=ledger.limits())

    def beside(self, ledger: Ledger) -> "Runtime":
        """For who looks at a run or takes it back: its limits hold, its budget is not touched, and nothing of what is wanted of it is changed."""
        return replace(self, limits=ledger.limits(metered=False))

    def new_run_id(self) -> str:
        """`20251109T124300-3f9a`: the time in UTC and something to tell runs of one second apart."""
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y%m%dT%H%M%S-") + secrets.token_hex(2)

    def archive(self, url: str, layout: KeyLayout = FIREHOSE) -> Archive:
        """The archive of a URL, its folders named as `layout` says."""
        return open_archive(url, layout, self.limits)

    def store(self, url: str, settings: StoreSettings, *, writable: bool = True) -> RollupStore:
        """The store of a URL; one that is only read must be there."""
        return open_store(url, writable=writable, settings=settings, limits=self.limits)

    def read_file(self, path: str, what: str) -> bytes:
        """A file that the user names. Raises UsageError if it can't be read."""
        try:
            return Path(path).read_bytes()
        except OSError as error:
            msg = f"reading the {what} {path!r}: {error.strerror}"
            raise UsageError(msg) from None


def runs_dir(work_dir: str, environ: Mapping[str, str]) -> Path:
    """Where runs are kept: `WORK_DIR/runs`."""
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(work_dir or Path(state) / "metric-rollups").absolute() / "runs"


@contextmanager
def asked_to_end(first: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Whether somebody asked the process to end (SIGINT, SIGTERM) since: the body ends what it does in order. Asked again it is interrupted as usual.

    `first` is called when it is asked first, in a thread of its own.
    """
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        threading.Thread(target=first).start()

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def check_granularities(asked: Sequence[str], store: RollupStore, url: str) -> None:
    """Raises UsageError if the store can't hold one of the granularities asked for."""
    held = store.traits.granularities
    if cannot := [one for one in asked if one not in held]:
        msg = f"the store {url} holds {', '.join(held)} rollups only, not {', '.join(cannot)}: ask for --granularities {','.join(held)}"
        raise UsageError(msg)
