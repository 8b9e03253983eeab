"""Room in a hot tier: nothing is written that would make a server evict what is live, or refuse what its live writer wants to write."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

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


def memory_texts(calls: ValkeyCalls) -> list[str]:
    """Each server with its memory, for people."""
    return [f"{node or calls}, {_memory(calls, node)}" for node in calls.nodes("listing servers")]


class _Memory(NamedTuple):
    """What a server says of its memory; a `limit_bytes` of 0 is none."""

    used_bytes: int
    limit_bytes: int
    policy: str

    def __str__(self) -> str:
        limit = f"maxmemory {self.limit_bytes:,} bytes" if self.limit_bytes else "no maxmemory"
        return f"{self.used_bytes:,} bytes in use, {limit}, maxmemory-policy {self.policy}"


def _memory(calls: ValkeyCalls, node: str) -> _Memory:
    told: dict[str, Any] = calls.at("asking for the memory in use", node, "INFO", "memory")
    return _Memory(int(told.get("used_memory", 0)), int(told.get("maxmemory", 0)), str(told.get("maxmemory_policy", "unknown")))


def _check_node(calls: ValkeyCalls, node: str, more: int) -> None:
    memory = _memory(calls, node)
    if memory.limit_bytes and memory.used_bytes + more > FULL_SHARE * memory.limit_bytes:
        what = "refuse what its live writer writes" if memory.policy == "noeviction" else "evict live points"
        msg = (
            f"writing {more:,} bytes to {node or calls}: {memory}; beyond {FULL_SHARE:.0%} of it the server could soon {what}; "
            "make room or ask for less, then repeat the command with the same run id"
        )
        raise StoreFull(msg)
