"""How much of a service's limit is left for us beside those who use it as well, and the cap that follows from it. Pure: readings and times are passed in."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from transforms.core.errors import UsageError

REFRESH_S: Final = 60.0
"""CloudWatch's finest ordinary period: readings are of whole minutes."""

STALE_S: Final = 180.0
"""A reading whose last minute ended longer ago than this says nothing about now."""

FLOOR_SHARE: Final = 1 / 8
"""Without readings a cap sinks to this share of what is configured."""


LimitAt = tuple[str, str]
"""A limit of ours: its name and its place."""


@dataclass(frozen=True)
class Reserve:
    """What is kept free for others: a share of the limit or, from `amount` on, a number of its units; by limit, and for all that are not named."""

    share: float = 0.0
    amount: float = 0.0
    by_name: tuple[tuple[str, "Reserve"], ...] = ()

    def of(self, name: str, limit: float) -> int:
        """Whole units of one limit that are kept free: a fifth of a single execution is none."""
        one = dict(self.by_name).get(name, self)
        return math.floor(one.amount + one.share * limit + 0.5)


def parse_reserve(texts: Iterable[str], names: Iterable[str]) -> Reserve:
    """Of `20%`, `0.2` (both a share), `200` (a number of 1 or more) and `NAME=…` of these. Raises UsageError for anything else, or the same thing twice."""
    known, found = tuple(names), dict[str, Reserve]()
    for text in texts:
        name, equals, value = text.rpartition("=")
        if equals and name not in known:
            raise UsageError(f"{name!r} in {text!r} is no limit that is guarded: choose {', '.join(known)}")
        if name in found:
            raise UsageError(f"the reserve{f' of {name}' if name else ''} is given twice, the second time as {text!r}")
        found[name] = _reserve(value)
    of_all = found.pop("", DEFAULT_RESERVE)
    return Reserve(of_all.share, of_all.amount, tuple(found.items()))


def _reserve(text: str) -> Reserve:
    is_share = text.endswith("%")
    try:
        number = float(text.removesuffix("%")) / (100 if is_share else 1)
    except ValueError:
        number = math.nan
    if not (0 <= number < math.inf) or (is_share and number > 1):
        raise UsageError(f"{text!r} is neither a share such as 20% or 0.2 nor a number such as 200")
    return Reserve(share=number) if is_share or number < 1 else Reserve(amount=number)


DEFAULT_RESERVE: Final = Reserve(share=0.2)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The live use of what one or more of our limits take from (`names`), over the last minutes that were told, [begin_s, end_s).

    `used` is the most of any of these minutes: units a second for rates, executions for concurrency. `limit` and `used` are None where the service tells
    neither (S3); `refused` are the calls that it turned away. Where `missing` says what could not be had, nothing else may be relied on.
    """

    names: tuple[str, ...]
    what: str
    limit: float | None = None
    used: float | None = None
    refused: float = 0.0
    begin_s: float = 0.0
    end_s: float = 0.0
    missing: tuple[str, ...] = ()

    def is_stale(self, now_s: float) -> bool:
        """Whether it is too old to say anything about now."""
        return now_s - self.end_s > STALE_S


class Watched(Protocol):
    """Something with limits that others use too."""

    @property
    def limits(self) -> Sequence[LimitAt]:
        """Our own limits for it, all at one place; its readings are about these."""

    def read(self, now_s: float) -> Sequence[Reading]:
        """Its live use."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """A limit shared out, in its units: limit = by others + reserve + left. What is left is negative where others already use the reserve."""

    limit: float
    others: float
    reserve: int

    @property
    def left(self) -> float:
        """For us."""
        return self.limit - self.others - self.reserve


def room_of(reading: Reading, name: str, reserve: Reserve, own: float) -> Room | None:
    """The limit shared out, `own` being what we used of it ourselves; None where the service does not tell."""
    if reading.missing or reading.limit is None or reading.used is None:
        return None
    return Room(limit=reading.limit, others=max(0.0, reading.used - own), reserve=reserve.of(name, reading.limit))


@dataclass(frozen=True)
class Cap:
    """So many units, a whole number, may be used by us, and why."""

    units: int
    reason: str


def next_cap(before: int, configured: int, reading: Reading, room: Room | None, now_s: float) -> Cap:
    """The cap after a reading: min(configured, limit - use by others - reserve), never below 0.

    It falls at once and at most doubles. A refused call, and a reading that is missing or stale, halve it, down to an eighth of what is configured (`floor_of`)
    and no further; a cap that is lower already stays. So a reading that could not be had never raises a cap.
    """
    lower = min(before, max(floor_of(configured), before // 2))
    if reading.missing:
        return Cap(lower, f"no reading of {reading.what}: {'; '.join(reading.missing)}")
    if reading.is_stale(now_s):
        return Cap(lower, f"the last reading of {reading.what} is {now_s - reading.end_s:.0f} s old")
    most = min(configured, math.floor(max(0.0, room.left))) if room else configured
    if reading.refused:
        return Cap(min(most, lower), f"{reading.what} refused {reading.refused:,.0f} calls")
    return Cap(min(most, max(floor_of(configured), 2 * before)), _shared_out(reading, room))


def floor_of(configured: int) -> int:
    """What is left of a cap when nothing can be read for long."""
    return min(configured, max(1, math.floor(configured * FLOOR_SHARE)))


def _shared_out(reading: Reading, room: Room | None) -> str:
    if room is None:
        return f"{reading.what} refuses nothing"
    return f"of {room.limit:,.0f} ({reading.what}) others use {room.others:,.0f} and {room.reserve:,.0f} are reserved"


class OwnUse:
    """What we used ourselves of each limit, noted again and again: readings are some minutes old, and what we use now was not in them."""

    KEPT_S: Final = 900.0

    def __init__(self) -> None:
        """Nothing is known."""
        self._noted: list[tuple[float, Mapping[LimitAt, float]]] = []

    def note(self, now_s: float, used: Mapping[LimitAt, float]) -> None:
        """What was used in the minute up to now, by limit and place."""
        self._noted = [one for one in self._noted if now_s - one[0] <= self.KEPT_S] + [(now_s, dict(used))]

    def least(self, limit: LimitAt, begin_s: float, end_s: float) -> float:
        """The least that we used in any minute that overlaps [begin_s, end_s), so that no more is ascribed to us than is ours; 0 if nothing was noted then."""
        return min((used.get(limit, 0.0) for at_s, used in self._noted if begin_s <= at_s < end_s + REFRESH_S), default=0.0)
