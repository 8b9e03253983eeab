"""The manifest: the immutable, digested list of archive objects that a run reads, cut into read groups.

Object keys are ordered by code point; an object's ordinal is its place in that order and part of the order of points (DESIGN §3).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE, KeyLayout

_SCHEMA: Final = pa.schema([("key", pa.string()), ("size_bytes", pa.int64()), ("etag", pa.string()), ("modified_s", pa.int64())])


class ArchiveObject(NamedTuple):
    """One object as listed. `key` is relative to the archive, `etag` changes when the content does."""

    key: str
    size_bytes: int
    etag: str
    modified_s: int

    @property
    def arrival_us(self) -> int:
        """`arrival_in` an archive that Firehose filled."""
        return self.arrival_in(FIREHOSE)

    def arrival_in(self, layout: KeyLayout) -> int:
        """Arrival in µs for postings that carry none: the time in the file name, else the folder, else the modification time."""
        span = layout.times(self.key)
        return (self.modified_s if span is None else span[0]) * 1_000_000


def key_times(key: str, layout: KeyLayout = FIREHOSE) -> Range | None:
    """As `KeyLayout.times`."""
    return layout.times(key)


@dataclass(frozen=True)
class Manifest:
    """Archive objects sorted by key."""

    objects: tuple[ArchiveObject, ...]

    @classmethod
    def of(cls, objects: Iterable[ArchiveObject]) -> "Manifest":
        """The manifest of these objects in whatever order they come."""
        return cls(tuple(sorted(objects)))

    @property
    def size_bytes(self) -> int:
        """Stored (compressed) size of all objects."""
        return sum(one.size_bytes for one in self.objects)

    def digest(self) -> str:
        """SHA-256 over keys, sizes and etags: two runs with the same digest read the same bytes."""
        hasher = hashlib.sha256()
        for one in self.objects:
            hasher.update(f"{one.key}\0{one.size_bytes}\0{one.etag}\n".encode())
        return hasher.hexdigest()

    def to_arrow(self) -> pa.Table:
        """One row per object, in order."""
        columns = zip(*self.objects, strict=True) if self.objects else ([], [], [], [])
        return pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "Manifest":
        """Inverse of `to_arrow`."""
        return cls(tuple(map(ArchiveObject, *(table[name].to_pylist() for name in _SCHEMA.names))) if table.num_rows else ())


def cut_groups(sizes_bytes: Sequence[int], *, max_bytes: int, min_groups: int) -> tuple[tuple[int, int], ...]:
    """Cuts consecutive objects into read groups `(first ordinal, count)` of at most `max_bytes`, or one object where that alone is larger.

    There are at least `min_groups` of them, so that every worker gets some, or as many as there are objects.
    """
    limit = max(1, min(max_bytes, -(-sum(sizes_bytes) // max(1, min_groups))))
    groups: list[tuple[int, int]] = []
    first, held = 0, 0
    for ordinal, size in enumerate(sizes_bytes):
        if ordinal > first and held + size > limit:
            groups.append((first, ordinal - first))
            first, held = ordinal, 0
        held += size
    if len(sizes_bytes) > first:
        groups.append((first, len(sizes_bytes) - first))
    while len(groups) < min(min_groups, len(sizes_bytes)):
        groups = _halved(groups)
    return tuple(groups)


def _halved(groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The group of most objects made two."""
    place = max(range(len(groups)), key=lambda one: groups[one][1])
    first, number = groups[place]
    half = number // 2
    return [*groups[:place], (first, half), (first + half, number - half), *groups[place + 1 :]]
