"""What every archive can do: list its objects and read one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from transforms.core.granularity import Range
from transforms.core.manifest import ArchiveObject


class Archive(Protocol):
    """A place of immutable objects. Implementations hold no open files or clients until the first call; any number of threads may use one."""

    @property
    def ahead(self) -> int:
        """How many objects are worth fetching before their turn comes: 0 where waiting for bytes takes no time."""

    def objects(self, times: Sequence[Range] | None = None) -> Iterator[ArchiveObject]:
        """Every object, in any order. Raises UsageError if the archive is not there.

        With `times`, those may be left out of which a folder says that their oldest record arrived at none of them: no run reads those (`KeyLayout.may_hold`).
        """

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        """The object's bytes as stored, or the first of them.

        Raises ObjectUnreadable if this object can't be had although the archive is there, such as one that is no longer the planned one; ObjectUndelivered if
        it was asked for in vain so often that either this object or the service is broken (`transforms.archive.reading` tells which).
        """

    def retried(self) -> Mapping[str, int]:
        """How many calls were repeated since this was last asked, by reason."""
