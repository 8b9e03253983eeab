"""Only what was hit is restored: series files and hash slots, end to end; the parts of a cluster's slots give together what the whole gives."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOON_S
from tests.pipelines.test_cli import refused
from tests.pipelines.worlds import World, bits, call, gauge, key, service_gauge
from tests.valkey_cluster import cluster_node, key_slots

TYPES = "service,role,host"
HASH_KEY = "rollup:{type}:{{{org}.{entity}}}:{name}:{labels}"
LOST, REST = "0-5460", "5461-10922,10923-16383"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Forty hosts in three roles and ten services of two orgs, some minutes each."""
    world = World(tmp_path, types=TYPES)
    for part in range(4):
        hosts = [f"h{number}" for number in range(part, 40, 4)]
        records = [gauge("cpu", [1.5, float(len(host)), 0.1], host=host, org="acme" if part else "é}{", roles=[f"web:r{part % 3}"]) for host in hosts]
        services = [service_gauge("orders", {0: 1, 60: 2, 300: 3}, service=f"s{part}{number}") for number in range(3)]
        world.put(key(NOON_S + part), *records, *services)
    return world


@pytest.fixture
def hit(world: World) -> Path:
    return world.root / "hit.txt"


def run(world: World, *more: str) -> dict[str, Any]:
    result = world.backfill(*more)
    assert result.code == 0, result.err
    assert not result.data["imbalances"]
    return dict(result.data)


def outside(report: dict[str, Any]) -> int:
    return sum(of_type.get("outside.series", 0) for of_type in report["points"].values())


def staged(report: dict[str, Any]) -> int:
    return sum(of_type.get(term, 0) for of_type in report["points"].values() for term in ("stored", "superseded"))


def slots(ranges: str) -> tuple[str, ...]:
    return "--hash-slots", ranges, "--hash-key", HASH_KEY


def test_the_lost_slots_and_the_rest_are_together_the_whole(world: World) -> None:
    whole, lost, rest = world, world.beside("lost"), world.beside("rest")
    reports = [run(whole), run(lost, *slots(LOST)), run(rest, *slots(REST))]
    assert lost.all_rows()
    assert rest.all_rows()
    assert bits([*lost.all_rows(), *rest.all_rows()]) == bits(whole.all_rows())
    assert staged(reports[1]) + staged(reports[2]) == staged(reports[0])
    assert [outside(one) for one in reports] == [0, staged(reports[2]), staged(reports[1])]


def test_in_one_store_one_after_the_other_too(world: World) -> None:
    other = world.beside("other")
    run(world)
    run(other, *slots(LOST))
    run(other, *slots(REST))
    assert bits(other.all_rows()) == bits(world.all_rows())


def test_the_series_of_a_run_are_those_whose_keys_a_real_cluster_puts_there(world: World) -> None:
    run(world, *slots(LOST))
    stored = {series_key(row) for row in world.all_rows()}
    other = world.beside("other")
    run(other)
    keys = sorted({series_key(row) for row in other.all_rows()})
    with cluster_node(world.root / "valkey") as node:
        found = key_slots(node, keys)
    assert stored == {one for one, slot in zip(keys, found, strict=True) if slot <= 5460}
    assert 0 < len(stored) < len(keys)


def series_key(row: dict[str, Any]) -> bytes:
    """HASH_KEY written another way."""
    labels = row["labels"] if isinstance(row["labels"], str) else json.dumps(row["labels"], separators=(",", ":"))
    return ("rollup:" + row["metric_type"] + ":{" + row["org"] + "." + row["entity"] + "}:" + row["name"] + ":" + labels).encode()


def test_stored_series_of_other_slots_are_not_absent_from_the_archive(world: World) -> None:
    """Without an object of theirs, only the asked slots' series count as absent."""
    run(world)
    empty = world.reading("empty")
    empty.put(key(NOON_S), gauge("other", [1.0], host="x"))
    parts = [absent(run(empty, *more)) for more in ((), slots(LOST), slots(REST))]
    assert parts[0] == parts[1] + parts[2]
    assert 0 < parts[1] < parts[0]


def absent(report: dict[str, Any]) -> int:
    return sum(tally["absent"] for of_type in report["buckets"].values() for tally in of_type.values())


# --- series files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "more", "entities"),
    [
        (["host/acme/h1/cpu", "service/*/s0?/*"], (), {"h1", "s00", "s01", "s02"}),
        (["# shard 2", "", "role/acme/web:r1/*"], (), {"web:r1"}),
        (["host/*/h1/*"], ("--series", "host/*/h2/*"), {"h1", "h2"}),
        (["host/*/h1?/cpu"], ("--org", "é}{"), {"h12", "h16"}),
        (["host/nowhere/*"], (), set()),
    ],
)
def test_only_series_that_a_file_lists(world: World, hit: Path, lines: Sequence[str], more: tuple[str, ...], entities: set[str]) -> None:
    hit.write_text("\n".join(lines))
    run(world, "--series-file", str(hit), *more)
    assert {row["entity"] for row in world.rows("1m")} == entities


def test_files_and_slots_narrow_each_other(world: World, hit: Path) -> None:
    hit.write_text("host/*\n")
    run(world, "--series-file", str(hit), *slots(LOST))
    other = world.beside("other")
    run(other, *slots(LOST))
    assert bits(world.all_rows()) == bits([row for row in other.all_rows() if row["metric_type"] == "host"])


def test_a_file_that_changed_is_another_request_and_the_plan_keeps_what_it_read(world: World, hit: Path) -> None:
    hit.write_text("host/*/h1/*\n")
    planned = world.plan("--run-id", "r1", "--series-file", str(hit)).data
    assert (planned["series"], planned["series_file"], planned["series_file_globs"]) == ([], str(hit), 1)
    hit.write_text("host/*/h2/*\n")
    line = refused(["backfill", *world.asking("--run-id", "r1", "--series-file", str(hit))])
    assert "was planned otherwise (series_file_digest was '" in line
    assert "h1" not in line, "not the lines of the file, which may be thousands"
    assert world.execute("r1").code == 0
    assert {row["entity"] for row in world.rows("1m")} == {"h1"}


def test_a_run_is_resumed_with_the_same_file_only(world: World, hit: Path) -> None:
    hit.write_bytes(b"host/*/h1/*\n")
    run(world, "--run-id", "r1", "--series-file", str(hit), *slots(LOST))
    assert world.backfill("--run-id", "r1", "--series-file", str(hit), *slots(LOST)).code == 0
    hit.write_bytes(b"host/*/h1/*\r\n")
    assert "series_file_digest was" in refused(["backfill", *world.asking("--run-id", "r1", "--series-file", str(hit), *slots(LOST))])
    assert "hash_slots was '0-5460', now '5461-16383'" in refused(["backfill", *world.asking("--run-id", "r1", "--series-file", str(hit), *slots(REST))])


def test_the_plan_shows_what_is_selected(world: World, hit: Path) -> None:
    hit.write_text("host/*/h1/*\nhost/*/h2/*\n")
    text = call(["plan", *(one for one in world.asking("--series-file", str(hit), "--org", "acme", *slots("0-5460,7")) if one != "--json")]).out
    assert [line[12:] for line in text.splitlines() if line.startswith("only ")] == [
        "of org acme",
        f"series that match one of 2 lines of {hit}",
        f"series whose key {HASH_KEY} lies in the hash slots 0-5460",
    ]


# --- what was restored is exported by the same selection --------------------------------------------------------------


def test_exports_of_what_was_restored_by_slots_and_file(world: World, hit: Path) -> None:
    hit.write_text("host/*\nservice/*\n")
    other = world.beside("other")
    run(world)
    by_host = "--hash-slots", "0-8191", "--hash-key", "{host}:{labels}"
    files = "--series-file", str(hit)
    for place, more in enumerate((slots(LOST), by_host, files, (*files, "--org", "acme", *slots(REST)))):
        other.store = other.root / f"store {place}"
        run(other, *more)
        assert other.all_rows()
        assert bits(world.all_rows(*more)) == bits(other.all_rows())


EXPORT = ("export", "--store", "parquet:///nowhere", "--granularity", "5m", "--period", "-24h/now")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--series-file", "/nowhere/hit.txt"), "reading the series file '/nowhere/hit.txt': No such file or directory"),
        (("--hash-slots", "0-5460"), "--hash-slots without --hash-key: slots say which series lost data, the key how the hot tier names a series"),
        (("--hash-slots", "x", "--hash-key", "{name}"), "--hash-slots: 'x' is no range of hash slots"),
    ],
)
def test_wrong_selections_of_an_export(more: tuple[str, ...], message: str) -> None:
    assert refused([*EXPORT, *more]).startswith(message)


# --- exit 2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["backfill", "plan"])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--series-file", "/nowhere/hit.txt"), "reading the series file '/nowhere/hit.txt': No such file or directory"),
        (("--hash-slots", "0-16384", "--hash-key", "{name}"), "--hash-slots: '0-16384' is no range of hash slots: write FIRST-LAST or one slot"),
        (("--hash-slots", "", "--hash-key", "{name}"), "--hash-slots: '' names no hash slot"),
        (("--hash-slots", "0-5460", "--hash-key", "m:{metric}"), "--hash-key: the hash key 'm:{metric}' names the field 'metric': there are type, org, "),
        (("--hash-slots", "0-5460"), "--hash-slots without --hash-key: slots say which series lost data, the key how the hot tier names a series"),
        (("--hash-key", "{name}"), "--hash-key without --hash-slots: "),
    ],
)
def test_wrong_selections(world: World, command: str, more: tuple[str, ...], message: str) -> None:
    assert refused([command, *world.asking(*more)]).startswith(message)


def test_a_bad_line_is_named(world: World, hit: Path) -> None:
    hit.write_bytes(b"host/*/h1/*\r\nhost/h1\r\n")
    assert refused(["backfill", *world.asking("--series-file", str(hit))]).startswith(f"the series file {str(hit)!r}, line 2: 'host/h1' can match no series: ")


def test_slots_and_key_may_stand_in_a_file(world: World) -> None:
    config = world.root / "slots.yaml"
    config.write_text(f'hash_slots: [0-5460, 10923]\nhash_key: "{HASH_KEY}"\n')
    planned = world.plan("--config", str(config)).data
    assert (planned["hash_slots"], planned["hash_key"]) == ("0-5460,10923", HASH_KEY)


# --- what matches nothing is told -------------------------------------------------------------------------------------

GLOB_HINT = "a glob matches all of TYPE/ORG/ENTITY/NAME"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--org", "nope"), "(of org nope)"),
        (("--series", "host/acme/h1"), f"(series that match host/acme/h1; {GLOB_HINT})"),
        (("--org", "acme", "--series", "*/é*/cpu"), f"(of org acme, series that match */é*/cpu; {GLOB_HINT})"),
    ],
)
def test_a_selection_that_matches_nothing_is_told_by_plan_and_report(world: World, asked: tuple[str, ...], told: str) -> None:
    points = 4 * 10 * 3 + 4 * 3 * 3 + 4 * 10 * 3  # of hosts, services and roles
    sentence = f"of the {points} points {{}} in the computed times none is of a series asked for {told}"
    plan = world.plan("--run-id", "r", *asked)
    assert (plan.code, plan.data["warnings"]) == (0, [sentence.format("sampled")])
    assert run(world, "--run-id", "r", *asked)["warnings"] == [sentence.format("read")]
    shown = call(["backfill", "--plan", "r", "--work-dir", str(world.work)]).out
    assert f"\nwarning   {sentence.format('read')}\n" in shown
    planned = call(["plan", *(word for word in world.asking(*asked) if word != "--json")]).out
    assert f"\nwarning     {sentence.format('sampled')}\n" in planned


def test_a_selection_of_which_a_part_matches_is_no_reason_for_a_warning(world: World) -> None:
    asked = "--org", "nope", "--org", "acme", "--series", "host/*/h1/cpu", "--series", "host/nobody"
    assert world.plan("--run-id", "r", *asked).data["warnings"] == []
    assert run(world, "--run-id", "r", *asked)["warnings"] == []
    assert world.rows("1m")


def test_times_without_any_point_are_not_blamed_on_the_selection(world: World) -> None:
    asked = "--org", "nope", "--series", "x"
    assert world.plan("--run-id", "r", *asked, period="2025-11-01T13:00Z/PT1H").data["warnings"] == []
    assert world.backfill("--run-id", "r", *asked, period="2025-11-01T13:00Z/PT1H").data["warnings"] == []
    assert run(world, "--run-id", "all")["warnings"] == []
