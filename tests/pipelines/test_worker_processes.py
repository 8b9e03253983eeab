"""Long local runs work in processes of their own: same bytes, and a killed one costs an attempt and nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from pipelines import submit
from scripts.archive_maker.archive import make_archive
from scripts.archive_maker.options import ArchiveOptions
from tests.pipelines.worlds import World
from transforms.steps import pool

PERIOD = "2025-11-01T00:00Z/2025-11-02T00:00Z"


@pytest.fixture(autouse=True)
def short_runs_count_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PROCESSES_FROM_BYTES", 1)


def replayed(folder: Path, *more: str) -> tuple[Any, World]:
    world = World(folder)
    make_archive(world.archive, ArchiveOptions(hosts=4, services=2, metrics=5, duration_s=4 * 3600, object_interval_s=900, corrupt=0.1, roles=1.0))
    result = world.backfill("--max-dead-letters", "100000", "--run-id", "r1", *more, period=PERIOD, now_s=1_762_100_000.0)
    assert result.code == 0, result.err
    return result, world


def test_processes_store_the_bytes_of_one_thread(tmp_path: Path) -> None:
    alone, by_one = replayed(tmp_path / "one", "--workers", "1")
    together, by_two = replayed(tmp_path / "two", "--workers", "2")
    assert by_one.stored() == by_two.stored() != {}
    assert {name: together.data[name] for name in ("points", "buckets", "records")} == {name: alone.data[name] for name in ("points", "buckets", "records")}
    assert together.data["dead_letters"]["by_cause"] == alone.data["dead_letters"]["by_cause"] != {}
    assert not pool._PROCESSES.pools, "none is left"


def test_a_run_that_is_refused_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are left would keep the process from ending."""
    world = World(tmp_path)
    make_archive(world.archive, ArchiveOptions(hosts=1, services=0, metrics=1, duration_s=3600))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    result = world.backfill("--workers", "2", period=PERIOD)
    assert (result.code, "staging needs about" in result.err) == (5, True)
    assert not pool._PROCESSES.pools


def test_groups_are_staged_while_beam_is_imported_and_never_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the archive nothing could be staged any more."""
    staged: list[str] = []

    @contextmanager
    def importing() -> Iterator[None]:
        wait(pool._PROCESSES.begun.values())
        staged.extend(path.name for path in (tmp_path / "two").rglob("staging/*.arrow"))
        shutil.rmtree(tmp_path / "two" / "archive")
        yield

    _, by_one = replayed(tmp_path / "one", "--workers", "1")
    monkeypatch.setattr(submit, "_uncollected", importing)
    result, by_two = replayed(tmp_path / "two", "--workers", "2")
    assert sorted(staged) == [f"{group:06d}.arrow" for group in range(len(staged))]
    assert len(staged) == len(json.loads((by_two.run_dir("r1") / "plan.json").read_text())["groups"]) > 1
    assert by_one.stored() == by_two.stored() != {}
    assert "attempt" not in result.err


COMMAND = """
import sys
from pipelines import cli, submit
from transforms.steps import pool
submit.PROCESSES_FROM_BYTES = 1
start_method = pool._start_method
def told():
    print("by", start_method(), file=sys.stderr)
    return start_method()
pool._start_method = told
cli.run(sys.argv[1:])
"""


def test_a_command_of_its_own_stores_the_same(tmp_path: Path) -> None:
    """There processes are forked, where that is safe."""
    _, by_one = replayed(tmp_path / "one", "--workers", "1")
    world = World(tmp_path / "two", archive=by_one.archive)
    asked = world.asking("--max-dead-letters", "100000", "--run-id", "r1", "--workers", "2", period=PERIOD)
    ended = subprocess.run([sys.executable, "-c", COMMAND, "backfill", *asked], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr
    assert ("by fork" if sys.platform == "linux" else "by spawn") in ended.stderr
    assert world.but_generation("r1") == by_one.but_generation("r1") != {}


def test_bundles_end_soon_after_their_work() -> None:
    usual = statesampler.StateSampler
    with submit._sampled_often():
        assert (
            statesampler.StateSampler("name", CounterFactory()).sampling_period_ms
            == submit.SAMPLED_EVERY_MS
            < usual("name", CounterFactory()).sampling_period_ms
        )
    assert statesampler.StateSampler is usual


def test_a_killed_worker_process_costs_an_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, by_one = replayed(tmp_path / "one", "--workers", "1")
    run_pipeline, killed = submit._run_pipeline, []

    def run_with_a_dead_one(*given: Any) -> None:
        if not killed:
            with pool.at_work(pool.Crew(2, 2)) as processes:
                killed.append(processes.submit(os.getpid).result())
                os.kill(killed[0], signal.SIGKILL)
        run_pipeline(*given)

    monkeypatch.setattr(submit, "_run_pipeline", run_with_a_dead_one)
    result, by_two = replayed(tmp_path / "two", "--workers", "2")
    assert killed
    assert "attempt 1 of 3 ended early" in result.err
    assert by_one.stored() == by_two.stored()
