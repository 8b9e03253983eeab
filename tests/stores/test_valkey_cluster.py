"""A cluster whose slots move while a run writes: MOVED and ASK are followed, what is on its way is waited for, and a node that goes is given up."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valkey.cluster import ValkeyCluster

from tests.contracts.harness import UNIT, put, read
from tests.contracts.valkey_places import ValkeyPlace
from tests.core.rollup_tables import DAY_S, row, rows_of
from tests.valkey_cluster import cluster, cluster_member
from transforms.calls.valkey import Server, ValkeyCalls
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.errors import ServiceUnavailable, StoreFull
from transforms.core.hash_slots import slot_of_key
from transforms.core.versions import Verdict
from transforms.stores.valkey import ValkeyStore

KEY = f"p1:metric:{{host|acme|h1|cpu|{{}}}}:gauge:{DAY_S}".encode()
SLOT = slot_of_key(KEY)


class Move:
    """The way of a slot from one node to another, step by step."""

    def __init__(self, members: list[Any], slot: int = SLOT) -> None:
        self.slot, self.port = slot, {}
        self.clients = [member.client() for member in members]
        self.ids = [client.execute_command("CLUSTER MYID").decode() for client in self.clients]
        held = next(number for number, client in enumerate(self.clients) if _holds(client, slot))
        self.source, self.target = held, (held + 1) % len(members)
        self.target_port = members[self.target].port

    def begin(self) -> None:
        self.clients[self.target].execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", self.ids[self.source])
        self.clients[self.source].execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", self.ids[self.target])

    def carry(self) -> None:
        source = self.clients[self.source]
        while keys := source.execute_command("CLUSTER GETKEYSINSLOT", self.slot, 100):
            source.execute_command("MIGRATE", "127.0.0.1", self.target_port, "", 0, 5000, "KEYS", *keys)

    def end(self) -> None:
        for number in (self.target, self.source, *({*range(len(self.clients))} - {self.target, self.source})):
            self.clients[number].execute_command("CLUSTER SETSLOT", self.slot, "NODE", self.ids[self.target])

    def all(self) -> None:
        self.begin()
        self.carry()
        self.end()


def _holds(client: Any, slot: int) -> bool:
    mine = next(line for line in client.execute_command("CLUSTER NODES").items() if "myself" in line[1]["flags"])
    return any(int(first) <= slot <= int(last) for first, last in mine[1]["slots"])


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[Any]]:
    with cluster(tmp_path) as some:
        yield some


@pytest.fixture
def place(members: list[Any]) -> ValkeyPlace:
    return ValkeyPlace(members[0], is_cluster=True).another()


def store_of(place: ValkeyPlace, failpoint: Callable[[str], object], sleep: Callable[[float], object] = lambda _: None, attempts: int = 3) -> ValkeyStore:
    waiting = Waiting(sleep=sleep, random=lambda: 1.0, backoff=Backoff(attempts=attempts))  # type: ignore[arg-type]
    calls = ValkeyCalls(Server("127.0.0.1", place.running.port), waiting=waiting)
    return ValkeyStore(place.tier(calls=calls, failpoint=failpoint, batch=10))  # type: ignore[arg-type]


ROWS = [row(f"h{number}", 60 * minute, generation=5) for number in range(6) for minute in range(3)]
ALL = {(f"h{number}", 60 * minute): (1, 1.0, 5) for number in range(6) for minute in range(3)}


def once(name: str, work: Callable[[], object]) -> Callable[[str], object]:
    """Does the work when that failpoint is first passed."""
    left = [work]
    return lambda passed: left.pop()() if passed == name and left else None


@pytest.mark.parametrize("moment", ["before items.read", "before items.write", "before images.write"])
def test_a_slot_that_moves_while_a_run_writes_loses_nothing(members: list[Any], place: ValkeyPlace, moment: str) -> None:
    put(place.open(), [row("h1", 0, generation=1), row("h1", 120, value=9.0, generation=1)], run_id="earlier")
    merged = put(store_of(place, once(moment, Move(members).all)), ROWS)
    assert [merged.verdicts.tolist().count(one) for one in (Verdict.ADDED, Verdict.CHANGED, Verdict.EQUAL)] == [16, 1, 1]
    assert read(place.open()) == ALL
    assert place.open().undo("run", generation=5, now_generation=6).removed == {"1m": 16}


def test_items_of_a_slot_on_its_way_are_read_from_where_they_are_and_written_when_it_has_come(members: list[Any], place: ValkeyPlace) -> None:
    put(place.open(), [row("h1", 0, value=9.0, generation=1)], run_id="earlier")
    move, sleeps = Move(members), []

    def sleep(wait_s: float) -> None:
        sleeps.append(wait_s)
        move.end()

    move.begin()
    move.carry()
    assert read(place.open()) == {("h1", 0): (1, 9.0, 1)}  # by ASK
    put(store_of(place, lambda _: None, sleep), ROWS)
    assert len(sleeps) == 1
    assert read(place.open()) == ALL


def test_a_slot_that_does_not_arrive_is_given_up_and_gone_on_with_later(members: list[Any], place: ValkeyPlace) -> None:
    put(place.open(), [row("h1", 0, value=9.0, generation=1)], run_id="earlier")
    move = Move(members)
    move.begin()
    with pytest.raises(ServiceUnavailable, match=r"writing items of host-2025-11-01-0000 at .* 2 attempts"):
        put(store_of(place, lambda _: None, attempts=2), ROWS)
    move.carry()
    move.end()
    put(place.open(), ROWS)
    assert read(place.open()) == ALL


def test_before_images_move_with_their_items(members: list[Any], place: ValkeyPlace) -> None:
    put(place.open(), [row("h1", 0, value=9.0, generation=None)], run_id="seed")
    put(place.open(), ROWS)
    Move(members).all()
    place.open().undo("run", generation=5, now_generation=6)
    assert read(place.open()) == {("h1", 0): (1, 9.0, 6)}


def test_any_member_leads_to_all(members: list[Any], place: ValkeyPlace) -> None:
    put(place.open(), ROWS)
    for member in members:
        other = ValkeyPlace(member, is_cluster=True, prefix=place.prefix)
        assert [one["entity"] for _, piece in other.open().scan("1m") for one in rows_of(piece)] == [f"h{number}" for number in range(6) for _ in range(3)]
        assert other.open().read_unit(UNIT, "1m").num_rows == 18


def test_the_node_that_is_full_is_named(members: list[Any], place: ValkeyPlace) -> None:
    full = Move(members).source
    client = members[full].client()
    client.config_set("maxmemory", round(client.info("memory")["used_memory"] * 1.1))
    with pytest.raises(StoreFull, match=f"to 127.0.0.1:{members[full].port}: "):
        put(place.open(), ROWS)


def test_a_node_that_goes_ends_the_run(members: list[Any], place: ValkeyPlace) -> None:
    put(place.open(), [row("h9")], run_id="earlier")
    move = Move(members)
    gone = once("before items.read", members[move.source].stop)
    other = ValkeyPlace(members[move.target], is_cluster=True, prefix=place.prefix)
    with pytest.raises(ServiceUnavailable, match=r"reading items at .* 2 attempts"):
        put(store_of(other, gone, attempts=2), ROWS)


def test_a_slot_that_no_node_serves_is_waited_for(tmp_path: Path) -> None:
    with cluster_member(tmp_path, cluster_require_full_coverage="no") as member, member.client() as client:
        for first, last in ((0, SLOT - 1), (SLOT + 1, 16_383)):
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            pass
        place = ValkeyPlace(member, is_cluster=True).another()
        with pytest.raises(ServiceUnavailable, match=r"reading items at .* 2 attempts, .* \((a slot of the cluster is served by no node|.*not served)"):
            put(store_of(place, lambda _: None, attempts=2), ROWS)
        add = once("", lambda: client.execute_command("CLUSTER ADDSLOTS", SLOT))
        put(store_of(place, lambda _: None, lambda _: add("")), ROWS)
        assert read(place.open()) == ALL


def test_a_client_of_the_cluster_sees_plain_keys(place: ValkeyPlace) -> None:
    put(place.open(), ROWS)
    client = ValkeyCluster(host="127.0.0.1", port=place.running.port)
    assert client.hgetall(KEY) == {str(DAY_S + 60 * minute).encode(): b"1.0" for minute in range(3)}
