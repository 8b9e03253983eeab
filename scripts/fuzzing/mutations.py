"""Mutations of payloads: bytes flipped, cut, doubled, moved, swapped for tokens that decoders trip over. Seeded, so that every input can be made again."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_TOKENS: Final = (
    b"", b"\x00", b"\xff", b"\x80", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"PAR1",
    b"\x28\xb5\x2f\xfd", b"\xf3\x89\x9a\xc2", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"null", b"true", b"NaN", b"Infinity", b"-0", b"01", b"1e999", b"-1e-999", b"9007199254740993", b"1762000000", b"1e10", b'"1.5"', b"\n", b"\r\n", b" " * 70,
    b'{"type":"host","hostId":"h","metrics":[]}', b'{"type":"labeled","otlp":""}', b"[" * 300,
)  # fmt: skip
"""What the formats are made of, and what they must not be."""


_VALUE: Final = re.compile(rb'-?[0-9][0-9.eE+-]*|"[^"]*"|[a-z]{4,5}')


def mutated(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Endless mutations of the seeds, one to eight each."""
    source = random.Random(seed)
    while True:
        body = source.choice(seeds)
        for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
            body = source.choice(_MUTATIONS)(body, source, seeds)
        yield body


def _place(body: bytes, source: random.Random) -> tuple[int, int]:
    """A random piece, mostly a short one."""
    start = source.randint(0, len(body))
    return start, min(len(body), start + source.choice((0, 1, 1, 2, 4, 8, 30, 200)))


def _flip(body: bytes, source: random.Random, _: Sequence[bytes]) -> bytes:
    if not body:
        return body
    at = source.randrange(len(body))
    return body[:at] + bytes([body[at] ^ 1 << source.randrange(8)]) + body[at + 1 :]


def _token(body: bytes, source: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _place(body, source)
    return body[:start] + source.choice(_TOKENS) + body[end:]


def _cut(body: bytes, source: random.Random, _: Sequence[bytes]) -> bytes:
    return body[: source.randint(0, len(body))]


def _double(body: bytes, source: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _place(body, source)
    return body[:end] + body[start:end] * source.choice((1, 1, 2, 50)) + body[end:]


def _move(body: bytes, source: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _place(body, source)
    rest = body[:start] + body[end:]
    at = source.randint(0, len(rest))
    return rest[:at] + body[start:end] + rest[at:]


def _splice(body: bytes, source: random.Random, seeds: Sequence[bytes]) -> bytes:
    other = source.choice(seeds)
    return body[: source.randint(0, len(body))] + other[source.randint(0, len(other)) :]


def _value(body: bytes, source: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Another token for a whole number, string or word of JSON."""
    values = [found.span() for found in _VALUE.finditer(body)]
    if not values:
        return _flip(body, source, seeds)
    start, end = source.choice(values)
    return body[:start] + source.choice(_TOKENS) + body[end:]


_Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
_MUTATIONS: Final[tuple[_Mutation, ...]] = (_flip, _flip, _token, _token, _value, _value, _cut, _double, _move, _splice)
