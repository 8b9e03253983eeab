"""One deflate stream, with or without gzip's frame, inflated within a bound."""

import zlib
from io import BytesIO
from typing import Final, NamedTuple

from isal import igzip_lib

_FIRST_FEED_BYTES: Final = 1 << 12
_FEED_BYTES: Final = 1 << 20

ERRORS: Final = (igzip_lib.IsalError, zlib.error)
"""What `inflate` raises for damage."""


class Member(NamedTuple):
    """What came out, where the stream ends in the body, and whether it does."""

    data: bytes
    end: int
    complete: bool


def inflate(body: bytes, at: int, room: int, *, raw: bool = False) -> Member:
    """The stream at `at`, up to one byte more than `room`."""
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE if raw else igzip_lib.DECOMP_GZIP)
    view, inflated, size, start, feed = memoryview(body), BytesIO(), 0, at, _FIRST_FEED_BYTES
    # What follows the member comes back as a copy in `unused_data`: feeding grows slowly so that many small members don't copy the rest of the object each.
    while at < len(body) and not inflater.eof and size <= room:
        size += inflated.write(inflater.decompress(view[at : at + feed], room + 1 - size))
        at, feed = min(at + feed, len(body)), min(feed * 4, _FEED_BYTES)
    if inflater.eof or size > room:
        return Member(inflated.getvalue(), at - len(inflater.unused_data), complete=True)
    # igzip keeps back some last bytes of a stream that ends early; zlib gives all there are.
    return Member(zlib.decompressobj(wbits=-15 if raw else 31).decompress(view[start:], room + 1), at, complete=False)
