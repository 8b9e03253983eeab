"""Snappy in its three wrappings: the framing format, blocks as Hadoop writes them, and a single raw block.

* Framing format (google/snappy, framing_format.txt): a stream identifier, then chunks of at most 64 KiB, each with its own CRC-32C.
* Hadoop (its BlockCompressorStream): blocks of a 4-byte big-endian inflated length, each followed by as many sub-blocks, a 4-byte big-endian compressed length
  and a raw block, as it takes to reach that length. There is no checksum.
* Raw (google/snappy, format_description.txt): the inflated length as a varint, then literals and copies. Neither magic nor checksum: all of it or nothing.

The last two have no magic: they are taken for what they are if their lengths agree with each other and with the size of the object. A raw block of n bytes has
at most 32 + n + n / 6 bytes (snappy's MaxCompressedLength) and at least n / 22: a copy of 3 bytes makes at most 64. So it can't be a bomb.
"""

import re
from typing import Final, NamedTuple

import cramjam

from transforms.decode.unpacked import Inflated, Unpacked, UnpackLimits

FRAMED: Final = b"\xff\x06\x00\x00sNaPpY"
"""The stream identifier."""

_IDENTIFIER, _COMPRESSED, _PLAIN = 0xFF, 0x00, 0x01
_FIRST_SKIPPABLE: Final = 0x80
_PADDING: Final = re.compile(rb"\x00*+\Z")
_HADOOP_MAX_FIRST_BYTE: Final = 0x08
"""Blocks below 144 MiB, far above Hadoop's buffers, begin with a byte that no text begins with."""

_ASCII: Final = 0x80
_TEXT_STARTS: Final = b"{[ \t\r\n\xef"


class _Block(NamedTuple):
    """What the head of a raw block says: its inflated length, and where its first element is."""

    size: int
    first: int


def read_framed(into: Inflated) -> bytes:
    """Read chunks to the end of the body."""
    body, at = into.body, 0
    while at < len(body) and not _PADDING.match(body, at):
        end = at + 4 + int.from_bytes(body[at + 1 : at + 4], "little")
        if at + 4 > len(body) or end > len(body):
            raise into.truncated(f"chunk {len(into.parts) + 1}")
        _read_chunk(into, at, end)
        at = end
    return b""


def _read_chunk(into: Inflated, at: int, end: int) -> None:
    kind, chunk = into.body[at], into.body[at:end]
    if kind in (_COMPRESSED, _PLAIN):
        try:
            into.add(bytes(cramjam.snappy.decompress(FRAMED + chunk)))
        except cramjam.DecompressionError as error:
            raise into.corrupt(at, f"chunk {len(into.parts) + 1}: {error}") from error
    elif kind < _FIRST_SKIPPABLE or (kind == _IDENTIFIER and chunk != FRAMED):
        raise into.corrupt(at, f"a chunk of type 0x{kind:02x} that may not be skipped")


def is_hadoop(body: bytes) -> bool:
    """True if the first lengths in the body are those of Hadoop's blocks."""
    block = _head(body, 8)
    if block is None or body[0] > _HADOOP_MAX_FIRST_BYTE:
        return False
    return 0 < block.size <= _number(body, 0) and _is_plausible(block, _number(body, 4)) and _starts_with_literal(body, block)


def read_hadoop(into: Inflated) -> bytes:
    """Read blocks to the end of the body."""
    at = 0
    while at < len(into.body):
        if at + 4 > len(into.body):
            raise into.truncated("length of a block")
        at = _read_block(into, at + 4, _number(into.body, at))
    return b""


def _read_block(into: Inflated, at: int, size: int) -> int:
    """Read the sub-blocks from `at` on that make up `size` bytes; returns where they end."""
    while size > 0:
        end = at + 4 + _number(into.body, at)
        if at + 4 > len(into.body) or end > len(into.body):
            raise into.truncated(f"sub-block {len(into.parts) + 1}")
        block = _head(into.body[at + 4 : end], 0)
        if block is None or not 0 < block.size <= size:
            raise into.corrupt(at, f"sub-block {len(into.parts) + 1} does not fit the {size} bytes that are left of its block")
        into.require_room(block.size)
        try:
            into.add(bytes(cramjam.snappy.decompress_raw(memoryview(into.body)[at + 4 : end])))
        except cramjam.DecompressionError as error:
            raise into.corrupt(at, f"sub-block {len(into.parts) + 1}: {error}") from error
        at, size = end, size - block.size
    return at


def unpack_raw(body: bytes, limits: UnpackLimits) -> Unpacked | None:
    """What a raw block holds, None if the body is none.

    It is one if it can be inflated, or if it is no text but its first element seems to be the beginning of JSON.
    """
    block = _head(body, 0)
    if block is None or not _starts_with_literal(body, block) or not _fits(block, len(body)):
        return None
    into = Inflated("raw snappy", body, limits)
    seems_json = body[0] >= _ASCII and _holds_json(body, block)
    if not _is_plausible(block, len(body)):
        return into.result(into.corrupt(0, f"{len(body)} bytes can't hold {block.size}")) if seems_json else None
    if block.size > into.left:
        return Unpacked(b"", into.container, limits.exceeded(limits.room(len(body))))
    try:
        into.add(bytes(cramjam.snappy.decompress_raw(body)))
    except cramjam.DecompressionError as error:
        return into.result(into.corrupt(0, str(error))) if seems_json else None
    return into.result()


def _number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 4], "big")


def _head(body: bytes, at: int) -> _Block | None:
    """The head of the raw block at `at`; None if there is none or nothing follows it."""
    size = 0
    for place, byte in enumerate(body[at : at + 5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < _ASCII:
            return _Block(size, at + place + 1) if size < 1 << 32 and at + place + 1 < len(body) else None
    return None


def _is_plausible(block: _Block, compressed_bytes: int) -> bool:
    return block.size // 22 <= compressed_bytes and _fits(block, compressed_bytes)


def _fits(block: _Block, compressed_bytes: int) -> bool:
    return compressed_bytes <= 32 + block.size + block.size // 6


def _starts_with_literal(body: bytes, block: _Block) -> bool:
    return block.size > 0 and body[block.first] & 3 == 0


def _holds_json(body: bytes, block: _Block) -> bool:
    # The length of a literal of more than 60 bytes stands in the 1 to 4 bytes after its tag.
    start = block.first + 1 + max(0, (body[block.first] >> 2) - 59)
    return body[start : start + 1] in {bytes([start]) for start in _TEXT_STARTS}
