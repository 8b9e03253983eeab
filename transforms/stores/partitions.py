"""How many shards each partition of a store has, and the generations that the store issues: small texts of its backend."""

import json
from dataclasses import dataclass
from typing import Final

from transforms.core.errors import RefusedError
from transforms.core.units import SHARD_HASH
from transforms.stores.backend import Backend

FORMAT: Final = 1
GENERATION: Final = "generation"


def partition_key(metric_type: str, window: str) -> str:
    """Where a partition's number of shards is kept."""
    return f"partition/{metric_type}/{window}"


@dataclass(frozen=True)
class Partitions:
    """Partitions by metric type and window."""

    backend: Backend

    def shards(self, metric_type: str, window: str) -> int | None:
        """The partition's number of shards, None if it does not exist; rollups of another writer without such a text count as a partition.

        Raises RefusedError for a text or rollups that can't be understood.
        """
        text = self.backend.text(partition_key(metric_type, window))
        return self.backend.shards_found(metric_type, window) if text is None else self._parsed(text, metric_type, window)

    def open(self, metric_type: str, window: str, shards: int) -> int:
        """Make the partition unless it exists; its number of shards."""
        text = self.backend.change_text(partition_key(metric_type, window), lambda text: self._new(metric_type, window, shards) if text is None else text)
        return self._parsed(text, metric_type, window)

    def _new(self, metric_type: str, window: str, shards: int) -> str:
        count = self.backend.shards_found(metric_type, window) or shards
        return json.dumps({"format": FORMAT, "shards": count, "hash": SHARD_HASH}) + "\n"

    def _parsed(self, text: str, metric_type: str, window: str) -> int:
        try:
            data = json.loads(text)
            shards = data["shards"]
            understood = data["format"] == FORMAT and data["hash"] == SHARD_HASH and isinstance(shards, int) and shards > 0
        except (ValueError, KeyError, TypeError):
            understood = False
        if not understood:
            place = f"{partition_key(metric_type, window)} of {self.backend.name}"
            msg = f'reading {place}: {text[:200]!r} is not a partition as {{"format":{FORMAT},"shards":4,"hash":"{SHARD_HASH}"}}; restore it'
            raise RefusedError(msg)
        return int(shards)


@dataclass(frozen=True)
class Generations:
    """The counter of generations."""

    backend: Backend

    def last(self) -> int:
        """The last generation issued, 0 if none."""
        return self._parsed(self.backend.text(GENERATION))

    def issue(self, now_ms: int) -> int:
        """`max(now_ms, last + 1)`, remembered by the store before it is returned."""
        return self._parsed(self.backend.change_text(GENERATION, lambda text: f"{max(now_ms, self._parsed(text) + 1)}\n"))

    def _parsed(self, text: str | None) -> int:
        if text is None:
            return 0
        if not text.strip().isdecimal():
            where = f"the last generation of {self.backend.name}"
            msg = f"reading {where}: {text[:200]!r} is not a generation, a whole number of milliseconds; write the highest generation in the store into it"
            raise RefusedError(msg)
        return int(text)
