"""`rollups recalculate`: of stored minutes the rollups that a backfill makes of the points; planned, resumed, undone and accounted for."""

import json
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import planning
from scripts.archive_maker.archive import make_archive
from scripts.archive_maker.options import ArchiveOptions
from tests.builders import DAY_START_S, NOON_S
from tests.pipelines.processes import KILLED, Forge
from tests.pipelines.test_kinds_runs import archived
from tests.pipelines.worlds import NOON_HOUR, Result, World, bits, call, gauge, key, period_of, tree
from transforms.stores.backend import Traits
from transforms.stores.parquet import ParquetFolder

TWO_DAYS = period_of(DAY_START_S - 7200, DAY_START_S + 7200)


def recalculate(world: World, *more: str, period: str = NOON_HOUR, types: str | None = None) -> Result:
    asked = ("--store", f"parquet://{world.store}", "--period", period, "--metric-types", types or world.types)
    return call(["recalculate", *asked, "--work-dir", str(world.work), "--json", *more])


def done(result: Result, code: int = 0) -> Any:
    assert result.code == code, result.err + result.out
    return result.data


def coarser(world: World, *run_ids: str) -> dict[str, bytes]:
    """The stored 5m and 1h rollups, generations renamed."""
    return {path: body for path, body in world.but_generation(*run_ids).items() if "granularity=1m" not in path}


def minutes_of(world: World, name: str, **asked: Any) -> World:
    """A store beside this one that has the minutes only."""
    other = world.beside(name)
    done(other.backfill("--run-id", "minutes", "--granularities", "1m", **asked))
    return other


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two hours on both sides of midnight of a busy fleet whose postings come late, twice, out of order, without values, and a backfill of them."""
    root = tmp_path_factory.mktemp("whole")
    options = ArchiveOptions(
        start_s=DAY_START_S - 7200, duration_s=14_400, hosts=9, services=2, metrics=7, roles=1.5, interval_s=20,
        late=0.2, duplicates=0.1, out_of_order=0.3, ties=0.2, nulls=0.2, churn=0.5, object_interval_s=600,
    )  # fmt: skip
    make_archive(root / "archive", options)
    world = World(root, types="service,role,host")
    with mock.patch.object(planning, "SERIES_PER_SHARD", 30):
        done(world.backfill("--run-id", "whole", period=TWO_DAYS))
    return world


@pytest.mark.parametrize("average", ["cascade", "flat"])
def test_a_fleets_5m_and_1h_have_the_bytes_of_a_backfill(whole: World, average: str, tmp_path: Path) -> None:
    same = World(tmp_path / "same", types=whole.types, archive=whole.archive)
    done(same.backfill("--run-id", "same", "--average", average, period=TWO_DAYS))
    other = minutes_of(World(tmp_path, types=whole.types, archive=whole.archive), "minutes", period=TWO_DAYS)
    assert coarser(other, "minutes") == {}
    report = done(recalculate(other, "--run-id", "again", "--average", average, period=TWO_DAYS))
    assert coarser(other, "again") == coarser(same, "same")
    assert report["imbalances"] == []
    assert report["granularities"] == {"read": ["1m"], "written": ["5m", "1h"]}
    for name in whole.types.split(","):
        stored = len(other.rows("1m", "--metric-types", name))
        assert report["read"][name] == {"read": stored, "stored": stored}


def test_hours_from_5m_have_the_bytes_of_a_backfill(whole: World, tmp_path: Path) -> None:
    other = World(tmp_path, types=whole.types, archive=whole.archive)
    done(other.backfill("--run-id", "fives", "--granularities", "5m", period=TWO_DAYS))
    report = done(recalculate(other, "--run-id", "again", "--finer", "5m", period=TWO_DAYS))
    hours = {path: body for path, body in coarser(other, "again").items() if "=1h" in path}
    assert hours == {path: body for path, body in coarser(recalculated_of(whole, tmp_path), "one").items() if "=1h" in path}
    assert {name: of_type["stored"] for name, of_type in report["read"].items()} == {
        name: sum(row["minutes"] for row in whole.rows("5m", "--metric-types", name)) for name in whole.types.split(",")
    }


def recalculated_of(whole: World, root: Path) -> World:
    """Whole again with one shard, as stores of another number have other files."""
    one = World(root / "one", types=whole.types, archive=whole.archive)
    done(one.backfill("--run-id", "one", period=TWO_DAYS))
    return one


@pytest.mark.parametrize("shards", [1, 3, 4])
def test_a_store_of_any_number_of_shards_gets_the_same_rows(whole: World, shards: int, tmp_path: Path) -> None:
    """The source has several shards a day; each row reaches the shard of its series in the target, in whichever unit it was read."""
    other = World(tmp_path, types=whole.types)
    for metric_type in whole.types.split(","):
        for day in ("2025-10-31", "2025-11-01"):
            folder = other.store / "_partitions" / metric_type
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{day}.json").write_text(json.dumps({"format": 1, "shards": shards, "hash": "crc32"}))
    report = done(recalculate(other, "--from", f"parquet://{whole.store}", "--run-id", "r", period=TWO_DAYS))
    assert bits(other.all_rows()) == bits([row for name in ("5m", "1h") for row in whole.rows(name)])
    assert report["imbalances"] == []
    units = {json.loads((whole.store / "_partitions" / "host" / f"{day}.json").read_text())["shards"] for day in ("2025-10-31", "2025-11-01")}
    assert max(units) > 1
    assert {path.name for path in other.store.rglob("*.parquet")} <= {f"shard-{number:04d}.parquet" for number in range(shards)}
    again = done(recalculate(other, "--from", f"parquet://{whole.store}", "--run-id", "again", period=TWO_DAYS))
    assert again["buckets"].keys() == report["buckets"].keys()
    for metric_type, of_type in again["buckets"].items():
        for name, tally in of_type.items():
            assert tally == report["buckets"][metric_type][name] | {"added": 0, "equal": report["buckets"][metric_type][name]["added"]}


@pytest.fixture
def kinds(tmp_path: Path) -> World:
    return World(tmp_path, types="labeled")


@pytest.mark.parametrize("finer", ["1m", "5m"])
def test_every_kind_over_midnight_has_the_bytes_of_a_backfill(kinds: World, finer: str) -> None:
    archived(kinds)
    period = period_of(DAY_START_S - 3600, DAY_START_S + 3600)
    done(kinds.backfill("--run-id", "whole", period=period))
    other = kinds.beside("minutes")
    done(other.backfill("--run-id", "finer", "--granularities", finer, period=period))
    done(recalculate(other, "--finer", finer, "--run-id", "again", period=period))
    wider = ("=5m", "=1h") if finer == "1m" else ("=1h",)
    expected, found = (
        {path: body for path, body in coarser(*one).items() if any(name in path for name in wider)} for one in ((kinds, "whole"), (other, "again"))
    )
    assert found == expected
    assert {row["kind"] for row in other.rows("1h")} == {"gauge", "counter", "delta", "histogram"}


# --- what is asked for -------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three series of ten minutes from noon on, minutes only."""
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("x", list(range(10))), gauge("y", list(range(10))), gauge("x", list(range(10)), host="h2"))
    done(world.backfill("--run-id", "minutes", "--granularities", "1m"))
    return world


def test_series_hash_slots_and_edges_are_selected_as_in_backfill(world: World) -> None:
    (world.root / "series.txt").write_text("host/acme/h1/x\n")
    named = done(recalculate(world, "--series-file", str(world.root / "series.txt"), "--dry-run"))
    assert named["read"]["host"] == {"read": 30, "stored": 10, "outside.series": 20}
    slots = done(recalculate(world, "--hash-slots", "0-16383", "--hash-key", "{org}:{name}", "--dry-run"))
    assert slots["read"]["host"] == {"read": 30, "stored": 30}
    clipped = done(recalculate(world, "--edge", "clip", "--dry-run", period=period_of(NOON_S + 60, NOON_S + 600)))
    assert clipped["buckets"]["host"] == {"5m": zero(added=3), "1h": zero()}
    assert clipped["read"]["host"] == {"read": 30, "stored": 15, "outside.time": 15}
    assert recalculate(world, "--edge", "fail", period=period_of(NOON_S + 60, NOON_S + 600)).code == 2
    assert world.rows("5m") == []


def zero(**numbers: int) -> dict[str, int]:
    return dict.fromkeys(("added", "changed", "equal", "newer", "refused", "left", "absent"), 0) | numbers


def test_1m_from_1m_and_5m_from_5m_are_refused_before_anything_is_read(world: World) -> None:
    result = recalculate(world, "--granularities", "1m,1h")
    assert (result.code, result.err) == (2, "rollups: 1m rollups can't be recalculated from 1m rollups: 1m rollups come from the archive (rollups backfill)\n")
    result = recalculate(world, "--finer", "5m", "--granularities", "5m")
    assert (result.code, result.err) == (2, "rollups: 5m rollups can't be recalculated from 5m rollups: from 5m ones come 1h\n")
    result = recalculate(world, "--finer", "1h")
    assert result.code == 2
    assert "choose 1m, 5m" in result.err


def test_a_period_without_rollups_is_refused_unless_that_is_expected(world: World) -> None:
    result = recalculate(world, period="2025-12-01T00:00Z/P1D")
    assert result.code == 5
    assert "has no rollups of host in 2025-12-01T00:00:00Z/2025-12-02T00:00:00Z" in result.err
    assert done(recalculate(world, "--allow-empty", period="2025-12-01T00:00Z/P1D"))["units"] == 0
    assert recalculate(world, "--from", f"parquet://{world.root}/none").code == 2


# --- a run: planned, accounted for, guarded, undone ------------------------------------------------------------------------


def test_a_plan_is_stored_shown_and_executed_as_it_was(world: World) -> None:
    planned = done(recalculate(world, "--run-id", "r", "--plan-only"))
    assert planned["command"] == "recalculate"
    assert planned["computed"] == {"5m": ["2025-11-01T12:00:00Z/2025-11-01T13:00:00Z"], "1h": ["2025-11-01T12:00:00Z/2025-11-01T13:00:00Z"]}
    assert planned["units"] == {"host": 1}
    assert (world.rows("5m"), [one["state"] for one in done(world.command("runs"))]) == ([], ["planned", "done"])
    assert done(world.command("status", "r"), 3)["units"] == {"host": {"recorded": 0, "planned": 1}}
    text = call(["status", "r", "--work-dir", str(world.work)]).out
    assert f"go on with  rollups recalculate --plan r --work-dir {world.work}" in text
    report = done(world.command("recalculate", "--plan", "r"))
    assert report["generation"] == planned["generation"] == world.generation("r")
    assert {row["generation"] for row in world.rows("5m")} == {planned["generation"]}
    assert done(world.command("status", "r"))["report"] == report
    assert "recalculate run r: done" in call(["status", "r", "--work-dir", str(world.work)]).out


def test_a_run_id_stands_for_one_request_of_one_command(world: World) -> None:
    done(recalculate(world, "--run-id", "r"))
    assert done(recalculate(world, "--run-id", "r"))["duration_s"] >= 0
    assert "(edge was 'expand', now 'clip')" in recalculate(world, "--run-id", "r", "--edge", "clip").err
    assert "was planned by `rollups backfill`" in recalculate(world, "--run-id", "minutes").err
    assert "go on with `rollups recalculate --plan r`" in world.backfill("--run-id", "r").err


def test_fewer_minutes_are_refused_and_absent_ones_are_told(world: World) -> None:
    """A 5m rollup of more minutes than are stored stays, and one of which no minute is left is counted."""
    done(world.backfill("--run-id", "whole"))
    for path in world.store.rglob("granularity=1m/**/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        starts = table["bucket_start"].cast(pa.int64()).to_numpy() // 1000 - NOON_S
        pq.write_table(table.filter(pa.array((starts != 60) & (starts < 300))), path)
    before = world.all_rows()
    report = done(recalculate(world), 5)
    assert report["buckets"]["host"] == {"5m": zero(refused=3, absent=3), "1h": zero(refused=3)}
    assert report["read"]["host"] == {"read": 12, "refused": 12}
    assert world.all_rows() == before
    assert len((world.run_dir(report["run_id"]) / "refused.jsonl").read_text().splitlines()) == 6
    report = done(recalculate(world, "--allow-fewer"))
    assert report["buckets"]["host"] == {"5m": zero(changed=3, absent=3), "1h": zero(changed=3)}


def test_a_stored_minute_without_a_value_keeps_its_buckets_and_is_told(world: World) -> None:
    (path,) = world.store.rglob("granularity=1m/**/*.parquet")
    table = pq.read_table(path, partitioning=None)
    last = [None if at == 0 else one for at, one in enumerate(table["last"].to_pylist())]
    pq.write_table(table.set_column(table.schema.get_field_index("last"), "last", pa.array(last, pa.float64())), path)
    result = call(["recalculate", "--store", f"parquet://{world.store}", "--period", NOON_HOUR, "--work-dir", str(world.work), "--metric-types", "host"])
    assert result.code == 5
    assert "unusable  5 minutes are in buckets of which a stored row lacks what rolling up takes" in result.out
    assert Counter(row["name"] for row in world.rows("5m")) == {"x": 3, "y": 2}
    assert len(world.rows("1h")) == 2


def test_what_was_made_is_read_back_and_a_recheck_lists_what_was_overwritten(world: World) -> None:
    made = recalculate(world, "--run-id", "r", "--verify", "full")
    numbers = {name: made.data["verification"][name] for name in ("buckets", "different", "rechecked", "changed_since")}
    buckets = len(world.rows("5m")) + len(world.rows("1h"))
    assert (made.code, numbers) == (0, {"buckets": buckets, "different": 0, "rechecked": buckets, "changed_since": 0})
    (path,) = world.store.glob("metric_type=host/granularity=1h/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index("generation")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.nulls(table.num_rows, pa.int64())), path)  # as a live writer leaves them
    checked = world.command("status", "r", "--recheck")
    assert (checked.code, checked.data["rechecked"], checked.data["changed_since"]) == (4, buckets, table.num_rows)
    assert {one["granularity"] for one in checked.data["changes_since"]} == {"1h"}


def test_undo_brings_back_what_was_there(world: World) -> None:
    done(world.backfill("--run-id", "flat", "--average", "flat"))
    before = bits(world.all_rows())
    done(recalculate(world, "--run-id", "r"))
    told = done(world.command("undo", "r"))
    assert bits(world.all_rows()) == before
    assert told["restored"] == {"5m": 6, "1h": 3}
    assert "was undone" in recalculate(world, "--run-id", "r").err


# --- killed ------------------------------------------------------------------------------------------------------------


def test_killed_at_every_step_and_resumed_ends_with_the_same_bytes(tmp_path: Path, world: World) -> None:
    done(recalculate(world, "--run-id", "r", "--plan-only"))
    before = world.save()
    argv = ("recalculate", "--plan", "r", "--work-dir", str(world.work), "--json", "--workers", "1")
    with Forge(tmp_path) as forge:
        end = forge.run(argv, trace=str(tmp_path / "steps.json"))
        assert end.code == 0, end.err
        whole, report = lasting(world), json.loads(end.out)
        counts = Counter(json.loads((tmp_path / "steps.json").read_text()))
        for step in counts:
            world.restore(before)
            assert forge.run(argv, die_at=(step, 1)).code == KILLED
            end = forge.run(argv)
            assert end.code == 0, end.err
            assert (step, lasting(world)) == (step, whole)
            assert json.loads(end.out)["read"] == report["read"]
    assert {"before record.rename", "after shard.rename"} <= counts.keys()


def lasting(world: World) -> dict[str, bytes]:
    """All of the store but the locks."""
    return {path: body for path, body in tree(world.store).items() if not path.startswith("_locks/")}


# --- beside a live writer, in a store that is not local --------------------------------------------------------------------


def test_what_a_live_writer_may_still_write_is_left_to_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 hours after 12:05 the buckets that end later are not written, unless the user says so."""
    monkeypatch.setattr(ParquetFolder, "traits", property(lambda _: Traits(live="settled")))
    asked = ("recalculate", "--store", f"parquet://{world.store}", "--period", NOON_HOUR, "--metric-types", "host", "--work-dir", str(world.work))
    now_s = NOON_S + 300 + 25 * 3600
    report = done(call([*asked, "--json", "--run-id", "r"], now_s=now_s), 5)
    assert report["buckets"]["host"] == {"5m": zero(added=3, left=3), "1h": zero(left=3)}
    assert report["read"]["host"] == {"read": 30, "stored": 15, "refused": 15}
    assert done(call([*asked, "--json", "--run-id", "r", "--skip-live"], now_s=now_s))["exit_code"] == 0
    shown = call(["status", "r", "--work-dir", str(world.work)]).out
    assert "left      to the live writer: 6 (those that end after 2025-11-01T12:05:00Z)" in shown
    report = done(call([*asked, "--json", "--include-live"], now_s=now_s))
    assert report["buckets"]["host"]["1h"] == zero(added=3)


def test_a_store_that_is_not_local_is_written_after_a_yes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ParquetFolder, "traits", property(lambda _: Traits(is_local=False)))
    result = recalculate(world, "--run-id", "r")
    assert result.code == 5
    assert "repeat the command with --yes" in result.err
    assert "written     5m: 2025-11-01T12:00:00Z/2025-11-01T13:00:00Z" in result.err
    assert world.rows("5m") == []
    done(recalculate(world, "--run-id", "r", "--yes"))
    assert len(world.rows("5m")) == 6
