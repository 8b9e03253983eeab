"""Plans are followed exactly, dry runs write nothing, runs can be watched: `plan`, `backfill --plan`, `--dry-run`, `runs`, `status`."""

import itertools
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import pipelines.planning
import pipelines.submit
from scripts.archive_maker.archive import make_archive
from scripts.archive_maker.options import ArchiveOptions
from scripts.encoders import otlp
from tests.builders import NOON_S
from tests.pipelines.worlds import GRANULARITIES, Result, World, gauge, key, service_gauge, tree
from transforms.archive.local import LocalArchive
from transforms.steps.worker import Worker
from transforms.stores.parquet import ParquetStore


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("x", [1.0, 2.0]))
    world.put(key(NOON_S + 60, "b"), gauge("x", {120: 3.0}))
    return world


def done(result: Result, code: int = 0) -> Any:
    """The document of a command that ended with this exit code."""
    assert result.code == code, result.err + result.out
    return result.data


# --- a plan and its execution -----------------------------------------------------------------------------------------


def test_a_plan_is_executed_as_it_was_made(world: World) -> None:
    planned = done(world.plan("--run-id", "p", "--edge", "clip", "--average", "flat", period="2025-11-01T12:00:30Z/PT2M"))
    assert planned["run_id"] == "p"
    assert not list(world.store.rglob("*.parquet"))
    report = done(world.execute("p"))
    assert report["run_id"] == "p"
    assert report["generation"] == planned["generation"]
    assert report["computed"] == planned["computed"]
    assert world.column("x") == {60: 2.0}
    assert {row["generation"] for row in world.all_rows()} == {planned["generation"]}


def test_the_run_id_is_the_first_line_on_stderr(world: World) -> None:
    for result in (world.plan("--run-id", "p"), world.execute("p"), world.backfill("--run-id", "r")):
        assert result.err.splitlines()[0] == result.data["run_id"]
    result = world.backfill()
    assert result.err.splitlines()[0] == result.data["run_id"]


def test_objects_that_arrive_after_the_plan_are_not_read(world: World) -> None:
    done(world.plan("--run-id", "p"))
    world.put(key(NOON_S, "between"), gauge("x", {0: 9.0, 600: 9.0}, at=50))
    assert done(world.execute("p"))["objects"] == 2
    assert world.column("x") == {0: 1.0, 60: 2.0, 120: 3.0}
    done(world.backfill())
    assert world.column("x") == {0: 9.0, 60: 2.0, 120: 3.0, 600: 9.0}


@pytest.mark.parametrize("how", ["longer", "as long"])
def test_an_object_that_changed_after_the_plan_is_exit_3_and_named_and_the_rest_is_done(world: World, how: str) -> None:
    done(world.plan("--run-id", "p"))
    changed = world.archive / key(NOON_S + 60, "b")
    changed.write_bytes(gauge("x", {120: 4.0}) + (b"\n" if how == "longer" else b""))
    report = done(world.execute("p"), code=3)
    assert [(one["object"], one["cause"]) for one in report["unreadable_objects"]] == [(key(NOON_S + 60, "b"), "object changed")]
    assert (report["records"], report["imbalances"]) == ({"read": 2, "decoded": 1, "dead_letters": 1}, [])
    assert world.column("x") == {0: 1.0, 60: 2.0}
    done(world.command("backfill", "--dead-letters", "p"))
    assert world.column("x") == {0: 1.0, 60: 2.0, 120: 4.0}


def test_an_object_that_is_gone_after_the_plan_is_exit_3_and_named_and_the_rest_is_done(world: World) -> None:
    done(world.plan("--run-id", "p"))
    (world.archive / key(NOON_S + 60, "b")).unlink()
    report = done(world.execute("p"), code=3)
    assert report["unreadable_objects"] == [{"object": key(NOON_S + 60, "b"), "cause": "object missing", "detail": ""}]
    assert (report["records"], report["imbalances"]) == ({"read": 2, "decoded": 1, "dead_letters": 1}, [])
    assert world.column("x") == {0: 1.0, 60: 2.0}


def test_objects_that_change_after_they_were_staged_do_not_matter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(key(NOON_S, "c"), b"}\n")
    done(world.backfill("--run-id", "r"), code=3)
    (world.archive / key(NOON_S)).write_bytes(b"other")
    monkeypatch.setattr(LocalArchive, "read", None)
    done(world.backfill("--run-id", "r", "--max-dead-letters", "1"))


def test_a_plan_leaves_the_rest_of_the_command_to_the_plan(world: World) -> None:
    done(world.plan("--run-id", "p"))
    result = world.execute("p", "--edge", "clip")
    assert (result.code, "--edge" in result.err) == (2, True)
    assert world.execute("nothing").code == 2
    result = world.plan("--run-id", "p")
    assert (result.code, "exists already" in result.err) == (2, True)


def test_a_dry_run_of_a_plan_writes_nothing(world: World) -> None:
    """Or it is refused: what is planned to write must not do so when a dry run is asked for."""
    done(world.plan("--run-id", "p"))
    before = tree(world.store)
    assert world.execute("p", "--dry-run").code in (0, 2)
    assert tree(world.store) == before


def test_the_same_run_id_with_another_plan_is_exit_2(world: World) -> None:
    done(world.backfill("--run-id", "r"))
    before = world.stored()
    for more in (["--edge", "clip"], ["--granularities", "5m"], ["--dry-run"], ["--allow-fewer"], ["--average", "flat"], ["--late-s", "5"]):
        result = world.backfill("--run-id", "r", *more)
        assert (result.code, "planned otherwise" in result.err) == (2, True), more
    assert world.backfill("--run-id", "r", period="2025-11-01T12:00Z/PT2H").code == 2
    assert world.backfill("--run-id", "r", types="service").code == 2
    assert world.stored() == before


def test_a_relative_period_means_the_same_times_when_a_run_is_resumed(world: World) -> None:
    world.put(key(NOON_S, "c"), b"}\n")
    first = done(world.backfill("--run-id", "r", period="-2h/now", now_s=NOON_S + 3600), code=3)
    again = done(world.backfill("--run-id", "r", "--max-dead-letters", "1", period="-2h/now", now_s=NOON_S + 90_000))
    assert again["periods"] == first["periods"] == ["2025-11-01T11:00:00Z/2025-11-01T13:00:00Z"]


# --- what a plan says -------------------------------------------------------------------------------------------------

SHAPES: Final = {
    "even": ArchiveOptions(hosts=20, services=2, metrics=20, duration_s=4 * 3600, object_interval_s=600),
    "several days": ArchiveOptions(hosts=2, services=1, metrics=20, duration_s=3 * 86_400, interval_s=300, object_interval_s=3600, compression="mixed"),
    "few objects": ArchiveOptions(hosts=10, services=0, metrics=50, duration_s=3600, object_interval_s=3600),
    "all twists": ArchiveOptions(
        hosts=6, metrics=8, duration_s=6 * 3600, duplicates=0.2, late=0.1, odd=0.1, corrupt=0.2, nulls=0.1, churn=1.0, separator="mixed"
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimated_points_are_within_a_factor_of_2(tmp_path: Path, shape: str) -> None:
    world = World(tmp_path, types="service,role,host")
    points = make_archive(world.archive, SHAPES[shape]).summary["points"]
    planned = done(world.plan(period="2025-11-01T00:00Z/P3D"))
    real = sum(points.values())  # type: ignore[attr-defined]
    assert real / 2 <= planned["points_estimated"] <= real * 2


def test_a_plan_lists_what_will_be_done(world: World) -> None:
    world.put(key(NOON_S + 10 * 86_400), b"not of the period")
    planned = done(world.plan("--run-id", "p", types="service,role,host", period="2025-11-01T23:30Z/PT1H"))
    sizes = [(world.archive / key(NOON_S)).stat().st_size, (world.archive / key(NOON_S + 60, "b")).stat().st_size]
    assert (planned["objects"], planned["listed_objects"], planned["object_bytes"]) == (2, 3, sum(sizes))
    assert planned["groups"] == 2
    assert planned["units"] == {"service": 2, "role": 2, "host": 2}
    assert planned["periods"] == ["2025-11-01T23:30:00Z/2025-11-02T00:30:00Z"]
    assert planned["computed"]["1h"] == ["2025-11-01T23:00:00Z/2025-11-02T01:00:00Z"]
    assert planned["edge_buckets"] == {
        "1m": [],
        "5m": [],
        "1h": ["2025-11-01T23:00:00Z/2025-11-02T00:00:00Z", "2025-11-02T00:00:00Z/2025-11-02T01:00:00Z"],
    }
    assert planned["free_bytes"] > 0
    assert planned["duration_s_estimated"] > 0


def test_staging_that_does_not_fit_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.planning, "_free_bytes", lambda _folder: 10)
    for result in (world.plan("--run-id", "p"), world.backfill("--run-id", "r")):
        assert result.code == 5
        assert "10 B free" in result.err
    assert not world.store.exists()


def test_a_short_period_of_a_long_archive_has_an_estimate_too(tmp_path: Path) -> None:
    """An hour of three days: series, and so shards and staging, must not be guessed as none because the sample fell elsewhere."""
    world = World(tmp_path)
    make_archive(world.archive, ArchiveOptions(hosts=5, services=0, metrics=10, duration_s=3 * 86_400, interval_s=300, object_interval_s=900))
    planned = done(world.plan(period="2025-11-02T12:00Z/PT1H"))
    assert planned["points_estimated"] > 0
    assert 25 <= planned["series_estimated"] <= 100
    assert planned["staging_bytes_estimated"] > 0


@pytest.mark.parametrize(("is_histogram", "shards"), [(False, 6), (True, 26)])
def test_units_of_histograms_have_fewer_series(tmp_path: Path, *, is_histogram: bool, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """50 series: ten gauges a unit, or as many histograms as weigh that. One of 16 buckets weighs five. Units are even in number."""
    monkeypatch.setattr(pipelines.planning, "SERIES_PER_SHARD", 10)
    counts = np.full((otlp.SERIES, len(otlp.BOUNDS) + 1), 3)
    if is_histogram:
        request = otlp.Histograms("shop", is_cumulative=False).export(NOON_S - 60, NOON_S, counts)
    else:
        request = otlp.Gauges("shop").export(NOON_S, np.zeros(otlp.SERIES))
    world = World(tmp_path, types="labeled")
    world.put(key(NOON_S), otlp.labeled_posting(request.SerializeToString(), org="acme", receivedAt=NOON_S + 1))
    planned = done(world.plan())
    assert planned["series_estimated"] == otlp.SERIES
    assert planned["units"] == {"labeled": shards}


# --- the order of types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("types", ["service,host", "host,service", "role,host,service"])
@pytest.mark.parametrize("more", [["--workers", "4"], ["--direct_runner_bundle_repeat=1"]], ids=["four workers", "repeated bundles"])
def test_types_are_restored_in_the_order_named(tmp_path: Path, types: str, more: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a type's rollups are in the store before a unit of the next type is begun."""
    monkeypatch.setattr(pipelines.planning, "SERIES_PER_SHARD", 2)
    world = World(tmp_path, types=types)
    world.put(key(NOON_S), *(gauge(f"x{n}", [1.0], roles=["a:b"]) for n in range(6)), *(service_gauge(f"y{n}", {0: 1.0}) for n in range(6)))
    events: list[tuple[str, str]] = []
    roll_up, upsert = Worker.roll_up, ParquetStore.upsert

    def rolling_up(self: Worker, unit: Any, slices: Any) -> Any:
        events.append(("begun", unit.metric_type))
        return roll_up(self, unit, slices)

    def upserting(self: ParquetStore, unit: Any, rollups: Any, **named: Any) -> Any:
        merged = upsert(self, unit, rollups, **named)
        events.append(("stored", unit.metric_type))
        return merged

    monkeypatch.setattr(Worker, "roll_up", rolling_up)
    monkeypatch.setattr(ParquetStore, "upsert", upserting)
    done(world.backfill(*more))
    asked = types.split(",")
    assert list(dict.fromkeys(metric_type for _, metric_type in events)) == asked
    for metric_type, following in itertools.pairwise(asked):
        last_stored = max(at for at, event in enumerate(events) if event == ("stored", metric_type))
        assert last_stored < events.index(("begun", following))
    assert {metric_type: events.count(("stored", metric_type)) for metric_type in asked} == dict.fromkeys(asked, 4)


# --- dry runs ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_leaves_no_store_behind(world: World) -> None:
    report = done(world.backfill("--dry-run"))
    assert not world.store.exists()
    assert report["dry_run"]
    assert [report["buckets"]["host"][one]["added"] for one in GRANULARITIES] == [3, 1, 1]


def test_a_dry_run_shows_what_a_run_would_do_and_does_not_do_it(world: World) -> None:
    world.put(key(NOON_S), gauge("x", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), gauge("y", [1.0] * 3))
    done(world.backfill("--run-id", "r1"))
    before = tree(world.store)
    world.put(key(NOON_S), gauge("x", {0: 1.0, 60: 2.0, 300: 60.0, 600: 7.0}), gauge("y", [1.0] * 3))
    dry = done(world.backfill("--dry-run", "--run-id", "dry"), code=5)
    assert tree(world.store) == before
    assert {run["run_id"]: run["state"] for run in world.command("runs").data}["dry"] == "refused by a guard (dry run)"
    real = done(world.backfill("--run-id", "r2"), code=5)
    for name in ("points", "buckets", "records", "largest_changes", "refused", "imbalances", "computed", "objects"):
        assert dry[name] == real[name], name
    host = real["buckets"]["host"]
    assert [(host[one]["added"], host[one]["changed"], host[one]["equal"], host[one]["refused"]) for one in GRANULARITIES] == [
        (1, 1, 6, 0),
        (1, 1, 1, 1),
        (0, 0, 1, 1),
    ]
    largest = real["largest_changes"][0]
    assert (largest["granularity"], largest["stored_avg"], largest["avg"]) in (("1m", 6.0, 60.0), ("5m", 6.0, 60.0))


def test_a_dry_run_cannot_be_undone_and_does_not_become_a_run(world: World) -> None:
    done(world.backfill("--dry-run", "--run-id", "dry"))
    assert world.command("undo", "dry").code == 2
    assert world.backfill("--run-id", "dry").code == 2
    done(world.backfill("--dry-run", "--run-id", "dry"))
    assert not world.store.exists()


# --- states -----------------------------------------------------------------------------------------------------------


def state(world: World, run_id: str) -> str:
    listed = {run["run_id"]: run["state"] for run in world.command("runs").data}
    status = world.command("status", run_id)
    assert status.data["state"] == listed[run_id]
    assert status.code == (0 if listed[run_id] not in ("planned", "running", "interrupted") else 3)
    return listed[run_id]


def test_the_states_of_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """planned, running while its process holds it, interrupted when that ended early, done."""
    seen: list[tuple[str, dict[str, Any]]] = []
    roll_up = Worker.roll_up

    def looking(self: Worker, unit: Any, slices: Any) -> Any:
        seen.append((state(world, "p"), world.command("status", "p").data))
        return roll_up(self, unit, slices)

    def interrupted_by_hand(*_: Any) -> None:
        raise KeyboardInterrupt

    done(world.plan("--run-id", "p"))
    assert state(world, "p") == "planned"
    with monkeypatch.context() as patch:
        patch.setattr(pipelines.submit, "_run_pipeline", interrupted_by_hand)
        assert world.execute("p").code == 3
    assert state(world, "p") == "planned"
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "roll_up", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
        assert world.execute("p", "--max-attempts", "1").code == 3
    assert state(world, "p") == "interrupted"
    interrupted = world.command("status", "p").data
    assert (interrupted["groups_staged"], interrupted["groups"], interrupted["points_decoded"]) == (2, 2, 3)
    assert interrupted["units"] == {"host": {"recorded": 0, "planned": 1}}
    monkeypatch.setattr(Worker, "roll_up", looking)
    done(world.execute("p"))
    assert [name for name, _ in seen] == ["running"]
    assert seen[0][1]["units"] == {"host": {"recorded": 0, "planned": 1}}
    assert state(world, "p") == "done"
    assert world.command("status", "p").data["report"] == json.loads((world.run_dir("p") / "report.json").read_text())
    assert not list((world.run_dir("p") / "staging").iterdir())


def test_a_run_that_fails_now_and_then_goes_on_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to --max-attempts; what is staged is not read again."""
    failures = iter([OSError("broken pipe"), None, OSError("timed out"), None, None])
    opened: list[str] = []
    read, roll_up = LocalArchive.read, Worker.roll_up

    def reading(self: LocalArchive, planned: Any, *more: Any) -> bytes:
        opened.append(planned.key)
        return read(self, planned, *more)

    def failing(self: Worker, unit: Any, slices: Any) -> Any:
        if failure := next(failures):
            raise failure
        return roll_up(self, unit, slices)

    done(world.plan("--run-id", "p"))
    monkeypatch.setattr(LocalArchive, "read", reading)
    monkeypatch.setattr(Worker, "roll_up", failing)
    result = world.execute("p")
    done(result)
    assert sorted(opened) == [key(NOON_S), key(NOON_S + 60, "b")]
    assert "attempt 1 of 3" in result.err
    assert world.column("x") == {0: 1.0, 60: 2.0, 120: 3.0}


def test_a_run_that_keeps_failing_is_exit_3_and_says_how_to_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "roll_up", failing)
        result = world.backfill("--run-id", "r")
    assert result.code == 3
    assert "the disk is full" in result.err
    assert "Traceback" not in result.err
    done(world.backfill("--run-id", "r"))
