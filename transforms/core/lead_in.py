"""Which units a point belongs to when units need what came shortly before their first computed minute (lead-in, DESIGN §3).

The value of a counter or of a cumulative histogram means something only against its predecessor, so a unit gets the points of these kinds up to L before any
minute that it computes, from whatever day they are.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.core.granularity import DAY_S, MINUTE_S, Range, within
from transforms.core.model import Bools, Ints

DAY_MINUTES: Final = DAY_S // MINUTE_S

Minutes = npt.NDArray[np.int32]
"""Minutes since the epoch."""


@dataclass(frozen=True)
class LeadIn:
    """Days (UTC, since the epoch) for which a point is staged.

    `needed`: sorted, disjoint ranges of minutes in a computed bucket; they are cut at midnight, as units are. `minutes` (L): a minute is lead-in of a day if it
    is none that the day computes and one that the day computes follows at most this many minutes later.
    """

    needed: tuple[Range, ...]
    minutes: int

    def reaches(self, minute: Minutes) -> Bools:
        """Whether an accumulating point of that minute is needed or lead-in of any day."""
        reached: Bools = np.logical_or.reduce([self._lands(minute, days) for days in self._days_ahead])
        return reached

    def spread(self, minute: Minutes, accumulates: Bools) -> tuple[Ints, Minutes]:
        """The points of every day: their positions and the days, both first those on their own day, all in the order given.

        All points are reached. Those that do not accumulate stay on their own day; the others come once for each day that needs them.
        """
        own_day = minute // np.int32(DAY_MINUTES)
        candidates = np.flatnonzero(accumulates)
        stays = np.ones(len(minute), bool)
        stays[candidates] = self._lands(minute[candidates], 0)
        positions, days = [np.flatnonzero(stays)], [own_day[stays]]
        for ahead in self._days_ahead[1:]:
            landed = candidates[self._lands(minute[candidates], ahead)]
            positions.append(landed)
            days.append(own_day[landed] + np.int32(ahead))
        return np.concatenate(positions), np.concatenate(days)

    @property
    def _days_ahead(self) -> range:
        return range(2 + (self.minutes - 1) // DAY_MINUTES if self.minutes else 1)

    @cached_property
    def _starts(self) -> Ints:
        """First minutes of the needed ranges, cut at midnight."""
        cuts = [range(from_m // DAY_MINUTES * DAY_MINUTES + DAY_MINUTES, to_m, DAY_MINUTES) for from_m, to_m in self.needed]
        starts = [start for (from_m, _), midnights in zip(self.needed, cuts, strict=True) for start in (from_m, *midnights)]
        return np.array(starts, np.int64)

    @cached_property
    def _firsts(self) -> Ints:
        """The first needed minute of each day that has one."""
        _, first = np.unique(self._starts // DAY_MINUTES, return_index=True)
        firsts: Ints = self._starts[first]
        return firsts

    def _lands(self, minute: Minutes, days_ahead: int) -> Bools:
        """Whether the day that many days after the minute's own needs it."""
        if days_ahead == 0:
            return within(minute, self.needed) | self._precedes(minute, self._starts, np.searchsorted(self._starts, minute, "right"), 0)
        midnight = (minute // DAY_MINUTES + days_ahead) * DAY_MINUTES
        return self._precedes(minute, self._firsts, np.searchsorted(self._firsts, midnight), days_ahead)

    def _precedes(self, minute: Minutes, starts: Ints, at: npt.NDArray[np.intp], days_ahead: int) -> Bools:
        """Whether the start at that place is on that day and at most L later."""
        if not len(starts):
            return np.zeros(len(minute), bool)
        start = starts.take(at, mode="clip")
        near: Bools = (at < len(starts)) & (start - minute <= self.minutes) & (start // DAY_MINUTES == minute // DAY_MINUTES + days_ahead)
        return near
