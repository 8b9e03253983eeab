"""Snappy: framing format and Hadoop's blocks as python-snappy writes them, raw blocks as Arrow's C++ codec does; damage and bounds."""

import random

import pyarrow as pa
import pytest
import snappy
from hypothesis import given, settings, strategies as st

from scripts.encoders.containers import framed_snappy as framed
from transforms.decode.causes import CORRUPT, EXPANSION, TOO_LARGE, TRUNCATED
from transforms.decode.containers import unpack
from transforms.decode.unpacked import Unpacked, UnpackLimits

LIMITS = UnpackLimits()
TEXT = b"".join(b'{"value":%d.%d}\n' % (i * i, i % 97) for i in range(20_000))
NOISE = random.Random(5).randbytes(200_000)
CODEC = pa.Codec("snappy")


def raw(data: bytes) -> bytes:
    return CODEC.compress(data, asbytes=True)  # type: ignore[no-any-return]


def block(*parts: bytes) -> bytes:
    """A block as Hadoop's BlockCompressorStream writes it, of one sub-block for each part; the compressed bytes are Arrow's."""
    subblocks = (len(packed).to_bytes(4, "big") + packed for packed in map(raw, parts))
    return len(b"".join(parts)).to_bytes(4, "big") + b"".join(subblocks)


def cause(found: Unpacked) -> str | None:
    return found.problem.cause if found.problem else None


@pytest.mark.parametrize("data", [TEXT, TEXT[:10], NOISE, NOISE[:65_536] * 2])
def test_framed(data: bytes) -> None:
    body = framed(data)
    assert unpack(body, LIMITS) == Unpacked(data, "snappy")
    assert unpack(body + body, LIMITS) == Unpacked(data + data, "snappy")
    assert unpack(body + b"\xfe\x03\x00\x00abc\x80\x00\x00\x00" + body[10:] + bytes(9), LIMITS) == Unpacked(data + data, "snappy")


def test_an_empty_stream() -> None:
    assert unpack(b"\xff\x06\x00\x00sNaPpY", LIMITS) == Unpacked(b"", "snappy")


def test_a_truncated_stream_gives_whole_chunks() -> None:
    body, chunk = framed(NOISE), 65_536 + 8
    for cut in (10 + 1, 10 + 3, 10 + 4, 10 + chunk - 1, 10 + chunk + 1, 10 + 3 * chunk + 50, len(body) - 1):
        found = unpack(body[:cut], LIMITS)
        assert (found.data, cause(found), found.is_cut) == (NOISE[: (cut - 10) // chunk * 65_536], TRUNCATED, True)


@pytest.mark.parametrize("at", [10 + 65_544, 10 + 65_544 + 5, 10 + 65_544 + 9])
def test_nothing_of_a_damaged_chunk_is_kept(at: int) -> None:
    body = bytearray(framed(NOISE))
    body[at] ^= 2
    found = unpack(bytes(body), LIMITS)
    assert (found.data, cause(found)) == (NOISE[:65_536], CORRUPT)


@pytest.mark.parametrize("data", [TEXT, TEXT[:10], NOISE, b"\x0a\x05hello" * 10, b"{}"])
def test_raw(data: bytes) -> None:
    assert unpack(raw(data), LIMITS) == Unpacked(data, "raw snappy")


def test_a_raw_block_is_all_or_nothing() -> None:
    body = raw(TEXT)
    for broken in (body[:-1], body[:4000], body + b"\0", body[:3000] + body[3001:]):
        found = unpack(broken, LIMITS)
        assert (found.data, found.container, cause(found)) == (b"", "raw snappy", CORRUPT)


@pytest.mark.parametrize(
    "text", [b"{ }", b"[ ]", b'{ "type":"host"}' * 7, b" \n{}", b"x\n{}", b"0123", b"\xef\xbb\xbf{}", TEXT, b"\x0a\x02ab", b"\xf3\x89\x9a\xc2\x0a"]
)
def test_what_is_no_snappy(text: bytes) -> None:
    assert unpack(text, LIMITS) == Unpacked(text)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (block(TEXT), TEXT),
        (block(TEXT[:70_000], TEXT[70_000:90_000], b"x"), TEXT[:90_000] + b"x"),
        (block(TEXT[:70_000], b"y") + block(TEXT[:7]) + block(NOISE, b"z", TEXT), TEXT[:70_000] + b"y" + TEXT[:7] + NOISE + b"z" + TEXT),
        (block(TEXT) + block(), TEXT),
        (snappy.HadoopStreamCompressor().compress(TEXT), TEXT),
        (snappy.HadoopStreamCompressor().compress(TEXT) + snappy.HadoopStreamCompressor().compress(NOISE), TEXT + NOISE),
    ],
)
def test_hadoop(body: bytes, data: bytes) -> None:
    assert unpack(body, LIMITS) == Unpacked(data, "hadoop snappy")


def test_a_truncated_hadoop_stream_gives_whole_sub_blocks() -> None:
    parts = (TEXT[:100], TEXT[100:150], TEXT[150:400], TEXT[400:450])
    body = block(*parts[:2]) + block(*parts[2:])
    ends = [len(block(parts[0])), len(block(*parts[:2])), len(block(*parts[:2])) + len(block(parts[2])), len(body)]
    for cut in range(12, len(body)):
        found = unpack(body[:cut], LIMITS)
        whole = sum(end <= cut for end in ends)
        assert found.data == b"".join(parts[:whole])
        assert cause(found) == (None if cut == ends[1] else TRUNCATED)


def test_nothing_of_a_damaged_sub_block_is_kept() -> None:
    first, second = block(TEXT[:1000]), bytearray(block(TEXT[1000:3000], b"x"))
    for at in (0, 3, 8, 9):
        broken = bytearray(second)
        broken[at] ^= 0x3
        found = unpack(first + bytes(broken), LIMITS)
        assert found.data.startswith(TEXT[:1000])
        assert cause(found) in {CORRUPT, TRUNCATED}


@pytest.mark.parametrize("pack", [raw, framed, block])
def test_bounds(pack: object) -> None:
    bomb = pack(bytes(20_000_000))  # type: ignore[operator]
    for limits, why in ((UnpackLimits(max_expansion=10), EXPANSION), (UnpackLimits(max_bytes=19_999_999), TOO_LARGE)):
        found = unpack(bomb, limits)
        assert (found.data, cause(found), found.rest) == (b"", why, b"")
    assert unpack(bomb, UnpackLimits(max_bytes=20_000_000)).data == bytes(20_000_000)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_damage_anywhere_is_described(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([raw(TEXT[:900]), framed(TEXT[:900]), block(TEXT[:400], NOISE[:300]) + block(TEXT[:9])])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    assert len(unpack(bytes(body), LIMITS).data) <= 3000
