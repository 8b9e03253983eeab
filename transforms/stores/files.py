"""Steps on local files that survive being killed: atomic writes, links, removals and locks.

Each step calls the injected failpoint with `before NAME.STEP` and `after NAME.STEP`, so that a test can hold or end the process there.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Failpoint = Callable[[str], None]

UNLINKABLE: Final = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
"""Errors of file systems or files that can't be hard-linked."""


def no_failpoint(_name: str) -> None:
    """Do nothing."""


def temporary(path: Path) -> Path:
    """Where `path` is written before it is renamed.

    Beside it, under a name that readers of data folders ignore. Whoever writes `path` holds a lock, so one name is enough.
    """
    return path.with_name(f"_{path.name}.tmp")


@dataclass(frozen=True)
class Files:
    """The steps. A file that is named by its own path is complete, whenever the process or (but for `replace_soon`) the machine stopped."""

    failpoint: Failpoint = no_failpoint

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Failpoints around one step."""
        self.failpoint(f"before {name}")
        yield
        self.failpoint(f"after {name}")

    def replace(self, path: Path, write: Callable[[Path], object], *, name: str, prepare: Callable[[], None] | None = None) -> None:
        """Make `path` what `write` writes to the path it is given; `prepare` runs when that is on disk, just before the rename."""
        self.written(path, write, name=name, prepare=prepare)()

    def written(self, path: Path, write: Callable[[Path], object], *, name: str, prepare: Callable[[], None] | None = None) -> Callable[[], None]:
        """The first half of `replace`; what it returns is the other half, which waits for the disk and may do so in another thread."""
        self._write(path, write, name)
        return lambda: self._place(path, name, prepare)

    def replace_soon(self, path: Path, write: Callable[[Path], object], *, name: str) -> None:
        """As `replace`, but the system brings it to disk in its own time: a power failure may leave a file whose end is missing, or none."""
        self._write(path, write, name)
        self._rename(path, name)

    def _write(self, path: Path, write: Callable[[Path], object], name: str) -> None:
        make_folder(path.parent)
        with _unlinked_on_error(temporary(path)), self.step(f"{name}.write"):
            write(temporary(path))

    def _place(self, path: Path, name: str, prepare: Callable[[], None] | None) -> None:
        with _unlinked_on_error(temporary(path)):
            with self.step(f"{name}.fsync"):
                fsync(temporary(path))
            if prepare:
                prepare()
        self._rename(path, name)
        with self.step(f"{name}.settle"):
            fsync(path.parent)

    def _rename(self, path: Path, name: str) -> None:
        with _unlinked_on_error(temporary(path)), self.step(f"{name}.rename"):
            temporary(path).replace(path)

    def remove(self, path: Path, *, name: str) -> None:
        """Delete `path`, which may be gone already."""
        with self.step(f"{name}.remove"):
            path.unlink(missing_ok=True)
        with self.step(f"{name}.settle"):
            fsync(path.parent)

    def keep(self, path: Path, image: Path) -> None:
        """Make the new file `image` what `path` is now: a hard link, a copy where there are none, or an empty file if `path` does not exist."""
        make_folder(image.parent)
        with self.step("image.link"):
            if not path.exists():
                image.touch(exist_ok=False)
            elif not _linked(path, image):
                self.replace(image, lambda temp: shutil.copyfile(path, temp), name="image.copy")
        with self.step("image.settle"):
            fsync(image.parent)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold the exclusive lock of that name; others, in this process or another one, wait. The system frees it if the process ends."""
        make_folder(path.parent)
        self.failpoint("before lock")
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.failpoint("after lock")
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


@contextmanager
def _unlinked_on_error(temp: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def _linked(path: Path, image: Path) -> bool:
    try:
        image.hardlink_to(path)
    except OSError as error:
        if error.errno not in UNLINKABLE:
            raise
        return False
    return True


def make_folder(path: Path) -> None:
    """Make the folder and its parents, lasting."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync(path.parent)


def fsync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
