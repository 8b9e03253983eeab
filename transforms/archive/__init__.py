"""Where objects come from."""

from importlib import import_module
from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult, unquote, urlsplit

from transforms.archive.local import LocalArchive
from transforms.archive.protocol import Archive
from transforms.archive.s3_location import s3_location
from transforms.core.errors import UsageError
from transforms.core.keys import FIREHOSE, KeyLayout

if TYPE_CHECKING:
    from transforms.calls.limits import Limits

__all__ = ["Archive", "open_archive"]


def open_archive(url: str, layout: KeyLayout = FIREHOSE, limits: "Limits | None" = None) -> Archive:
    """The archive at `file:///abs/path` or `s3://bucket/prefix`, its folders named as `layout` says. Nothing is read yet; raises UsageError for another URL."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        location = s3_location(parts)
        return cast("Archive", import_module("transforms.archive.s3").S3Archive(location, layout, limits))  # who has a local archive does not wait for boto3
    if parts.scheme != "file":
        msg = f"the archive {url!r} has the scheme {parts.scheme!r}: write file:///abs/path or s3://bucket/prefix"
        raise UsageError(msg)
    return LocalArchive(_path(url, parts))


def _path(url: str, parts: SplitResult) -> str:
    if parts.netloc or not parts.path.startswith("/"):
        msg = f"the archive {url!r} has no absolute path: write file:///abs/path (three slashes)"
        raise UsageError(msg)
    if parts.query or parts.fragment:
        msg = f"the archive {url!r} goes on with ? or #, which file:// has no use for: write %3F or %23 if it belongs to the path"
        raise UsageError(msg)
    return unquote(parts.path)
