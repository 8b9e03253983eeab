"""Containers: what an archive object is wrapped in. Told by content, never by the object's name; inflated within limits.

A container may hold several gzip members or zstd frames one after the other, with zero bytes between or after them. Whatever can't be inflated is described by
`Unpacked.problem`, whose cause is one of

* `truncated container`: `data` is all that could be inflated before the end,
* `corrupt container`: a member or frame is damaged or fails its checksum. Nothing of that member is in `data`: bytes whose checksum is wrong are not evidence,
* `trailing garbage`: `data` is complete, `rest` is what follows the last member,
* `object too large`, `expansion too large`: `data` is empty, nothing of such an object is kept.
"""

import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final, NamedTuple

import zstandard
from isal import igzip_lib

from transforms.core.errors import DecodeError
from transforms.decode.causes import CORRUPT, EXPANSION, TOO_LARGE, TRAILING, TRUNCATED

_GZIP: Final = re.compile(rb"\x1f\x8b")
_ZSTD: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_MAGIC_STARTS: Final = {"gzip": (b"\x1f",), "zstd": (b"\x28", b"\x28\xb5", b"\x28\xb5\x2f")}
_ZEROS: Final = re.compile(rb"\x00*+")

_FIRST_FEED_BYTES: Final = 1 << 12
_GZIP_FEED_BYTES: Final = 1 << 20
_ZSTD_FEED_BYTES: Final = 1 << 12
"""A zstd decoder has no output limit: 4 KiB of input hold at most 128 MiB of output."""

_ALWAYS_ALLOWED_BYTES: Final = 1 << 20
"""Small objects may expand to this size whatever the ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """Bounds of the inflated size: absolute, and as a multiple of the compressed size."""

    max_bytes: int = 1 << 30
    max_expansion: int = 1000

    def room(self, compressed_bytes: int) -> int:
        """Largest inflated size that is accepted."""
        return min(self.max_bytes, max(self.max_expansion * compressed_bytes, _ALWAYS_ALLOWED_BYTES))

    def exceeded(self, room: int) -> DecodeError:
        """The error for an object that inflates to more than `room` bytes."""
        if room == self.max_bytes:
            return DecodeError(TOO_LARGE, f"more than the limit of {self.max_bytes} bytes")
        return DecodeError(EXPANSION, f"more than {room} bytes, {self.max_expansion} times the compressed size")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of a container (`none`, `gzip`, `zstd`)."""

    data: bytes
    container: str = "none"
    problem: DecodeError | None = None
    rest: bytes = b""

    @property
    def is_cut(self) -> bool:
        """True if `data` may end in the middle of a record because the container does."""
        return self.problem is not None and self.problem.cause != TRAILING


class _Member(NamedTuple):
    data: bytes
    end: int
    complete: bool


def unpack(body: bytes, limits: UnpackLimits) -> Unpacked:
    """Inflate an object. Never raises for what the bytes are: damage is described in the result."""
    container = "gzip" if _GZIP.match(body) else "zstd" if _ZSTD.match(body) else "none"
    if container != "none":
        return _members(body, container, limits)
    if len(body) > limits.max_bytes:
        return Unpacked(b"", container, limits.exceeded(limits.max_bytes))
    return Unpacked(body, container)


def _members(body: bytes, container: str, limits: UnpackLimits) -> Unpacked:
    magic, inflate = (_GZIP, _gzip_member) if container == "gzip" else (_ZSTD, _zstd_frame)
    room, parts, size, at = limits.room(len(body)), list[bytes](), 0, 0
    problem, rest = None, b""
    while problem is None and (at := _after(_ZEROS, body, at)) < len(body):
        if not magic.match(body, at):
            problem, rest = _not_a_member(body, container, at)
            break
        try:
            member = inflate(body, at, room - size)
        except (igzip_lib.IsalError, zlib.error, zstandard.ZstdError) as error:  # type: ignore[misc]  # isal's stub takes the class for an instance
            problem = DecodeError(CORRUPT, f"{container} member {len(parts) + 1} at compressed byte {at}: {error}", at)
            break
        parts.append(member.data)
        size, at = size + len(member.data), member.end
        if size > room:
            return Unpacked(b"", container, limits.exceeded(room))
        if not member.complete:
            problem = DecodeError(TRUNCATED, f"{container} member {len(parts)} ends after {len(body)} compressed bytes", len(body))
    return Unpacked(parts[0] if len(parts) == 1 else b"".join(parts), container, problem, rest)


def _after(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    found = pattern.match(body, at)
    return found.end() if found else at


def _not_a_member(body: bytes, container: str, at: int) -> tuple[DecodeError, bytes]:
    rest = body[at:]
    if rest in _MAGIC_STARTS[container]:
        return DecodeError(TRUNCATED, f"{container} member at compressed byte {at} has {len(rest)} bytes", at), b""
    return DecodeError(TRAILING, f"{len(rest)} bytes from compressed byte {at} on are no {container} member", at), rest


def _gzip_member(body: bytes, at: int, room: int) -> _Member:
    """The member at `at`, up to one byte more than `room`."""
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    view, inflated, size, start, feed = memoryview(body), BytesIO(), 0, at, _FIRST_FEED_BYTES
    # What follows the member comes back as a copy in `unused_data`: feeding grows slowly so that many small members don't copy the rest of the object each.
    while at < len(body) and not inflater.eof and size <= room:
        size += inflated.write(inflater.decompress(view[at : at + feed], room + 1 - size))
        at, feed = min(at + feed, len(body)), min(feed * 4, _GZIP_FEED_BYTES)
    if inflater.eof or size > room:
        return _Member(inflated.getvalue(), at - len(inflater.unused_data), complete=True)
    # igzip keeps back some last bytes of a stream that ends early; zlib gives all there are.
    return _Member(zlib.decompressobj(wbits=31).decompress(view[start:], room + 1), at, complete=False)


def _zstd_frame(body: bytes, at: int, room: int) -> _Member:
    """The frame at `at` (skippable ones are empty), stopping soon after `room` bytes."""
    inflater = zstandard.ZstdDecompressor().decompressobj()
    view, inflated, size = memoryview(body), BytesIO(), 0
    while at < len(body) and not inflater.eof and size <= room:
        size += inflated.write(inflater.decompress(view[at : at + _ZSTD_FEED_BYTES]))
        at = min(at + _ZSTD_FEED_BYTES, len(body))
    return _Member(inflated.getvalue(), at - len(inflater.unused_data), complete=inflater.eof or size > room)
