"""The behaviour suite over a hot tier: a server, and a cluster of three for what touches several keys at once."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from tests.contracts.harness import NewPlace
from tests.contracts.test_store import BEHAVIOURS, CAUGHT
from tests.contracts.valkey_places import ValkeyPlace
from tests.valkey_cluster import cluster, server
from transforms.core.units import Unit
from transforms.core.versions import Merged, merge
from transforms.stores.backend import Change
from transforms.stores.valkey import ValkeyStore

ON_CLUSTER = {
    "three_runs_end_alike_in_every_order",
    "two_writers_between_read_and_replace_lose_nothing",
    "neighbours_stay_byte_for_byte",
    "names_are_any_text_and_sorted_by_code_point",
    "generations_are_unique_among_processes",
    "an_upsert_killed_at_any_call_is_repeated_to_the_same_bytes",
    "an_undo_killed_at_any_call_is_repeated_to_the_same_bytes",
    "runs_undone_newest_first_bring_back_the_beginning",
    "a_scan_unites_shards_and_windows_in_order",
    "every_kind_comes_back_as_it_was",
}


class Unconditional(ValkeyStore):
    """Wrong on purpose: each new row replaces the stored one, as a plain HSET does."""

    def upsert(self, unit: Unit, rollups: Mapping[str, pa.Table], *, run_id: str, allow_fewer: bool) -> dict[str, Merged]:  # type: ignore[override]
        results = {}
        for granularity, table in rollups.items():
            stored = self.stored_near(unit, granularity, table)
            untouched = stored.filter(pa.array(merge(stored, table, allow_fewer=allow_fewer).unmatched))
            results[granularity] = blind = merge(untouched, table, allow_fewer=True)
            self.backend.update(unit, {granularity: Change(table, partial(_instead, blind.table))}, run_id)
        return results


def _instead(table: pa.Table, _stored: pa.Table) -> pa.Table:
    return table


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with server(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with cluster(tmp_path_factory.mktemp("cluster")) as members:
        yield members[0]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_behaviour(behaviour: Callable[[NewPlace], None], alone: Any) -> None:
    place = ValkeyPlace(alone)
    with place.client() as client:
        client.flushall()
    behaviour(place.another)


@pytest.mark.parametrize(
    "behaviour",
    [pytest.param(one, marks=[pytest.mark.slow] if "killed" in one.__name__ else []) for one in BEHAVIOURS if one.__name__ in ON_CLUSTER],
    ids=lambda behaviour: behaviour.__name__,
)
def test_behaviour_on_a_cluster(behaviour: Callable[[NewPlace], None], member: Any) -> None:
    assert {one.__name__ for one in BEHAVIOURS} >= ON_CLUSTER
    place = ValkeyPlace(member, is_cluster=True)
    with place.client() as client:
        client.flushall()
    behaviour(place.another)


@pytest.mark.parametrize("behaviour", [one for one in BEHAVIOURS if one.__name__ in CAUGHT], ids=lambda behaviour: behaviour.__name__)
def test_the_suite_catches_an_unconditional_put(behaviour: Callable[[NewPlace], None], alone: Any) -> None:
    place = ValkeyPlace(alone, make=Unconditional)
    with pytest.raises(AssertionError):
        behaviour(place.another)
