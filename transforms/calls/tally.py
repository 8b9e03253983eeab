"""How much of services was used until now: in memory, or in a file that all processes of a run share."""

import fcntl
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Final, Protocol

from transforms.calls.locked_file import locked
from transforms.core.usage import NOTHING, Usage

_NUMBERS: Final = len(fields(Usage))
_FORMAT: Final = struct.Struct(f"<8s{_NUMBERS}d")
_MAGIC: Final = b"used0001"

Check = Callable[[Usage], None]
"""Looks at what was used until now, while nobody else adds to it; what it raises keeps the change from being made."""


class Tally(Protocol):
    """A sum of `Usage` that never loses an addition, whoever adds at the same time."""

    def add(self, more: Usage, check: Check = lambda _: None) -> None:
        """Adds, unless the check raises."""

    def used(self) -> Usage:
        """The sum."""


class MemoryTally:
    """Of one process, for what is used before a run has a directory."""

    def __init__(self) -> None:
        """Nothing was used."""
        self._lock = threading.Lock()
        self._used = NOTHING

    def add(self, more: Usage, check: Check = lambda _: None) -> None:
        """As the protocol says."""
        with self._lock:
            check(self._used)
            self._used += more

    def used(self) -> Usage:
        """As the protocol says."""
        return self._used


class FileTally:
    """In a small file, which is locked while it is read and written: a process that ends in any way has added all or nothing.

    The file is not synced: what was added survives every death of a process, the last seconds of it not the machine's.
    Raises OSError if the file can't be written, and ValueError for one that holds anything else: nothing is counted from 0 again.
    """

    def __init__(self, path: Path) -> None:
        """Makes nothing yet."""
        self._path = path

    def add(self, more: Usage, check: Check = lambda _: None) -> None:
        """As the protocol says."""
        with locked(self._path) as descriptor:
            used = self._unpacked(os.pread(descriptor, _FORMAT.size + 1, 0))
            check(used)
            os.pwrite(descriptor, _FORMAT.pack(_MAGIC, *(used + more).values()), 0)

    def used(self) -> Usage:
        """As the protocol says; nothing where there is no file."""
        try:
            with open(self._path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                return self._unpacked(file.read(_FORMAT.size + 1))
        except FileNotFoundError:
            return NOTHING

    def _unpacked(self, data: bytes) -> Usage:
        if not data:
            return NOTHING
        if len(data) != _FORMAT.size or not data.startswith(_MAGIC):
            msg = f"{str(self._path)!r} does not hold what the run has used: {len(data)} bytes that begin with {data[:8]!r}"
            raise ValueError(msg)
        return Usage(**dict(zip((one.name for one in fields(Usage)), _FORMAT.unpack(data)[1:], strict=True)))
