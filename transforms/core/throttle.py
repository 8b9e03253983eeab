"""Keeping calls under a rate: when the next one may begin. Pure but for the clock, the wait and the cell that are passed in.

A limit of N units a second has its state in a cell, which those who share the limit hold one after the other for a moment: threads a `MemoryCell`, the
processes of a work dir a file (`transforms.calls.cells`). Nothing is reserved: who finds that it is too early waits and looks again, so that a process that
stops, is killed or forgets holds nobody up, and a limit that is changed or a pause holds from the next look on (`LOOK_S`).
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import Final, Protocol

from transforms.core.latency import Latency

PACED_SHARE: Final = 0.95
"""Share of a limit that is used."""

CATCH_UP_S: Final = 0.025
"""Time that nobody used may be caught up with afterwards: threads wake up late."""

LEAST_SHARE: Final = 1 / 64
"""However often a service refuses, this share of the limit goes on asking."""

LOOK_S: Final = 0.25
"""Who waits looks at the state again at least that often."""

IDLE_S: Final = 300.0
"""After so long without a call a limit is approached slowly again."""

STALE_S: Final = 180.0
"""A cap that nobody confirmed for so long is halved, and again for every further such time."""

LIMIT, RAMP, REFUSED, CAP, PAUSED, SHARED = "limit", "ramp", "refused", "headroom", "paused", "limiter"
"""Causes of a wait: the limit itself, its slow beginning, answers of the service, what others need, somebody's wish, the turn of others at a shared limiter."""

LATE_S: Final = 0.04
"""A call that goes out later than this after it was let pass is looked at again."""

LEAST_S: Final = 2.0
"""So long after its last look a smaller limit of somebody else counts."""

_PART_S: Final = 0.02
_LATER: Final = 50
_PARTS: Final = 2 * _LATER + 2
"""Parts of a second in which used units are remembered: the one that goes on, those of two seconds, and one more. A call that is answered counts for one second
after that, so that it is moved as many parts back; one that is not, as of a process that was killed, for two after it was let pass."""

_ROUNDING_S: Final = 1e-6


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


@dataclass
class PaceState:
    """What all who share a limit know of it; times in seconds of one clock, NaN for never. `taken` are the units used in all, in flight the seconds held."""

    free_at_s: float = -math.inf
    share: float = math.nan
    share_at_s: float = math.nan
    doubling: float = 1.0
    used_at_s: float = math.nan
    cap_per_s: float = math.inf
    cap_at_s: float = math.nan
    pause_until_s: float = -math.inf
    least_per_s: float = math.inf
    least_at_s: float = math.nan
    taken: float = 0.0
    lately_s: float = 0.0
    lately: list[float] = field(default_factory=lambda: [0.0] * _PARTS)

    def values(self) -> tuple[float, ...]:
        """All of it, in the order of the constructor."""
        return (*(getattr(self, one.name) for one in fields(self) if one.name != "lately"), *self.lately)

    def advance(self, now_s: float) -> None:
        """Forget which units do not count any more: `lately` has them by part of a second, the newest last."""
        now = math.floor(now_s / _PART_S)
        if (passed := int(min(max(0.0, now - self.lately_s), _PARTS))) > 0:
            self.lately[:] = [*self.lately[passed:], *[0.0] * passed]
            self.lately_s = now

    def forget(self, units: float, taken_s: float, now_s: float) -> None:
        """Units that were used then were not."""
        self.advance(now_s)
        place = _PARTS - 1 - int(self.lately_s - math.floor(taken_s / _PART_S))
        if place >= 0:
            self.lately[place] = max(0.0, self.lately[place] - units)

    def answered(self, units: float, taken_s: float, now_s: float) -> None:
        """The server has got a call that was let pass then: at any time since, so that its units count as used now."""
        self.forget(units, taken_s, now_s)
        self.lately[-1 - _LATER] += units


def state_of(values: Sequence[float]) -> PaceState:
    """Inverse of `values`."""
    names = [one.name for one in fields(PaceState) if one.name != "lately"]
    return PaceState(**dict(zip(names, values[:-_PARTS], strict=True)), lately=list(values[-_PARTS:]))


VALUES: Final = 12 + 102
"""How many values a state has."""


class Cell(Protocol):
    """Where the state of a limit is."""

    def held(self) -> AbstractContextManager[PaceState]:
        """The state, which nobody else sees or changes meanwhile; as it is left it stays."""


class MemoryCell:
    """The state of a limit that only this process uses."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._lock = threading.Lock()
        self._state = PaceState()

    @contextmanager
    def held(self) -> Iterator[PaceState]:
        """As the protocol says."""
        with self._lock:
            yield self._state


@dataclass(frozen=True)
class Allowance:
    """A limit in units a second and the cell of those who share it. Its `name` is the same wherever it is kept."""

    limit_per_s: float
    cell: Cell = field(default_factory=MemoryCell)
    ramp: Ramp = field(default_factory=Ramp)
    name: str = ""

    def begun(self, state: PaceState, now_s: float) -> None:
        """Note that this limit is in use; start the ramp if nobody used it for long, as after a restart of the machine, whose clock then shows less.

        Then a cap that nobody confirmed for as long is that of a guard which was killed, and is forgotten.
        """
        if state.used_at_s > now_s + LOOK_S:
            _forget(state)
        if not now_s <= state.used_at_s + IDLE_S:
            state.share, state.share_at_s, state.doubling = self.ramp.first, now_s, 1.0
            state.free_at_s = max(state.free_at_s, now_s)
            if not now_s <= state.cap_at_s + IDLE_S:
                state.cap_per_s = math.inf
        state.used_at_s = now_s
        if self.limit_per_s <= state.least_per_s or not now_s <= state.least_at_s + LEAST_S:
            state.least_per_s, state.least_at_s = self.limit_per_s, now_s

    def ready_s(self, state: PaceState, now_s: float, units: float) -> float:
        """When a call of so many units may begin: when it is its turn, and the second before it has left as many.

        Units of a call count from when it is let pass until a second after its answer (`PaceState.answered`), at most two without one: wherever between the two
        the server got it, no second of the server's has more than the limit. One of more units than the limit is alone.
        """
        if not self.rate_per_s(state, now_s):
            return math.inf
        return max(state.free_at_s, state.pause_until_s, self.room_s(state, now_s, units))

    def room_s(self, state: PaceState, now_s: float, units: float) -> float:
        """When the second before has left as many units."""
        state.advance(now_s)
        room_s, used = -math.inf, sum(state.lately)
        left = max(units, min(self._limit_per_s(state), self.cap_per_s(state, now_s))) - units
        for place, part in enumerate(state.lately):
            if used <= left:
                break
            used -= part
            room_s = (state.lately_s + place + 1) * _PART_S
        return room_s

    def take(self, state: PaceState, now_s: float, units: float) -> None:
        """Note that a call begins now: its units go out evenly after it."""
        state.free_at_s = max(state.free_at_s, now_s - CATCH_UP_S) + units / self.rate_per_s(state, now_s)
        state.lately[-1] += units
        state.taken += units

    def refuse(self, state: PaceState, now_s: float, *, is_hard: bool = False) -> None:
        """Halve the rate, unless that has just been done; cut it to the least share at once if the refusal is a hard one."""
        share = self._share(state, now_s)
        if is_hard or state.doubling or now_s - state.share_at_s >= self.ramp.settle_s:
            state.share, state.share_at_s, state.doubling = LEAST_SHARE if is_hard else max(LEAST_SHARE, share / 2), now_s, 0.0

    def whole(self, state: PaceState, now_s: float) -> int:
        """Of a limit in flight: how many may be now."""
        self.begun(state, now_s)
        held = 0 if state.pause_until_s > now_s else min(self._limit_per_s(state) * self._share(state, now_s), self.cap_per_s(state, now_s))
        return max(int(held), int(held > 0))

    def rate_per_s(self, state: PaceState, now_s: float) -> float:
        """Units a second now."""
        return PACED_SHARE * min(self._limit_per_s(state) * self._share(state, now_s), self.cap_per_s(state, now_s))

    def cap_per_s(self, state: PaceState, now_s: float) -> float:
        """What others leave of the service: as it was said last, halved for every `STALE_S` in which nobody confirmed it, down to the least share."""
        if not state.cap_per_s < math.inf:
            return math.inf
        halvings = min(60.0, max(0.0, now_s - state.cap_at_s) // STALE_S)
        lowered: float = state.cap_per_s * 0.5**halvings
        return min(state.cap_per_s, max(lowered, self.limit_per_s * LEAST_SHARE))

    def cause(self, state: PaceState, now_s: float) -> str:
        """Why a call has to wait."""
        if state.pause_until_s > now_s:
            return PAUSED
        share = self._share(state, now_s)
        if self.cap_per_s(state, now_s) < self._limit_per_s(state) * share:
            return CAP
        return LIMIT if share >= 1 else RAMP if state.doubling else REFUSED

    def _limit_per_s(self, state: PaceState) -> float:
        """The smallest limit of those who use the cell now holds for all of them together."""
        return min(self.limit_per_s, state.least_per_s)

    def _share(self, state: PaceState, now_s: float) -> float:
        passed = max(0.0, now_s - state.share_at_s)
        grown = state.share * 2.0 ** min(60.0, passed / self.ramp.double_s) if state.doubling else state.share + passed * self.ramp.recover_per_s
        return min(1.0, grown)


def _forget(state: PaceState) -> None:
    for one in fields(PaceState):
        setattr(state, one.name, getattr(PaceState(), one.name))


Turn = Callable[[str, float, float], float]
"""Asks who keeps limits beyond this work dir, given a limit's name, units a second and units: 0.0 if they may be used now, and are; else how long not."""


class Pacer:
    """One or more limits that each call keeps, for all threads of one process: no burst, every unit has its moment.

    `take` is called before each attempt, with what it may cost; `refused` when the service says that it gets too much. Where there are several allowances, the
    narrowest comes first: it is the one that `limit_per_s` tells and refusals slow down.
    """

    def __init__(
        self,
        allowances: Sequence[Allowance],
        clock: Callable[[], float],
        wait: Callable[[float], None],
        is_paused: Callable[[], bool] = lambda: False,
        turn: Turn = lambda _name, _limit, _units: 0.0,
    ) -> None:
        """Nothing is waited for yet. `is_paused` is asked at each look; it may set other allowances. `turn` is asked when it is a call's turn here."""
        self.allowances = tuple(allowances)
        self._clock, self._wait, self.is_paused, self._turn = clock, wait, is_paused, turn
        self._queue, self._noting = threading.Lock(), threading.Lock()
        self._waited = dict[str, float]()
        self._cause, self._wait_s = LIMIT, 0.0
        self._latency = Latency()
        self.refusals = 0

    @property
    def limit_per_s(self) -> float:
        """The narrowest limit."""
        return self.allowances[0].limit_per_s

    @property
    def waited_s(self) -> float:
        """How long threads waited, since `waits` was last asked."""
        return sum(self._waited.values())

    def waits(self) -> Mapping[str, float]:
        """Seconds that threads waited since this was last asked, by cause."""
        with self._noting:
            waited, self._waited = self._waited, {}
        return waited

    def take(self, units: float = 1.0) -> float:
        """Return when so many units may be used; the moment, for `answered`."""
        began_s = self._clock()
        with self._queue:
            while (taken_s := self._taken_s(units)) is None:
                self._wait(min(self._wait_s, LOOK_S))
            self._await_turn(units)
        if taken_s - began_s > _ROUNDING_S:
            with self._noting:
                self._waited[self._cause] = self._waited.get(self._cause, 0.0) + taken_s - began_s
        return taken_s

    def _await_turn(self, units: float) -> None:
        """Returns when it is the call's turn among all who share its limits, of which the narrowest is asked first."""
        began_s = self._clock()
        for one in self.allowances:
            while self.is_paused() or (wait_s := self._turn(one.name, one.limit_per_s, units)):
                self._wait(LOOK_S if self.is_paused() else min(wait_s, LOOK_S))
        if (waited_s := self._clock() - began_s) > _ROUNDING_S:
            with self._noting:
                self._waited[SHARED] = self._waited.get(SHARED, 0.0) + waited_s

    def sent(self, units: float, taken_s: float) -> float:
        """A call that was let pass then goes out now; the moment from which it counts, for `answered`.

        One that was held up since, by a busy machine or by what a client does at its first call, waits until the second before has room for it, and counts from
        then on: else it would reach the server together with those that were let pass after it.
        """
        if self._clock() - taken_s < LATE_S:
            return taken_s
        with self._held() as (states, now_s):
            for state in states:
                state.forget(units, taken_s, now_s)
        while True:
            with self._held() as (states, now_s):
                room_s = max(one.room_s(state, now_s, units) for one, state in zip(self.allowances, states, strict=True))
                if room_s <= now_s + _ROUNDING_S:
                    for state in states:
                        state.lately[-1] += units
                    return now_s
            self._wait(min(room_s - now_s, LOOK_S))

    def answered(self, units: float, taken_s: float) -> None:
        """A call that took so many units then was answered. If answers take longer and longer, calls become fewer."""
        now_s = self.arrived(units, taken_s)
        if self._latency.has_grown(now_s - taken_s):
            self.refused()

    def arrived(self, units: float, taken_s: float) -> float:
        """As `answered`, of a service whose answers take as long as what they are asked for; the time."""
        now_s = self._clock()
        for one in self.allowances:
            with one.cell.held() as state:
                state.answered(units, taken_s, now_s)
        return now_s

    def settle(self, units: float) -> None:
        """A call took so many units more (less, if negative) than was taken before it: those after it wait for them."""
        for one in self.allowances:
            with one.cell.held() as state:
                state.free_at_s += units / one.rate_per_s(state, self._clock())
                state.taken += units

    def pause(self, seconds: float) -> None:
        """From now on nobody takes anything for so long."""
        narrowest = self.allowances[0]
        with narrowest.cell.held() as state:
            state.pause_until_s = max(state.pause_until_s, self._clock() + seconds)

    def refused(self, *, is_hard: bool = False) -> None:
        """As `Allowance.refuse`."""
        narrowest = self.allowances[0]
        with narrowest.cell.held() as state:
            now_s = self._clock()
            narrowest.begun(state, now_s)
            narrowest.refuse(state, now_s, is_hard=is_hard)
        with self._noting:
            self.refusals += 1

    @contextmanager
    def _held(self) -> Iterator[tuple[list[PaceState], float]]:
        """The states of all allowances, and the time at which they are held."""
        with ExitStack() as stack:
            yield [stack.enter_context(one.cell.held()) for one in self.allowances], self._clock()

    def _taken_s(self, units: float) -> float | None:
        """When the units were taken, of all limits at once; None, with the cause and how long to wait at least, if it is too early."""
        if self.is_paused():
            self._cause, self._wait_s = PAUSED, LOOK_S
            return None
        with self._held() as (states, now_s):
            for one, state in zip(self.allowances, states, strict=True):
                one.begun(state, now_s)
            ready = [one.ready_s(state, now_s, units) for one, state in zip(self.allowances, states, strict=True)]
            last = max(range(len(ready)), key=ready.__getitem__)
            if ready[last] > now_s + _ROUNDING_S:
                self._cause, self._wait_s = self.allowances[last].cause(states[last], now_s), ready[last] - now_s
                return None
            for one, state in zip(self.allowances, states, strict=True):
                one.take(state, now_s, units)
            return now_s


def alone(limit_per_s: float, clock: Callable[[], float], wait: Callable[[float], None], ramp: Ramp | None = None) -> Pacer:
    """A pacer of a limit that nobody shares."""
    return Pacer([Allowance(limit_per_s, ramp=ramp or Ramp())], clock, wait)
