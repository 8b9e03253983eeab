"""Containers: what an archive object is wrapped in. Told by content, never by the object's name; inflated within limits.

gzip members, zstd frames and zip archives may stand one after the other, with zero bytes between or after them. `snappy` is its framing format; `raw snappy` a
single block without any frame; `hadoop snappy` blocks of sub-blocks (snappy.py). `parquet` and `orc` are not inflated here: `data` is the file (tables.py).

Whatever can't be inflated is described by `Unpacked.problem`, whose cause is one of

* `truncated container`: `data` is all that could be inflated before the end,
* `corrupt container`: a member, frame or block is damaged or fails its checksum. Nothing of it is in `data`: bytes whose checksum is wrong are not evidence,
* `trailing garbage`: `data` is complete, `rest` is what follows the last member,
* `object too large`, `expansion too large`: `data` is empty, nothing of such an object is kept,
* `unsupported container`, only in `Unpacked.lost`: a zip member that is encrypted or of an unknown method. The members after it are read, unless not even its
  size is known: then it is all that is left.
"""

import re
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Final

import zstandard
from isal import igzip_lib

from transforms.core.errors import DecodeError
from transforms.decode import snappy
from transforms.decode.causes import TRUNCATED
from transforms.decode.deflate import Member, inflate
from transforms.decode.unpacked import Inflated, Unpacked, UnpackLimits, collected
from transforms.decode.zips import ZIP, read_zip

_GZIP: Final = re.compile(rb"\x1f\x8b")
_ZSTD: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_MAGIC_STARTS: Final = {"gzip": (b"\x1f",), "zstd": (b"\x28", b"\x28\xb5", b"\x28\xb5\x2f")}
_ZEROS: Final = re.compile(rb"\x00*+")

_ZSTD_FEED_BYTES: Final = 1 << 12
"""A zstd decoder has no output limit: 4 KiB of input hold at most 128 MiB of output."""

TABLES: Final = ("parquet", "orc")
"""Containers whose records are rows of columns."""

WHOLE_ONLY: Final = (*TABLES, "raw snappy")
"""Containers of whose beginning alone nothing can be read."""


def unpack(body: bytes, limits: UnpackLimits) -> Unpacked:
    """Inflate an object. Never raises for what the bytes are: damage is described in the result."""
    container, read = _sniffed(body)
    if read:
        return collected(container, body, limits, read)
    if container == "none" and (found := snappy.unpack_raw(body, limits)):
        return found
    if len(body) > limits.max_bytes:
        return Unpacked(b"", container, limits.exceeded(limits.max_bytes))
    return Unpacked(body, container)


def _sniffed(body: bytes) -> tuple[str, Callable[[Inflated], bytes] | None]:
    """The container's name, and what reads it if it has a frame to be read."""
    if _GZIP.match(body):
        return "gzip", _read_gzip
    if _ZSTD.match(body):
        return "zstd", _read_zstd
    if ZIP.match(body):
        return "zip", read_zip
    if body.startswith(snappy.FRAMED):
        return "snappy", snappy.read_framed
    if snappy.is_hadoop(body):
        return "hadoop snappy", snappy.read_hadoop
    return "parquet" if body.startswith(b"PAR1") else "orc" if body.startswith(b"ORC") else "none", None


def _read_gzip(into: Inflated) -> bytes:
    return _read_members(into, _GZIP, inflate)


def _read_zstd(into: Inflated) -> bytes:
    return _read_members(into, _ZSTD, _zstd_frame)


def _read_members(into: Inflated, magic: re.Pattern[bytes], inflate_one: Callable[[bytes, int, int], Member]) -> bytes:
    """Read the members one after the other; what follows them is handed back."""
    body, at = into.body, 0
    while (at := _after(_ZEROS, body, at)) < len(body):
        if not magic.match(body, at):
            return _not_a_member(into, at)
        try:
            member = inflate_one(body, at, into.left)
        except (igzip_lib.IsalError, zlib.error, zstandard.ZstdError) as error:  # type: ignore[misc]  # isal's stub takes the class for an instance
            raise into.corrupt(at, f"member {len(into.parts) + 1}: {error}") from error
        into.add(member.data)
        at = member.end
        if not member.complete:
            raise into.truncated(f"member {len(into.parts)}")
    return b""


def _after(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    found = pattern.match(body, at)
    return found.end() if found else at


def _not_a_member(into: Inflated, at: int) -> bytes:
    rest = into.body[at:]
    if rest in _MAGIC_STARTS[into.container]:
        raise DecodeError(TRUNCATED, f"{into.container} member at compressed byte {at} has {len(rest)} bytes", at)
    return rest


def _zstd_frame(body: bytes, at: int, room: int) -> Member:
    """The frame at `at` (skippable ones are empty), stopping soon after `room` bytes."""
    inflater = zstandard.ZstdDecompressor().decompressobj()
    view, inflated, size = memoryview(body), BytesIO(), 0
    while at < len(body) and not inflater.eof and size <= room:
        size += inflated.write(inflater.decompress(view[at : at + _ZSTD_FEED_BYTES]))
        at = min(at + _ZSTD_FEED_BYTES, len(body))
    return Member(inflated.getvalue(), at - len(inflater.unused_data), complete=inflater.eof or size > room)
