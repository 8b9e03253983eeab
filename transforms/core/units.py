"""Units: what one worker rolls up, writes and records as done, and how series are spread over them."""

import zlib
from typing import Final, NamedTuple

SHARD_HASH: Final = "crc32"
"""Name of the fixed hash of a `SeriesKey`'s bytes that picks the shard: CRC-32 as in zlib, modulo the number of shards."""


class Unit(NamedTuple):
    """One shard of one store partition (metric type, window). `window` names its first UTC day: `2025-11-01` (transforms.core.windows)."""

    metric_type: str
    window: str
    shard: int

    def __str__(self) -> str:
        """Sorts like the unit and is safe in file names: `host-2025-11-01-0003`."""
        return f"{self.metric_type}-{self.window}-{self.shard:04d}"


def shard_of(series_key: bytes, shards: int) -> int:
    """Shard of a series: `crc32(SeriesKey bytes) mod shards`, in [0, shards)."""
    return zlib.crc32(series_key) % shards
