"""A few objects that stand for an archive, chosen while it is listed: memory does not grow with it, and the choice does not depend on the listing's order."""

import heapq
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from transforms.core.granularity import Range
from transforms.core.key_patterns import pattern_of
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.manifest import ArchiveObject

_VARYING: Final = re.compile(r"[0-9a-fA-F]{8,}|\d+")
_MAX_SHAPES: Final = 64
_OTHERS: Final = "others"


@dataclass
class _Dated:
    """Objects in folders of a pattern that is not the layout's: how many, those of them that show no time by the layout, and the times that they show."""

    layout: KeyLayout
    objects: int = 0
    untimed: int = 0
    named: Range | None = None

    def add(self, key: str, *, is_untimed: bool) -> None:
        self.objects += 1
        self.untimed += is_untimed
        self.named = _united(self.named, self.layout.times(key))


@dataclass
class Listing:
    """What a listing shows: number and bytes of objects, times in their keys (by `layout`), and at most `wanted` objects, some of every shape of key.

    A shape is a key's folders without what varies, and its extension.
    """

    wanted: int
    layout: KeyLayout = FIREHOSE
    objects: int = 0
    object_bytes: int = 0
    untimed: int = 0
    named: Range | None = None
    _chosen: dict[str, list[tuple[int, str, ArchiveObject]]] = field(default_factory=dict)
    _dated: dict[str, _Dated] = field(default_factory=dict)

    def add_all(self, listed: Iterable[ArchiveObject]) -> "Listing":
        """Takes in a whole listing."""
        for one in listed:
            self._add(one)
        return self

    def _add(self, one: ArchiveObject) -> None:
        self.objects += 1
        self.object_bytes += one.size_bytes
        span = self.layout.times(one.key)
        self.untimed += span is None
        self.named = _united(self.named, span)
        self._add_dated(one.key, is_untimed=span is None)
        shape = shape_of(one.key)
        if shape not in self._chosen and len(self._chosen) >= _MAX_SHAPES:
            shape = _OTHERS
        chosen = self._chosen.setdefault(shape, [])
        entry = (-zlib.crc32(one.key.encode("utf-8", "surrogatepass")), one.key, one)
        if len(chosen) < self.wanted:
            heapq.heappush(chosen, entry)
        else:
            heapq.heappushpop(chosen, entry)

    def _add_dated(self, key: str, *, is_untimed: bool) -> None:
        pattern = pattern_of(key)
        if pattern and pattern != self.layout.pattern and (pattern in self._dated or len(self._dated) < _MAX_SHAPES):
            self._dated.setdefault(pattern, _Dated(KeyLayout(pattern, self.layout.time_zone))).add(key, is_untimed=is_untimed)

    def dated(self) -> "Listing":
        """The listing by the pattern of folders that most of the objects have; as it is if that is the layout's, or most have none."""
        most = max(self._dated.values(), key=lambda one: one.objects, default=None)
        if most is None or 2 * most.objects <= self.objects:
            return self
        return replace(self, layout=most.layout, untimed=self.untimed - most.untimed, named=_united(self.named, most.named))

    def in_zone(self, time_zone: str) -> "Listing":
        """The listing with keys in this time zone, which has no daylight saving, instead of UTC."""
        layout = KeyLayout(self.layout.pattern, time_zone)
        keys = [one.key for _, _, one in chain.from_iterable(self._chosen.values())]
        shift_s = next(_shifts(keys, self.layout, layout), 0)
        return replace(self, layout=layout, named=None if self.named is None else (self.named[0] + shift_s, self.named[1] + shift_s))

    def chosen(self) -> list[ArchiveObject]:
        """Of each shape in turn the key of the smallest CRC-32, until there are enough; sorted by key."""
        by_shape = [sorted(chosen, reverse=True) for _, chosen in sorted(self._chosen.items())]
        deepest = max(map(len, by_shape), default=0)
        turns = [chosen[depth][-1] for depth in range(deepest) for chosen in by_shape if depth < len(chosen)]
        return sorted(turns[: self.wanted])


def _shifts(keys: Iterable[str], layout: KeyLayout, other: KeyLayout) -> Iterator[int]:
    """By how many seconds the keys show other times in the other layout."""
    for key in keys:
        if (span := layout.times(key)) and (shifted := other.times(key)):
            yield shifted[0] - span[0]


def _united(one: Range | None, other: Range | None) -> Range | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def shape_of(key: str) -> str:
    """`raw/2025/11/01/12/metrics-1-2025-11-01-12-00-00-ab12.json.gz` has the shape `raw/#/#/#/#/*.json.gz`."""
    folder, _, name = key.rpartition("/")
    _, dot, extension = name.partition(".")
    return f"{_VARYING.sub('#', folder)}/*{_VARYING.sub('#', dot + extension)}"
