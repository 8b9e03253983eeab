"""The state of a limit in a file, shared by all processes that name the same file on one machine."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from transforms.calls.locked_file import locked
from transforms.core.throttle import VALUES, PaceState, state_of

_FORMAT: Final = struct.Struct(f"<8s{VALUES}d")
_MAGIC: Final = b"rollups1"


class FileCell:
    """A `Cell` in a small file, which is locked while the state is looked at.

    Times are of the machine's monotonic clock, which all its processes share. A file that holds anything else counts as empty.
    """

    def __init__(self, path: Path) -> None:
        """Makes nothing yet."""
        self._path = path

    @contextmanager
    def held(self) -> Iterator[PaceState]:
        """As the protocol says."""
        with locked(self._path) as descriptor:
            before = os.pread(descriptor, _FORMAT.size + 1, 0)
            state = _unpacked(before)
            yield state
            if (now := _FORMAT.pack(_MAGIC, *state.values())) != before:
                os.pwrite(descriptor, now, 0)


def _unpacked(data: bytes) -> PaceState:
    if len(data) != _FORMAT.size or not data.startswith(_MAGIC):
        return PaceState()
    return state_of(_FORMAT.unpack(data)[1:])
