"""Room in a hot tier: nothing is written that would make a server evict what is live, or refuse what its live writer wants to write."""

from collections.abc import Sequence
from typing import Any, Final

from transforms.calls.valkey import Command, ValkeyCalls
from transforms.core.errors import StoreFull

FULL_SHARE: Final = 0.9
"""Share of `maxmemory` that is filled at most: the rest is for what the live writer adds, other runs, and buffers of clients."""

OVERHEAD_BYTES: Final = 512
"""Of an item, what lies beside it and its before-image: keys, expiries and encodings, three times about 150 bytes as MEMORY USAGE tells of Valkey 9."""

GROWTH: Final = 2.0
"""Stored bytes over those of the words of a command: text grows in listpacks by a few bytes an entry, and tables double."""


def check_room(calls: ValkeyCalls, commands: Sequence[Command]) -> None:
    """Raises StoreFull, with numbers, if one of the servers has no room for what the commands bring."""
    coming: dict[str, float] = {}
    for one in commands:
        node = calls.node_of(one.key)
        coming[node] = coming.get(node, 0.0) + one.size_bytes * GROWTH + OVERHEAD_BYTES
    for node, more in sorted(coming.items()):
        _check_node(calls, node, round(more))


def _check_node(calls: ValkeyCalls, node: str, more: int) -> None:
    told: dict[str, Any] = calls.at("asking for the memory in use", node, "INFO", "memory")
    used, limit = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
    if limit and used + more > FULL_SHARE * limit:
        policy = told.get("maxmemory_policy", "unknown")
        what = "refuse what its live writer writes" if policy == "noeviction" else "evict live points"
        msg = (
            f"writing {more:,} bytes to {node or calls}: {used:,} of maxmemory {limit:,} bytes are in use, and beyond {FULL_SHARE:.0%} the server could soon "
            f"{what} (maxmemory-policy {policy}); make room or ask for less, then repeat the command with the same run id"
        )
        raise StoreFull(msg)
