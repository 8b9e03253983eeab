"""Slots over real processes: no more in flight than there are, whoever ends."""

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.harness import in_processes
from transforms.calls.slots import Slots, temporary_folder
from transforms.calls.waiting import Waiting
from transforms.core.errors import UsageError
from transforms.core.throttle import LIMIT


def first() -> float:
    return 0.0


def slots_at(folder: Path, number: int, random: Callable[[], float] = first) -> Slots:
    return Slots(folder, lambda: (number, LIMIT), Waiting(random=random))


def taken(slots: Slots) -> bool:
    """Whether nobody gets a slot now."""
    got = threading.Event()

    def take() -> None:
        with slots.one():
            got.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return not got.wait(0.3)


def test_whoever_comes_when_all_are_taken_waits(tmp_path: Path) -> None:
    slots = slots_at(tmp_path / "slots", 2)
    with slots.one(), slots.one():
        assert taken(slots)
    assert not taken(slots)


def test_processes_hold_no_more_than_there_are(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()

    def work(place: int) -> int:
        most, slots = 0, slots_at(tmp_path / "slots", 2, random.Random(place).random)
        for _ in range(50):
            with slots.one():
                mark = tmp_path / "held" / str(place)
                mark.touch()
                most = max(most, len(os.listdir(tmp_path / "held")))
                mark.unlink()
        return most

    assert max(in_processes(4, work)) in (1, 2)  # type: ignore[type-var]


def test_a_killed_process_gives_its_slot_back(tmp_path: Path) -> None:
    slots = slots_at(tmp_path / "slots", 1)
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        with slots.one():
            os.write(told, b"!")
            signal.pause()
    os.read(ready, 1)
    assert taken(slots)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with slots.one():
        pass


@pytest.mark.parametrize("chance", [first, lambda: 0.999999])
def test_any_free_slot_is_found(tmp_path: Path, chance: Callable[[], float]) -> None:
    slots = slots_at(tmp_path / "slots", 3, chance)
    with slots.one(), slots.one(), slots.one():
        assert sorted(os.listdir(tmp_path / "slots")) == ["0", "1", "2"]


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "slots"
    folder.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(UsageError, match=r"slots' belongs to user \d+: remove it"), slots_at(folder, 1).one():
        pass
    assert temporary_folder().name == "metric-rollups-4711"
