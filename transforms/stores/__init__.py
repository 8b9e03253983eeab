"""Rollup stores, opened by URL."""

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from transforms.core.errors import UsageError
from transforms.stores.parquet import ParquetStore
from transforms.stores.protocol import RollupStore

SCHEMES: Final = ("parquet",)


def open_store(url: str, *, writable: bool = True) -> RollupStore:
    """The store at `parquet:///abs/path`; nothing is made before the first write.

    Raises UsageError, without showing secrets, for another scheme, a path that is relative, not a folder or not writable, a password. Unless it is to be
    `writable` it must be there.
    """
    root = Path(_path(url))
    _check_folder(url, root, writable=writable)
    return ParquetStore(root)


def _path(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    parts = urlsplit("//" + rest)
    if "@" in parts.netloc:
        shown = f"{scheme}://…@{parts.netloc.rpartition('@')[2]}{parts.path}"
        msg = f"the store URL {shown} holds a user name or password; leave it out, secrets come from the environment or a file"
        raise UsageError(msg)
    if parts.query or parts.fragment:
        shown = f"{scheme}://{parts.netloc}{parts.path}"
        msg = f"the store URL {shown} goes on with ? or #, which {scheme}:// has no use for; write %3F or %23 if it belongs to the path"
        raise UsageError(msg)
    if not colon or scheme not in SCHEMES:
        msg = f"the store URL {url!r} has no known scheme; write {SCHEMES[0]}:///absolute/path"
        raise UsageError(msg)
    if parts.netloc or not parts.path.startswith("/"):
        msg = f"the store URL {url!r} has a relative path; write {scheme}://{Path.cwd() / (parts.netloc + parts.path)}"
        raise UsageError(msg)
    return unquote(parts.path)


def _check_folder(url: str, root: Path, *, writable: bool) -> None:
    if not writable and not root.exists():
        msg = f"the store {url} does not exist"
        raise UsageError(msg)
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir():
        msg = f"the store URL {url} names {root}, but {existing} is not a folder"
        raise UsageError(msg)
    if not os.access(existing, os.R_OK | os.X_OK | (os.W_OK if writable else 0)):
        msg = f"the store {url} can't be {'written' if writable else 'read'}: this user has no right to {existing}"
        raise UsageError(msg)
