"""Room in a hot tier: nothing is written that would make a server evict what is live, or refuse what its live writer wants to write."""

from collections.abc import Iterable
from typing import Any, Final

from transforms.calls.valkey import ValkeyCalls
from transforms.core.errors import StoreFull

FULL_SHARE: Final = 0.9
"""Share of `maxmemory` that is filled at most: the rest is for what the live writer adds, other runs, and buffers of clients."""

OVERHEAD_BYTES: Final = 1024
"""Of an item, what lies beside it and its before-image, when they are new: keys, expiries, and what tables grow by."""

GROWTH: Final = 2.0
"""Stored bytes over those of texts, at most: an entry of a listpack or table costs a few bytes more than its text."""


def check_room(calls: ValkeyCalls, coming: Iterable[tuple[bytes, int]]) -> None:
    """Raises StoreFull, with numbers, if one of the servers has no room for items that are coming: their keys, and bytes of all their texts and images."""
    by_node: dict[str, float] = {}
    for key, size_bytes in coming:
        node = calls.node_of(key)
        by_node[node] = by_node.get(node, 0.0) + size_bytes * GROWTH + OVERHEAD_BYTES
    for node, more in sorted(by_node.items()):
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
