"""What somebody wants of a run while it runs: limits and a pause, in a file of the run directory that every worker looks at."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Final, Protocol

from transforms.core.limits import Rates, rates_from_json

_log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5

PAUSE, SLOW, STOP = ON_FULL = ("pause", "slow", "stop")
"""What a run can do when the whole account is at a limit, beside calling next to nothing."""

ACCOUNT: Final = "account"
"""Under which that pause stands, beside those of users and guards."""

ALARM_EVERY_S: Final = 60.0
"""Of a run that only slows down there is no more than one alarm in so long."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Limits; by whom the run is paused and why (nobody: it goes on); whether it shall end in good order, and why if nobody asked for it.

    `on_full` is what the run does when a service says that the whole account is at its limit: `pause` (for `hold_s`), `slow` or `stop`. `alarm` is what was
    said last, at `alarmed_s` since the epoch.
    """

    rates: Rates = field(default_factory=Rates)
    pauses: Mapping[str, str] = field(default_factory=dict)
    stop: bool = False
    why: str = ""
    on_full: str = PAUSE
    hold_s: int = 300
    alarm: str = ""
    alarmed_s: float = 0.0

    def to_json(self) -> bytes:
        """As it stands in the file."""
        return (json.dumps(asdict(self) | {"pauses": dict(self.pauses)}, indent=1, sort_keys=True) + "\n").encode()

    def on_account_full(self, told: str, now_s: float) -> "Wishes":
        """What is wanted once a service has said that; the same while it is done: paused, stopping, or slow since a minute at most."""
        if {PAUSE: ACCOUNT in self.pauses, SLOW: now_s - self.alarmed_s < ALARM_EVERY_S, STOP: self.stop}[self.on_full]:
            return self
        said = replace(self, alarm=told, alarmed_s=now_s)
        if self.on_full == STOP:
            return replace(said, stop=True, why=told)
        return replace(said, pauses={**self.pauses, ACCOUNT: told}) if self.on_full == PAUSE else said


def wishes_from_json(text: bytes) -> Wishes:
    """Inverse of `to_json`; what is not said is as usual, what is not known is not looked at."""
    data = json.loads(text)
    known = {one.name: data[one.name] for one in fields(Wishes) if one.name in data}
    return Wishes(**known | {"rates": rates_from_json(data["rates"])})


Change = Callable[[Wishes], Wishes]


class Control(Protocol):
    """Who tells the wishes."""

    def wishes(self) -> Wishes:
        """As they are now."""

    def account_full(self, told: str) -> None:
        """A service said that the whole account is at its limit: from now on the wishes are those for that case."""


@dataclass(frozen=True)
class FixedControl:
    """Wishes that do not change, of a command that is no run."""

    said: Wishes = field(default_factory=Wishes)

    def wishes(self) -> Wishes:
        """As the protocol says."""
        return self.said

    def account_full(self, told: str) -> None:
        """Such a command calls next to nothing then, as every other, and says so; there is no run to be paused."""
        _log.warning("%s: others are hurt; going on with the least that there is", told)


class FileControl:
    """A `Control` by a file, looked at twice a second at most. It is replaced whole, never changed; where there is none the usual limits hold."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        change: Callable[[Change], Wishes] | None = None,
        time_s: Callable[[], float] = time.time,
    ) -> None:
        """Reads nothing yet. `change` changes the file, for who may do that; `time_s` tells the time since the epoch."""
        self._path, self._clock, self._change, self._time_s = path, clock, change, time_s
        self._lock = threading.Lock()
        self._wishes, self._seen, self._looked_s = Wishes(), (0, 0), float("-inf")

    def wishes(self) -> Wishes:
        """As the protocol says."""
        with self._lock:
            if (now_s := self._clock()) - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = now_s
                self._look()
            return self._wishes

    def account_full(self, told: str) -> None:
        """As the protocol says; one of many threads and processes that hear of it at once writes it down."""
        now_s, known = self._time_s(), self.wishes()
        if self._change and known.on_account_full(told, now_s) != known:
            self._change(lambda wishes: wishes.on_account_full(told, now_s))

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return
        if self._seen != (seen := (found.st_ino, found.st_mtime_ns)):
            self._wishes, self._seen = wishes_from_json(self._path.read_bytes()), seen
