"""CRC-32 of joined texts is that of zlib."""

import zlib

import numpy as np
from hypothesis import given, strategies as st

from transforms.core.crc import crc32_of_joined

TEXTS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=300)), max_size=20)


def crcs(texts: list[bytes]) -> np.ndarray:
    return np.array([zlib.crc32(one) for one in texts], np.uint32)


@given(TEXTS)
def test_joined_texts_have_the_crc_of_zlib(pairs: list[tuple[bytes, bytes]]) -> None:
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    lengths = np.array([len(one) for one in second], np.int64)
    assert crc32_of_joined(crcs(first), crcs(second), lengths).tolist() == [zlib.crc32(a + b) for a, b in pairs]


def test_the_check_value_of_the_catalogue() -> None:
    parts = crcs([b"1234", b"56789"])
    assert hex(crc32_of_joined(parts[:1], parts[1:], np.array([5]))[0]) == "0xcbf43926"
