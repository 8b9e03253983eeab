"""Columns in groups of different lengths: consecutive rows of a group, cut at `starts`."""

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from transforms.core.model import Bools, Floats, Ints

_Number = TypeVar("_Number", np.int64, np.float64)

MOST: Final = (1 << 63) - 1
"""The largest count; where one stands for a sum, it means that many or more."""

_LONG: Final = 64


def starts_of(*keys: npt.NDArray[np.integer]) -> Ints:
    """Where a new group begins: the first row, and each row that differs from the one before in one of the parallel columns."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    differs = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.append(0, np.flatnonzero(differs) + 1)


def sizes_of(starts: Ints, rows: int) -> Ints:
    """Rows of every group."""
    sizes: Ints = np.diff(np.append(starts, rows))
    return sizes


def concatenated_ranges(starts: Ints, sizes: Ints) -> Ints:
    """The numbers of the ranges `[start, start + size)`, one range after another."""
    ends = np.cumsum(sizes)
    ranges: Ints = np.repeat(starts - ends + sizes, sizes)
    ranges += np.arange(len(ranges))
    return ranges


def is_all(at: npt.NDArray[np.integer], number: int) -> bool:
    """Whether these places are all of that number, in order."""
    return len(at) == number and bool((at == np.arange(number)).all())


def taken(values: npt.NDArray[_Number], offsets: Ints, at: Ints) -> tuple[npt.NDArray[_Number], Ints]:
    """The lists at these places and their offsets; list i is `values[offsets[i] : offsets[i + 1]]`. Quick where all lists are of one size."""
    sizes = np.diff(offsets)
    width = int(sizes[0]) if len(sizes) else 0
    if width and (sizes == width).all():
        return values.reshape(-1, width).take(at, axis=0).reshape(-1), np.arange(len(at) + 1) * width
    chosen = sizes[at]
    return values[concatenated_ranges(offsets[at], chosen)], np.append(0, np.cumsum(chosen, dtype=np.int64))


def left_folds(values: Floats, starts: Ints) -> Floats:
    """Sum of every group (none is empty) from left to right, bit for bit as a loop would. A sum that became infinite stays so.

    Costs one array operation per row of the longest group up to 64, and one per longer group.
    """
    sizes = sizes_of(starts, len(values))
    total: Floats = values.take(starts)
    with np.errstate(over="ignore", invalid="ignore"):
        for place in range(1, min(_LONG, int(sizes.max(initial=0)))):
            more = np.flatnonzero(sizes > place)
            total[more] = _added(total[more], values[starts[more] + place])
        for group in np.flatnonzero(sizes > _LONG).tolist():
            steps = np.add.accumulate(np.append(total[group], values[starts[group] + _LONG : starts[group] + sizes[group]]))
            infinite = np.flatnonzero(np.isinf(steps))
            total[group] = steps[infinite[0]] if len(infinite) else steps[-1]
    return total


def _added(total: Floats, value: Floats) -> Floats:
    added = total + value
    infinite = np.isinf(total)
    return np.where(infinite, total, added) if infinite.any() else added


def saturated_sums(values: Ints, starts: Ints) -> Ints:
    """Sums of every group (none is empty) of rows, MOST where they are larger; none may be smaller than -MOST - 1, nor a group have 2^31 rows."""
    sums: Ints = np.add.reduceat(values, starts) if values.ndim == 1 else _row_sums(values, starts)
    longest = int(sizes_of(starts, len(values)).max(initial=1))
    if int(values.max(initial=0)) <= MOST // longest:
        return sums
    carried = np.add.reduceat(values & 0xFFFFFFFF, starts, axis=0) >> 32
    sums[np.add.reduceat(values >> 32, starts, axis=0) + carried >= 1 << 31] = MOST
    return sums


def _row_sums(rows: Ints, starts: Ints) -> Ints:
    """As `np.add.reduceat` along axis 0, in a third of the time for the groups of the commonest size."""
    sizes = sizes_of(starts, len(rows))
    size = int(np.bincount(sizes).argmax())
    if size * len(starts) == len(rows) and (sizes == size).all():
        return _stacked_sums(rows, size)
    sums = np.empty((len(starts), rows.shape[1]), np.int64)
    alike, others = np.flatnonzero(sizes == size), np.flatnonzero(sizes != size)
    sums[alike] = _stacked_sums(rows[concatenated_ranges(starts[alike], sizes[alike])], size)
    odd = rows[concatenated_ranges(starts[others], sizes[others])]
    sums[others] = np.add.reduceat(odd, np.cumsum(sizes[others]) - sizes[others], axis=0)
    return sums


def _stacked_sums(rows: Ints, size: int) -> Ints:
    """Sums of every `size` rows."""
    sums: Ints = np.add.reduce(rows.reshape(-1, size, rows.shape[1]), axis=1)
    return sums


def latest(series: Ints, time: Ints, tie: Ints, arrival_us: Ints) -> tuple[Ints, Bools]:
    """Positions of all points sorted by (series, time, tie, arrival, position), and for each whether it is the last of its (series, time, tie).

    Points that come in order, series by series, are sorted in one quick pass; only those of equal series and time are compared further.
    """
    key = _packed(series, time)
    if key is None:
        order: Ints = np.lexsort((arrival_us, tie, time, series))
        return order, _ends(series[order], time[order], tie[order])
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    same = np.flatnonzero(ranked[1:] == ranked[:-1])
    if len(same):
        rivals = np.zeros(len(order), bool)
        rivals[same] = rivals[same + 1] = True
        slots = np.flatnonzero(rivals)
        disputed = order[slots]
        order[slots] = disputed[np.lexsort((arrival_us[disputed], tie[disputed], key[disputed]))]
    return order, _ends(ranked, tie[order])


def _packed(series: Ints, time: Ints) -> Ints | None:
    """Integers that compare as (series, time) does; None if they would not fit 64 bits."""
    if not len(time):
        return time
    first = int(time.min())
    span = int(time.max()) - first + 1
    return series * span + (time - first) if (int(series.max()) + 1) * span < 1 << 63 else None


def _ends(*keys: Ints) -> Bools:
    """Whether a row is the last of its group of consecutive equal rows."""
    ends = np.ones(len(keys[0]), bool)
    ends[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return ends
