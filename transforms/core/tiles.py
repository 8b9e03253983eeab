"""Points scattered into tiles: one series' hour, 60 minutes side by side; the last arrival holds the minute."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.granularity import HOUR_S
from transforms.core.model import Bools, Floats, Ints

MINUTES: Final = 60
"""Minutes of a tile."""

_NEVER: Final = np.iinfo(np.int64).min


class Part(NamedTuple):
    """Points of one slice: `series` and `sizes` per row, the others per point, the rows' points one after another.

    `series` are numbers below the count of series, `minute` counts from the epoch. A row's points are in (object, position) order. What may be None is so for
    gauges; `histogram` (HISTOGRAM) for all but histograms, and of these `is_cumulative` (per row) says which are.
    """

    series: Ints
    sizes: Ints
    minute: npt.NDArray[np.int32]
    arrival_us: Ints
    value: Floats
    start_us: Ints | None = None
    time_us: Ints | None = None
    histogram: pa.StructArray | None = None
    is_cumulative: Bools | None = None


@dataclass(frozen=True, slots=True)
class Tiles:
    """Surviving points of some series, in tiles that have at least one, sorted by series, then hour.

    `series` and `hour` (since the epoch) are of shape (tiles,); `values` and `present` of shape (tiles, 60). A value is 0.0 where absent and never -0.0.
    `start_us`, where asked for, is the start of the stream of the point that holds the minute, 0 where absent or unknown.
    """

    series: Ints
    hour: Ints
    values: Floats
    present: Bools
    start_us: Ints | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Points by the minute they belong to: index 0 is `first_minute`, since the epoch. Counted on the points, not on the tiles.

    Of the points that were not superseded, `left_out` went into no rollup and `merged` into the minute of another one of their series.
    """

    first_minute: int
    points: Ints
    superseded: Ints
    left_out: Ints | None = None
    merged: Ints | None = None


def lay(parts: Sequence[Part], series: int, *, starts: bool = False) -> tuple[Tiles, Counts]:
    """Lay out the points of series 0 to `series` - 1 and count them; with `starts`, the starts of their streams too.

    Of the points of one (series, minute) the last by (arrival_us, part, position in the part) survives.
    """
    parts = [part for part in parts if len(part.minute)]
    first_hour = min((int(part.minute.min()) // MINUTES for part in parts), default=0)
    hours = max((int(part.minute.max()) // MINUTES for part in parts), default=0) - first_hour + 1
    slots = _occupied(parts, series, first_hour, hours)
    shift = np.zeros(series * hours, np.int64)
    shift[slots] = MINUTES * (np.arange(len(slots)) - slots % hours - first_hour)
    board = _Board(MINUTES * len(slots), starts=starts)
    counts = Counts(first_hour * MINUTES, np.zeros(MINUTES * hours, np.int64), np.zeros(MINUTES * hours, np.int64))
    for part in parts:
        cell = shift.take(_slot(part, first_hour, hours))
        cell += part.minute
        beaten = board.enter(cell, part)
        counts.points[:] += _by_minute(part.minute, counts)
        counts.superseded[:] += _by_minute(part.minute.take(beaten), counts)
    return board.tiles(slots // hours, slots % hours + first_hour), counts


def _slot(part: Part, first_hour: int, hours: int) -> Ints:
    """Place of every point in a grid of (series, hour)."""
    slot = np.repeat(part.series * hours - first_hour, part.sizes)
    slot += part.minute // np.int32(MINUTES)
    return slot


def _occupied(parts: Sequence[Part], series: int, first_hour: int, hours: int) -> Ints:
    """Places of the grid that have points, ascending."""
    taken = np.zeros(series * hours, bool)
    for part in parts:
        taken[_slot(part, first_hour, hours)] = True
    return np.flatnonzero(taken)


def _by_minute(minute: npt.NDArray[np.int32], counts: Counts) -> Ints:
    return np.bincount(minute - np.int32(counts.first_minute), minlength=len(counts.points))


class _Board:
    """Cells that points compete for, part after part."""

    def __init__(self, cells: int, *, starts: bool) -> None:
        self._values = np.zeros(cells)
        self._start_us = np.zeros(cells, np.int64) if starts else None
        self._arrival_us = np.full(cells, _NEVER, np.int64)
        self._seat = np.empty(cells, np.int32)

    def enter(self, cell: Ints, part: Part) -> Ints:
        """Let a part's points compete. Returns positions in the part, one for each point beaten: itself, or the one that took its cell from an earlier part."""
        arrival_us, value, start_us = part.arrival_us, part.value, part.start_us
        beaten = self._beaten(cell, arrival_us)
        held = self._arrival_us.take(cell)
        if len(beaten):
            held[beaten] = _NEVER  # counted already; below they neither meet nor win
        met = np.flatnonzero(held != _NEVER)
        wins = held <= arrival_us
        if len(beaten):
            wins[beaten] = False
        if not wins.all():
            cell, arrival_us, value = cell[wins], arrival_us[wins], value[wins]
            start_us = None if start_us is None else start_us[wins]
        self._arrival_us[cell] = arrival_us
        self._values[cell] = value
        if self._start_us is not None and start_us is not None:
            self._start_us[cell] = start_us
        return np.concatenate([beaten, met])

    def _beaten(self, cell: Ints, arrival_us: Ints) -> Ints:
        """Positions of the points that lose to another point of their own part. Sorts only where the last in position is not the last to arrive."""
        position = np.arange(len(cell), dtype=np.int32)
        self._seat[cell] = position
        seated = self._seat.take(cell)
        lost = np.flatnonzero(seated != position)
        late = arrival_us[lost] > arrival_us[seated[lost]]
        if not late.any():
            return lost
        self._seat[cell[lost[late]]] = -1
        disputed = self._seat[cell[lost]] < 0
        return np.concatenate([lost[~disputed], _outranked(lost[disputed], seated, cell, arrival_us)])

    def tiles(self, series: Ints, hour: Ints) -> Tiles:
        """What the competition ended with."""
        self._values += 0.0  # turns -0.0 into 0.0
        present = self._arrival_us != _NEVER
        start_us = None if self._start_us is None else self._start_us.reshape(-1, MINUTES)
        return Tiles(series, hour, self._values.reshape(-1, MINUTES), present.reshape(-1, MINUTES), start_us)


def _outranked(lost: Ints, seated: npt.NDArray[np.int32], cell: Ints, arrival_us: Ints) -> Ints:
    """Sort the points of disputed cells; all but the last by (arrival, position) are beaten."""
    rival = np.zeros(len(cell), bool)
    rival[lost] = rival[seated[lost]] = True
    rivals = np.flatnonzero(rival)
    ranked = rivals[np.lexsort((arrival_us[rivals], cell[rivals]))]  # stable: among equals the later position stays later
    beaten: Ints = ranked[:-1][cell[ranked[:-1]] == cell[ranked[1:]]]
    return beaten


def starts_s(hour: Ints, width_s: int) -> Ints:
    """Starts of an hour's buckets of one width, of shape (hours, buckets in an hour)."""
    starts: Ints = hour[:, None] * HOUR_S + np.arange(0, HOUR_S, width_s)
    return starts
