"""The form of an archive object, told from its beginning: for people who look at an unknown archive. Decoding does not depend on it."""

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode import kpl
from transforms.decode.containers import TABLES, unpack
from transforms.decode.framing import Frame, frames
from transforms.decode.json_schemas import json_schema
from transforms.decode.otlp_forms import is_delimited, is_request
from transforms.decode.scalars import Json
from transforms.decode.unpacked import Unpacked, UnpackLimits

SNIFFED_RECORDS: Final = 100
SNIFFED_BYTES: Final = 1 << 20
_SHOWN_BYTES: Final = 32

_MAGIC: Final = (
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)

_MARKS: Final[tuple[tuple[str, Callable[[dict[str, Json]], bool]], ...]] = (
    ("OTLP/JSON metrics", lambda record: json_schema(record, None) == "OTLP/JSON"),
    ("CloudWatch metric stream JSON", lambda record: json_schema(record, None) == "CloudWatch JSON"),
    ("Lambda event", lambda record: isinstance(record.get("Records"), list)),
    ("Firehose error output", lambda record: "rawData" in record),
)


class Form(NamedTuple):
    """`container` as `unpack` names it, how records stand in it, and what they are, as far as the first of them show."""

    container: str
    framing: str
    schema: str


def form_of(unpacked: Unpacked) -> Form:
    """The form of what came out of a container. Numbers and texts alone are taken for no JSON: CSV begins like them."""
    data = unpacked.data
    if unpacked.container in TABLES:
        return Form(unpacked.container, "rows", "table")
    if data.startswith(kpl.MAGIC):
        return Form(unpacked.container, "KPL aggregate", _aggregated(data))
    found = list(islice(_frames(data), SNIFFED_RECORDS))
    values = [one for one in found if isinstance(one.value, (dict, list))]
    if not found:
        return Form(unpacked.container, "nothing in it", "none")
    if not values:
        return _binary(unpacked)
    schemas = sorted({schema_of(one.value) for one in values})
    return Form(unpacked.container, _framing(data, found), ", ".join(schemas))


def _aggregated(aggregate: bytes) -> str:
    """The schemas of the first user records."""
    try:
        records = kpl.user_records(aggregate)
    except DecodeError as error:
        return f"damaged ({error.cause})"
    return ", ".join(sorted(set(map(_user_schema, records[:SNIFFED_RECORDS])))) or "none"


def _user_schema(record: bytes) -> str:
    unpacked = unpack(record, UnpackLimits(max_bytes=SNIFFED_BYTES))
    return "KPL aggregate" if unpacked.data.startswith(kpl.MAGIC) else form_of(unpacked).schema


def _frames(data: bytes) -> Iterator[Frame]:
    return frames(data, 0, min(len(data), SNIFFED_BYTES), SNIFFED_BYTES)


def _framing(data: bytes, found: list[Frame]) -> str:
    between = [data[one.end : other.start] for one, other in pairwise(found)]
    if not between:
        return "one JSON value"
    if all(b"\n" in one for one in between):
        return "one JSON value a line"
    return "JSON values joined" if not any(between) else "JSON values"


def _binary(unpacked: Unpacked) -> Form:
    for framing, looks_so in (("one message", is_request), ("messages with lengths", is_delimited)):
        if looks_so(unpacked.data):
            return Form(unpacked.container, framing, "OTLP metrics protobuf")
    return Form(unpacked.container, "no JSON", _unknown(unpacked.data))


def _unknown(data: bytes) -> str:
    if named := next((name for magic, name in _MAGIC if data.startswith(magic)), ""):
        return f"looks like {named}"
    line = data[:_SHOWN_BYTES].split(b"\n")[0].rstrip(b"\r")
    if line and line.isascii() and line.decode().isprintable():
        return f"text, begins with {line.decode()!r}"
    return f"unknown, begins with {data[:8].hex(' ')}"


def schema_of(value: Json) -> str:
    """What a record's JSON value is, in a few words."""
    if isinstance(value, dict):
        return _schema_of_object(value)
    if isinstance(value, list):
        fields = {key for element in value[:SNIFFED_RECORDS] if isinstance(element, dict) for key in element}
        return "bare host points" if "hostId" in fields else f"array of {_keys(sorted(fields))}" if fields else "array" if value else "empty array"
    return "number or text"


def _schema_of_object(record: dict[str, Json]) -> str:
    if isinstance(record.get("type"), str):
        return f"{ascii(record['type'])[1:-1][:20]} posting"
    marked = next((name for name, matches in _MARKS if matches(record)), "")
    return marked or (f"object of {_keys(list(record))}" if record else "empty object")


def _keys(keys: list[str]) -> str:
    """The first few keys, in ASCII."""
    shown = ", ".join(ascii(key)[1:-1][:20] for key in keys[:4])
    return shown + (", …" if len(keys) > 4 else "")
