"""Places for stores on a Valkey server or cluster: keys of each place have a prefix of their own."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from valkey import Valkey
from valkey.cluster import ValkeyCluster

from transforms.calls.valkey import Server, ValkeyCalls
from transforms.core.item_keys import ItemKeys
from transforms.core.store_settings import DEFAULT_TEMPLATE
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.valkey import ValkeyStore, ValkeyTier


@dataclass
class ValkeyPlace:
    """Keys of one prefix on a server, or on the cluster that a member belongs to. Every item goes out alone, so that a writer can be killed between any two."""

    running: Any
    is_cluster: bool = False
    prefix: str = "p0"
    make: Callable[[ValkeyTier], ValkeyStore] = ValkeyStore
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    granularities = ("1m",)

    def open(self, failpoint: Failpoint = no_failpoint) -> ValkeyStore:
        return self.make(self.tier(failpoint))

    def tier(self, failpoint: Failpoint = no_failpoint, **more: Any) -> ValkeyTier:
        own: dict[str, Any] = {"keys": ItemKeys(f"{self.prefix}:{DEFAULT_TEMPLATE}"), "own": self.prefix, "batch": 1, "failpoint": failpoint}
        return ValkeyTier(**{"calls": ValkeyCalls(Server("127.0.0.1", self.running.port)), **own, **more})

    def another(self) -> "ValkeyPlace":
        return ValkeyPlace(self.running, self.is_cluster, f"p{next(self.numbers)}", self.make, self.numbers)

    def copy(self) -> "ValkeyPlace":
        place = self.another()
        with self.client() as client:
            for key in self.keys(client):
                assert client.copy(key, place.prefix.encode() + key.removeprefix(self.prefix.encode()))
        return place

    def stored(self) -> dict[str, bytes]:
        """Items and what lies beside them."""
        with self.client() as client:
            keys = [key for key in self.keys(client) if b":metric:" in key and b":before:" not in key]
            return {key.decode().removeprefix(self.prefix): repr(sorted(client.hgetall(key).items())).encode() for key in keys}

    def keys(self, client: Any) -> list[bytes]:
        return sorted(client.scan_iter(f"{self.prefix}:*", count=1000))

    def client(self) -> Any:
        return (ValkeyCluster if self.is_cluster else Valkey)(host="127.0.0.1", port=self.running.port)
