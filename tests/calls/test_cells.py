"""The state of a limit in a file, seen by threads and processes."""

import math
import os
import threading
import time
from pathlib import Path

import pytest

from tests.contracts.harness import in_processes
from transforms.calls.cells import FileCell
from transforms.core.throttle import VALUES, Allowance, Pacer, PaceState, state_of

NUMBER = 200


def count(cell: FileCell) -> None:
    for _ in range(NUMBER):
        with cell.held() as state:
            taken = state.taken
            time.sleep(0)
            state.taken = taken + 1


def test_no_addition_is_lost_among_processes_and_threads(tmp_path: Path) -> None:
    """Each with the parent's cell."""
    cell = FileCell(tmp_path / "limits" / "cell")

    def work(_place: int) -> int:
        threads = [threading.Thread(target=count, args=(cell,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 0

    in_processes(3, work)
    with cell.held() as state:
        assert state.taken == 3 * 3 * NUMBER


def test_all_of_a_state_is_kept(tmp_path: Path) -> None:
    values = [float(number) for number in range(VALUES)]
    with FileCell(tmp_path / "cell").held() as state:
        for name, value in vars(state_of(values)).items():
            setattr(state, name, value)
    with FileCell(tmp_path / "cell").held() as state:
        assert list(state.values()) == values


def test_an_error_leaves_what_was(tmp_path: Path) -> None:
    cell = FileCell(tmp_path / "cell")
    with cell.held() as state:
        state.taken = 1.0
    with pytest.raises(ZeroDivisionError), cell.held() as state:
        state.taken = 1 / 0
    with cell.held() as state:
        assert state.taken == 1.0


@pytest.mark.parametrize("content", [b"", b"x", b"rollups1", b"rollups0" + bytes(8 * VALUES), b"rollups1" + bytes(8 * VALUES + 1)])
def test_a_file_that_holds_anything_else_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cell").write_bytes(content)
    with FileCell(tmp_path / "cell").held() as state:
        assert math.isnan(state.used_at_s)
        assert state.values()[0] == PaceState().free_at_s


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    cells = [FileCell(tmp_path / str(number)) for number in range(50)]
    for cell in cells:
        Pacer([Allowance(1000, cell)], time.monotonic, time.sleep).take()
    assert len(os.listdir("/dev/fd")) == before
