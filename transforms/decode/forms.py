"""The form of an archive object, told from its beginning: for people who look at an unknown archive. Decoding does not depend on it."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from typing import Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode import kpl
from transforms.decode.arriving import Origins
from transforms.decode.causes import TOO_LONG
from transforms.decode.containers import TABLES, unpack
from transforms.decode.envelopes import is_envelope, opened
from transforms.decode.framing import Frame, frames
from transforms.decode.json_schemas import json_schema
from transforms.decode.listing import holds_records
from transforms.decode.otlp_forms import is_delimited, is_request
from transforms.decode.payload import Payload
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
)

_ENVELOPES: Final[tuple[tuple[str, Callable[[dict[str, Json]], bool]], ...]] = (
    ("Firehose error output", lambda record: "rawData" in record),
    ("Lambda event", lambda record: isinstance(record.get("Records"), list) or "kinesis" in record),
    ("Firehose records", lambda _: True),
)


class Form(NamedTuple):
    """`container` as `unpack` names it, how records stand in it, and what they are, as far as the first of them show."""

    container: str
    framing: str
    schema: str


def form_of(unpacked: Unpacked, *, opens: bool = True) -> Form:
    """The form of what came out of a container. Numbers and texts alone are taken for no JSON: CSV begins like them.

    `opens`: what is in envelopes is looked at, too. Decoding opens none within others.
    """
    data = unpacked.data
    if unpacked.container in TABLES:
        return Form(unpacked.container, "rows", "table")
    if data.startswith(kpl.MAGIC):
        return Form(unpacked.container, "KPL aggregate", _aggregated(data))
    found = list(islice(_frames(data), SNIFFED_RECORDS))
    if len(found) == 1 and found[0].cause == TOO_LONG:
        found = list(islice(frames(data, 0, SNIFFED_BYTES, max(SNIFFED_BYTES, len(data))), 1))
    values = [one for one in found if isinstance(one.value, (dict, list))]
    if not found:
        return Form(unpacked.container, "nothing in it", "none")
    if not values:
        return _binary(unpacked)
    return Form(unpacked.container, _framing(data, found), _listed(schema_of(one.value, opens=opens) for one in values))


def _aggregated(aggregate: bytes) -> str:
    """The schemas of the first user records."""
    try:
        records = kpl.user_records(aggregate)
    except DecodeError as error:
        return f"damaged ({error.cause})"
    return _listed(map(_user_schema, records[:SNIFFED_RECORDS])) or "none"


def _user_schema(record: bytes) -> str:
    unpacked = unpack(record, UnpackLimits(max_bytes=SNIFFED_BYTES))
    return "KPL aggregate" if unpacked.data.startswith(kpl.MAGIC) else form_of(unpacked, opens=False).schema


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


def schema_of(value: Json, *, opens: bool = True) -> str:
    """What a record's JSON value is, in a few words; of an array of records what is in it, too, and of an envelope, if it `opens`."""
    if isinstance(value, dict):
        return _schema_of_object(value, opens=opens)
    if not isinstance(value, list):
        return "number or text"
    if holds_records(value, None):
        return f"array of {_listed(schema_of(one, opens=opens) for one in value[:SNIFFED_RECORDS])}"
    fields = {key: None for element in value[:SNIFFED_RECORDS] if isinstance(element, dict) for key in element}
    return "bare host points" if "hostId" in fields else f"array of rows of {_keys(list(fields))}" if fields else "array" if value else "empty array"


def _listed(schemas: Iterable[str]) -> str:
    """Each once, in order."""
    return ", ".join(sorted(set(schemas)))


def _schema_of_object(record: dict[str, Json], *, opens: bool) -> str:
    if isinstance(record.get("type"), str):
        return f"{ascii(record['type'])[1:-1][:20]} posting"
    if is_envelope(record):
        name = next(name for name, matches in _ENVELOPES if matches(record))
        inner = _listed(_user_schema(one.data) for one in _payloads(record)) if opens else ""
        return f"{name} of {inner}" if inner else name
    marked = next((name for name, matches in _MARKS if matches(record)), "")
    return marked or (f"object of {_keys(list(record))}" if record else "empty object")


def _payloads(envelope: dict[str, Json]) -> Iterator[Payload]:
    """The first of those that can be opened."""
    contents = (one.content for one in opened(envelope, json.dumps(envelope).encode(), 0, 0, Origins(), read_error_output=True))
    return islice((one for one in contents if isinstance(one, Payload)), SNIFFED_RECORDS)


def _keys(keys: list[str]) -> str:
    """The first few keys, in ASCII."""
    shown = ", ".join(ascii(key)[1:-1][:20] for key in keys[:4])
    return shown + (", …" if len(keys) > 4 else "")
