"""Keeping calls under a rate: when the next one may begin. Pure but for the clock and the wait that are passed in."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PACED_SHARE: Final = 0.95
"""Share of a limit that is used, so that clocks that differ a little do no harm."""

LEAST_SHARE: Final = 1 / 64
"""However often a service refuses, this share of the limit goes on asking."""


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """How the share of the limit that is used grows.

    It begins at `first` (1.0: with all of it) and doubles every `double_s`. A refusal halves it, at most once in `settle_s`; from then on it grows by
    `recover_per_s` a second.
    """

    first: float = 1.0
    double_s: float = 60.0
    settle_s: float = 1.0
    recover_per_s: float = 1 / 120


class Pacer:
    """A limit in units a second, kept by all threads of one process: no burst, every unit has its moment.

    `take` is called before each attempt, with what it may cost; `refused` when the service says that it gets too much.
    """

    def __init__(self, limit_per_s: float, clock: Callable[[], float], wait: Callable[[float], None], ramp: Ramp | None = None) -> None:
        """Nothing is waited for yet."""
        self.limit_per_s = limit_per_s
        self._clock, self._wait = clock, wait
        self._ramp = ramp or Ramp()
        self._lock = threading.Lock()
        self._share = self._ramp.first
        self._share_at = self._free_at = clock()
        self._doubling = True
        self.waited_s = 0.0
        self.refusals = 0

    def take(self, units: float = 1.0) -> None:
        """Return when so many units may be used. Units of a call go out evenly after it: the next call waits for them."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + units / self._rate(now)
            self.waited_s += begin - now
        if begin > now:
            self._wait(begin - now)

    def settle(self, units: float) -> None:
        """A call took so many units more (less, if negative) than was taken before it: those after it wait for them."""
        with self._lock:
            self._free_at += units / self._rate(self._clock())

    def pause(self, seconds: float) -> None:
        """From now on nobody takes anything for so long."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + seconds)

    def refused(self) -> None:
        """Halve the rate, unless that has just been done."""
        with self._lock:
            now = self._clock()
            share = self._grown(now)
            self.refusals += 1
            if self._doubling or now - self._share_at >= self._ramp.settle_s:
                self._share, self._share_at, self._doubling = max(LEAST_SHARE, share / 2), now, False

    def _rate(self, now: float) -> float:
        return self.limit_per_s * PACED_SHARE * self._grown(now)

    def _grown(self, now: float) -> float:
        passed = max(0.0, now - self._share_at)
        grown = self._share * 2.0 ** min(60.0, passed / self._ramp.double_s) if self._doubling else self._share + passed * self._ramp.recover_per_s
        return min(1.0, grown)
