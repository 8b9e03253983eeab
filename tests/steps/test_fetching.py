"""A group's objects are fetched before their turn comes, a few at a time, and come in their order, whatever is wrong with some."""

import threading
from pathlib import Path
from typing import Any

import pytest

from transforms.core.errors import ACCESS_DENIED, ObjectUnreadable, ServiceUnavailable
from transforms.core.manifest import ArchiveObject
from transforms.steps.worker import Worker

OBJECTS = [ArchiveObject(f"{number:02d}", 1, "e", 0) for number in range(12)]
AHEAD = 4
PATIENCE_S = 20


class SlowArchive:
    """Reads end when so many are going on at once, or the last ones are."""

    ahead = AHEAD

    def __init__(self, *, denied: str = "", broken: str = "") -> None:
        self.denied, self.broken = denied, broken
        self.begun: list[str] = []
        self._begin = threading.Condition()

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        assert first_bytes is None
        with self._begin:
            self.begun.append(planned.key)
            self._begin.notify_all()
            assert self._begin.wait_for(lambda: len(self.begun) >= AHEAD, PATIENCE_S), "fetched one after the other"
        if planned.key == self.denied:
            raise ObjectUnreadable(planned.key, ACCESS_DENIED)
        if planned.key == self.broken:
            raise ServiceUnavailable(planned.key)
        return planned.key.encode()


def worker(archive: Any, folder: Path) -> Worker:
    made = Worker(str(folder))
    made.__dict__.update(_archive=archive, _objects=OBJECTS)
    return made


def test_several_are_fetched_at_once_and_come_in_order(tmp_path: Path) -> None:
    archive = SlowArchive()
    assert list(worker(archive, tmp_path)._bodies(OBJECTS)) == [one.key.encode() for one in OBJECTS]
    assert sorted(archive.begun) == [one.key for one in OBJECTS], "each once"


def test_no_more_than_a_few_wait_for_their_turn(tmp_path: Path) -> None:
    archive = SlowArchive()
    bodies = worker(archive, tmp_path)._bodies(OBJECTS)
    taken = [next(bodies), next(bodies)]
    assert taken == [b"00", b"01"]
    assert len(archive.begun) <= len(taken) + AHEAD
    bodies.close()  # type: ignore[attr-defined]


def test_an_object_that_can_not_be_had_takes_its_place(tmp_path: Path) -> None:
    bodies = list(worker(SlowArchive(denied="05"), tmp_path)._bodies(OBJECTS))
    assert [one if isinstance(one, bytes) else one.cause for one in bodies][4:7] == [b"04", "access denied", b"06"]


def test_what_is_wrong_with_the_archive_ends_the_group(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="05"):
        list(worker(SlowArchive(broken="05"), tmp_path)._bodies(OBJECTS))


@pytest.mark.parametrize("objects", [[], OBJECTS[:1]])
def test_one_object_needs_no_threads(tmp_path: Path, objects: list[ArchiveObject]) -> None:
    class Archive(SlowArchive):
        def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
            assert first_bytes is None
            assert threading.current_thread() is threading.main_thread()
            return planned.key.encode()

    assert list(worker(Archive(), tmp_path)._bodies(objects)) == [one.key.encode() for one in objects]
