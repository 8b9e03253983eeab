"""Which units a point belongs to when units need what came shortly before their first computed minute (lead-in, DESIGN §3).

The value of a counter or of a cumulative histogram means something only against its predecessor, so a unit gets the points of these kinds up to L before any
minute that it computes, from whatever store window they are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from transforms.core.granularity import Range, within
from transforms.core.model import Bools, Ints

Minutes = npt.NDArray[np.int32]
"""Minutes since the epoch."""


@dataclass(frozen=True)
class LeadIn:
    """Store windows (by number) for which a point is staged.

    `needed`: sorted, disjoint ranges of minutes in a computed bucket; they are cut where windows begin, as units are. `minutes` (L): a minute is lead-in of a
    window if it is none that the window computes and one that the window computes follows at most this many minutes later. `width`: minutes of a window.
    """

    needed: tuple[Range, ...]
    minutes: int
    width: int

    def reaches(self, minute: Minutes) -> Bools:
        """Whether an accumulating point of that minute is needed or lead-in of any window."""
        reached: Bools = np.logical_or.reduce([self._lands(minute, ahead) for ahead in self._ahead])
        return reached

    def spread(self, minute: Minutes, accumulates: Bools) -> tuple[Ints, Minutes]:
        """The points of every window: their positions and the windows, both first those in their own window, all in the order given.

        All points are reached. Those that do not accumulate stay in their own window; the others come once for each window that needs them.
        """
        own = minute // np.int32(self.width)
        candidates = np.flatnonzero(accumulates)
        stays = np.ones(len(minute), bool)
        stays[candidates] = self._lands(minute[candidates], 0)
        positions, windows = [np.flatnonzero(stays)], [own[stays]]
        for ahead in self._ahead[1:]:
            landed = candidates[self._lands(minute[candidates], ahead)]
            positions.append(landed)
            windows.append(own[landed] + np.int32(ahead))
        return np.concatenate(positions), np.concatenate(windows)

    @property
    def _ahead(self) -> range:
        return range(2 + (self.minutes - 1) // self.width if self.minutes else 1)

    @cached_property
    def _starts(self) -> Ints:
        """First minutes of the needed ranges, cut where windows begin."""
        cuts = [range(from_m // self.width * self.width + self.width, to_m, self.width) for from_m, to_m in self.needed]
        starts = [start for (from_m, _), begins in zip(self.needed, cuts, strict=True) for start in (from_m, *begins)]
        return np.array(starts, np.int64)

    @cached_property
    def _firsts(self) -> Ints:
        """The first needed minute of each window that has one."""
        _, first = np.unique(self._starts // self.width, return_index=True)
        firsts: Ints = self._starts[first]
        return firsts

    def _lands(self, minute: Minutes, ahead: int) -> Bools:
        """Whether the window that many after the minute's own needs it."""
        if ahead == 0:
            return within(minute, self.needed) | self._precedes(minute, self._starts, np.searchsorted(self._starts, minute, "right"), 0)
        begins = (minute // self.width + ahead) * self.width
        return self._precedes(minute, self._firsts, np.searchsorted(self._firsts, begins), ahead)

    def _precedes(self, minute: Minutes, starts: Ints, at: npt.NDArray[np.intp], ahead: int) -> Bools:
        """Whether the start at that place is in that window and at most L later."""
        if not len(starts):
            return np.zeros(len(minute), bool)
        start = starts.take(at, mode="clip")
        near: Bools = (at < len(starts)) & (start - minute <= self.minutes) & (start // self.width == minute // self.width + ahead)
        return near
