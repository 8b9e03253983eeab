"""Requests that differ in nothing but numbers of eight bytes: one of them is read, and where its numbers stand those of the others stand, too.

An exporter sends the same series over and over: names, attributes, bounds and all lengths are the same bytes at the same places. What of a point is free to
differ are its times, value, count, sum, minimum, maximum and bucket counts, which OTLP writes in eight bytes each, whatever they are; all other bytes are
compared. So a reader would find in the one request what it finds in the other: these bytes say nothing of where fields begin and end.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from transforms.core.model import Bools, Ints
from transforms.core.ragged import concatenated_ranges
from transforms.decode.collecting import Message
from transforms.decode.otlp_spans import Reader
from transforms.decode.wire_columns import Bits, Octets

_Item = TypeVar("_Item", bound=np.generic)

_LENGTH_BITS: Final = 28

_CACHED_BYTES: Final = 1 << 18
"""So much is compared at once: it stays in the processor's cache."""


class Copied(NamedTuple):
    """Messages of one level of all requests: for each its row among those that were read, its request, and how much farther on than that row it stands."""

    row: Ints
    record: Ints
    shift: Ints
    ahead: Ints
    """By request: how much later its first message comes among all than that of what was read in its stead comes among those."""

    is_whole: bool
    """All were read."""

    def of(self, column: npt.NDArray[_Item]) -> npt.NDArray[_Item]:
        """What was read, for all."""
        return column if self.is_whole else column[self.row]

    def moved(self, places: Ints) -> Ints:
        """Places in what was read, for all."""
        return places if self.is_whole else places[self.row] + self.shift

    def above(self, parent: npt.NDArray[np.integer], level: "Copied") -> npt.NDArray[np.intp]:
        """The numbers among all messages of a level above, of what was read of which these numbers are."""
        numbers = parent.astype(np.intp, copy=False)
        return numbers if self.is_whole else numbers[self.row] + level.ahead[self.record]


class Likeness(NamedTuple):
    """For every request the number of the one that was read in its stead, and how much farther on than that it begins."""

    read: Ints
    shift: Ints
    is_whole: bool
    """All were read."""

    def copied(self, record: npt.NDArray[np.integer]) -> Copied:
        """All messages of a level, of which those in the requests `record`, in rising order, were read."""
        sizes = np.bincount(record, minlength=int(self.read.max(initial=-1)) + 1)
        firsts, own = (np.cumsum(sizes) - sizes)[self.read], sizes[self.read]
        ahead = np.cumsum(own) - own - firsts
        return Copied(concatenated_ranges(firsts, own), np.repeat(np.arange(len(own)), own), np.repeat(self.shift, own), ahead, self.is_whole)


def likeness(of: Reader, read: Ints, by: Reader) -> Likeness:
    """How the requests of one reader are like those that the other one reads."""
    return Likeness(read, of.starts - by.starts[read], of is by)


class Key(NamedTuple):
    """What requests that may be alike have in common: so many of the first bytes, and their length."""

    head: int

    def of(self, message: Message) -> tuple[int, bytes]:
        """A request's."""
        return len(message.data), message.data[: self.head]


def first_alike(messages: Sequence[Message]) -> tuple[Key, Ints]:
    """The key, and for every request the first one with the same; itself, if so many have others that it is no use.

    The key's bytes are as many as the first request has up to the end of its resource.
    """
    key = Key(_resource_end(messages[0].data) if messages else 0)
    firsts: dict[tuple[int, bytes], int] = {}
    first = np.array([firsts.setdefault(key.of(one), place) for place, one in enumerate(messages)], np.int64)
    return key, first if 2 * len(firsts) <= len(messages) else np.arange(len(messages))


def _resource_end(data: bytes) -> int:
    """Where the first resource ends; somewhere, if the request does not begin with one."""
    end = 0
    for _ in range(2):
        size = bits = 0
        at = end + 1
        while data[at : at + 1] >= b"\x80" and bits < _LENGTH_BITS:
            size, at, bits = size | (data[at] & 0x7F) << bits, at + 1, bits + 7
        end, size = at + 1, size | (data[at] << bits if at < len(data) else 0)
    return end + size


def unlike(of: Reader, read: Ints, by: Reader, free: tuple[Ints, Ints]) -> Bools:
    """Which requests of one reader differ from those of the other that are read in their stead, apart from what is free: [start, stop) of spans there."""
    is_fixed = np.full(len(by.octets.data), 0xFF, np.uint8)
    is_fixed[concatenated_ranges(free[0], free[1] - free[0])] = 0
    different = np.zeros(len(read), np.bool_)
    order = np.argsort(read, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(read[order])) + 1):
        at, length = (int(column[read[group[0]]]) for column in (by.starts, by.lengths)) if len(group) else (0, 0)
        if length:
            words = -(-length // 8)
            fixed = np.append(is_fixed[at : at + length], np.zeros(8 * words - length, np.uint8)).view(np.uint64)
            different[group] = _differ(of.octets, of.starts[group], fixed, by.octets.rows(np.array([at]), words) & fixed)
    return different


def _differ(octets: Octets, starts: Ints, fixed: Bits, wanted: Bits) -> Bools:
    """Which messages differ from the one that is wanted in what is fixed."""
    different = np.zeros(len(starts), np.bool_)
    step = max(1, _CACHED_BYTES // (8 * len(fixed)))
    for at in range(0, len(starts), step):
        rows = octets.rows(starts[at : at + step], len(fixed))
        rows &= fixed
        different[at : at + step] = (rows != wanted).any(axis=1)
    return different
