"""Where objects come from."""

from urllib.parse import unquote, urlsplit

from transforms.archive.local import LocalArchive
from transforms.archive.protocol import Archive
from transforms.core.errors import UsageError

__all__ = ["Archive", "open_archive"]


def open_archive(url: str) -> Archive:
    """The archive at `file:///abs/path`. Nothing is read yet; raises UsageError for another scheme or form."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        msg = f"the archive {url!r} has the scheme {parts.scheme!r}: write file:///abs/path"
        raise UsageError(msg)
    if parts.netloc or not parts.path.startswith("/"):
        msg = f"the archive {url!r} has no absolute path: write file:///abs/path (three slashes)"
        raise UsageError(msg)
    if parts.query or parts.fragment:
        msg = f"the archive {url!r} goes on with ? or #, which file:// has no use for: write %3F or %23 if it belongs to the path"
        raise UsageError(msg)
    return LocalArchive(unquote(parts.path))
