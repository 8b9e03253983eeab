"""`rollups … | head`: a reader that goes away changes neither what a run does nor its exit code, and nobody sees a traceback. In real processes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.builders import NOON_S
from tests.pipelines.worlds import World, gauge, key

ENTRY = "from pipelines.cli import run; run()"
"""The console script."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", [1.0, 2.0]), b"oops\n")
    return world


def deaf(argv: Sequence[str], *, closed: str = "stdout") -> tuple[int, str]:
    """The exit code of a command that nobody listens to on standard output, on standard error, or on both in one pipe, and what it said on the other."""
    read, write = os.pipe()
    os.close(read)
    told = {"stdout": (write, subprocess.PIPE), "stderr": (subprocess.PIPE, write), "both": (write, write)}[closed]
    try:
        done = subprocess.run([sys.executable, "-c", ENTRY, *argv], stdout=told[0], stderr=told[1], cwd=Path(__file__).parents[2], timeout=60, check=False)
    finally:
        os.close(write)
    return done.returncode, (done.stderr if closed == "stdout" else done.stdout or b"").decode()


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_an_export_is_done(world: World, form: str) -> None:
    assert world.backfill("--max-dead-letters", "1").code == 0
    assert deaf(["export", "--store", f"parquet://{world.store}", "--period", "2025-11-01T00:00Z/P1D", "--granularity", "1m", "--format", form]) == (0, "")


def test_dead_letters_and_help_are_done(world: World) -> None:
    assert world.backfill("--run-id", "r1").code == 3
    assert deaf(["status", "r1", "--dead-letters", "--work-dir", str(world.work)]) == (0, "")
    assert deaf(["--help"]) == (0, "")


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_run_is_finished_and_has_the_code_of_its_work(world: World, closed: str) -> None:
    code, told = deaf(["backfill", *world.asking("--run-id", "r1", "--max-dead-letters", "1")], closed=closed)
    assert "Traceback" not in told
    assert code == 0
    assert len(world.rows("1m")) == 2
    assert deaf(["backfill", *world.asking("--run-id", "r2")], closed=closed)[0] == 3, "a dead letter"
    assert deaf(["inspect", str(world.work)], closed=closed)[0] == 5, "nothing that can be decoded"
    assert deaf(["inspect", "/nowhere"], closed=closed)[0] == 2
