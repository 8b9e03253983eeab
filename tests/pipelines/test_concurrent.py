"""Two runs at once end as one after the other, whatever they do at the same time; one run is worked on by one process."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.builders import NOON_S
from tests.pipelines.processes import Child, Forge, Gate, Visitor
from tests.pipelines.worlds import Result, World, gauge, key

SOON_S: Final = 0.3
"""So long a child that must wait is given to do what it must not."""


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def gate() -> Iterator[Gate]:
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
        gate = Gate(Path(folder) / "gate")
        yield gate
        gate.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def done(result: Result, code: int = 0) -> Any:
    """The document of a command that ended with this exit code."""
    assert result.code == code, result.err + result.out
    return result.data


def execution(world: World, run_id: str) -> list[str]:
    return ["backfill", "--plan", run_id, "--work-dir", str(world.work), "--json", "--workers", "1"]


def enters(forge: Forge, gate: Gate, argv: list[str], **how: Any) -> tuple[Child, Visitor]:
    """Starts a command that stops before its first step on disk."""
    child = forge.start(argv, gate=str(gate.path), **how)
    visitor = gate.admit()
    visitor.arrives()
    return child, visitor


def two_runs(world: World, *, prefilled: bool) -> Path:
    """Runs a and b, planned: both have rollups of the same day and shard, some of the same buckets."""
    if prefilled:
        before = world.reading("before")
        before.put(key(NOON_S), gauge("x", [0.0] * 6), gauge("old", [1.0]))
        done(before.backfill())
    archives = {"a": gauge("x", [1.0] * 4 + [None] * 6 + [1.0] * 2) + gauge("of a", [1.0]), "b": gauge("x", [2.0] * 12) + gauge("of b", [2.0])}
    for run_id, record in archives.items():
        archive = world.reading(f"archive-{run_id}")
        archive.put(key(NOON_S), record)
        done(archive.plan("--run-id", run_id))
    return world.save()


def one_after_the_other(world: World, saved: Path, order: str) -> dict[str, bytes]:
    world.restore(saved)
    for run_id in order:
        assert world.execute(run_id).code in (0, 5)
    stored = world.stored()
    world.restore(saved)
    return stored


@pytest.mark.parametrize("prefilled", [True, False], ids=["into rollups", "into nothing"])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_runs_between_reading_and_replacing(world: World, forge: Forge, gate: Gate, order: str, prefilled: bool) -> None:
    """One is held there; the other, let go, must not read what the first will replace."""
    saved = two_runs(world, prefilled=prefilled)
    expected = one_after_the_other(world, saved, order)
    assert one_after_the_other(world, saved, order[::-1]) == expected
    first, held = enters(forge, gate, execution(world, order[0]))
    assert held.until("after shard.read")
    second, waiting = enters(forge, gate, execution(world, order[1]))
    while waiting.at != "after shard.read":
        waiting.pass_on()
        if not waiting.arrives_within(SOON_S if waiting.at == "before lock" else 60):
            break
        waiting.arrives()
    assert waiting.at == "before lock"
    held.to_the_end()
    assert first.wait().code in (0, 5)
    waiting.arrives()
    waiting.to_the_end()
    assert second.wait().code in (0, 5)
    assert world.stored() == expected


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_runs_at_full_speed(world: World, forge: Forge, order: str) -> None:
    saved = two_runs(world, prefilled=True)
    expected = one_after_the_other(world, saved, "ab")
    children = [forge.start(execution(world, run_id)) for run_id in order]
    assert {child.wait().code for child in children} <= {0, 5}
    assert world.stored() == expected


def test_a_run_that_was_interrupted_between_reading_and_replacing_does_not_bring_back_what_it_read(world: World, forge: Forge, gate: Gate) -> None:
    """It is killed there, another run replaces the rollups, and then it is resumed."""
    saved = two_runs(world, prefilled=True)
    expected = one_after_the_other(world, saved, "ab")
    child, held = enters(forge, gate, execution(world, "a"))
    assert held.until("before shard.rename")
    child.kill()
    assert world.execute("b").code in (0, 5)
    assert world.execute("a").code in (0, 5)
    assert world.stored() == expected


def test_both_open_the_same_partition(world: World, forge: Forge, gate: Gate) -> None:
    """The second takes the number of shards that the first chose."""
    world.put(key(NOON_S), *(gauge(f"x{number}", [1.0]) for number in range(6)))
    asked = [["backfill", *world.asking("--run-id", run_id, "--workers", "1")] for run_id in "ab"]
    first, held = enters(forge, gate, asked[0], patches={"pipelines.planning.SERIES_PER_SHARD": 2})
    assert held.until("before partition.write")
    second, waiting = enters(forge, gate, asked[1], patches={"pipelines.planning.SERIES_PER_SHARD": 1})
    assert waiting.until("after plan.settle")
    assert waiting.until("before lock")
    waiting.pass_on()
    assert not waiting.arrives_within(SOON_S)
    held.to_the_end()
    waiting.arrives()
    waiting.to_the_end()
    assert (first.wait().code, second.wait().code) == (0, 0)
    plans = [json.loads((world.run_dir(run_id) / "plan.json").read_text())["shards"] for run_id in "ab"]
    assert plans == [{"host": {"2025-11-01": 4}}] * 2
    assert len(world.rows("1m")) == 6
    assert {row["generation"] for row in world.all_rows()} == {max(world.generation(run_id) for run_id in "ab")}


def test_two_plans_at_once_get_different_generations(world: World, forge: Forge, gate: Gate) -> None:
    world.put(key(NOON_S), gauge("x", [1.0]))
    first, held = enters(forge, gate, ["plan", *world.asking("--run-id", "a")])
    assert held.until("before generation.write")
    second, waiting = enters(forge, gate, ["plan", *world.asking("--run-id", "b")])
    while waiting.at != "before lock":
        waiting.pass_on()
        waiting.arrives()
    waiting.pass_on()
    assert not waiting.arrives_within(SOON_S)
    held.to_the_end()
    waiting.arrives()
    waiting.to_the_end()
    assert (first.wait().code, second.wait().code) == (0, 0)
    assert world.generation("b") > world.generation("a")


@pytest.mark.parametrize("step", ["before plan.write", "after staging.rename", "before record.rename", "before report.write"])
def test_a_run_id_is_worked_on_by_one_process(world: World, forge: Forge, gate: Gate, step: str) -> None:
    """The second one is told who has it, and what to do, and changes nothing."""
    world.put(key(NOON_S), gauge("x", [1.0]))
    child, held = enters(forge, gate, ["backfill", *world.asking("--run-id", "r", "--workers", "1")])
    assert held.until(step)
    before = world.stored()
    second = world.backfill("--run-id", "r")
    assert second.code == 2
    assert f"process {child.pid}" in second.err
    assert "status r --watch" in second.err
    if step != "before plan.write":
        assert world.execute("r").code == 2
        assert world.command("undo", "r").code == 2
        assert [run["state"] for run in world.command("runs").data] == ["running"]
    assert world.stored() == before
    held.to_the_end()
    assert child.wait().code == 0
    assert world.column("x") == {0: 1.0}


def test_a_run_id_is_planned_by_one_process(world: World, forge: Forge, gate: Gate) -> None:
    """A plan that was reviewed is never replaced by another one of the same id, nor is one that is being executed."""
    world.put(key(NOON_S), gauge("x", [1.0]))
    child, held = enters(forge, gate, ["plan", *world.asking("--run-id", "p", period="2025-11-01T10:00Z/PT1H")])
    assert held.until("before generation.write")
    held.pass_on()
    other, waiting = enters(forge, gate, ["plan", *world.asking("--run-id", "p")])
    held.arrives()
    held.to_the_end()
    waiting.to_the_end()
    ends = child.wait(), other.wait()
    assert sorted(end.code for end in ends) == [0, 2]
    planned = json.loads(next(end.out for end in ends if end.code == 0))
    assert json.loads((world.run_dir("p") / "plan.json").read_text())["generation"] == planned["generation"]
