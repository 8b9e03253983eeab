"""Slots: how many calls may be in flight at once, by all processes of a user on one machine together."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transforms.core.errors import UsageError


def slots_folder(what: str) -> Path:
    """Where the slots of a service are, below the system's folder for temporary files: the same for all processes of this user."""
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"metric-rollups-{os.getuid()}" / "slots" / name


class Slots:
    """So many slots. Each is a locked file: a process that ends in any way gives its slots back."""

    def __init__(self, folder: Path, number: int, random: Callable[[], float]) -> None:
        """Makes nothing yet."""
        self._folder, self._number, self._random = folder, number, random

    @contextmanager
    def one(self) -> Iterator[None]:
        """Holds a slot, waiting for one if all are taken; which one is left to chance, so that those who wait are spread over them."""
        descriptor = self._taken()
        try:
            yield
        finally:
            os.close(descriptor)

    def _taken(self) -> int:
        self._make_folder()
        first = int(self._random() * self._number)
        for place in range(self._number):
            descriptor = self._opened((first + place) % self._number)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                return descriptor
        descriptor = self._opened(first)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def _opened(self, place: int) -> int:
        return os.open(self._folder / str(place), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _make_folder(self) -> None:
        """Raises UsageError if somebody else has made it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (owner := self._folder.stat().st_uid) != os.getuid():
            raise UsageError(f"the folder of slots {str(self._folder)!r} belongs to user {owner}: remove it, or set TMPDIR to a folder of your own")
