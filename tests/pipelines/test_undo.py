"""DESIGN §4.7 through the command line: what a run replaced comes back under a newer generation, and nothing else changes."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOON_S
from tests.pipelines.processes import KILLED, Forge
from tests.pipelines.worlds import GRANULARITIES, NOON_HOUR, Result, Row, World, bits, gauge, key, tree


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def done(result: Result, code: int = 0) -> Any:
    """The document of a command that ended with this exit code."""
    assert result.code == code, result.err + result.out
    return result.data


def run(world: World, run_id: str, *records: bytes, code: int = 0, more: tuple[str, ...] = (), period: str = NOON_HOUR) -> list[Row]:
    """Stores what these postings say as a run of its own; all rows that are stored then."""
    world.put(key(NOON_S), *records)
    done(world.backfill("--run-id", run_id, *more, period=period), code)
    return world.all_rows()


def by_series(rows: list[Row], name: str) -> list[tuple[str, ...]]:
    return bits([row for row in rows if row["name"] == name])


def test_what_was_replaced_comes_back_under_a_newer_generation_and_what_was_added_goes(world: World) -> None:
    before = run(world, "r1", gauge("x", [1.0, 2.0]), gauge("z", {-3600: 1.0}), period="2025-11-01T10:00Z/PT5H")
    run(world, "r2", gauge("x", [8.0, 9.0, 10.0]), gauge("y", {300: 3.0}))
    told = done(world.command("undo", "r2"))
    assert bits(world.all_rows()) == bits(before)
    assert told["run_id"] == "r2"
    assert told["generation"] > world.generation("r2") > world.generation("r1")
    generations = {(row["name"], row["generation"]) for row in world.all_rows()}
    assert generations == {("x", told["generation"]), ("z", world.generation("r1"))}
    assert told["restored"] == {"1m": 2, "5m": 1, "1h": 1}
    assert {name: number for name, number in told["removed"].items() if number} == {"1m": 2, "5m": 1, "1h": 1}
    assert not any(told["left_alone"].values())


def test_images_are_the_files_before_the_run_from_its_first_write_on(world: World, forge: Forge) -> None:
    run(world, "r1", gauge("x", [1.0, 2.0]))
    before = world.stored()
    world.put(key(NOON_S), gauge("x", [8.0, 9.0]))
    end = forge.run(["backfill", *world.asking("--run-id", "r2", "--workers", "1")], die_at=("after shard.rename", 1))
    assert end.code == KILLED
    replaced = {path for path, body in world.stored().items() if before[path] != body}
    assert len(replaced) == 1
    images = {
        str(path.relative_to(world.store / "_before" / "r2")).replace(".0.image", ".parquet"): path.read_bytes()
        for path in world.store.rglob("*.image")
        if "r2" in path.parts
    }
    assert images == {path: before[path] for path in replaced}
    assert forge.run(["backfill", *world.asking("--run-id", "r2", "--workers", "1")]).code == 0
    images = {
        str(path.relative_to(world.store / "_before" / "r2")).replace(".0.image", ".parquet"): path.read_bytes()
        for path in world.store.rglob("*.image")
        if "r2" in path.parts
    }
    assert images == before


def test_later_repairs_are_not_undone(world: World) -> None:
    first = run(world, "r1", gauge("x", [1.0]), gauge("y", [1.0]), gauge("z", [1.0]))
    run(world, "r2", gauge("x", [2.0]), gauge("y", [2.0]), gauge("z", [2.0]), gauge("new", [2.0]))
    third = run(world, "r3", gauge("x", [3.0]), gauge("new", [3.0]), gauge("y", [3.0]), more=("--series", "*/x", "--series", "*/new"))
    told = done(world.command("undo", "r2"))
    rows = world.all_rows()
    assert by_series(rows, "x") == by_series(third, "x")
    assert by_series(rows, "new") == by_series(third, "new")
    assert by_series(rows, "y") == by_series(first, "y")
    assert {row["generation"] for row in rows if row["name"] in ("x", "new")} == {world.generation("r3")}
    assert (told["restored"], told["left_alone"]) == ({"1m": 2, "5m": 2, "1h": 2}, {"1m": 2, "5m": 2, "1h": 2})


def test_undone_twice_the_second_time_does_nothing(world: World) -> None:
    run(world, "r1", gauge("x", [1.0]))
    run(world, "r2", gauge("x", [2.0]), gauge("y", [2.0]))
    done(world.command("undo", "r2"))
    before = world.stored()
    told = done(world.command("undo", "r2"))
    assert world.stored() == before
    assert not any(number for what in ("restored", "removed") for number in told[what].values())


def test_runs_are_undone_one_after_the_other(world: World) -> None:
    rows = [run(world, f"r{number}", gauge("x", [float(number)] * number)) for number in (1, 2, 3)]
    done(world.command("undo", "r3"))
    assert bits(world.all_rows()) == bits(rows[1])
    done(world.command("undo", "r2"))
    assert bits(world.all_rows()) == bits(rows[0])
    done(world.command("undo", "r1"))
    assert world.all_rows() == []


def test_a_run_in_the_middle_is_undone_where_it_is_what_is_stored(world: World) -> None:
    first = run(world, "r1", gauge("x", [1.0]), gauge("y", [1.0]))
    run(world, "r2", gauge("x", [2.0]), gauge("y", [2.0]))
    run(world, "r3", gauge("x", [3.0]), more=("--series", "*/x"))
    done(world.command("undo", "r2"))
    done(world.command("undo", "r3"))
    assert by_series(world.all_rows(), "y") == by_series(first, "y")
    assert world.column("x") == {0: 2.0}


def test_fewer_minutes_that_were_allowed_are_taken_back(world: World) -> None:
    first = run(world, "r1", gauge("x", [1.0] * 5))
    run(world, "r2", gauge("x", [2.0]), more=("--allow-fewer",))
    assert world.column("x", "minutes", granularity="5m") == {0: 1}
    done(world.command("undo", "r2"))
    assert bits(world.all_rows()) == bits(first)


def test_what_a_guard_kept_is_not_touched(world: World) -> None:
    first = run(world, "r1", gauge("x", [1.0] * 5))
    generation = world.generation("r1")
    run(world, "r2", gauge("x", [2.0]), code=5)
    done(world.command("undo", "r2"))
    assert bits(world.all_rows()) == bits(first)
    assert {row["generation"] for one in ("5m", "1h") for row in world.rows(one)} == {generation}


def test_after_an_undo_the_period_can_be_restored_again(world: World) -> None:
    run(world, "r1", gauge("x", [1.0]))
    second = run(world, "r2", gauge("x", [2.0]), gauge("y", [2.0]))
    told = done(world.command("undo", "r2"))
    done(world.backfill("--run-id", "r3"))
    assert bits(world.all_rows()) == bits(second)
    assert world.generation("r3") > told["generation"]


def test_an_undone_run_is_not_resumed(world: World) -> None:
    run(world, "r1", gauge("x", [1.0]))
    done(world.command("undo", "r1"))
    for result in (world.backfill("--run-id", "r1"), world.execute("r1")):
        assert (result.code, "undone" in result.err) == (2, True)
    assert world.all_rows() == []


@pytest.mark.parametrize(("step", "number"), [("after staging.rename", 1), ("after image.link", 1), ("after shard.rename", 1), ("after shard.rename", 3)])
def test_a_killed_run_is_undone_and_then_not_resumed(world: World, forge: Forge, step: str, number: int) -> None:
    first = run(world, "r1", gauge("x", [1.0, 2.0]))
    world.put(key(NOON_S), gauge("x", [8.0, 9.0, 10.0]), gauge("y", [1.0]))
    assert forge.run(["backfill", *world.asking("--run-id", "r2", "--workers", "1")], die_at=(step, number)).code == KILLED
    done(world.command("undo", "r2"))
    assert bits(world.all_rows()) == bits(first)
    result = world.backfill("--run-id", "r2")
    assert (result.code, "undone" in result.err) == (2, True)
    assert bits(world.all_rows()) == bits(first)


def test_a_run_that_only_was_planned_leaves_nothing_to_undo(world: World) -> None:
    first = run(world, "r1", gauge("x", [1.0]))
    done(world.plan("--run-id", "p"))
    told = done(world.command("undo", "p"))
    assert not any(told[what] for what in ("restored", "removed", "left_alone"))
    assert bits(world.all_rows()) == bits(first)
    assert world.execute("p").code == 2


def test_a_run_that_does_not_exist_is_exit_2(world: World) -> None:
    result = world.command("undo", "nothing")
    assert (result.code, "no run 'nothing'" in result.err) == (2, True)
    assert not tree(world.root).keys() - {"archive"}


def test_an_undo_that_is_killed_anywhere_and_repeated_ends_alike(world: World, forge: Forge) -> None:
    first = run(world, "r1", gauge("x", [1.0, 2.0]))
    run(world, "r2", gauge("x", [8.0, 9.0, 10.0]), gauge("y", [1.0]))
    argv = ["undo", "r2", "--work-dir", str(world.work), "--json"]
    saved, trace = world.save(), world.root / "steps"
    assert forge.run(argv, trace=str(trace)).code == 0
    assert bits(world.all_rows()) == bits(first)
    counts = Counter(json.loads(trace.read_text()))
    assert {f"{when} {step}" for when in ("before", "after") for step in ("undone.rename", "undo.rename", "shard.rename", "image.link")} <= counts.keys()
    faults = []
    for step, times in counts.items():
        world.restore(saved)
        assert forge.run(argv, die_at=(step, 1 if step.startswith("before") else times)).code == KILLED
        end = forge.run(argv)
        generations = {row["generation"] for row in world.all_rows()}
        if end.code != 0 or bits(world.all_rows()) != bits(first) or len(generations) != 1 or min(generations) <= world.generation("r2"):
            faults.append((step, end, generations))
    assert faults == []


def test_the_generation_told_is_the_one_restored_under(world: World, forge: Forge) -> None:
    """Also when the undo was killed and goes on under the generation that it began with."""
    run(world, "r1", gauge("x", [1.0]))
    run(world, "r2", gauge("x", [2.0]))
    argv = ["undo", "r2", "--work-dir", str(world.work), "--json"]
    assert forge.run(argv, die_at=("after shard.rename", 1)).code == KILLED
    told = done(world.command("undo", "r2"))
    assert {row["generation"] for row in world.all_rows()} == {told["generation"]}
    assert GRANULARITIES
