"""What was decoded, as plain values that compare; and the two readers side by side."""

import gzip
from typing import NamedTuple

from transforms.core.errors import DecodeError
from transforms.core.model import DecodedObject, DecodeTally
from transforms.decode import columnar, strict
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.strict import Source

ARRIVAL_US = 1_762_000_000_000_000
SOURCE = Source(key="some/object", arrival_us=ARRIVAL_US, org="default")
RULES = DecodeRules(org="default")


class Reading(NamedTuple):
    """One decoded object. Values are written as hexadecimal floats: `-0x0.0p+0` is not `0x0.0p+0`."""

    postings: list[tuple[str, str, str, list[str] | None, int]]
    points: list[tuple[int, str, int, str]]
    dead: list[tuple[int, str, bytes]]
    tally: DecodeTally


def reading(decoded: DecodedObject) -> Reading:
    postings, points = decoded.postings, decoded.points
    texts = (column.to_pylist() for column in (postings.metric_type, postings.org, postings.entity, postings.roles))
    values = [value.hex() for value in points.value.tolist()]
    return Reading(
        list(zip(*texts, postings.arrival_us.tolist(), strict=True)),
        list(zip(points.posting.tolist(), points.name.to_pylist(), points.time_s.tolist(), values, strict=True)),
        [(letter.offset, letter.cause, letter.raw) for letter in decoded.dead_letters],
        decoded.tally,
    )


def strictly(data: bytes) -> Reading:
    """The strict reader's answer for a whole object."""
    part = strict.read(data, 0, len(data), SOURCE)
    assert part.end == len(data)
    return reading(part.decoded)


def columns(data: bytes) -> Reading | None:
    """The columnar path's answer, None if it is in doubt."""
    try:
        return reading(columnar.read(data, SOURCE))
    except DecodeError:
        return None


def whole(body: bytes, rules: DecodeRules = RULES) -> Reading:
    """What the rest of the program gets."""
    return reading(decode_object(body, key=SOURCE.key, arrival_us=ARRIVAL_US, rules=rules))


def require_same(data: bytes) -> bool:
    """Whatever is decoded, it is what the strict reader says. True if the columnar path did it alone."""
    expected = strictly(data)
    by_columns = columns(data)
    assert by_columns in (None, expected)
    assert whole(data) == expected
    return by_columns is not None


def as_stored(data: bytes) -> bytes:
    """The data in a gzip member that doesn't compress: cutting bytes off the member cuts them off the data."""
    return gzip.compress(data, 0)


def hosts(found: Reading) -> str:
    """The entities, which tests name by one letter."""
    return "".join(row[2] for row in found.postings)


def arrivals(found: Reading) -> list[int]:
    """When the postings arrived."""
    return [row[4] for row in found.postings]
