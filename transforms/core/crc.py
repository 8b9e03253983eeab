"""CRC-32 of many texts that are put together from few parts, without a call per text."""

import zlib
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Crcs = npt.NDArray[np.uint32]

_BYTES: Final = range(4)


def crc32_of_joined(first: Crcs, second: Crcs, second_bytes: npt.NDArray[np.int64]) -> Crcs:
    """CRC-32 of every pair of texts joined, from the CRC-32 of both and the length of the second.

    CRC-32 is affine over GF(2): `crc(a + b) = shift(crc(a)) ^ crc(b)`, and what `shift` does depends on the length of b alone (Mark Adler's crc32_combine in
    zlib). Costs a few array operations per distinct length.
    """
    joined = second.copy()
    for length in np.unique(second_bytes).tolist():
        rows = np.flatnonzero(second_bytes == length)
        starts, table = first[rows], _shift(length)
        for byte in _BYTES:
            joined[rows] ^= table[byte].take(starts >> np.uint32(8 * byte) & np.uint32(0xFF))
    return joined


@lru_cache(maxsize=1024)
def _shift(length: int) -> Crcs:
    """What a CRC-32 becomes when a text of that length follows, as the part of each of its four bytes: shape (4, 256)."""
    zeros = bytes(length)
    of_bit = [zlib.crc32(zeros, 1 << bit) ^ zlib.crc32(zeros) for bit in range(32)]
    table = np.zeros((4, 256), np.uint32)
    for bit, value in enumerate(of_bit):
        byte, within = divmod(bit, 8)
        table[byte, 1 << within : 2 << within] = table[byte, : 1 << within] ^ np.uint32(value)
    return table
