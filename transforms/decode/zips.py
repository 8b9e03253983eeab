"""Zip archives (PKWARE's APPNOTE 6.3), read by their local headers from front to back: what was written before a cut is found without the central directory.

The members' contents make one text in the order in which they are stored; names mean nothing. Several archives may stand one after the other.
"""

import re
import struct
import zlib
from typing import Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode import deflate
from transforms.decode.causes import UNSUPPORTED_CONTAINER
from transforms.decode.unpacked import Inflated, Lost

ZIP: Final = re.compile(rb"PK(?:\x03\x04|\x05\x06)")
"""A local header, or the end of an archive without members."""

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64, _LOCATOR_64, _SIGNATURE, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x05", b"PK\x07\x08"
_HEADER: Final = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW = 0x0001, 0x0008
_IN_EXTRA: Final = 0xFFFFFFFF
_EXTRA_64: Final = 1
_ZEROS: Final = re.compile(rb"\x00*+")


class _Entry(NamedTuple):
    """A local header: `packed` and `size` are None where they follow the member; `start` is the first byte of the member's data."""

    method: int
    encrypted: bool
    crc: int
    packed: int | None
    size: int | None
    start: int


class _Trailer(NamedTuple):
    crc: int
    size: int
    end: int


def read_zip(into: Inflated) -> bytes:
    """Read the members; what follows the end of the last archive is handed back."""
    body, at, is_open = into.body, 0, True
    while (at := _skip_zeros(body, at)) < len(body):
        if body.startswith(_LOCAL, at):
            at, is_open = _read_member(into, at), True
        elif (end := _directory_record_end(body, at)) is None:
            if not is_open:
                return body[at:]
            raise into.truncated("directory") if len(body) - at < 4 else into.corrupt(at, "neither a member nor a directory")
        elif end > len(body):
            raise into.truncated("directory")
        else:
            is_open = not body.startswith(_END, at)
            at = end
    if is_open:
        raise into.truncated("archive without its directory")
    return b""


def _skip_zeros(body: bytes, at: int) -> int:
    found = _ZEROS.match(body, at)
    return found.end() if found else at


def _directory_record_end(body: bytes, at: int) -> int | None:
    """Where the record of the central directory at `at` ends, beyond the body if it is cut; None if there is none."""
    signature = body[at : at + 4]
    number = {place: int.from_bytes(body[at + place : at + place + 2], "little") for place in (4, 20, 28, 30, 32)}
    lengths = {
        _CENTRAL: 46 + number[28] + number[30] + number[32],
        _END: 22 + number[20],
        _END_64: 12 + int.from_bytes(body[at + 4 : at + 12], "little"),
        _LOCATOR_64: 20,
        _SIGNATURE: 6 + number[4],
    }
    return at + lengths[signature] if signature in lengths else None


def _read_member(into: Inflated, at: int) -> int:
    """Read the member whose header is at `at`; returns where it ends."""
    entry = _entry(into, at)
    if entry.encrypted or entry.method not in (_STORED, _DEFLATED):
        return _pass_over(into, entry, at)
    if entry.packed is None:
        return _read_unsized(into, entry, at)
    end = entry.start + entry.packed
    member = _content(into, entry, into.body[entry.start : end], at)
    if end > len(into.body):
        into.add(member.data)
        raise into.truncated(f"member at compressed byte {at}")
    _check(into, member, _Trailer(entry.crc, entry.size or 0, end), at, is_whole=member.end == entry.packed)
    into.add(member.data)
    return end


def _entry(into: Inflated, at: int) -> _Entry:
    body = into.body
    if at + _HEADER.size > len(body):
        raise into.truncated("header of a member")
    _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _HEADER.unpack_from(body, at)
    start = at + _HEADER.size + name_bytes + extra_bytes
    if start > len(body):
        raise into.truncated("header of a member")
    if _IN_EXTRA in (packed, size):
        packed, size = _sizes_64(body[start - extra_bytes : start], packed, size)
    # Checksum and sizes that follow a member may stand in its header as well, as zeros or as they are; the end of a deflated one needs none of them.
    if flags & _SIZES_FOLLOW and (packed == 0 or method == _DEFLATED):
        return _Entry(method, bool(flags & _ENCRYPTED), crc, None, None, start)
    return _Entry(method, bool(flags & _ENCRYPTED), crc, packed, size, start)


def _sizes_64(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """Compressed and inflated size from the extra field of zip64, where the header refers to it."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == _EXTRA_64:
            numbers = [int.from_bytes(extra[place : place + 8], "little") for place in range(at + 4, at + 4 + length, 8)]
            size = numbers.pop(0) if size == _IN_EXTRA and numbers else size
            packed = numbers.pop(0) if packed == _IN_EXTRA and numbers else packed
        at += 4 + length
    return packed, size


def _pass_over(into: Inflated, entry: _Entry, at: int) -> int:
    """Put aside a member that can't be read; if its size is unknown, all that follows as well."""
    why = "encrypted" if entry.encrypted else f"method {entry.method}"
    end = len(into.body) if entry.packed is None else min(entry.start + entry.packed, len(into.body))
    problem = DecodeError(UNSUPPORTED_CONTAINER, f"zip member at compressed byte {at}: {why}", at)
    into.lost.append(Lost(into.size, problem, into.body[at:end]))
    return end


def _content(into: Inflated, entry: _Entry, packed: bytes, at: int) -> deflate.Member:
    """The member's content, at most one byte more than there is room for."""
    if entry.method == _STORED:
        into.require_room(len(packed))
        return deflate.Member(packed, len(packed), complete=True)
    return _inflated(into, packed, 0, at)


def _inflated(into: Inflated, body: bytes, start: int, at: int) -> deflate.Member:
    try:
        member = deflate.inflate(body, start, into.left, raw=True)
    except deflate.ERRORS as error:  # type: ignore[misc]  # isal's stub takes the class for an instance
        raise into.corrupt(at, f"zip member: {error}") from error
    into.require_room(len(member.data))
    return member


def _read_unsized(into: Inflated, entry: _Entry, at: int) -> int:
    """Read a member whose checksum and sizes follow it."""
    member = _stored_before_descriptor(into, entry.start) if entry.method == _STORED else _inflated(into, into.body, entry.start, at)
    trailer = _descriptor(into.body, member.end, member.end - entry.start, len(member.data))
    if not member.complete or trailer.end > len(into.body):
        into.add(member.data)
        raise into.truncated(f"member at compressed byte {at}")
    _check(into, member, trailer, at, is_whole=True)
    into.add(member.data)
    return trailer.end


def _stored_before_descriptor(into: Inflated, start: int) -> deflate.Member:
    """A stored member as far as the first data descriptor that states its size; all of the body if there is none."""
    body, end = into.body, into.body.find(_DESCRIPTOR, start)
    while end >= 0 and body[end + 8 : end + 12] != (end - start & 0xFFFFFFFF).to_bytes(4, "little"):
        end = body.find(_DESCRIPTOR, end + 1)
    into.require_room((len(body) if end < 0 else end) - start)
    return deflate.Member(body[start:] if end < 0 else body[start:end], len(body) if end < 0 else end, complete=end >= 0)


def _descriptor(body: bytes, at: int, packed: int, size: int) -> _Trailer:
    """The data descriptor at `at`: with or without its signature, with sizes of 8 bytes if these are the right ones, else of 4."""
    at += 4 if body.startswith(_DESCRIPTOR, at) else 0
    crc = int.from_bytes(body[at : at + 4], "little")
    if body[at + 4 : at + 20] == struct.pack("<2Q", packed, size):
        return _Trailer(crc, size, at + 20)
    return _Trailer(crc, int.from_bytes(body[at + 8 : at + 12], "little"), at + 12)


def _check(into: Inflated, member: deflate.Member, trailer: _Trailer, at: int, *, is_whole: bool) -> None:
    if not (is_whole and member.complete and len(member.data) == trailer.size and zlib.crc32(member.data) == trailer.crc):
        raise into.corrupt(at, f"zip member {len(into.parts) + 1} fails its checksum or length")
