"""Valkey servers on 127.0.0.1, alone or as a cluster: real servers over sockets, ended with the test that asked for them."""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from scripts.local_servers import valkey as server
from transforms.core.hash_slots import SLOTS

PATIENCE_S = 30


@contextmanager
def cluster_member(folder: Path, **config: Any) -> Iterator[Any]:
    """A server in cluster mode that knows no other."""
    with socket.create_server(("127.0.0.1", 0)) as bus:
        bus_port = bus.getsockname()[1]
    with server(folder, cluster_enabled="yes", cluster_port=bus_port, **config) as running:
        running.bus_port = bus_port
        yield running


@contextmanager
def cluster_node(folder: Path) -> Iterator[Any]:
    """A client of a node that is alone in its cluster; it tells slots of keys, whoever serves them."""
    with cluster_member(folder) as running, running.client() as client:
        yield client


@contextmanager
def cluster(folder: Path, nodes: int = 3) -> Iterator[list[Any]]:
    """The members of a cluster that share all slots, in the order of their slots."""
    with ExitStack() as stack:
        members = [stack.enter_context(cluster_member(folder / str(number))) for number in range(nodes)]
        clients = [stack.enter_context(member.client()) for member in members]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTSRANGE", number * SLOTS // nodes, (number + 1) * SLOTS // nodes - 1)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for member in members[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", member.port, member.bus_port)
        end_s = time.monotonic() + PATIENCE_S
        while not all(_knows_all(client, nodes) for client in clients):
            assert time.monotonic() < end_s, "the nodes found no cluster"
        yield members


def _knows_all(client: Any, nodes: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(nodes) and info["cluster_slots_ok"] == str(SLOTS)


def key_slots(client: Any, keys: Sequence[bytes]) -> list[int]:
    """What CLUSTER KEYSLOT answers for each key, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("CLUSTER KEYSLOT", key)
    answers: list[int] = pipeline.execute()
    return answers
