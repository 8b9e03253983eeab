"""The state of a limit in a file, shared by all processes that name the same file on one machine."""

import fcntl
import os
import struct
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from transforms.core.throttle import VALUES, PaceState, state_of

_FORMAT: Final = struct.Struct(f"<8s{VALUES}d")
_MAGIC: Final = b"rollups1"


class FileCell:
    """A `Cell` in a small file, which is locked (`flock`) while the state is looked at: a process that ends in any way lets go of it.

    Times are of the machine's monotonic clock, which all its processes share. A file that holds anything else counts as empty.
    """

    def __init__(self, path: Path) -> None:
        """Makes nothing yet."""
        self._path = path
        self._lock = threading.Lock()
        self._descriptor, self._pid = -1, 0

    @contextmanager
    def held(self) -> Iterator[PaceState]:
        """As the protocol says."""
        with self._lock:
            descriptor = self._opened()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                before = os.pread(descriptor, _FORMAT.size, 0)
                state = _unpacked(before)
                yield state
                if (now := _FORMAT.pack(_MAGIC, *state.values())) != before:
                    os.pwrite(descriptor, now, 0)
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _opened(self) -> int:
        """A descriptor of this process's own: one that was inherited would share its lock with the parent."""
        if self._pid != os.getpid():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor, self._pid = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), os.getpid()
            weakref.finalize(self, os.close, self._descriptor)
        return self._descriptor


def _unpacked(data: bytes) -> PaceState:
    if len(data) != _FORMAT.size or not data.startswith(_MAGIC):
        return PaceState()
    return state_of(_FORMAT.unpack(data)[1:])
