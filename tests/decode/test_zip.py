"""Zip archives, as Python's zipfile writes them: members, descriptors, damage, bounds."""

import io
import random
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from transforms.decode.causes import CORRUPT, EXPANSION, TOO_LARGE, TRAILING, TRUNCATED, UNSUPPORTED_CONTAINER
from transforms.decode.containers import unpack
from transforms.decode.unpacked import Unpacked, UnpackLimits

LIMITS = UnpackLimits()
TEXT = b"".join(b'{"value":%d.%d}\n' % (i * i, i % 97) for i in range(2000))
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]


class Stream(io.RawIOBase):
    """A sink that can't seek: zipfile then writes the sizes after the members."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.written += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def zipped(*members: bytes, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        archive.comment = comment
        for number, member in enumerate(members):
            archive.writestr(f"member {number}", member)
    return sink.getvalue()


def streamed(*members: bytes, method: int, force_zip64: bool = False) -> bytes:
    sink = Stream()
    with zipfile.ZipFile(sink, "w", method) as archive:  # type: ignore[arg-type]
        for number, member in enumerate(members):
            with archive.open(f"member {number}", "w", force_zip64=force_zip64) as one:
                one.write(member)
    return sink.written


def cause(found: Unpacked) -> str | None:
    return found.problem.cause if found.problem else None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("members", [(), (TEXT,), (TEXT, b"", b"x"), (TEXT[:100],) * 50])
def test_what_is_whole(members: tuple[bytes, ...], method: int) -> None:
    for body in (
        zipped(*members, method=method),
        zipped(*members, method=method, comment=b"a comment"),
        zipped(*members, method=method) + bytes(7),
        streamed(*members, method=method),
        streamed(*members, method=method, force_zip64=True),
    ):
        assert unpack(body, LIMITS) == Unpacked(b"".join(members), "zip")


def test_folders_hold_nothing() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.mkdir("a folder")
        archive.writestr("a folder/a member", TEXT)
    assert unpack(sink.getvalue(), LIMITS).data == TEXT


def test_a_stored_member_may_look_like_a_descriptor() -> None:
    odd = b"PK\x07\x08" + struct.pack("<3L", zlib.crc32(b""), 5, 5) + b"PK\x01\x02PK\x03\x04"
    for body in (streamed(odd, TEXT, method=zipfile.ZIP_STORED), zipped(odd, TEXT, method=zipfile.ZIP_STORED)):
        assert unpack(body, LIMITS) == Unpacked(odd + TEXT, "zip")


def test_archives_one_after_the_other() -> None:
    assert unpack(zipped(TEXT) + bytes(3) + zipped(b"x", b"y"), LIMITS) == Unpacked(TEXT + b"xy", "zip")


def test_garbage_after_the_archive() -> None:
    found = unpack(zipped(TEXT) + b"\0PS: sorry", LIMITS)
    assert (found.data, cause(found), found.rest, found.is_cut) == (TEXT, TRAILING, b"PS: sorry", False)


@pytest.mark.parametrize("method", METHODS)
def test_a_truncated_archive_gives_all_there_is(method: int) -> None:
    members = (TEXT[:3000], TEXT[:100])
    for body in (zipped(*members, method=method), streamed(*members, method=method)):
        sizes = []
        for cut in range(4, len(body)):
            found = unpack(body[:cut], LIMITS)
            assert cause(found) == TRUNCATED
            if method == zipfile.ZIP_DEFLATED or body[6] == 0:  # a stored member without a size goes on until its descriptor is seen
                assert b"".join(members).startswith(found.data)
                sizes.append(len(found.data))
        assert sizes == sorted(sizes)


def damaged(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_a_damaged_member_is_kept(method: int) -> None:
    first = len(zipped(b"a", method=method)) - 22 - 54  # without directory and end
    body = zipped(b"a", TEXT[:200], b"c", method=method)
    assert body[first : first + 4] == b"PK\x03\x04"
    for at in (first + 14, first + 17, first + 22, first + 38 + 10, first + 38 + 30):  # checksum, size, content
        found = unpack(damaged(body, at), LIMITS)
        assert (found.data, cause(found), found.is_cut) == (b"a", CORRUPT, True)


def test_what_can_not_be_read_is_put_aside() -> None:
    """Encrypted members are those that say so; bzip2 and LZMA are methods that are not read."""
    for flag, method in ((1, zipfile.ZIP_DEFLATED), (0, zipfile.ZIP_BZIP2), (0, zipfile.ZIP_LZMA)):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("first", b"first")
            archive.writestr("second", TEXT, method)
            archive.writestr("third", b"third")
        body = bytearray(sink.getvalue())
        second, third = body.index(b"PK\x03\x04", 1), body.index(b"PK\x03\x04", body.index(b"PK\x03\x04", 1) + 1)
        body[second + 6] |= flag
        found = unpack(bytes(body), LIMITS)
        assert (found.data, found.problem) == (b"firstthird", None)
        assert [(lost.offset, lost.problem.cause, lost.raw) for lost in found.lost] == [(5, UNSUPPORTED_CONTAINER, bytes(body[second:third]))]


def test_what_can_not_be_read_and_has_no_size_is_all_that_is_left() -> None:
    body = streamed(b"a", b"b", method=zipfile.ZIP_DEFLATED)
    second = body.index(b"PK\x03\x04", 1)
    body = body[: second + 6] + b"\x09" + body[second + 7 :]
    found = unpack(body, LIMITS)
    assert (found.data, cause(found)) == (b"a", TRUNCATED)
    assert [(lost.offset, lost.raw) for lost in found.lost] == [(1, body[second:])]


@pytest.mark.parametrize("method", METHODS)
def test_bounds(method: int) -> None:
    bomb = zipped(b"x", bytes(20_000_000), method=method)
    for limits, why in ((UnpackLimits(max_expansion=10), EXPANSION), (UnpackLimits(max_bytes=20_000_000, max_expansion=100_000), TOO_LARGE)):
        found = unpack(bomb, limits)
        if method == zipfile.ZIP_DEFLATED or why == TOO_LARGE:
            assert (found.data, cause(found)) == (b"", why)
    assert len(unpack(bomb, UnpackLimits(max_bytes=20_000_001, max_expansion=100_000)).data) == 20_000_001


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_damage_anywhere_is_described(data: st.DataObject) -> None:
    noise = random.Random(3).randbytes(300)
    body = bytearray(data.draw(st.sampled_from([zipped(TEXT[:400], noise), streamed(noise, TEXT[:400], method=data.draw(st.sampled_from(METHODS)))])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    found = unpack(bytes(body), LIMITS)
    assert found.container == "zip"
    assert len(found.data) <= 3000
