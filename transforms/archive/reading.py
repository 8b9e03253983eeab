"""Reading the objects of a manifest: what is one object's fault is told from what is the service's."""

from collections.abc import Sequence
from typing import Final

from transforms.archive.protocol import Archive
from transforms.core.errors import OBJECT_REFUSED, ObjectUndelivered, ObjectUnreadable
from transforms.core.manifest import ArchiveObject

_PROBED: Final = 2


class Reader:
    """Reads these objects of an archive; any number of threads may use one.

    An object that was not handed out whole in any attempt is unreadable if, after its last attempt, another object is: then the service is there. One byte is
    asked for, as often as of any object, first of the last one that was read, then of objects that lie far apart in the manifest, two in all. If these aren't
    handed out either, the service does not answer, and no object is to blame. What a service says of itself (429 and 503), and that it can't be reached, is no
    object's fault, whatever becomes of others.
    """

    def __init__(self, archive: Archive, objects: Sequence[ArchiveObject]) -> None:
        """Remember both; nothing is read."""
        self._archive = archive
        self._objects = objects
        self._read: ArchiveObject | None = None

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        """The object's bytes as stored, or the first of them.

        Raises ObjectUnreadable if this object can't be had, ServiceUnavailable if no other can either.
        """
        try:
            body = self._archive.read(planned, first_bytes)
        except ObjectUndelivered as error:
            if any(map(self._is_handed_out, self._others(planned))):
                raise ObjectUnreadable(planned.key, OBJECT_REFUSED, error.detail) from error
            raise
        self._read = planned
        return body

    def _others(self, planned: ArchiveObject) -> list[ArchiveObject]:
        number = len(self._objects)
        spread = [self._objects[number * quarter // 4] for quarter in (1, 2, 3) if number]
        return [one for one in dict.fromkeys((self._read, *spread)) if one is not None and one != planned][:_PROBED]

    def _is_handed_out(self, other: ArchiveObject) -> bool:
        try:
            self._archive.read(other, 1)
        except (ObjectUndelivered, ObjectUnreadable):
            return False
        return True
