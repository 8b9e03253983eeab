"""Slots: how many calls may be in flight at once, by all processes together that name the same folder on one machine."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from transforms.calls.waiting import Waiting
from transforms.core.errors import UsageError
from transforms.core.throttle import LIMIT, SHARED

LOOK_S: Final = 0.02
"""Who waits for a slot looks again that often: calls that need slots take longer."""


def temporary_folder() -> Path:
    """Below the system's folder for temporary files: the same for all processes of this user."""
    return Path(tempfile.gettempdir()) / f"metric-rollups-{os.getuid()}"


class Slots:
    """So many slots as `number` says when asked. Each is a locked file: a process that ends in any way gives its slots back."""

    def __init__(
        self,
        folder: Path,
        number: Callable[[], tuple[int, str]],
        waiting: Waiting,
        note_held: Callable[[float], None] = lambda _held_s: None,
        lease: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(enter_result=True),
    ) -> None:
        """Makes nothing yet. `number` says with how many slots there are now why there are no more; `note_held` is told for how long one was held.

        Who has a slot also needs a `lease` of those that are beyond this folder, if there are any: whether it has got one.
        """
        self._folder, self._number, self._waiting, self._note_held, self._lease = folder, number, waiting, note_held, lease
        self._lock = threading.Lock()
        self._waited = dict[str, float]()

    def waits(self) -> Mapping[str, float]:
        """Seconds that threads waited since this was last asked, by cause."""
        with self._lock:
            waited, self._waited = self._waited, {}
        return waited

    @contextmanager
    def one(self) -> Iterator[None]:
        """Holds a slot, waiting for one if all are taken."""
        while True:
            descriptor, began_s = self._taken(), self._waiting.clock()
            try:
                with self._lease() as is_leased:
                    if is_leased:
                        yield
                        return
            finally:
                os.close(descriptor)
                self._note_held(self._waiting.clock() - began_s)
            self._waiting.sleep(LOOK_S)
            self._note(SHARED, self._waiting.clock() - began_s)

    def _taken(self) -> int:
        self._make_folder()
        began_s, cause = self._waiting.clock(), LIMIT
        while True:
            number, why = self._number()
            if (descriptor := self._free(number)) is not None:
                self._note(cause, self._waiting.clock() - began_s)
                return descriptor
            cause = why
            self._waiting.sleep(LOOK_S)

    def _free(self, number: int) -> int | None:
        """A locked slot; which one is left to chance, so that those who look are spread over them."""
        first = int(self._waiting.random() * number)
        for place in range(number):
            descriptor = self._opened((first + place) % number)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                return descriptor
        return None

    def _note(self, cause: str, seconds: float) -> None:
        if seconds >= LOOK_S:
            with self._lock:
                self._waited[cause] = self._waited.get(cause, 0.0) + seconds

    def _opened(self, place: int) -> int:
        return os.open(self._folder / str(place), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _make_folder(self) -> None:
        """Raises UsageError if somebody else has made it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (owner := self._folder.stat().st_uid) != os.getuid():
            raise UsageError(f"the folder of slots {str(self._folder)!r} belongs to user {owner}: remove it, or name another --work-dir")
