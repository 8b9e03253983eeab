"""Framing of JSON records: where one ends and the next begins, in bytes.

Records are JSON values one after the other. Between them may stand any ASCII white space and UTF-8 byte-order marks, or nothing. Where a value can't be read,
the record goes to the next newline after its **start**, or to the end of the object if there is none.

Text is parsed as Latin-1, one character a byte, so that positions are byte offsets whatever the encoding; a record with bytes above 127 is then parsed again as
UTF-8. Bytes that are not UTF-8 become lone surrogates, which no text may contain (`scalars.is_text`): they break what uses them and nothing else.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from transforms.decode.causes import BAD_JSON, DETAIL_CHARS, TOO_DEEP, TOO_LONG
from transforms.decode.scalars import Json

MAX_DEPTH: Final = 200
"""Objects and arrays nested deeper than this are a dead letter: far more than a posting needs, far less than Python's stack allows."""

BOM: Final = b"\xef\xbb\xbf"

_DECODER: Final = json.JSONDecoder(parse_int=float)
_SEPARATORS: Final = re.compile(rb"(?:[ \t\r\n\x0b\x0c]++|\xef\xbb\xbf)*+")
_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_BORDER: Final = re.compile(rb"[}\]](?=[ \t\r\n]*+[{\[])")
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_NO_MARKS: Final = bytes(set(range(256)) - set(b'{}[]"'))
_CUT_TOKEN: Final = re.compile(r"[\\\w.+-]*+", re.ASCII)
_WINDOW_BYTES: Final = 1 << 16


class Frame(NamedTuple):
    """A record at bytes [start, end): its value, or the cause why it has none.

    `incomplete`: reading it reached the end of the object. `in_vain`: about how many bytes were parsed before it was given up, perhaps many times the record's.
    """

    start: int
    end: int
    value: Json = None
    cause: str = ""
    detail: str = ""
    incomplete: bool = False
    in_vain: int = 0


def border(data: bytes, at: int) -> int:
    """A byte position, `at` at the earliest, where one record seems to end and the next to begin; the end of the data if none is seen.

    The guess is right in a sequence of valid JSON arrays and objects, save where a string has `}{` or the like in it.
    """
    found = _BORDER.search(data, at)
    return found.end() if found else len(data)


def whole_records(data: bytes) -> bytes:
    """The data up to the last border that is seen in its last 64 KiB, or all of it: the beginning of an object without the record that was cut."""
    borders = [found.end() for found in _BORDER.finditer(data, max(0, len(data) - _WINDOW_BYTES))]
    return data[: borders[-1]] if borders else data


def frames(data: bytes, start: int, stop: int, max_record_bytes: int) -> Iterator[Frame]:
    """The records that start before `stop`, from `start` on, which must be a record's border."""
    window = _Window(data, start, stop, max_record_bytes)
    while (start := _after_separators(data, start)) < stop:
        frame = window.frame(start)
        yield frame
        start = frame.end


def _after_separators(data: bytes, at: int) -> int:
    found = _SEPARATORS.match(data, at)
    return found.end() if found else at


class _Window:
    """A part of the data as Latin-1 text, moved and widened as the records need it.

    A parser's error message counts the lines before it: small windows keep that cheap when there are many errors.
    """

    def __init__(self, data: bytes, start: int, stop: int, max_record_bytes: int) -> None:
        self._data = data
        self._max_record_bytes = max_record_bytes
        self._move(start, min(stop - start, _WINDOW_BYTES))

    def _move(self, start: int, size: int) -> None:
        self._start = start
        self._text = self._data[start : start + size].decode("latin-1")

    def _reaches_end(self) -> bool:
        return self._start + len(self._text) >= len(self._data)

    def frame(self, start: int) -> Frame:
        """The record that starts at `start`."""
        if start >= self._start + len(self._text) or len(self._text) > _WINDOW_BYTES:
            self._move(start, _WINDOW_BYTES)
        while True:
            frame, cut = self._attempt(start)
            if not cut or self._reaches_end():
                return frame._replace(incomplete=cut and bool(frame.cause))
            if self._start == start and len(self._text) > self._max_record_bytes:
                return self._bad(start, TOO_LONG, self._too_long())
            self._move(start, min(8 * max(len(self._text), _WINDOW_BYTES), self._max_record_bytes + 1))

    def _attempt(self, start: int) -> tuple[Frame, bool]:
        """The record as far as this window shows it, and whether more text could change that."""
        at = start - self._start
        try:
            value, end = _DECODER.raw_decode(self._text, at)
        except RecursionError:
            return self._bad(start, TOO_DEEP, f"more than {MAX_DEPTH} levels", len(self._text) - at), False
        except json.JSONDecodeError as error:
            return self._bad(start, BAD_JSON, f"{error.msg} at byte {error.pos - at} of the record", error.pos - at), _ran_out(error)
        text = self._text[at:end]
        if len(text) > self._max_record_bytes:
            return self._bad(start, TOO_LONG, self._too_long()), False
        if too_deep(text):
            return self._bad(start, TOO_DEEP, f"more than {MAX_DEPTH} levels"), False
        cut = end == len(self._text) and not text.endswith(("}", "]", '"'))
        return Frame(start, self._start + end, value if text.isascii() else _as_utf8(text)), cut

    def _too_long(self) -> str:
        return f"more than the limit of {self._max_record_bytes} bytes"

    def _bad(self, start: int, cause: str, detail: str, in_vain: int = 0) -> Frame:
        newline = self._data.find(b"\n", start)
        return Frame(start, len(self._data) if newline < 0 else newline, cause=cause, detail=detail[:DETAIL_CHARS], in_vain=in_vain)


def _ran_out(error: json.JSONDecodeError) -> bool:
    """True if the text may only have ended too early: in a string, a literal, a number, or between tokens."""
    return error.msg.startswith("Unterminated string") or _CUT_TOKEN.fullmatch(error.doc, error.pos) is not None


def _as_utf8(text: str) -> Json:
    value: Json = _DECODER.decode(text.encode("latin-1").decode("utf-8", "surrogateescape"))
    return value


def too_deep(text: str) -> bool:
    """True if the JSON text, as Latin-1, nests objects and arrays more than `MAX_DEPTH` deep."""
    return text.count("[") + text.count("{") > MAX_DEPTH and are_too_deep(text.encode("latin-1"))


def are_too_deep(text: bytes) -> bool:
    """True if one of the JSON values in the text nests objects and arrays more than `MAX_DEPTH` deep."""
    plain = _ESCAPE.sub(b"", text) if b"\\" in text else text
    marks = np.frombuffer(plain.translate(None, _NO_MARKS), np.uint8)
    is_quote = marks == ord('"')
    brackets = marks[~is_quote & (np.cumsum(is_quote) & 1 == 0)] | 0x20  # "[" and "{" differ in this bit, and so do "]" and "}"
    depths = np.cumsum((brackets == ord("{")).astype(np.int32) - (brackets == ord("}")))
    return bool(depths.max(initial=0) > MAX_DEPTH)


def element_spans(record: bytes, key: str | None) -> list[tuple[int, int]]:
    """Byte ranges of the elements of the array `record[key]` (its last one, if the key is repeated), or of `record` itself if `key` is None.

    The record is valid JSON.
    """
    text = record.decode("latin-1")
    start = 0
    if key is not None:
        start = [at for name, at, _ in members(text) if name == key][-1]
    return [(at, end) for _, at, end in members(text, start)]


def members(text: str, at: int = 0) -> Iterator[tuple[str, int, int]]:
    """Key (empty in an array), start and end of each value in the object or array at `at`."""
    is_object = text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        name = ""
        if is_object:
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        end = _DECODER.raw_decode(text, at)[1]
        yield name, at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
