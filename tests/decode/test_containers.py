"""Containers: told by content, inflated within bounds, damage described."""

import gzip
import random
import zlib

import pytest
import zstandard

from transforms.decode.causes import CORRUPT, EXPANSION, TOO_LARGE, TRAILING, TRUNCATED
from transforms.decode.containers import unpack
from transforms.decode.unpacked import UnpackLimits

LIMITS = UnpackLimits()
TEXT = b"".join(b'{"value":%d.%d}\n' % (i * i, i % 97) for i in range(2000))
GZIP = gzip.compress(TEXT, 6, mtime=0)
ZSTD = zstandard.compress(TEXT)
SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
ZEROS = bytes(3000)


@pytest.mark.parametrize(
    ("body", "container", "data"),
    [
        (b"", "none", b""),
        (TEXT, "none", TEXT),
        (b"\x1f", "none", b"\x1f"),
        (b"\xef\xbb\xbf{}", "none", b"\xef\xbb\xbf{}"),
        (GZIP, "gzip", TEXT),
        (gzip.compress(b"", mtime=0), "gzip", b""),
        (GZIP + GZIP, "gzip", TEXT + TEXT),
        (gzip.compress(b"", mtime=0) + GZIP + gzip.compress(b"x", mtime=0), "gzip", TEXT + b"x"),
        (GZIP + ZEROS, "gzip", TEXT),
        (GZIP + b"\0" + GZIP + ZEROS, "gzip", TEXT + TEXT),
        (ZSTD, "zstd", TEXT),
        (zstandard.compress(b""), "zstd", b""),
        (ZSTD + ZSTD, "zstd", TEXT + TEXT),
        (SKIPPABLE + ZSTD + SKIPPABLE, "zstd", TEXT),
        (ZSTD + ZEROS, "zstd", TEXT),
        (zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(TEXT), "zstd", TEXT),
    ],
)
def test_what_is_whole(body: bytes, container: str, data: bytes) -> None:
    found = unpack(body, LIMITS)
    assert (found.container, found.problem, found.rest) == (container, None, b"")
    assert found.data == data
    assert not found.is_cut


@pytest.mark.parametrize("member", [GZIP, ZSTD])
@pytest.mark.parametrize("garbage", [b"x", b"\0\0x", b"garbage\0", TEXT])
def test_garbage_after_the_last_member_is_handed_back(member: bytes, garbage: bytes) -> None:
    found = unpack(member + garbage, LIMITS)
    assert found.data == TEXT
    assert found.rest == garbage.lstrip(b"\0")
    assert found.problem
    assert found.problem.cause == TRAILING
    assert not found.is_cut


def test_a_truncated_gzip_gives_all_there_is() -> None:
    for cut in {*range(2, len(GZIP), 11), *range(len(GZIP) - 120, len(GZIP))}:
        found = unpack(GZIP[:cut], LIMITS)
        assert found.data == zlib.decompressobj(wbits=31).decompress(GZIP[:cut])
        assert found.problem
        assert found.problem.cause == TRUNCATED
        assert found.is_cut


@pytest.mark.parametrize("cut", [1, 2, 5, 17, 40])
def test_a_truncated_second_member(cut: int) -> None:
    for member in (GZIP, ZSTD):
        found = unpack(member + member[:cut], LIMITS)
        assert found.data.startswith(TEXT)
        assert found.problem
        assert found.problem.cause == TRUNCATED


def test_a_truncated_zstd_gives_whole_blocks() -> None:
    noise = random.Random(1).randbytes(300_000)
    found = unpack(zstandard.compress(noise)[:-100], LIMITS)
    assert noise.startswith(found.data)
    assert len(found.data) >= 1 << 17
    assert found.problem
    assert found.problem.cause == TRUNCATED


@pytest.mark.parametrize(
    "damaged",
    [
        GZIP[:-6] + bytes([GZIP[-6] ^ 1]) + GZIP[-5:],  # checksum
        GZIP[:-1] + bytes([GZIP[-1] ^ 1]),  # length
        GZIP[:3000] + bytes([GZIP[3000] ^ 1]) + GZIP[3001:],
        b"\x1f\x8b\x09" + GZIP[3:],  # method
        GZIP[:10] + b"\xff" + GZIP[11:],
        ZSTD[:30] + bytes([ZSTD[30] ^ 1]) + ZSTD[31:],
        ZSTD[:-1] + bytes([ZSTD[-1] ^ 1]),
    ],
)
def test_nothing_of_a_damaged_member_is_kept(damaged: bytes) -> None:
    good = GZIP if damaged.startswith(b"\x1f\x8b") else ZSTD
    for before in (b"", good):
        found = unpack(before + damaged, LIMITS)
        if found.problem:
            assert found.problem.cause == CORRUPT
            assert found.data == (TEXT if before else b"")
            assert found.is_cut
        else:  # a zstd frame without a checksum can't know
            assert not damaged.startswith(b"\x1f\x8b")


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_bombs_are_not_inflated(compress: object) -> None:
    bomb = compress(bytes(20_000_000))  # type: ignore[operator]
    found = unpack(bomb, UnpackLimits(max_expansion=10))
    assert (found.data, found.rest) == (b"", b"")
    assert found.problem
    assert found.problem.cause == EXPANSION
    assert unpack(bomb, UnpackLimits(max_expansion=100_000)).data == bytes(20_000_000)


@pytest.mark.parametrize("body", [TEXT, GZIP, ZSTD, GZIP[:-100], gzip.compress(TEXT[:1000], mtime=0) + gzip.compress(TEXT[1000:], mtime=0)])
def test_the_limit_of_an_object_is_exact(body: bytes) -> None:
    size = len(unpack(body, LIMITS).data)
    assert len(unpack(body, UnpackLimits(max_bytes=size)).data) == size
    found = unpack(body, UnpackLimits(max_bytes=size - 1))
    assert found.data == b""
    assert found.problem
    assert found.problem.cause == TOO_LARGE


def test_many_small_members() -> None:
    members = [gzip.compress(b"%d\n" % i) for i in range(5000)]
    assert unpack(b"".join(members), LIMITS).data == b"".join(b"%d\n" % i for i in range(5000))
