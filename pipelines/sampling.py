"""A few objects that stand for an archive, chosen while it is listed: memory does not grow with it, and the choice does not depend on the listing's order."""

import heapq
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.manifest import ArchiveObject

_VARYING: Final = re.compile(r"[0-9a-fA-F]{8,}|\d+")
_MAX_SHAPES: Final = 64
_OTHERS: Final = "others"


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

    def add_all(self, listed: Iterable[ArchiveObject]) -> "Listing":
        """Takes in a whole listing."""
        for one in listed:
            self._add(one)
        return self

    def _add(self, one: ArchiveObject) -> None:
        self.objects += 1
        self.object_bytes += one.size_bytes
        span = self.layout.times(one.key)
        if span is None:
            self.untimed += 1
        else:
            self.named = span if self.named is None else (min(self.named[0], span[0]), max(self.named[1], span[1]))
        shape = shape_of(one.key)
        if shape not in self._chosen and len(self._chosen) >= _MAX_SHAPES:
            shape = _OTHERS
        chosen = self._chosen.setdefault(shape, [])
        entry = (-zlib.crc32(one.key.encode("utf-8", "surrogatepass")), one.key, one)
        if len(chosen) < self.wanted:
            heapq.heappush(chosen, entry)
        else:
            heapq.heappushpop(chosen, entry)

    def chosen(self) -> list[ArchiveObject]:
        """Of each shape in turn the key of the smallest CRC-32, until there are enough; sorted by key."""
        by_shape = [sorted(chosen, reverse=True) for _, chosen in sorted(self._chosen.items())]
        deepest = max(map(len, by_shape), default=0)
        turns = [chosen[depth][-1] for depth in range(deepest) for chosen in by_shape if depth < len(chosen)]
        return sorted(turns[: self.wanted])


def shape_of(key: str) -> str:
    """`raw/2025/11/01/12/metrics-1-2025-11-01-12-00-00-ab12.json.gz` has the shape `raw/#/#/#/#/*.json.gz`."""
    folder, _, name = key.rpartition("/")
    _, dot, extension = name.partition(".")
    return f"{_VARYING.sub('#', folder)}/*{_VARYING.sub('#', dot + extension)}"
