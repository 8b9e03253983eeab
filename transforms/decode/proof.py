"""The proof that arrow-json read what is written (columnar.py asks for it).

arrow-json takes commas for white space, `01` and `1.` for numbers, raw control characters for text, and strings for numbers. Two steps show that none of that
is in the text:

1. `count_records`: msgspec's parser, which does not build what it skips, accepts the text as JSON values one after the other. It is strict about all of JSON
   except the encoding, about which arrow-json is strict.
2. `require_plain_numbers`: no time, value or receivedAt is a string, unless that string is a number by our own grammar; and nothing is nested too deep.

The second step counts quotation marks. A text has two for every key and every string value, and arrow-json returned at least one key for each field that is not
null and one string for each text. If that accounts for all quotation marks, there is no other key and no other string. What has extra fields or explicit nulls
is searched for numbers in quotation marks; if that finds any, or can't be sure because of escapes, msgspec reads the numbers as well.
"""

import re
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from transforms.core.errors import DecodeError
from transforms.decode.framing import MAX_DEPTH
from transforms.decode.scalars import is_numeric

Bytes = npt.NDArray[np.uint8]

DOUBT: Final = "doubt"
"""Cause of the errors that hand a text over to the strict reader."""

_BLOCK_BYTES: Final = 1 << 17
_KNOWN_DEPTH: Final = 3
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_KEY_ENDS: Final = tuple(int.from_bytes(name.encode()[-3:]) for name in ("time", "value", "receivedAt"))
_COLON, _QUOTE, _SPACE = b':" '
_Number = float | str | None


class _Point(msgspec.Struct, gc=False):
    time: _Number = None
    value: _Number = None


class _Posting(msgspec.Struct, gc=False):
    received_at: _Number = msgspec.field(default=None, name="receivedAt")
    metrics: list[_Point] | None = None


NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it takes for no JSON of the wanted shape; UnicodeDecodeError only where it names them in its own message."""

_RECORDS: Final = msgspec.json.Decoder(msgspec.Raw)
_POSTINGS: Final = msgspec.json.Decoder(_Posting)
_BARE: Final = msgspec.json.Decoder(list[_Point])


def count_records(text: bytes, max_record_bytes: int) -> int:
    """The number of JSON values in the text.

    Raises `DecodeError` if the text is not JSON values of at most that size with nothing but JSON's white space between them.
    """
    try:
        records = _RECORDS.decode_lines(text)
    except NOT_JSON as error:
        raise DecodeError(DOUBT, str(error)) from error
    if len(text) > max_record_bytes and max((memoryview(record).nbytes for record in records), default=0) > max_record_bytes:
        raise DecodeError(DOUBT, f"a record has more than {max_record_bytes} bytes")
    return len(records)


def require_plain_numbers(text: bytes, *, fields: int, strings: int, brackets: int, is_bare: bool) -> None:
    """Raise `DecodeError` unless no number in the text is written as a string of another grammar than ours.

    The text is valid JSON in which a reader found that many non-null fields, strings, and opening brackets of either kind.
    """
    if _quotes(text) == 2 * (fields + strings):
        return
    _require_shallow(text, brackets + MAX_DEPTH - _KNOWN_DEPTH)
    if b"\\" in text or _may_quote_numbers(text):
        _require_numeric(_quoted_numbers(text, is_bare=is_bare))


def require_shallow(text: bytes, records: int) -> None:
    """Raise `DecodeError` if one of these objects, which are valid JSON, may be nested too deep."""
    _require_shallow(text, records + MAX_DEPTH - 1)


def _require_shallow(text: bytes, brackets: int) -> None:
    if _opening_brackets(text) > brackets:
        raise DecodeError(DOUBT, "unknown fields may be nested too deep")


def record_spans(text: bytes) -> list[tuple[int, bytes]]:
    """Where each of the JSON values in the text stands, and its bytes. The text is one that `count_records` accepts."""
    spans, at = list[tuple[int, bytes]](), 0
    for record in _RECORDS.decode_lines(text):
        raw = bytes(record)
        at = text.index(raw, at)
        spans.append((at, raw))
        at += len(raw)
    return spans


def _blocks(text: bytes) -> list[Bytes]:
    """The text in parts that stay in the processor's cache."""
    whole = np.frombuffer(text, np.uint8)
    return [whole[at : at + _BLOCK_BYTES] for at in range(0, len(whole), _BLOCK_BYTES)]


def _quotes(text: bytes) -> int:
    """Quotation marks that begin or end a string."""
    quotes = sum(int(np.count_nonzero(block == _QUOTE)) for block in _blocks(text))
    return quotes - (_ESCAPE.findall(text).count(b'\\"') if b"\\" in text and b'\\"' in text else 0)


def _opening_brackets(text: bytes) -> int:
    # "[" and "{" differ in one bit.
    return sum(int(np.count_nonzero((block | 0x20) == ord("{"))) for block in _blocks(text))


def _may_quote_numbers(text: bytes) -> bool:
    """False if no `time`, `value` or `receivedAt` has a string as its value. The text has no escapes, so every quotation mark begins or ends a string."""
    whole = np.frombuffer(text, np.uint8)
    return any(_quotes_numbers(whole, np.flatnonzero(whole[at : at + _BLOCK_BYTES] == _COLON) + at) for at in range(0, len(whole), _BLOCK_BYTES))


def _quotes_numbers(text: Bytes, colons: npt.NDArray[np.intp]) -> bool:
    after = text.take(colons + 1, mode="clip")
    spaced = after == _SPACE
    after[spaced] = text.take(colons[spaced] + 2, mode="clip")
    colons = colons[after == _QUOTE]
    before = text.take(colons - 1, mode="clip")
    # White space that isn't `": "` would have to be skipped to tell; it is not worth it.
    return bool((after <= _SPACE).any() or (before <= _SPACE).any() or _is_number_key(text, colons[before == _QUOTE]).any())


def _is_number_key(text: Bytes, colons: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Whether the key before a colon ends like one of the fields that are numbers."""
    end = (
        text.take(colons - 2, mode="clip")
        | text.take(colons - 3, mode="clip").astype(np.uint32) << 8
        | text.take(colons - 4, mode="clip").astype(np.uint32) << 16
    )
    is_one: npt.NDArray[np.bool_] = (end == _KEY_ENDS[0]) | (end == _KEY_ENDS[1]) | (end == _KEY_ENDS[2])
    return is_one


def _quoted_numbers(text: bytes, *, is_bare: bool) -> list[str]:
    """The strings that stand where numbers belong."""
    try:
        if is_bare:
            points = [point for posting in _BARE.decode_lines(text) for point in posting]
            numbers: list[_Number] = []
        else:
            postings = _POSTINGS.decode_lines(text)
            points = [point for posting in postings for point in posting.metrics or ()]
            numbers = [posting.received_at for posting in postings]
    except NOT_JSON as error:
        raise DecodeError(DOUBT, str(error)) from error
    numbers += [point.time for point in points]
    numbers += [point.value for point in points]
    return [text for text in numbers if isinstance(text, str)]


def _require_numeric(texts: list[str]) -> None:
    for text in texts:
        if not is_numeric(text):
            raise DecodeError(DOUBT, f"{text[:80]!r} stands for a number")
