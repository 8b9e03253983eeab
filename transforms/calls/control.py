"""What somebody wants of a run while it runs: limits and a pause, in a file of the run directory that every worker looks at."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Protocol

from transforms.core.limits import Rates, rates_from_json

LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Limits; by whom the run is paused and why (nobody: it goes on); whether it shall end in good order."""

    rates: Rates = field(default_factory=Rates)
    pauses: Mapping[str, str] = field(default_factory=dict)
    stop: bool = False

    def to_json(self) -> bytes:
        """As it stands in the file."""
        return (json.dumps({"rates": asdict(self.rates), "pauses": dict(self.pauses), "stop": self.stop}, indent=1, sort_keys=True) + "\n").encode()


def wishes_from_json(text: bytes) -> Wishes:
    """Inverse of `to_json`."""
    data = json.loads(text)
    return Wishes(rates=rates_from_json(data["rates"]), pauses={str(who): str(why) for who, why in data["pauses"].items()}, stop=data["stop"])


class Control(Protocol):
    """Who tells the wishes."""

    def wishes(self) -> Wishes:
        """As they are now."""


@dataclass(frozen=True)
class FixedControl:
    """Wishes that do not change, of a command that is no run."""

    said: Wishes = field(default_factory=Wishes)

    def wishes(self) -> Wishes:
        """As the protocol says."""
        return self.said


class FileControl:
    """A `Control` by a file, looked at twice a second at most. It is replaced whole, never changed; where there is none the usual limits hold."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads nothing yet."""
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._wishes, self._seen, self._looked_s = Wishes(), (0, 0), float("-inf")

    def wishes(self) -> Wishes:
        """As the protocol says."""
        with self._lock:
            if (now_s := self._clock()) - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = now_s
                self._look()
            return self._wishes

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return
        if self._seen != (seen := (found.st_ino, found.st_mtime_ns)):
            self._wishes, self._seen = wishes_from_json(self._path.read_bytes()), seen
