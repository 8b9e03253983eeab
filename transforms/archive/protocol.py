"""What every archive can do: list its objects and read one whole."""

from collections.abc import Iterator
from typing import Protocol

from transforms.core.manifest import ArchiveObject


class Archive(Protocol):
    """A place of immutable objects. Implementations hold no open files or clients until the first call."""

    def objects(self) -> Iterator[ArchiveObject]:
        """Every object, in any order. Raises UsageError if the archive is not there."""

    def read(self, planned: ArchiveObject) -> bytes:
        """The object's bytes as stored. Raises ObjectChanged if it is gone or no longer the one that was planned."""
