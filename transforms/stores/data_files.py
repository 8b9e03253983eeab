"""Files of rollups, wherever they lie, as those who read them see them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from transforms.core.errors import IncompleteError

T = TypeVar("T")


class FileReplaced(IncompleteError):
    """A file that is read in parts is another one by now: it has to be opened again."""


class Opened(NamedTuple):
    """A file that is read as it was when it was opened; `stamp` tells it from another one of the same name."""

    content: BinaryIO
    stamp: object


class DataFile(Protocol):
    """A file that others may replace or remove at any time."""

    @property
    def name(self) -> str:
        """As messages call it; the part after the last slash is the file's own."""

    def open(self) -> Opened | None:
        """The file as it is now; None if it is gone. Reading it may raise FileReplaced."""


def using(file: DataFile, use: Callable[[Opened | None], T]) -> T:
    """What `use` makes of the file, which is opened again whenever it was replaced meanwhile."""
    while True:
        opened = file.open()
        try:
            return use(opened)
        except FileReplaced:
            continue
        finally:
            if opened:
                opened.content.close()


@dataclass(frozen=True)
class LocalFile:
    """A `DataFile` on disk."""

    path: Path

    @property
    def name(self) -> str:
        """As the protocol says."""
        return str(self.path)

    def open(self) -> Opened | None:
        """As the protocol says; inode, time of change and size tell files apart."""
        try:
            content = self.path.open("rb")
        except FileNotFoundError:
            return None
        status = os.fstat(content.fileno())
        return Opened(content, (status.st_ino, status.st_mtime_ns, status.st_size))
