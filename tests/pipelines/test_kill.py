"""A run that is killed, wherever, and repeated ends as if nothing had happened, and what it had staged is not opened again."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from scripts.archive_maker.archive import make_archive
from scripts.archive_maker.options import ArchiveOptions
from tests.builders import NOON_S
from tests.pipelines.processes import KILLED, Ended, Forge
from tests.pipelines.worlds import World, gauge, key, tree

KILLS: Final = 50


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@dataclass
class Trial:
    """A run to be killed: how the world was before it, and what an undisturbed run made of it."""

    world: World
    before: Path
    argv: tuple[str, ...]
    steps: list[str]
    store: dict[str, bytes]
    report: dict[str, Any]
    end: Ended


def trial(forge: Forge, world: World, *argv: str, **how: Any) -> Trial:
    before = world.save()
    trace = world.root / "steps.json"
    end = forge.run(argv, trace=str(trace), **how)
    assert end.code in (0, 5), end.err
    return Trial(world, before, argv, json.loads(trace.read_text()), lasting(world), json.loads(end.out), end)


def lasting(world: World) -> dict[str, bytes]:
    """All of the store but the locks."""
    return {path: body for path, body in tree(world.store).items() if not path.startswith("_locks/")}


def told(report: dict[str, Any]) -> dict[str, Any]:
    """What a resumed run reports as an undisturbed one; buckets stored just before it was killed count as equal then."""
    return {name: report[name] for name in ("records", "points", "imbalances", "dead_letters", "refused", "exit_code", "computed", "objects")}


def opened(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines() if log.exists() else ())


def staged_objects(world: World) -> set[str]:
    """Keys of the objects whose read group has a staging file."""
    import pyarrow as pa

    run_dir = world.run_dir("r")
    if not (run_dir / "plan.json").exists():
        return set()
    keys = pa.ipc.open_file(run_dir / "manifest.arrow").read_all()["key"].to_pylist()
    groups = json.loads((run_dir / "plan.json").read_text())["groups"]
    return {
        one for path in (run_dir / "staging").glob("*.arrow") if path.name[0] != "_" for one in keys[groups[int(path.stem)][0] :][: groups[int(path.stem)][1]]
    }


# --- at every step ----------------------------------------------------------------------------------------------------


def small_world(root: Path) -> World:
    """Rollups of an earlier run are stored, one of them in the way; two objects hold new ones of two types."""
    world = World(root, types="role,host")
    world.put(key(NOON_S), gauge("x", [1.0, 2.0, 3.0], roles=["a:b"]), gauge("kept", [1.0] * 5))
    assert world.backfill("--run-id", "earlier", types="host").code == 0
    world.put(key(NOON_S), gauge("x", [4.0, None, 6.0, 7.0], roles=["a:b"]), gauge("kept", [1.0] * 4))
    world.put(key(NOON_S + 60, "b"), gauge("x", {300: 5.0}, roles=["a:b"], at=300), gauge("y", [1.0], roles=[]))
    return world


@pytest.fixture(scope="module")
def executed(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """The execution of a plan: its generation is fixed, so all bytes are."""
    world = small_world(tmp_path_factory.mktemp("executed"))
    assert world.plan("--run-id", "r").code == 0
    return trial(forge, world, "backfill", "--plan", "r", "--work-dir", str(world.work), "--json", "--workers", "1")


@pytest.fixture(scope="module")
def planned(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Planning and execution in one command."""
    world = small_world(tmp_path_factory.mktemp("planned"))
    return trial(forge, world, "backfill", *world.asking("--run-id", "r", "--workers", "1"))


def is_resumed(forge: Forge, trial: Trial, step: str, number: int) -> str:
    """What is wrong after the run was killed at a step and repeated; empty if nothing is."""
    world, log = trial.world, trial.world.root / "opened"
    world.restore(trial.before)
    if (end := forge.run(trial.argv, die_at=(step, number))).code != KILLED:
        return f"{step} {number}: ended with {end.code} instead: {end.err}"
    staged = staged_objects(world)
    log.unlink(missing_ok=True)
    end = forge.run(trial.argv, opened=(str(world.archive), str(log)))
    if end.code != trial.report["exit_code"]:
        return f"{step} {number}: resumed with {end.code}: {end.err}"
    faults = [] if told(json.loads(end.out)) == told(trial.report) else ["the report"]
    if world.generation("r") == trial.report["generation"]:
        faults += sorted(path for path, body in (lasting(world).items() ^ trial.store.items()))
    elif world.but_generation("r") != without_generation(trial):
        faults += ["the rollups"]
    faults += [f"{name} opened again" for name in opened(log) if name in staged]
    faults += [str(path) for folder in (world.store, world.work) for path in folder.rglob("_*.tmp")]
    return f"{step} {number}: {', '.join(faults)}" if faults else ""


def without_generation(trial: Trial) -> dict[str, bytes]:
    """The undisturbed run's rollups with its generation called 1."""
    copy = World(trial.world.root / "undisturbed", archive=trial.world.archive)
    for path, body in trial.store.items():
        (copy.store / path).parent.mkdir(parents=True, exist_ok=True)
        (copy.store / path).write_bytes(body)
    return copy.stored(generations={trial.report["generation"]: 1})


def distinct(steps: list[str]) -> list[tuple[str, int]]:
    """Every name once: what comes before a step at its first time, what comes after it at its last."""
    counts = Counter(steps)
    return [(step, 1 if step.startswith("before") else counts[step]) for step in counts]


WRITES: Final = ("manifest", "plan", "generation", "partition", "shard", "record", "lines", "report")
"""Staging files are written and renamed, and left to the system to bring to disk."""


def test_every_kind_of_write_was_seen(executed: Trial, planned: Trial) -> None:
    seen = {*executed.steps, *planned.steps}
    assert {f"{when} {name}.{step}" for when in ("before", "after") for name in WRITES for step in ("write", "fsync", "rename", "settle")} <= seen
    assert {f"{when} staging.{step}" for when in ("before", "after") for step in ("write", "rename")} <= seen
    assert {"before image.link", "after image.link", "before shard.read", "after shard.read", "before lock", "after lock"} <= seen


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("after staging.rename", 1),
        ("after image.link", 2),
        ("before shard.rename", 1),
        ("after shard.rename", 4),
        ("before record.rename", 1),
        ("after report.rename", 1),
    ],
)
def test_killed_at_a_step_and_repeated(forge: Forge, executed: Trial, step: str, number: int) -> None:
    assert is_resumed(forge, executed, step, number) == ""


@pytest.mark.slow
def test_killed_at_every_step_of_an_execution(forge: Forge, executed: Trial) -> None:
    points = distinct(executed.steps)
    assert len(points) > 40
    assert [fault for point in points if (fault := is_resumed(forge, executed, *point))] == []


@pytest.mark.slow
def test_killed_at_every_step_of_planning(forge: Forge, planned: Trial) -> None:
    points = [one for one in distinct(planned.steps) if one[0].split()[1].split(".")[0] in ("manifest", "plan", "generation", "partition", "lock")]
    assert len(points) > 20
    assert [fault for point in points if (fault := is_resumed(forge, planned, *point))] == []


def test_killed_twice_and_repeated(forge: Forge, executed: Trial) -> None:
    world = executed.world
    world.restore(executed.before)
    for step in ("after staging.rename", "after shard.rename"):
        assert forge.run(executed.argv, die_at=(step, 1)).code == KILLED
    assert forge.run(executed.argv).code == executed.report["exit_code"]
    assert lasting(world) == executed.store


def test_staged_objects_are_not_opened_again(forge: Forge, executed: Trial) -> None:
    """Counted at the file system. Undisturbed, each object is opened once."""
    world, log = executed.world, executed.world.root / "log"
    looked = {"opened": (str(world.archive), str(log))}
    world.restore(executed.before)
    forge.run(executed.argv, **looked)
    assert opened(log) == {key(NOON_S): 1, key(NOON_S + 60, "b"): 1}
    world.restore(executed.before)
    log.unlink()
    assert forge.run(executed.argv, die_at=("after staging.rename", 1), **looked).code == KILLED
    assert opened(log) == {key(NOON_S): 1}
    assert forge.run(executed.argv, **looked).code == executed.report["exit_code"]
    assert opened(log) == {key(NOON_S): 1, key(NOON_S + 60, "b"): 1}


# --- at any moment ----------------------------------------------------------------------------------------------------


def phase(world: World) -> str:
    """How far the killed run had come."""
    run_dir = world.run_dir("r")
    if not (run_dir / "plan.json").exists():
        return "planning"
    plan = json.loads((run_dir / "plan.json").read_text())
    units = sum(number for by_window in plan["shards"].values() for number in by_window.values())
    if (run_dir / "report.json").exists():
        return "ended"
    if len(world_files(run_dir / "staging")) < len(plan["groups"]):
        return "staging"
    return "rolling up" if len(world_files(run_dir / "units")) < units else "reporting"


def world_files(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name[0] != "_"]


@pytest.mark.slow
def test_fifty_kills_spread_over_the_duration(forge: Forge, tmp_path: Path) -> None:
    world = World(tmp_path, types="service,role,host")
    make_archive(world.archive, ArchiveOptions(hosts=8, services=2, metrics=12, duration_s=8 * 3600, object_interval_s=900, duplicates=0.02, roles=1.5))
    how = {"patches": {"pipelines.planning.SERIES_PER_SHARD": 8, "pipelines.planning.MAX_GROUP_BYTES": 1}}
    argv = "backfill", *world.asking("--run-id", "r", "--workers", "2", period="2025-11-01T00:00Z/PT8H")
    usual = trial(forge, world, *argv, **how)
    expected, log = world.but_generation("r"), tmp_path / "opened"
    phases: Counter[str] = Counter()
    for kill in range(KILLS):
        world.restore(usual.before)
        end = forge.run(argv, kill_after_s=usual.end.elapsed_s * (kill + 0.5) / KILLS, **how)
        assert end.code in (KILLED, 0), end.err
        phases[phase(world)] += 1
        staged = staged_objects(world)
        log.unlink(missing_ok=True)
        end = forge.run(argv, opened=(str(world.archive), str(log)), **how)
        assert end.code == 0, end.err
        assert world.but_generation("r") == expected
        assert told(json.loads(end.out)) == told(usual.report)
        assert not staged & opened(log).keys()
    print(f"{KILLS} kills over {usual.end.elapsed_s:.2f} s: {dict(phases)}")
    assert phases["staging"]
    assert phases["rolling up"]
