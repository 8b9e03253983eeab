"""DESIGN §4 through the command line: exact, nothing lost silently, neighbours survive, good is never replaced with less, exit codes."""

import base64
import gzip
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

import pipelines.planning
import transforms.core.slices
import transforms.steps.worker
from scripts.archive_maker.archive import make_archive, write_membership
from scripts.archive_maker.options import ArchiveOptions
from scripts.oracle import read_membership
from tests.builders import NOON_S, host_record, service_record
from tests.pipelines.worlds import GRANULARITIES, Result, Row, World, bits, gauge, key, period_of
from transforms.archive.local import LocalArchive
from transforms.core.model import ROLLUP_SCHEMA
from transforms.decode.objects import decode_object
from transforms.steps.worker import Worker
from transforms.stores.parquet import ParquetStore

NOW_S: Final = NOON_S + 5 * 86_400


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def done(result: Result, code: int = 0) -> Any:
    """The report of a run that ended with this exit code."""
    assert result.code == code, result.err + result.out
    return result.data


def by_bucket(rows: list[Row]) -> dict[tuple[str, ...], Row]:
    return {tuple(row[name] for name in ("granularity", "metric_type", "org", "entity", "name", "labels", "bucket_start")): row for row in rows}


# --- 1: exact ---------------------------------------------------------------------------------------------------------

EVERYTHING: Final = ArchiveOptions(
    seed=7, start_s=NOON_S + 10 * 3600 + 1800, duration_s=3 * 3600, hosts=4, services=2, metrics=6, interval_s=60, roles=1.5, roles_absent=0.1, bare=0.05,
    duplicates=0.1, late=0.1, early=0.05, out_of_order=0.1, reposted_lower=0.1, ties=0.1, churn=0.5, nulls=0.05, odd=0.1, corrupt=0.2,
    compression="mixed", separator="mixed", records_per_object=60, object_interval_s=900,
)  # fmt: skip
"""Three hours across a UTC midnight with all that can go wrong."""

ASKED: Final = [(NOON_S + 10 * 3600, NOON_S + 12 * 3600 + 420), (NOON_S + 12 * 3600 + 2400 + 30, NOON_S + 14 * 3600)]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("everything"), types="host,role,service")
    fleet = make_archive(world.archive, EVERYTHING).fleet
    write_membership(world.root / "members.csv", fleet, EVERYTHING)
    table = pcsv.read_csv(world.root / "members.csv")
    pq.write_table(table, world.root / "members.parquet")
    return world


def replay(world: World, *more: str, members: str = "csv") -> Result:
    arguments = "--role-membership", str(world.archive.parent / f"members.{members}"), "--max-dead-letters", "10000", "--run-id", "r"
    return world.backfill(*arguments, *more, period=[period_of(*one) for one in ASKED], now_s=NOW_S)


@pytest.fixture(scope="module")
def replayed(everything: World) -> World:
    world = everything.beside("as-usual")
    done(replay(world, "--workers", "1"))
    return world


def test_a_generated_archive_with_everything_in_it_equals_the_oracle_bit_for_bit(replayed: World) -> None:
    expected = replayed.expected(periods_s=ASKED, membership=read_membership(str(replayed.archive.parent / "members.csv")))
    assert bits(replayed.all_rows()) == bits(expected)
    assert {row["metric_type"] for row in expected} == {"host", "role", "service"}
    assert len(expected) > 10_000


def test_everything_was_in_it(replayed: World) -> None:
    report = replayed.command("status", "r").data["report"]
    assert not report["imbalances"]
    assert len(report["dead_letters"]["by_cause"]) > 5
    terms = {term for of_type in report["points"].values() for term in of_type}
    dropped = {f"dropped.{reason}" for reason in ("early", "infinite", "late", "nan", "null")}
    assert terms == dropped | {"outside.time", "points", "role_copies", "stored", "superseded"}
    assert report["inexact_values"] > 0


@pytest.mark.parametrize(
    ("more", "patches"),
    [
        (["--workers", "4"], {}),
        (["--workers", "1", "--direct_runner_bundle_repeat=1"], {}),
        (["--workers", "4"], {"MAX_GROUP_BYTES": 1}),
        (["--workers", "1"], {"GROUPS_PER_WORKER": 1}),
        (["--workers", "4", "--direct_runner_bundle_repeat=1"], {"PASS_POINTS": 50}),
    ],
    ids=["four workers", "repeated bundles", "a group for each object", "one group", "small passes"],
)
def test_whatever_the_parallelism_the_bytes_are_the_same(everything: World, replayed: World, tmp_path: Path, more: list[str], patches: dict[str, int]) -> None:
    world = everything.beside(str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        for name, number in patches.items():
            patch.setattr(transforms.steps.worker if name == "PASS_POINTS" else pipelines.planning, name, number)
        done(replay(world, *more))
    assert world.stored() == replayed.stored()


def test_tiny_shards_hold_the_same_rows(everything: World, replayed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.planning, "SERIES_PER_SHARD", 3)
    one, four = (everything.beside(str(tmp_path / name)) for name in ("one", "four"))
    done(replay(one, "--workers", "1"))
    done(replay(four, "--workers", "4", "--direct_runner_bundle_repeat=1", members="parquet"))
    assert one.stored() == four.stored()
    assert len(one.stored()) > 3 * len(replayed.stored())
    assert by_bucket(one.all_rows()) == by_bucket(replayed.all_rows())


def test_the_same_run_again_reads_and_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]))
    first = done(world.backfill("--run-id", "r", now_s=NOW_S))
    before, files = world.stored(), {path: path.stat().st_ino for path in world.store.rglob("*.parquet")}
    monkeypatch.setattr(LocalArchive, "read", never)
    monkeypatch.setattr(ParquetStore, "upsert", never)
    again = done(world.backfill("--run-id", "r", now_s=NOW_S + 60))
    assert (again, world.stored()) == (first, before)
    assert {path: path.stat().st_ino for path in world.store.rglob("*.parquet")} == files


def never(*_: object, **__: object) -> None:
    raise AssertionError("a finished run has nothing to do")


def test_a_new_run_stores_the_same_bytes_but_the_generation(world: World) -> None:
    world.put(key(NOON_S), gauge("x", [1.0, 2.0], roles=["a:b"]))
    done(world.backfill("--run-id", "r1", types="role,host"))
    first, raw = world.but_generation("r1"), world.stored()
    report = done(world.backfill("--run-id", "r2", types="role,host"))
    generations = {world.generation("r2"): 1}
    assert world.stored(generations=generations) == first
    assert world.stored() != raw
    assert {row["generation"] for row in world.all_rows()} == {world.generation("r2")}
    assert [tally["equal"] for of_type in report["buckets"].values() for tally in of_type.values()] == [2, 1, 1, 2, 1, 1]


def test_files_tell_nothing_of_the_run(tmp_path: Path) -> None:
    """The same rows give the same bytes, whatever the run is called and wherever it worked."""
    worlds = [World(tmp_path / name) for name in ("one", "two")]
    for number, world in enumerate(worlds):
        world.put(f"{'x/' * number}{key(NOON_S)}", gauge("x", [1.0, 2.0]))
        done(world.backfill("--run-id", f"run-{number}", now_s=NOW_S))
    assert worlds[0].stored() == worlds[1].stored()


# --- 2: nothing lost silently -----------------------------------------------------------------------------------------


def lose_a_slice(patch: pytest.MonkeyPatch) -> None:
    stage = Worker.stage

    def losing(worker: Worker, group: int) -> Any:
        footer = stage(worker, group)
        return replace(footer, slices=footer.slices[1:]) if group == 0 else footer

    patch.setattr(Worker, "stage", losing)


def lose_rows_of_a_slice(patch: pytest.MonkeyPatch) -> None:
    read_slice = transforms.steps.worker.read_slice
    patch.setattr(transforms.steps.worker, "read_slice", lambda path, offset: read_slice(path, offset).slice(1))


def lose_a_rollup(patch: pytest.MonkeyPatch) -> None:
    passes = transforms.steps.worker.roll_up_in_passes

    def losing(*args: Any, **named: Any) -> Any:
        return (replace(one, tables=one.tables | {"5m": one.tables["5m"].slice(1)}) for one in passes(*args, **named))

    patch.setattr(transforms.steps.worker, "roll_up_in_passes", losing)


def lose_a_verdict(patch: pytest.MonkeyPatch) -> None:
    upsert = ParquetStore.upsert

    def losing(*args: Any, **named: Any) -> Any:
        return {name: replace(merged, verdicts=merged.verdicts[1:]) for name, merged in upsert(*args, **named).items()}

    patch.setattr(ParquetStore, "upsert", losing)


def lose_points_while_staging(patch: pytest.MonkeyPatch) -> None:
    inside = transforms.core.slices.GroupColumns._inside

    def losing(self: Any, columns: Any) -> Any:
        kept = inside(self, columns)
        return kept.take(np.arange(len(kept.minute)) > 0)

    patch.setattr(transforms.core.slices.GroupColumns, "_inside", losing)


@pytest.mark.parametrize(
    ("lose", "sums"),
    [
        (lose_a_slice, "host: 4 points came in and 2 are accounted for"),
        (lose_rows_of_a_slice, "host: 4 points came in and 0 are accounted for"),
        (lose_a_rollup, "5m: 4 minutes have points, the rollups hold 3"),
        (lose_a_verdict, "1m: 4 minutes have points, the rollups hold 4; 4 rollups went to the store, it answered for 3"),
        (lose_points_while_staging, "host: 2 points came in and 1 are accounted for"),
    ],
)
def test_a_loss_ends_the_run_with_exit_1_and_both_sums(world: World, lose: Callable[[pytest.MonkeyPatch], None], sums: str) -> None:
    world.put(key(NOON_S), gauge("x", {0: 1.0, 300: 2.0}))
    world.put(key(NOON_S, "b"), gauge("x", {600: 3.0, 900: 4.0}))
    done(world.plan("--run-id", "r"))
    with pytest.MonkeyPatch.context() as patch:
        lose(patch)
        result = world.execute("r", "--workers", "1")
    assert result.code == 1
    assert sums in result.err + "\n".join(result.data["imbalances"] if result.out else ())


def test_a_dead_letter_that_is_counted_but_not_kept_is_a_loss(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def losing(*args: Any, **named: Any) -> Any:
        return replace(decode_object(*args, **named), dead_letters=())

    world.put(key(NOON_S), gauge("x", [1.0]), b"}\n")
    monkeypatch.setattr(transforms.steps.worker, "decode_object", losing)
    assert world.backfill("--max-dead-letters", "10").code == 1


def test_a_lost_rollup_is_made_good_by_the_same_run(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {0: 1.0, 300: 2.0}))
    whole = world.beside("whole")
    done(whole.backfill("--run-id", "r", now_s=NOW_S))
    with pytest.MonkeyPatch.context() as patch:
        lose_a_rollup(patch)
        assert world.backfill("--run-id", "r", now_s=NOW_S).code == 1
    done(world.backfill("--run-id", "r", now_s=NOW_S))
    assert world.stored() == whole.stored()


def test_a_lost_unit_record_is_made_again(world: World) -> None:
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]), b"broken")
    done(world.backfill("--run-id", "r"), code=3)
    before = world.stored()
    record = world.run_dir("r") / "units" / "host-2025-11-01-0000.json"
    for path in (record, world.run_dir("r") / "report.json"):
        path.unlink()
    report = done(world.backfill("--run-id", "r"), code=3)
    assert record.exists()
    assert world.stored() == before
    assert report["buckets"]["host"]["1m"]["equal"] == 2


def test_the_points_of_every_type_add_up(replayed: World) -> None:
    for terms in replayed.command("status", "r").data["report"]["points"].values():
        came = terms.get("points", 0) + terms.get("role_copies", 0)
        assert came == sum(number for term, number in terms.items() if term not in ("points", "role_copies"))
    stored = {name: terms["stored"] for name, terms in replayed.command("status", "r").data["report"]["points"].items()}
    rows = replayed.rows("1m")
    extra = len(list(replayed.rows("1h")))
    assert extra
    assert all(number >= sum(row["metric_type"] == name for row in rows) > 0 for name, number in stored.items())


# --- 3: neighbours survive --------------------------------------------------------------------------------------------


def test_buckets_outside_the_computed_ones_stay_as_they_are(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {60 * minute: 1.0 for minute in range(-60, 120)}))
    done(world.backfill("--run-id", "r1", period="2025-11-01T11:00Z/PT3H"))
    before = by_bucket(world.all_rows())
    world.put(key(NOON_S, "b"), gauge("x", {60 * minute: 2.0 for minute in range(-60, 120)}, at=2))
    report = done(world.backfill("--run-id", "r2", period="2025-11-01T12:10Z/PT7M"))
    after = by_bucket(world.all_rows())
    touched = {(one[0], one[-1][11:16]) for one in before if before[one] != after[one]}
    minutes = {("1m", f"12:{minute}") for minute in range(10, 17)}
    assert touched == minutes | {("5m", "12:10"), ("5m", "12:15"), ("1h", "12:00")}
    assert before.keys() == after.keys()
    assert [report["buckets"]["host"][one]["absent"] for one in GRANULARITIES] == [0, 0, 0]


def test_what_the_archive_does_not_have_is_kept_and_counted(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {0: 1.0, 300: 2.0, 3600: 3.0}))
    gone = world.put(key(NOON_S, "b"), gauge("y", {0: 1.0, 60: 2.0, 300: 3.0, 3600: 4.0}), gauge("x", {600: 1.0}))
    done(world.backfill("--run-id", "r1", period="2025-11-01T12:00Z/PT2H"))
    before = by_bucket(world.all_rows())
    (world.archive / gone).unlink()
    report = done(world.backfill("--run-id", "r2", "--allow-fewer"))
    after = by_bucket(world.all_rows())
    assert {bucket: row for bucket, row in before.items() if bucket[4] == "y"} == {bucket: row for bucket, row in after.items() if bucket[4] == "y"}
    tallies = report["buckets"]["host"]
    assert [tallies[one]["absent"] for one in GRANULARITIES] == [4, 3, 1]
    assert [tallies[one]["equal"] for one in GRANULARITIES] == [2, 2, 0]


@pytest.mark.parametrize(("more", "mine"), [(["--series", "host/acme/h1/x"], ("acme", "x")), (["--org", "other"], ("other", "x"))])
def test_filters_leave_other_series_as_they_are(world: World, more: list[str], mine: tuple[str, str]) -> None:
    world.put(key(NOON_S), gauge("x", [1.0]), gauge("y", [1.0]), gauge("x", [1.0], org="other"), gauge("gone", [1.0]))
    done(world.backfill("--run-id", "r1"))
    before = by_bucket(world.all_rows())
    world.put(key(NOON_S), gauge("x", [2.0]), gauge("y", [2.0]), gauge("x", [2.0], org="other"))
    report = done(world.backfill("--run-id", "r2", *more))
    after = by_bucket(world.all_rows())
    assert {(bucket[2], bucket[4]) for bucket in before if before[bucket] != after[bucket]} == {mine}
    assert report["buckets"]["host"]["1m"] == dict.fromkeys(("added", "equal", "newer", "refused", "left", "absent"), 0) | {"changed": 1}


# --- 4: good is never replaced with less ------------------------------------------------------------------------------


def test_a_lower_corrected_value_wins_under_a_newer_generation(world: World) -> None:
    world.put(key(NOON_S), gauge("x", [9.0, 9.0]))
    done(world.backfill("--run-id", "r1"))
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]))
    report = done(world.backfill("--run-id", "r2"))
    assert world.column("x") == {0: 1.0, 60: 2.0}
    assert world.column("x", "sum", granularity="1h") == {0: 3.0}
    assert {row["generation"] for row in world.all_rows()} == {world.generation("r2")}
    assert world.generation("r2") > world.generation("r1")
    assert [report["buckets"]["host"][one]["changed"] for one in GRANULARITIES] == [2, 1, 1]
    largest = report["largest_changes"][0]
    assert (largest["stored_avg"], largest["avg"], largest["stored_minutes"], largest["minutes"]) == (9.0, 1.0, 1, 1)


@pytest.fixture
def fewer(world: World) -> World:
    """Stored: 5 minutes from 12:00, 2 from 12:05, one at 12:10. In the archive: less of the first, more of the second, the third with another value."""
    world.put(key(NOON_S), gauge("x", [1.0] * 7 + [None] * 3 + [1.0]))
    done(world.backfill("--run-id", "r1"))
    world.put(key(NOON_S), gauge("x", {0: 2.0, 60: 2.0, 300: 2.0, 360: 2.0, 420: 2.0, 600: 2.0}))
    return world


def test_fewer_minutes_are_refused_and_listed_with_both_numbers(fewer: World) -> None:
    report = done(fewer.backfill("--run-id", "r2"), code=5)
    assert report["state"] == "refused by a guard"
    assert fewer.column("x", "minutes", granularity="5m") == {0: 5, 300: 3, 600: 1}
    assert fewer.column("x", "avg", granularity="5m") == {0: 1.0, 300: 2.0, 600: 2.0}
    assert fewer.column("x", "sum", granularity="1h") == {0: 8.0}
    assert fewer.column("x") == {0: 2.0, 60: 2.0, 120: 1.0, 180: 1.0, 240: 1.0, 300: 2.0, 360: 2.0, 420: 2.0, 600: 2.0}
    listed = [json.loads(line) for line in Path(report["refused_file"]).read_text().splitlines()]
    series = {"metric_type": "host", "org": "acme", "entity": "h1", "name": "x", "labels": "{}", "kind": "gauge"}
    five = {"granularity": "5m", "bucket_start": "2025-11-01T12:00:00Z", "stored_minutes": 5, "minutes": 2, "stored_avg": 1.0, "avg": 2.0}
    hour = {"granularity": "1h", "bucket_start": "2025-11-01T12:00:00Z", "stored_minutes": 8, "minutes": 6, "stored_avg": 1.0, "avg": 2.0}
    assert sorted(listed, key=lambda one: -one["stored_minutes"]) == [series | hour, series | five]
    assert sorted(report["refused"], key=lambda one: -one["stored_minutes"]) == [series | hour, series | five]
    tallies = report["buckets"]["host"]
    assert [tallies[one]["refused"] for one in GRANULARITIES] == [0, 1, 1]
    assert [tallies[one]["absent"] for one in GRANULARITIES] == [3, 0, 0]


def test_allow_fewer_replaces_them(fewer: World) -> None:
    report = done(fewer.backfill("--run-id", "r2", "--allow-fewer"))
    assert fewer.column("x", "minutes", granularity="5m") == {0: 2, 300: 3, 600: 1}
    assert fewer.column("x", "sum", granularity="1h") == {0: 12.0}
    assert not report["refused"]
    assert {row["generation"] for row in fewer.rows("5m")} == {fewer.generation("r2")}


def test_refused_points_are_counted_where_nothing_finer_took_them(fewer: World) -> None:
    points = done(fewer.backfill("--run-id", "r2", "--granularities", "5m"), code=5)["points"]["host"]
    assert points == {"points": 6, "stored": 4, "refused": 2}


def test_the_same_report_again_after_a_refusal(fewer: World) -> None:
    first = done(fewer.backfill("--run-id", "r2"), code=5)
    assert done(fewer.backfill("--run-id", "r2"), code=5) == first


VALUES: Final = {
    "a": {0: [1.0] * 5, 300: [1.0] * 2, 600: [1.0] * 3},
    "b": {0: [2.0] * 3, 300: [2.0] * 4, 600: [2.0] * 3, 900: [2.0]},
    "c": {0: [3.0] * 5, 300: [3.0] * 3, 600: [3.0] * 2},
}
"""Three archives, by start of the bucket in seconds after noon."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], tuple[World, Path]]:
    """Three runs over different archives, planned in this order: their generations are fixed, nothing is stored yet."""

    def make(allow_fewer: bool) -> tuple[World, Path]:
        world = World(tmp_path_factory.mktemp("planned"))
        for name, buckets in VALUES.items():
            archive = world.reading(name)
            archive.put(key(NOON_S), gauge("x", {start + 60 * n: value for start, values in buckets.items() for n, value in enumerate(values)}))
            done(archive.plan("--run-id", name, *(["--allow-fewer"] if allow_fewer else [])))
        return world, world.save()

    made = {}
    return lambda allow_fewer: made.setdefault(allow_fewer, None) or made.update({allow_fewer: make(allow_fewer)}) or made[allow_fewer]


@pytest.mark.parametrize("allow_fewer", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("order", [pytest.param(order, id="".join(order)) for order in itertools.permutations("abc")])
def test_runs_in_any_order_end_alike(planned: Callable[[bool], tuple[World, Path]], order: tuple[str, ...], allow_fewer: bool) -> None:
    world, saved = planned(allow_fewer)
    world.restore(saved)
    for run_id in order:
        assert world.execute(run_id, "--workers", "1").code in (0, 5)
    generations = {world.generation(name): name for name in VALUES}
    winners = {start: generations[number] for start, number in world.column("x", "generation", granularity="5m").items()}
    assert winners == ({0: "c", 300: "c", 600: "c", 900: "b"} if allow_fewer else {0: "c", 300: "b", 600: "b", 900: "b"})
    minutes = {start: generations[number] for start, number in world.column("x", "generation").items()}
    newest = {start + 60 * n: name for name, buckets in VALUES.items() for start, values in buckets.items() for n in range(len(values))}
    assert minutes == newest
    assert generations[world.column("x", "generation", granularity="1h")[0]] == ("c" if allow_fewer else "b")
    assert world.column("x", "sum", granularity="5m") == {start: sum(VALUES[name][start]) for start, name in winners.items()}


def put_live_rows(world: World, minutes: int, value: float) -> None:
    """What a live writer left: the first `minutes` minutes of x, without a generation."""
    rows: dict[str, list[dict[str, object]]] = {"1m": [live_row(60 * n, 1, value) for n in range(minutes)], "5m": [live_row(0, minutes, value)]}
    for granularity, some in rows.items():
        path = world.store / f"metric_type=host/granularity={granularity}/day=2025-11-01/shard-0000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(some, schema=ROLLUP_SCHEMA), path)


def live_row(start: int, minutes: int, value: float) -> dict[str, object]:
    identity = {"org": "acme", "entity": "h1", "name": "x", "labels": "{}", "kind": "gauge", "bucket_start": (NOON_S + start) * 1000}
    return identity | {"minutes": minutes, "count": minutes, "sum": minutes * value} | dict.fromkeys(("min", "max", "avg", "last"), value)


def test_rows_of_a_live_writer_have_generation_0_and_yield(world: World) -> None:
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]))
    put_live_rows(world, 2, 7.0)
    assert {row["generation"] for row in world.all_rows()} == {0}
    report = done(world.backfill("--run-id", "r"))
    assert world.column("x") == {0: 1.0, 60: 2.0}
    assert {row["generation"] for row in world.all_rows()} == {world.generation("r")}
    assert [report["buckets"]["host"][one]["changed"] for one in GRANULARITIES] == [2, 1, 0]


def test_rows_of_a_live_writer_with_more_minutes_stay(world: World) -> None:
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]))
    put_live_rows(world, 3, 7.0)
    done(world.backfill("--run-id", "r"), code=5)
    assert world.column("x", "avg", granularity="5m") == {0: 7.0}
    assert world.column("x", "generation", granularity="5m") == {0: 0}
    assert world.column("x") == {0: 1.0, 60: 2.0, 120: 7.0}


def test_the_store_issues_generations(world: World) -> None:
    """max(now in ms, last issued + 1): a clock that goes back makes no difference."""
    world.put(key(NOON_S), gauge("x", [1.0]))
    for run_id, now_s, generation in (
        ("a", NOW_S, NOW_S * 1000),
        ("b", NOW_S, NOW_S * 1000 + 1),
        ("c", 0, NOW_S * 1000 + 2),
        ("d", NOW_S + 1, NOW_S * 1000 + 1000),
    ):
        assert done(world.plan("--run-id", run_id, now_s=now_s))["generation"] == generation


# --- 9: exit codes ----------------------------------------------------------------------------------------------------


def test_the_first_exit_code_that_applies(world: World) -> None:
    """1 before 3 before 5 before 0."""
    world.put(key(NOON_S), gauge("x", [1.0, 2.0, 3.0]))
    done(world.backfill("--run-id", "0"), code=0)
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]), b"}\n")
    done(world.backfill("--run-id", "5", "--max-dead-letters", "1"), code=5)
    report = done(world.backfill("--run-id", "3"), code=3)
    assert report["buckets"]["host"]["5m"]["refused"] == 1
    with pytest.MonkeyPatch.context() as patch:
        lose_a_slice(patch)
        report = done(world.backfill("--run-id", "1", "--workers", "1"), code=1)
    assert (report["dead_letters"]["total"], bool(report["imbalances"])) == (1, True)


@pytest.mark.parametrize(("allowed", "code"), [("0", 3), ("1", 3), ("2", 0), ("3", 0)])
def test_more_dead_letters_than_allowed_are_exit_3(world: World, allowed: str, code: int) -> None:
    world.put(key(NOON_S), b"}\n", gauge("x", {0: True, 60: 1.0}))
    result = world.backfill("--max-dead-letters", allowed)
    assert result.code == code
    assert world.column("x") == {60: 1.0}


def test_exit_3_can_be_resumed_with_the_same_run_id(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(key(NOON_S), b"}\n", gauge("x", [1.0]))
    done(world.backfill("--run-id", "r"), code=3)
    stored = world.stored()
    monkeypatch.setattr(LocalArchive, "read", never)
    assert done(world.backfill("--run-id", "r", "--max-dead-letters", "1"))["state"] == "done"
    assert world.stored() == stored
    assert [run["state"] for run in world.command("runs").data] == ["done"]


@pytest.mark.parametrize(
    ("more", "types"), [([], "service"), (["--org", "other"], "host"), (["--series", "none"], "host"), (["--granularities", "1h"], "role")]
)
def test_dead_letters_are_counted_before_any_filter(world: World, more: list[str], types: str) -> None:
    world.put(key(NOON_S), b"}\n", gauge("x", {0: True, 60: 1.0}))
    world.put(key(NOON_S + 90_000 - 2000), gauge("y", {0: []}, at=90_000))
    report = done(world.backfill(*more, types=types), code=3)
    assert report["dead_letters"]["total"] == 3
    assert report["dead_letters"]["by_cause"] == {"bad JSON": 1, "broken point: value": 2}


def test_dead_letters_are_json_lines_with_object_offset_cause_and_exact_bytes(world: World) -> None:
    good, bad_point = gauge("x", [1.0]), b'{"name":"x", "time":1761998400,"value":{"\xff":1}}'
    junk = b'{"type":"host",\x00\xfe "metrics":[}\n'
    record = host_record("h1", NOON_S, []).replace(b"[]", b"[" + bad_point + b"]")
    unknown = b'{"type": "tr\xc3\xa4ce"}'
    first = world.put(key(NOON_S, extension=".gz"), gzip.compress(good + junk + record))
    second = world.put(key(NOON_S, "b"), b"\xef\xbb\xbf" + unknown + good)
    report = done(world.backfill("--run-id", "r"), code=3)
    lines = Path(report["dead_letters"]["file"]).read_bytes()
    letters = [json.loads(line) for line in lines.splitlines()]
    found = [(one["object"], one["offset"], one["cause"], base64.b64decode(one["raw"], validate=True)) for one in letters]
    assert found == [
        (first, len(good), "bad JSON", junk[:-1]),
        (first, len(good + junk) + record.index(bad_point), "broken point: value", bad_point),
        (second, 3, "unknown type", unknown),
    ]
    assert report["dead_letters"]["by_cause"] == {"bad JSON": 1, "broken point: value": 1, "unknown type": 1}
    assert world.command("status", "r", "--dead-letters").out.encode() == lines


def test_an_archive_or_period_without_any_object_is_exit_5(world: World) -> None:
    result = world.backfill()
    assert (result.code, "holds no object" in result.err) == (5, True)
    world.put(key(NOON_S), gauge("x", [1.0]))
    world.put(key(NOON_S + 7200), gauge("x", {7200: 1.0}, at=7200))
    result = world.backfill(period="2025-11-20T00:00Z/PT1H")
    assert (result.code, "2025-11-01T12:00:00Z" in result.err, "2025-11-01T14:00:00Z" in result.err) == (5, True, True)
    assert done(world.backfill("--allow-empty", period="2025-11-20T00:00Z/PT1H"))["objects"] == 0


def test_points_without_a_bucket_are_no_error(world: World) -> None:
    """Objects there are, but nothing in them is of the period or of the types."""
    world.put(key(NOON_S), service_record("shop", NOON_S, [("x", NOON_S, 1.0)]), gauge("x", {-7200: 1.0}))
    report = done(world.backfill())
    assert report["points"] == {"host": {"points": 1, "outside.time": 1}, "service": {"points": 1, "outside.type": 1}}
    assert not world.stored()
