"""An archive in a local folder."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from transforms.core.errors import ACCESS_DENIED, OBJECT_CHANGED, OBJECT_MISSING, OBJECT_REFUSED, ObjectUnreadable, UsageError
from transforms.core.granularity import Range
from transforms.core.manifest import ArchiveObject


class LocalArchive:
    """Every regular file below a folder is an object; its key is the path from there. Names that start with a dot are not the archive's and left out."""

    ahead: Final = 0

    def __init__(self, root: str) -> None:
        """Remember the folder; it is looked at only when listed."""
        self._root = root

    def objects(self, times: Sequence[Range] | None = None) -> Iterator[ArchiveObject]:  # noqa: ARG002 - looking into every folder costs little
        """All files, links to files followed, whatever the times."""
        if not os.path.isdir(self._root):
            msg = f"the archive folder {self._root!r} is not there or is no folder"
            raise UsageError(msg)
        yield from self._below(self._root, ())

    def _below(self, folder: str, above: tuple[str, ...]) -> Iterator[ArchiveObject]:
        """Objects below a folder; a link back to a folder above holds nothing new."""
        real = os.path.realpath(folder)
        if real in above:
            return
        for entry in _entries(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._below(entry.path, (*above, real))
            elif entry.is_file():
                yield self._object(entry.path)
            elif entry.is_symlink():
                msg = f"the archive object {entry.path!r} is a link to nothing: mend or remove it"
                raise UsageError(msg)

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        """The file's bytes, checked to be the planned size and modification time at opening and after the last byte."""
        path = os.path.join(self._root, planned.key)
        try:
            with open(path, "rb") as file:
                _check(planned, os.fstat(file.fileno()))
                body = file.read(first_bytes)
                _check(planned, os.fstat(file.fileno()))
        except FileNotFoundError as error:
            raise ObjectUnreadable(planned.key, OBJECT_MISSING) from error
        except PermissionError as error:
            raise ObjectUnreadable(planned.key, ACCESS_DENIED) from error
        except OSError as error:
            raise ObjectUnreadable(planned.key, OBJECT_REFUSED, str(error.strerror)) from error
        return body

    def retried(self) -> Mapping[str, int]:
        """Nothing: files are read once."""
        return {}

    def _object(self, path: str) -> ArchiveObject:
        key = os.path.relpath(path, self._root)
        try:
            key.encode()
        except UnicodeEncodeError:
            msg = f"the archive object {path!r} has a name that is not UTF-8: rename it"
            raise UsageError(msg) from None
        stat = os.stat(path)
        return ArchiveObject(key, stat.st_size, _etag(stat), int(stat.st_mtime))


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def _check(planned: ArchiveObject, stat: os.stat_result) -> None:
    if _etag(stat) != planned.etag:
        raise ObjectUnreadable(planned.key, OBJECT_CHANGED, f"{planned.etag} when planned, {_etag(stat)} now, as bytes-modification time")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        msg = f"listing the archive folder {folder!r}: {error.strerror}"
        raise UsageError(msg) from error
