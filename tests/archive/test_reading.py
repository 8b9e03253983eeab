"""Whose fault it is that an object is not handed out: its own or the service's."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import pytest

from transforms.archive.reading import Reader
from transforms.core.errors import OBJECT_REFUSED, ObjectUndelivered, ObjectUnreadable, ServiceUnavailable
from transforms.core.granularity import Range
from transforms.core.manifest import ArchiveObject

OBJECTS = [ArchiveObject(f"{number:02d}", 5, "e", 0) for number in range(16)]


class PartlyBroken:
    """Hands out all objects but the broken ones, and notes what it is asked for."""

    ahead = 0

    def __init__(self, broken: Collection[int], *, is_busy: bool = False) -> None:
        self.broken = {OBJECTS[number].key for number in broken}
        self.is_busy = is_busy
        self.asked: list[tuple[str, int | None]] = []

    def objects(self, times: Sequence[Range] | None = None) -> Iterator[ArchiveObject]:
        raise NotImplementedError(times)

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        self.asked.append((planned.key, first_bytes))
        if planned.key in self.broken:
            if self.is_busy:
                raise ServiceUnavailable("busy")
            raise ObjectUndelivered(f"reading {planned.key}: 10 attempts", "why")
        return planned.key.encode()[:first_bytes]

    def retried(self) -> Mapping[str, int]:
        return {}


def test_an_object_is_to_blame_when_the_last_one_that_was_read_still_is_handed_out() -> None:
    archive = PartlyBroken({3, 4, 5, 7})
    reader = Reader(archive, OBJECTS)
    assert reader.read(OBJECTS[2]) == b"02"
    assert reader.read(OBJECTS[6], 1) == b"0"
    for number in (3, 4, 5):  # many in a row are as many broken objects
        with pytest.raises(ObjectUnreadable) as caught:
            reader.read(OBJECTS[number])
        assert (caught.value.key, caught.value.cause, caught.value.detail) == (f"{number:02d}", OBJECT_REFUSED, "why")
    assert archive.asked == [("02", None), ("06", 1), ("03", None), ("06", 1), ("04", None), ("06", 1), ("05", None), ("06", 1)]


def test_the_service_is_to_blame_when_that_one_is_not_handed_out_either() -> None:
    archive = PartlyBroken(())
    reader = Reader(archive, OBJECTS)
    reader.read(OBJECTS[2])
    archive.broken = {one.key for one in OBJECTS}
    for number in (3, 4, 5):
        with pytest.raises(ObjectUndelivered, match=f"reading {number:02d}: 10 attempts"):
            reader.read(OBJECTS[number])


def test_when_that_one_is_gone_another_is_asked_for() -> None:
    archive = PartlyBroken(())
    reader = Reader(archive, OBJECTS)
    reader.read(OBJECTS[2])
    archive.broken = {"02", "03"}
    with pytest.raises(ObjectUnreadable):
        reader.read(OBJECTS[3])
    assert archive.asked[2:] == [("02", 1), ("04", 1)]


@pytest.mark.parametrize(("broken", "is_of_object"), [({0}, True), ({0, 4}, True), ({0, 4, 8}, False), (range(16), False)])
def test_before_anything_was_read_two_far_apart_are_asked_for(broken: Collection[int], is_of_object: bool) -> None:
    archive = PartlyBroken(broken)
    with pytest.raises(ObjectUnreadable if is_of_object else ObjectUndelivered):
        Reader(archive, OBJECTS).read(OBJECTS[0])
    assert archive.asked == [("00", None), ("04", 1), ("08", 1)][: 2 if broken == {0} else 3]


def test_an_object_does_not_testify_for_itself() -> None:
    archive = PartlyBroken({4})
    with pytest.raises(ObjectUnreadable):
        Reader(archive, OBJECTS).read(OBJECTS[4])
    assert archive.asked == [("04", None), ("08", 1)]
    archive = PartlyBroken(())
    reader = Reader(archive, OBJECTS[:1])
    reader.read(OBJECTS[0], 2)
    archive.broken = {"00"}
    with pytest.raises(ObjectUndelivered):
        reader.read(OBJECTS[0])


def test_a_service_that_has_too_much_to_do_is_not_asked_for_others() -> None:
    archive = PartlyBroken({3}, is_busy=True)
    with pytest.raises(ServiceUnavailable, match="busy"):
        Reader(archive, OBJECTS).read(OBJECTS[3])
    assert archive.asked == [("03", None)]
