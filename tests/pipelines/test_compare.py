"""`rollups compare` through the command line: what a migration lost is named, and stores that hold the same are alike whatever their files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import NOON_S
from tests.pipelines.worlds import NOON_HOUR, Result, World, call, gauge, key
from transforms.core.hash_slots import slot_of_key

HOSTS = [f"h{number:02d}" for number in range(40)]
TEMPLATE = "metric:{{{org}:{entity}}}:{name}"


def compare(left: World, right: World, *more: str, period: str = NOON_HOUR, json: bool = True) -> Result:
    stores = (f"parquet://{left.store}", f"parquet://{right.store}")
    return call(["compare", *stores, "--period", period, "--metric-types", "host", *(("--json",) if json else ()), *more])


@pytest.fixture
def left(tmp_path: Path) -> World:
    """Forty hosts of three minutes."""
    world = World(tmp_path)
    world.put(key(NOON_S), *(gauge("x", [1.0, 2.0, 3.0], host=host) for host in HOSTS))
    assert world.backfill("--run-id", "r").code == 0
    return world


def slot_of(host: str) -> int:
    return slot_of_key(f"metric:{{acme:{host}}}:x".encode())


def without(left: World, hosts: list[str]) -> World:
    """A store that never got what these hosts have."""
    right = left.beside("right")
    assert right.backfill("--run-id", "r", *(word for host in HOSTS if host not in hosts for word in ("--series", f"host/*/{host}/*"))).code == 0
    return right


def test_the_slots_of_a_node_that_never_synced_are_named(left: World) -> None:
    """The last of three nodes, 10923 to 16383, has nothing."""
    lost = [host for host in HOSTS if slot_of(host) >= 10_923]
    slots = sorted({slot_of(host) for host in lost})
    result = compare(left, without(left, lost), "--hash-key", TEMPLATE)
    assert result.code == 4
    told = result.data
    assert told["buckets"]["host"]["1m"] == {"equal": 3 * (40 - len(lost)), "missing": 3 * len(lost), "extra": 0, "different": 0}
    assert told["days"] == [
        {"metric_type": "host", "granularity": name, "day": "2025-11-01", "missing": number * len(lost), "extra": 0, "different": 0}
        for name, number in (("1h", 1), ("1m", 3), ("5m", 1))
    ]
    assert [int(slot) for slot in told["hash_slots"]["slots"]] == slots
    assert told["hash_slots"]["groups"] == [
        {"slots": f"{slots[0]}-{slots[-1]}", "with_series": len(slots), "missing": 5 * len(lost), "extra": 0, "different": 0}
    ]
    assert (told["hash_slots"]["with_series"], told["hash_slots"]["differing"]) == (len({slot_of(host) for host in HOSTS}), len(slots))
    text = compare(left, without(left, lost), "--hash-key", TEMPLATE, json=False)
    assert text.code == 4
    assert f"slots     {len(slots)} of the" in text.out
    assert f"{slots[0]}-{slots[-1]}" in text.out
    assert "missing   host/acme/" in text.out


def test_the_other_way_round_the_same_is_extra(left: World) -> None:
    told = compare(without(left, HOSTS[:2]), left).data
    assert told["buckets"]["host"]["1m"] == {"equal": 114, "missing": 0, "extra": 6, "different": 0}
    assert told["hash_slots"] is None
    assert {one["entity"] for one in told["examples"]["extra"]} == set(HOSTS[:2])


def test_values_are_compared_bit_for_bit_and_generations_only_if_asked(left: World) -> None:
    other = left.beside("other")
    assert other.backfill("--run-id", "r").code == 0
    assert compare(left, other).code == 0
    assert compare(left, other).data["differences"] == 0
    assert compare(left, other, "--include-generation").data["buckets"]["host"]["1h"] == {"equal": 0, "missing": 0, "extra": 0, "different": 40}
    (path,) = other.store.rglob("granularity=1m/**/*.parquet")
    table = pq.read_table(path, partitioning=None)
    changed = [one if at else 1.0000000000000002 for at, one in enumerate(table["max"].to_pylist())]
    pq.write_table(table.set_column(table.schema.get_field_index("max"), "max", pa.array(changed)), path)
    result = compare(left, other)
    assert result.code == 4
    assert result.data["buckets"]["host"]["1m"] == {"equal": 119, "missing": 0, "extra": 0, "different": 1}
    assert [one["entity"] for one in result.data["examples"]["different"]] == ["h00"]


def test_series_granularities_and_periods_are_selected(left: World) -> None:
    right = without(left, HOSTS[:2])
    assert compare(left, right, "--series", "host/*/h0[2-9]/*").code == 0
    (left.root / "series.txt").write_text(f"host/acme/{HOSTS[0]}/x\n")
    told = compare(left, right, "--series-file", str(left.root / "series.txt"), "--granularities", "1h").data
    assert told["buckets"] == {"host": {"1h": {"equal": 0, "missing": 1, "extra": 0, "different": 0}}}
    assert compare(left, right, "--org", "other", "--allow-empty").code == 0


def test_a_comparison_of_nothing_is_no_success(left: World) -> None:
    result = compare(left, left, period="2025-12-01T00:00Z/P1D")
    assert result.code == 5
    assert "neither parquet://" in result.err
    assert "has rollups of host in 2025-12-01T00:00:00Z/2025-12-02T00:00:00Z" in result.err
    assert compare(left, left, "--allow-empty", period="2025-12-01T00:00Z/P1D").code == 0


def test_stores_and_arguments_are_checked(left: World) -> None:
    result = call(["compare", f"parquet://{left.store}", "--period", NOON_HOUR])
    assert (result.code, "the following arguments are required: RIGHT" in result.err) == (2, True)
    assert call(["compare", f"parquet://{left.store}", f"parquet://{left.root}/none", "--period", NOON_HOUR]).code == 2


def test_stores_that_cut_series_into_other_shards_are_alike(left: World) -> None:
    other = left.beside("other")
    folder = other.store / "_partitions" / "host"
    folder.mkdir(parents=True)
    (folder / "2025-11-01.json").write_text('{"format": 1, "shards": 7, "hash": "crc32"}')
    assert other.backfill("--run-id", "r").code == 0
    assert len(list(other.store.rglob("granularity=1m/**/*.parquet"))) == 7
    told = compare(left, other, period="2025-11-01T00:00Z/P1D")
    assert (told.code, told.data["buckets"]["host"]["1m"]["equal"]) == (0, 120)
