"""Long local runs work in processes of their own: same bytes, and a killed one costs an attempt and nothing else."""

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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


def test_a_run_that_is_refused_while_they_start_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are left would keep the process from ending."""
    world = World(tmp_path)
    make_archive(world.archive, ArchiveOptions(hosts=1, services=0, metrics=1, duration_s=3600))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    result = world.backfill("--workers", "2", period=PERIOD)
    assert (result.code, "staging needs about" in result.err) == (5, True)
    assert not pool._PROCESSES.pools


def test_a_killed_worker_process_costs_an_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, by_one = replayed(tmp_path / "one", "--workers", "1")
    run_pipeline, killed = submit._run_pipeline, []

    def run_with_a_dead_one(*given: Any) -> None:
        if not killed:
            with pool.at_work(pool.Crew(2, 2)) as processes:
                killed.append(processes.submit(os.getpid).result())  # type: ignore[attr-defined]
                os.kill(killed[0], signal.SIGKILL)
        run_pipeline(*given)

    monkeypatch.setattr(submit, "_run_pipeline", run_with_a_dead_one)
    result, by_two = replayed(tmp_path / "two", "--workers", "2")
    assert killed
    assert "attempt 1 of 3 ended early" in result.err
    assert by_one.stored() == by_two.stored()
