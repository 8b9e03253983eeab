"""Local paths in store URLs."""

import os
from pathlib import Path

from transforms.core.errors import UsageError
from transforms.stores.url import StoreUrl


def local_path(url: StoreUrl) -> Path:
    """The absolute path that the URL names. Raises UsageError for a relative one or more than a path."""
    if url.query:
        msg = f"the store URL {url.shown} goes on with ?, which {url.scheme}:// has no use for; write %3F if it belongs to the path"
        raise UsageError(msg)
    if url.netloc or not url.path.startswith("/"):
        msg = f"the store URL {url.shown!r} has a relative path; write {url.scheme}://{Path.cwd() / (url.netloc + url.path)}"
        raise UsageError(msg)
    return Path(url.path)


def check_folder(url: StoreUrl, root: Path, *, writable: bool) -> None:
    """Raises UsageError unless the folder, or the first one above it that exists, can be used as asked."""
    if not writable and not root.exists():
        msg = f"the store {url.shown} does not exist"
        raise UsageError(msg)
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir():
        msg = f"the store URL {url.shown} names {root}, but {existing} is not a folder"
        raise UsageError(msg)
    if not os.access(existing, os.R_OK | os.X_OK | (os.W_OK if writable else 0)):
        msg = f"the store {url.shown} can't be {'written' if writable else 'read'}: this user has no right to {existing}"
        raise UsageError(msg)
