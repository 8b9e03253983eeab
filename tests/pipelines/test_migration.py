"""The real migration: a Redis cluster is taken over by Valkey nodes of which one never synced, and `rollups compare` names what that one lost.

The old side is Redis where a `redis-server` is on the path (Debian's redis-server), and a Valkey cluster of its own where there is none.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import create_server
from typing import Any, NamedTuple

import pytest
from valkey import Valkey
from valkey.exceptions import ConnectionError as NotThere

from tests.builders import NOON_S
from tests.pipelines.worlds import Result, World, call, gauge, iso, key
from tests.valkey_cluster import PATIENCE_S, cluster
from transforms.core.hash_slots import SLOTS, parse_slots, slot_of_key

HOSTS = [f"h{number:02d}" for number in range(60)]
MINUTES = 10
HASH_KEY = "{{{type}|{org}|{entity}|{name}|{labels}}}"
"""The hash tag of the default layout."""


@contextmanager
def old_cluster(folder: Path) -> Iterator[Sequence[int]]:
    """Ports of three nodes that share all slots, in their order."""
    redis = shutil.which("redis-server")
    if redis is None:
        with cluster(folder) as members:
            yield [member.port for member in members]
        return
    with ExitStack() as stack:
        ports = [stack.enter_context(redis_node(redis, folder / str(number))) for number in range(3)]
        clients = [stack.enter_context(Valkey(port=port)) for port in ports]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], ports[0] + 10_000)
        until(lambda: all(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for client in clients))
        until(lambda: all(client.execute_command("CLUSTER INFO")["cluster_known_nodes"] == "3" for client in clients))
        yield ports


@contextmanager
def redis_node(redis: str, folder: Path) -> Iterator[int]:
    folder.mkdir(parents=True)
    port = free_port()
    own = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--dir", str(folder))
    with subprocess.Popen([redis, *own], stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(port))
            yield port
        finally:
            process.terminate()


def free_port() -> int:
    """A port of which the one 10,000 above, which Redis takes for its cluster's bus, is free as well."""
    while True:
        with create_server(("127.0.0.1", 0)) as one, suppress(OSError, OverflowError):
            port: int = one.getsockname()[1]
            with create_server(("127.0.0.1", port + 10_000)):
                return port


def answers(port: int) -> bool:
    with suppress(NotThere), Valkey(port=port) as client:
        return bool(client.ping())
    return False


def until(found: Any) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end_s, "the nodes found no cluster"


class Sides(NamedTuple):
    """Both clusters' URLs and the ports of their nodes; `asked` are the arguments that name what is in them."""

    left: str
    right: str
    old: Sequence[int]
    new: Sequence[int]
    asked: tuple[str, ...]
    world: World

    def copy(self) -> None:
        done(call(["copy", "--from", self.left, "--store", self.right, *self.asked, "--work-dir", str(self.world.work), "--yes"]))

    def compare(self) -> Result:
        return call(["compare", self.left, self.right, *self.asked, "--hash-key", HASH_KEY])


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    """The last hour's minutes of sixty hosts in the old cluster, copied to the new one."""
    with old_cluster(tmp_path / "old") as old, cluster(tmp_path / "new") as members:
        new = [member.port for member in members]
        world = World(tmp_path)
        from_s = int(time.time()) // 3600 * 3600 - 3600
        at_s = from_s - NOON_S
        world.put(key(from_s), *(gauge("x", {at_s + 60 * minute: float(minute) for minute in range(MINUTES)}, host=host, at=at_s + 700) for host in HOSTS))
        asked = ("--period", f"{iso(from_s)}/PT1H", "--granularities", "1m", "--metric-types", "host", "--json", "--valkey-ops-per-s", "100000")
        found = Sides(f"redis://127.0.0.1:{old[0]}/0", f"valkey://127.0.0.1:{new[0]}/0", old, new, asked, world)
        done(call(["backfill", "--archive", f"file://{world.archive}", "--store", found.left, *asked, "--work-dir", str(world.work), "--yes"]))
        found.copy()
        yield found


def done(result: Result) -> None:
    assert result.code == 0, result.err + result.out


def slot_of(host: str) -> int:
    return slot_of_key(f"{{host|acme|{host}|x|{{}}}}".encode())


def test_compare_names_the_slots_of_the_node_that_never_synced(sides: Sides) -> None:
    result = sides.compare()
    assert (result.code, result.data["buckets"]["host"]["1m"]) == (0, {"equal": MINUTES * len(HOSTS), "missing": 0, "extra": 0, "different": 0})
    with Valkey(port=sides.new[1]) as client:
        client.flushall()
    result = sides.compare()
    assert result.code == 4, result.err
    lost = sorted(slot_of(host) for host in HOSTS if SLOTS // 3 <= slot_of(host) < 2 * SLOTS // 3)
    assert result.data["buckets"]["host"]["1m"] == {"equal": MINUTES * (len(HOSTS) - len(lost)), "missing": MINUTES * len(lost), "extra": 0, "different": 0}
    (group,) = result.data["hash_slots"]["groups"]
    ((first, last),) = parse_slots(group["slots"])
    assert (first, last, group["with_series"]) == (lost[0], lost[-1], len(set(lost)))
    with Valkey(port=sides.old[1]) as client:
        held = [slot for slot in range(SLOTS) if client.execute_command("CLUSTER COUNTKEYSINSLOT", slot)]
    assert {int(slot) for slot in result.data["hash_slots"]["slots"]} == set(lost) <= set(held)
    sides.copy()
    assert sides.compare().code == 0


def test_5m_and_1h_are_made_of_the_minutes_that_the_hot_tier_still_has(sides: Sides) -> None:
    """Into a store of another kind, with the bytes of a backfill from the archive."""
    world, period = sides.world.beside("coarser"), sides.asked[1]
    done(sides.world.backfill("--run-id", "whole", "--granularities", "5m,1h", period=period))
    own = ("--metric-types", "host", "--work-dir", str(world.work), "--run-id", "again", "--valkey-ops-per-s", "100000")
    done(call(["recalculate", "--from", sides.right, "--store", f"parquet://{world.store}", "--period", period, *own]))
    assert len(world.rows("5m", period=period)) == 2 * len(HOSTS)
    assert world.but_generation("again") == sides.world.but_generation("whole")
