"""`rollups copy` through the command line: the same versions in another store, whatever its windows and shards, once or as time goes on."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.guarding import GUARD_KEYS
from configs.option import defaults
from configs.publishing import PUBLISH_KEYS
from configs.store_command_options import COPY_OPTIONS
from configs.store_jobs import CopyJob
from pipelines.copying import run
from pipelines.following import next_step
from pipelines.runtime import Runtime
from tests.builders import DAY_START_S, NOON_S
from tests.pipelines.processes import KILLED, PATIENCE_S, Forge
from tests.pipelines.test_kinds_runs import archived
from tests.pipelines.worlds import NOON_HOUR, Result, Row, World, call, gauge, iso, key, period_of, tree
from transforms.core.transfer import Following
from transforms.core.windows import Windows
from transforms.stores.parquet import ParquetFolder

EVERYTHING = "2025-10-31T00:00Z/2025-11-02T00:00Z"


def copy(left: World, right: World, *more: str, period: str = NOON_HOUR) -> Result:
    asked = ("--period", period) if period else ()
    stores = ("--from", f"parquet://{left.store}", "--store", f"parquet://{right.store}")
    return call(["copy", *stores, *asked, "--metric-types", left.types, "--work-dir", str(right.work), "--json", *more])


def done(result: Result, code: int = 0) -> Any:
    assert result.code == code, result.err + result.out
    return result.data


def rows(world: World) -> list[Row]:
    """All stored rows with their generations."""
    return world.all_rows()


def lasting(world: World) -> dict[str, bytes]:
    """All of the store but the locks."""
    return {path: body for path, body in tree(world.store).items() if not path.startswith("_locks/")}


@pytest.fixture
def left(tmp_path: Path) -> World:
    """Two series of ten minutes from noon on, by two runs."""
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("x", list(range(10))), gauge("y", list(range(10))))
    done(world.backfill("--run-id", "r1"))
    world.put(key(NOON_S), gauge("x", [7.0] * 10))
    done(world.backfill("--run-id", "r2"))
    return world


def test_rows_of_every_kind_are_the_same_bytes_with_their_generations(tmp_path: Path) -> None:
    left, right = World(tmp_path, types="labeled"), World(tmp_path / "right", types="labeled")
    archived(left)
    done(left.backfill("--run-id", "r", period=period_of(DAY_START_S - 3600, DAY_START_S + 3600)))
    report = done(copy(left, right, "--run-id", "c", period=EVERYTHING))
    assert right.stored() == left.stored()
    assert {row["generation"] for row in rows(right)} == {left.generation("r")}
    assert report["imbalances"] == []
    assert report["read"]["labeled"] == {"read": len(rows(left)), "stored": len(rows(left))}
    assert call(["compare", f"parquet://{left.store}", f"parquet://{right.store}", "--period", EVERYTHING, "--include-generation"]).code == 0


def test_copied_again_everything_is_equal_and_no_byte_changes(left: World) -> None:
    right = left.beside("right")
    first = done(copy(left, right, "--run-id", "c"))
    stored = right.stored()
    again = done(copy(left, right, "--run-id", "d"))
    assert right.stored() == stored == left.stored()
    assert {name: tally["added"] for name, tally in first["buckets"]["host"].items()} == {"1m": 20, "5m": 4, "1h": 2}
    assert {name: tally["equal"] for name, tally in again["buckets"]["host"].items()} == {"1m": 20, "5m": 4, "1h": 2}


def test_live_rows_without_a_generation_stay_without(left: World) -> None:
    for path in left.store.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.set_column(table.schema.get_field_index("generation"), "generation", pa.nulls(table.num_rows, pa.int64())), path)
    right = left.beside("right")
    done(copy(left, right))
    assert {None} == {one for path in right.store.rglob("*.parquet") for one in pq.read_table(path, partitioning=None)["generation"].to_pylist()}


def test_what_is_newer_or_of_more_minutes_in_the_target_stays(left: World) -> None:
    right = left.beside("right")
    right.put(key(NOON_S), gauge("x", [8.0] * 10), gauge("y", [8.0] * 10))
    done(right.backfill("--run-id", "newer"))
    before = right.stored()
    report = done(copy(left, right))
    assert right.stored() == before
    assert report["buckets"]["host"]["1m"]["newer"] == 20
    less = World(left.root / "less")
    less.put(key(NOON_S), gauge("x", [1.0] * 4), gauge("y", [1.0] * 4))
    done(less.backfill("--run-id", "later"))
    report = done(copy(less, right), 5)
    assert report["buckets"]["host"]["1h"]["refused"] == 2
    assert report["read"]["host"] == {"read": 12, "stored": 8, "refused": 4}
    assert [row["minutes"] for row in right.rows("1h")] == [10, 10]


def cut(world: World, shards: int, window: str) -> None:
    """Make the partition of so many shards."""
    folder = world.store / "_partitions" / "host"
    folder.mkdir(parents=True)
    (folder / f"{window}.json").write_text(json.dumps({"format": 1, "shards": shards, "hash": "crc32"}))


@pytest.mark.parametrize(("shards", "theirs"), [(1, 4), (4, 1), (4, 6), (6, 4)])
def test_stores_may_cut_series_differently(left: World, shards: int, theirs: int) -> None:
    source, target = left.beside("source"), left.beside("target")
    for world, number in ((source, shards), (target, theirs)):
        cut(world, number, "2025-11-01")
    done(copy(left, source))
    report = done(copy(source, target))
    assert rows(target) == rows(source) == rows(left)
    assert report["imbalances"] == []
    assert report["buckets"]["host"]["1m"] == dict.fromkeys(report["buckets"]["host"]["1m"], 0) | {"added": 20}


@pytest.mark.parametrize(("days", "theirs"), [(1, 7), (7, 1), (2, 7)])
def test_windows_may_differ(tmp_path: Path, days: int, theirs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose windows are several days, as DynamoDB's and Valkey's are: here a parquet store that says so."""
    left = World(tmp_path)
    hours = range(-40, 40, 5)
    left.put(
        key(NOON_S), gauge("x", {3600 * hour: float(hour) for hour in hours}, at=40 * 3600), gauge("y", {3600 * hour: 1.0 for hour in hours}, at=40 * 3600)
    )
    period = "2025-10-28T00:00Z/2025-11-05T00:00Z"
    done(left.backfill("--run-id", "r", "--late-s", "864000", "--early-s", "864000", period=period))
    source, target = left.beside("source"), left.beside("target")
    widths = {source.store: days, target.store: theirs}
    of_days(monkeypatch, widths)
    done(copy(left, source, period=period))
    report = done(copy(source, target, "--run-id", "c", period=period))
    assert rows(target) == rows(source) == rows(left)
    assert len(rows(left)) == 3 * 2 * len(hours)
    assert report["imbalances"] == []
    assert report["read"]["host"] == {"read": len(rows(left)), "stored": len(rows(left))}
    days_of = {path.parent.name.removeprefix("day=") for path in target.store.rglob("*.parquet")}
    assert days_of == set(Windows(theirs).touched_by([(NOON_S + 3600 * hour, NOON_S + 3600 * hour + 1) for hour in hours]))


def of_days(monkeypatch: pytest.MonkeyPatch, widths: dict[Path, int]) -> None:
    from transforms.stores.backend import Traits

    monkeypatch.setattr(ParquetFolder, "traits", property(lambda self: Traits(windows=Windows(widths.get(self.layout.root, 1)))))


def test_narrower_windows_are_not_written_without_conditions(left: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two days would meet in one item of a week, each unaware of the other."""
    right = left.beside("right")
    of_days(monkeypatch, {right.store: 7})
    result = copy(left, right, "--dynamodb-fresh")
    assert result.code == 2
    assert f"7 windows of parquet://{left.store} go into one of parquet://{right.store}: leave it out" in result.err
    of_days(monkeypatch, {})
    done(copy(left, right, "--dynamodb-fresh"))


VERIFIED = ("units", "buckets", "different", "rechecked", "changed_since")


def verified(result: Result) -> list[int]:
    return [result.data["verification"][name] for name in VERIFIED]


@pytest.mark.parametrize(("shards", "days"), [(1, 1), (3, 7)])
def test_what_was_copied_is_read_back_and_rechecked(left: World, shards: int, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    right = left.beside("right")
    of_days(monkeypatch, {right.store: days})
    cut(right, shards, *Windows(days).touched_by([(NOON_S, NOON_S + 1)]))
    copied = copy(left, right, "--run-id", "c1", "--verify", "full")
    assert (copied.code, verified(copied)) == (0, [1, 26, 0, 26, 0])
    checked = right.command("status", "c1", "--recheck")
    assert (checked.code, checked.data["rechecked"], checked.data["changed_since"]) == (0, 26, 0)
    path = max(right.store.glob("metric_type=host/granularity=1m/*/*.parquet"), key=lambda one: pq.read_table(one, partitioning=None).num_rows)
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(1), path)
    lost = table.to_pylist()[0]
    checked = right.command("status", "c1", "--recheck")
    (one,) = checked.data["changes_since"]
    assert (checked.code, checked.data["rechecked"], one["name"], one["stored_minutes"]) == (4, 26, lost["name"], 0)
    assert one["bucket_start"] == iso(int(lost["bucket_start"].timestamp()))
    none = copy(left, left.beside("other"), "--run-id", "c2", "--verify", "none")
    assert (none.code, verified(none)) == (0, [0] * 5)


def test_a_target_that_loses_a_row_is_found_out(left: World, monkeypatch: pytest.MonkeyPatch) -> None:
    replacing = ParquetFolder._written

    def losing(self: ParquetFolder, unit: Any, granularity: str, table: pa.Table, run_id: str) -> Any:
        return replacing(self, unit, granularity, table.slice(1) if granularity == "1m" else table, run_id)

    monkeypatch.setattr(ParquetFolder, "_written", losing)
    copied = copy(left, left.beside("right"), "--run-id", "c1")
    assert (copied.code, copied.data["state"], verified(copied)) == (4, "differences found", [1, 26, 1, 26, 1])
    assert [one["bucket_start"] for one in copied.data["verification"]["differences"]] == ["2025-11-01T12:00:00Z"]
    follow = ("--follow", "--start", iso(NOON_S), "--end", iso(NOON_S + 3600), "--run-id", "c3")
    following = copy(left, left.beside("third"), *follow, period="")
    assert (following.code, [following.data["verification"][name] for name in VERIFIED[1:]]) == (4, [26, 1, 26, 1])
    refused = left.beside("third").command("status", "c3", "--recheck")
    assert (refused.code, "follows time and keeps no list of what it wrote" in refused.err) == (2, True)


def test_series_and_granularities_are_selected_and_the_rest_is_outside(left: World) -> None:
    right = left.beside("right")
    report = done(copy(left, right, "--series", "host/*/h1/x", "--granularities", "1m,1h", period=period_of(NOON_S, NOON_S + 300)))
    assert report["read"]["host"] == {"read": 22, "stored": 6, "outside.time": 10, "outside.series": 6}
    assert Counter((row["name"], row["granularity"]) for row in rows(right)) == {("x", "1m"): 5, ("x", "1h"): 1}


def test_a_dry_run_writes_nothing_and_a_copy_can_not_be_undone(left: World) -> None:
    right = left.beside("right")
    report = done(copy(left, right, "--dry-run"))
    assert report["buckets"]["host"]["1m"]["added"] == 20
    assert not right.store.exists()
    done(copy(left, right, "--run-id", "c"))
    assert "can tell it from other rollups and undo it" in right.command("undo", "c").err
    assert rows(right) == rows(left)


MISTAKES = {
    "onto itself": (("--from", "parquet:///a", "--store", "parquet:///a", "--period", NOON_HOUR), "a copy goes to another store"),
    "no period": (("--from", "parquet:///a", "--store", "parquet:///b"), "give either --period FROM/TO"),
    "no start": (("--from", "parquet:///a", "--store", "parquet:///b", "--follow"), "--follow, --start and --end belong together"),
    "start alone": (("--from", "parquet:///a", "--store", "parquet:///b", "--start", "now", "--period", NOON_HOUR), "belong together"),
    "both": (("--from", "parquet:///a", "--store", "parquet:///b", "--follow", "--start", "now", "--period", NOON_HOUR), "give either --period FROM/TO"),
    "dry": (("--from", "parquet:///a", "--store", "parquet:///b", "--follow", "--start", "now", "--dry-run"), "are for a --period"),
    "half minutes": (("--from", "parquet:///a", "--store", "parquet:///b", "--follow", "--start", "now", "--step-s", "90"), "no whole number of minutes"),
}


@pytest.mark.parametrize(("argv", "told"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_before_anything_is_read(argv: tuple[str, ...], told: str) -> None:
    result = call(["copy", *argv])
    assert result.code == 2
    assert told in result.err


def test_killed_at_every_step_and_resumed_ends_with_the_same_bytes(tmp_path: Path, left: World) -> None:
    right = left.beside("right")
    done(copy(left, right, "--run-id", "c", "--plan-only"))
    before = right.save()
    argv = ("copy", "--plan", "c", "--work-dir", str(right.work), "--json", "--workers", "1")
    with Forge(tmp_path) as forge:
        end = forge.run(argv, trace=str(tmp_path / "steps.json"))
        assert end.code == 0, end.err
        whole = lasting(right)
        for step in Counter(json.loads((tmp_path / "steps.json").read_text())):
            right.restore(before)
            assert forge.run(argv, die_at=(step, 1)).code == KILLED
            assert forge.run(argv).code == 0
            assert (step, lasting(right)) == (step, whole)


# --- following time ------------------------------------------------------------------------------------------------------

HOW = Following(start="", end="", lag_s=600, step_s=3600)
DAY = 86_400


@pytest.mark.parametrize(
    ("until_s", "now_s", "end_s", "step"),
    [
        (0, 3600 + 599, 10 * DAY, None),
        (0, 3600 + 600, 10 * DAY, (0, 3600)),
        (0, 7200 + 600, 10 * DAY, (0, 7200)),
        (0, 3 * DAY, 10 * DAY, (0, DAY)),
        (DAY, 3 * DAY, 10 * DAY, (DAY, 2 * DAY)),
        (1800, 7200, 10 * DAY, (1800, 3600)),
        (3600, 7200 + 600, 5400, (3600, 5400)),
        (3600, 5400 + 599, 5400, None),
    ],
)
def test_the_next_step(until_s: int, now_s: int, end_s: int, step: tuple[int, int] | None) -> None:
    assert next_step(until_s, end_s, now_s, HOW, DAY) == step


@dataclass
class Clock:
    """A clock that only waiting moves on; `at` is called whenever it has."""

    now_s: float
    waited: int = 0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.waited += 1
        self.now_s += 60 * seconds


def runtime_of(clock: Clock, said: list[str]) -> Runtime:
    return Runtime(
        clock=clock, wait=clock.wait, say=said.append, show=said.append, ask=lambda _: False, out=None, terminal=False, environ={},  # type: ignore[arg-type]
    )  # fmt: skip


def job_of(left: World, right: World, **given: Any) -> CopyJob:
    options = [option for option in COPY_OPTIONS if option.key not in GUARD_KEYS | PUBLISH_KEYS | {"config"}]
    values = {option.field: value for option in options if (value := defaults(COPY_OPTIONS)[option.key]) is not None}
    known = {"source": f"parquet://{left.store}", "store": f"parquet://{right.store}", "work_dir": str(right.work), "metric_types": ("host",), "follow": True}
    return CopyJob(**{"hash_slots": ()} | values | known | given)


def test_following_copies_each_bucket_once_when_its_step_is_over(left: World) -> None:
    """Ten minutes in steps of five: minutes and 5m with their step, the hour when it has ended."""
    right, clock, said = left.beside("right"), Clock(NOON_S + 240), list[str]()
    job = job_of(left, right, start=iso(NOON_S), end=iso(NOON_S + 3600), step_s=300, lag_s=60, run_id="f")
    outcome = run(job, runtime_of(clock, said))
    assert (outcome.exit_code, outcome.data["state"]) == (0, "done")
    assert rows(right) == rows(left)
    assert outcome.data["steps"] == 12
    assert {name: tally["added"] for name, tally in outcome.data["buckets"]["host"].items()} == {"1m": 20, "5m": 4, "1h": 2}
    assert all(tally["equal"] == tally["changed"] == 0 for tally in outcome.data["buckets"]["host"].values())
    assert clock.waited >= 56, "the clock moves a minute with every wait"
    copied = [line for line in said if line.startswith("copied 2025-11-01T12:")]
    assert copied[0] == "copied 2025-11-01T12:00:00Z/2025-11-01T12:05:00Z: 12 rows"
    assert copied[-1] == "copied 2025-11-01T12:55:00Z/2025-11-01T13:00:00Z: 2 rows"
    assert not list((right.run_dir("f") / "steps").iterdir())


def test_what_is_behind_is_caught_up_by_days_and_a_start_cuts_no_bucket(left: World) -> None:
    right = left.beside("right")
    job = job_of(left, right, start=iso(NOON_S + 60), end="2025-11-03T00:00Z", run_id="f")
    outcome = run(job, runtime_of(Clock(NOON_S + 30 * DAY), []))
    assert outcome.data["steps"] == 2
    # Of the minutes the first has ended when the copy begins; the first 5m bucket and the hour end later.
    assert {name: tally["added"] for name, tally in outcome.data["buckets"]["host"].items()} == {"1m": 18, "5m": 4, "1h": 2}


def test_a_run_that_is_repeated_goes_on_where_it_was(left: World) -> None:
    right = left.beside("right")
    how = {"start": iso(NOON_S), "end": iso(NOON_S + 3600), "step_s": 300, "lag_s": 0, "run_id": "f"}

    class Impatient(Exception):
        pass

    def leave(_seconds: float) -> None:
        raise Impatient

    clock = Clock(NOON_S + 300)
    clock.wait = leave  # type: ignore[method-assign]
    with pytest.raises(Impatient):
        run(job_of(left, right, **how), runtime_of(clock, []))
    assert Counter(row["granularity"] for row in rows(right)) == {"1m": 10, "5m": 2}
    assert done(right.command("status", "f"), 3)["copied_until"] == iso(NOON_S + 300)
    assert [one["state"] for one in done(right.command("runs"))] == ["interrupted"]
    outcome = run(job_of(left, right, **how), runtime_of(Clock(NOON_S + DAY), []))
    assert (outcome.data["steps"], outcome.data["buckets"]["host"]["1m"]["added"]) == (2, 20)
    assert rows(right) == rows(left)
    assert done(right.command("status", "f"))["state"] == "done"
    assert done(right.command("copy", "--plan", "f"))["copied_until"] == iso(NOON_S + 3600)


def test_killed_at_every_step_on_disk_following_counts_nothing_twice(tmp_path: Path, left: World) -> None:
    right = left.beside("right")
    argv = (
        "copy", "--from", f"parquet://{left.store}", "--store", f"parquet://{right.store}", "--metric-types", "host", "--work-dir", str(right.work), "--json",
        "--follow", "--start", iso(NOON_S), "--end", "2025-11-02T01:00Z", "--run-id", "f", "--workers", "1",
    )  # fmt: skip
    before = right.save()
    with Forge(tmp_path) as forge:
        end = forge.run(argv, trace=str(tmp_path / "steps.json"))
        assert end.code == 0, end.err
        whole = lasting(right)
        counts = Counter(json.loads((tmp_path / "steps.json").read_text()))
        for step in [one for one in counts if any(word in one for word in ("plan.rename", "record.rename", "report.rename", "followed", "shard.rename"))]:
            right.restore(before)
            assert forge.run(argv, die_at=(step, 1)).code == KILLED
            again = forge.run(argv)
            assert again.code == 0, again.err
            assert (step, lasting(right)) == (step, whole)
            assert {term: json.loads(again.out)["read"]["host"][term] for term in ("stored",)} == {"stored": 26}
            assert json.loads(again.out)["steps"] == 2


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def asked(request: pytest.FixtureRequest) -> Iterator[int]:
    return request.param


def test_asked_to_end_it_ends_in_order(tmp_path: Path, left: World, asked: int) -> None:
    right = left.beside("right")
    argv: Sequence[str] = (
        "copy", "--from", f"parquet://{left.store}", "--store", f"parquet://{right.store}", "--metric-types", "host", "--work-dir", str(right.work), "--json",
        "--follow", "--start", "-10m", "--run-id", "f", "--workers", "1", "--step-s", "60", "--lag-s", "0",
    )  # fmt: skip
    with Forge(tmp_path) as forge:
        child = forge.start(argv)
        followed, patience = right.run_dir("f") / "followed.json", time.monotonic() + PATIENCE_S
        while not followed.exists():
            assert time.monotonic() < patience, child.err.read_text()
            os.sched_yield()
        os.kill(child.pid, asked)
        end = child.wait()
    assert end.code == 0, end.err
    assert json.loads(end.out)["state"] == "stopped"
