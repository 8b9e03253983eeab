"""The guards of a run: while it works, they read what others use and ask the team's health checks, and lower caps or pause the run."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from configs.guarding import Guarded
from pipelines.watched import services_of
from transforms.core.headroom import REFRESH_S, Cap, LimitAt, OwnUse, Reading, Reserve, Watched, next_cap, room_of

HEALTH_EVERY_S: Final = 15.0

ENDING_S: Final = 2.0
"""So long the end of a run waits for a guard that is just looking; what it finds later changes nothing."""

Check = Callable[[], str]
"""Why it is red; nothing if it is green."""


class Caps(Protocol):
    """Where guards act on a run: all of its processes follow. A limit is one at a place, such as a table."""

    def set(self, limit: LimitAt, units: int, reason: str) -> None:
        """From now on a limit is at most so many units; 0 lets nothing pass. It is said again every minute, as long as it holds."""

    def lift(self, limit: LimitAt) -> None:
        """Nobody looks any more: what is configured holds."""

    def used(self, limits: Iterable[LimitAt]) -> Mapping[LimitAt, float]:
        """What was used of them since this was last asked: units a second, or how many were in flight. What is not known is left out."""

    def pause(self, reason: str) -> None:
        """From now on nothing is called."""

    def resume(self, reason: str) -> None:
        """Ends the pause that was asked for here, and nobody else's."""


class Guard(Protocol):
    """Something that is looked at every `every_s`."""

    every_s: float

    def step(self, now_s: float) -> None:
        """Look, and act."""

    def end(self) -> None:
        """Take back what would hold up a later run."""


class HeadroomGuard:
    """Keeps each limit at min(configured, the service's limit - use by others - reserve)."""

    every_s = REFRESH_S

    def __init__(
        self, watched: Sequence[Watched], configured: Callable[[], Mapping[str, int]], reserve: Reserve, caps: Caps, say: Callable[[str], None]
    ) -> None:
        """Reads nothing yet. `configured` tells the limits that the run shall keep, which may change while it works; others are not capped."""
        self._watched, self._configured, self._reserve, self._caps, self._say = watched, configured, reserve, caps, say
        self._own = OwnUse()
        self._by_reading: dict[tuple[int, LimitAt], Cap] = {}
        self._said: dict[LimitAt, int] = {}
        self._has_ended = False

    def step(self, now_s: float) -> None:
        """Read everything once; where several readings are about one limit, the lowest cap holds."""
        configured = self._configured()
        self._own.note(now_s, self._caps.used([limit for one in self._watched for limit in one.limits]))
        for number, one in enumerate(self._watched):
            for reading in one.read(now_s):
                for limit in (limit for limit in one.limits if limit[0] in reading.names and limit[0] in configured):
                    self._by_reading[number, limit] = self._next(number, limit, reading, configured[limit[0]], now_s)
        for limit in {of: None for _, of in self._by_reading}:
            self._put(limit, min((cap for (_, of), cap in self._by_reading.items() if of == limit), key=lambda cap: cap.units), configured[limit[0]])

    def end(self) -> None:
        """Nobody would confirm the caps."""
        self._has_ended = True
        for limit in self._said:
            self._caps.lift(limit)

    def _next(self, number: int, limit: LimitAt, reading: Reading, configured: int, now_s: float) -> Cap:
        before = self._by_reading[number, limit].units if (number, limit) in self._by_reading else configured
        room = room_of(reading, limit[0], self._reserve, self._own.least(limit, reading.begin_s, reading.end_s))
        return next_cap(before, configured, reading, room, now_s)

    def _put(self, limit: LimitAt, cap: Cap, configured: int) -> None:
        """Confirms a cap, and tells of another one."""
        if self._has_ended:
            return
        self._caps.set(limit, cap.units, cap.reason)
        if cap.units != self._said.get(limit, configured):
            self._say(f"--{limit[0]} is {cap.units:,} of {configured:,} for now: {cap.reason}")
        self._said[limit] = cap.units


class HealthGuard:
    """Pauses the run while a health check is red."""

    every_s = HEALTH_EVERY_S

    def __init__(self, checks: Sequence[Check], caps: Caps, say: Callable[[str], None]) -> None:
        """Asks nothing yet."""
        self._checks, self._caps, self._say = checks, caps, say
        self._is_paused = self._has_ended = False

    def step(self, now_s: float) -> None:  # noqa: ARG002 - a check is of now
        """Ask all, until one is red."""
        red = next(filter(None, (check() for check in self._checks)), "")
        if self._has_ended:
            return
        if not red:
            self._resume("the health check is green again")
            return
        self._caps.pause(red)  # anew: somebody may have lifted it
        if not self._is_paused:
            self._is_paused = True
            self._say(f"paused: {red}; goes on when it is green again")

    def end(self) -> None:
        """The pause ends with who asks."""
        self._has_ended = True
        self._resume("nobody asks the health check any more")

    def _resume(self, reason: str) -> None:
        if self._is_paused:
            self._is_paused = False
            self._caps.resume(reason)
            self._say(f"goes on: {reason}")


def guards_of(asked: Guarded, places: Sequence[str], configured: Callable[[], Mapping[str, int]], caps: Caps, say: Callable[[str], None]) -> list[Guard]:
    """Those of a run: `places` are the URLs of its archive and its stores, `configured` tells the limits it works with."""
    guards: list[Guard] = []
    if not asked.unguarded and (watched := services_of(places, asked.s3_metrics_filter).watched):
        guards.append(HeadroomGuard(watched, configured, asked.kept_free, caps, say))
    if asked.guard_url or asked.guard_command:
        from pipelines.health import checks_of  # most runs do without an HTTP client

        guards.append(HealthGuard(checks_of(asked.guard_url, asked.guard_command), caps, say))
    return guards


@contextmanager
def guarding(guards: Sequence[Guard], clock: Callable[[], float], new_event: Callable[[], threading.Event] = threading.Event) -> Iterator[None]:
    """Each guard looks once before the body begins and then again and again, each on a thread of its own, until the body ends.

    A defect that ends a guard ends the body's success as well: it is raised after the body.
    """
    ended, defects = new_event(), list[Exception]()
    threads = [threading.Thread(target=_repeat, args=(one, clock, ended, defects), daemon=True) for one in guards]
    try:
        for one in guards:
            one.step(clock())
        for thread in threads:
            thread.start()
        yield
    finally:
        ended.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join(ENDING_S)
        for one in guards:
            one.end()
    if defects:
        raise defects[0]


def _repeat(guard: Guard, clock: Callable[[], float], ended: threading.Event, defects: list[Exception]) -> None:
    try:
        while not ended.wait(guard.every_s):
            guard.step(clock())
    except Exception as error:  # noqa: BLE001 - raised by the thread that waits for the run
        defects.append(error)
