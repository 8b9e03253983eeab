"""Partitions of a Parquet store: how many shards each has, and the generations the store issues."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transforms.core.canonical import Identity
from transforms.core.errors import RefusedError
from transforms.core.granularity import GRANULARITIES
from transforms.core.model import SeriesKey, labels_pairs
from transforms.core.units import SHARD_HASH, shard_of
from transforms.stores.files import Files
from transforms.stores.layout import Layout, shard_number
from transforms.stores.shard_files import read_identities

FORMAT: Final = 1


@dataclass(frozen=True)
class Partitions:
    """The partition files under `_partitions`."""

    layout: Layout
    files: Files

    def shards(self, metric_type: str, window: str) -> int | None:
        """The partition's number of shards, None if it does not exist.

        If there are rollups but no partition file (another writer made them), the highest shard's number + 1, provided that every series lies in the shard that
        it then belongs to. Raises RefusedError for a partition file or rollups that can't be understood.
        """
        path = self.layout.partition(metric_type, window)
        return _parse(path) if path.exists() else self._adopted(metric_type, window)

    def open(self, metric_type: str, window: str, shards: int) -> int:
        """Make the partition unless it exists; its number of shards."""
        path = self.layout.partition(metric_type, window)
        if path.exists():
            return _parse(path)
        with self.files.lock(self.layout.lock("partitions")):
            count = self.shards(metric_type, window) or shards
            if not path.exists():
                text = json.dumps({"format": FORMAT, "shards": count, "hash": SHARD_HASH})
                self.files.replace(path, lambda temp: temp.write_text(text + "\n"), name="partition")
        return count

    def _adopted(self, metric_type: str, window: str) -> int | None:
        paths = [path for granularity in GRANULARITIES for path in self.layout.data_files(metric_type, granularity, window)]
        shards = max((_number(path) for path in paths), default=-1) + 1
        for path in paths:
            stranger = _stranger(path, metric_type, shards)
            if stranger:
                known = self.layout.partition(metric_type, window)
                msg = (
                    f"finding the shards of {metric_type} {window}: {known} does not exist, and with {shards} shards, as the file names say, "
                    f"series {'/'.join(stranger)} would not be in {path}; "
                    f'write {{"format":{FORMAT},"shards":N,"hash":"{SHARD_HASH}"}} with the right N into {known}'
                )
                raise RefusedError(msg)
        return shards or None


def _number(path: Path) -> int:
    number = shard_number(path)
    if number is None:
        msg = f"finding the shards of {path.parent}: {path.name} is not named like shard-0003.parquet; move its rollups into the shards, or out"
        raise RefusedError(msg)
    return number


def _stranger(path: Path, metric_type: str, shards: int) -> Identity | None:
    """A series that the file of a shard should not hold, if there is one."""
    number = shard_number(path)
    return next((identity for identity in read_identities(path).keys if shard_of(_encoded(metric_type, identity, path), shards) != number), None)


def _encoded(metric_type: str, identity: Identity, path: Path) -> bytes:
    org, entity, name, labels, _kind = identity
    try:
        return SeriesKey(metric_type, org, entity, name, labels_pairs(labels)).encode()
    except (ValueError, AttributeError) as error:
        msg = f"reading rollups from {path}: the labels {labels!r} of series {org}/{entity}/{name} are not a JSON object; without labels they are {{}}"
        raise RefusedError(msg) from error


def _parse(path: Path) -> int:
    text = path.read_text()
    try:
        data = json.loads(text)
        shards = data["shards"]
        understood = data["format"] == FORMAT and data["hash"] == SHARD_HASH and isinstance(shards, int) and shards > 0
    except (ValueError, KeyError, TypeError):
        understood = False
    if not understood:
        msg = f'reading {path}: {text[:200]!r} is not a partition as {{"format":{FORMAT},"shards":4,"hash":"{SHARD_HASH}"}}; restore the file'
        raise RefusedError(msg)
    return int(shards)


@dataclass(frozen=True)
class Generations:
    """The counter in `_generation`."""

    layout: Layout
    files: Files

    def last(self) -> int:
        """The last generation issued, 0 if none."""
        path = self.layout.generation()
        text = path.read_text() if path.exists() else "0"
        if not text.strip().isdecimal():
            msg = f"reading {path}: {text[:200]!r} is not a generation, a whole number of milliseconds; write the highest generation in the store into it"
            raise RefusedError(msg)
        return int(text)

    def issue(self, now_ms: int) -> int:
        """`max(now_ms, last + 1)`, remembered on disk before it is returned."""
        with self.files.lock(self.layout.lock("generation")):
            generation = max(now_ms, self.last() + 1)
            self.files.replace(self.layout.generation(), lambda temp: temp.write_text(f"{generation}\n"), name="generation")
        return generation
