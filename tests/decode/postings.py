"""Random objects for property tests: ordinary postings, now and then something odd in them, written in many ways, and damaged."""

import json
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from tests.decode.odd_points import TIMES, VALUES

_NAMES = st.one_of(
    st.sampled_from(["loadavg5", "cpu0.user", "a,b:c", 'q"\\', "日本", "😀", "𠀀", "}{", "][", "null", "value", "", "\x7f"]),
    st.text(max_size=5),
)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(repr)
_VALUES = st.one_of(_FLOATS, st.integers(0, 1000).map(str), st.sampled_from([text for text in VALUES if len(text) < 40]))
_TIMES = st.one_of(st.integers(1_762_000_000, 1_762_100_000).map(str), st.sampled_from(list(TIMES)))
_SCALARS = st.sampled_from(["null", "true", "-1.5e3", '"x"', '"a, b: c"', '":null"', '"\\"', "01", "[]", "{}", '{"a":[1,"}]"]}', '"\\ud800"'])
_EXTRA_KEYS = st.sampled_from(['"memo"', '"queue"', '""', '":null"', '"va\\"lue"', '"roles"', '"t\\u0069me"', '"value"'])
_STYLES = st.sampled_from([(",", ":"), (", ", ": "), (",\n ", ":\t"), (" , ", " : "), (",  ", ":  ")])
_SEPARATORS = st.sampled_from(["\n", "", "\r\n", " ", "\n\n", "\ufeff", "\x0b", ","])

_STRUCTURE: Final = (
    b",", b":", b'"', b"{", b"}", b"[", b"]", b" ", b"\n", b"\r", b"\t", b"\\", b"0", b"1", b".", b"-", b"+", b"e", b"\x00", b"\x1f", b"\xff", b"\xc3", b"null",
    b"true", b"\\u0000", b"\\ud800", b'""', b"{}", b"[]", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x0b", b"N", b'"time":', b'"value":"+1",',
)  # fmt: skip


@st.composite
def _texts(draw: st.DrawFn, names: st.SearchStrategy[str]) -> str:
    return json.dumps(draw(names), ensure_ascii=draw(st.booleans())).replace("\x7f", "\x7f")


@st.composite
def _members(draw: st.DrawFn, fields: Sequence[tuple[str, str]], style: tuple[str, str]) -> str:
    """An object of the fields, perhaps with one more and in another order."""
    pairs = [(f'"{key}"', value) for key, value in fields]
    if draw(st.integers(0, 5)) == 0:
        pairs.insert(draw(st.integers(0, len(pairs))), (draw(_EXTRA_KEYS), draw(_SCALARS)))
    if draw(st.integers(0, 5)) == 0:
        pairs = draw(st.permutations(pairs))
    return "{" + style[0].join(f"{key}{style[1]}{value}" for key, value in pairs) + "}"


@st.composite
def _points(draw: st.DrawFn, style: tuple[str, str], host: str | None) -> str:
    fields = [("hostId", host)] if host else []
    fields += [("name", draw(_texts(_NAMES))), ("time", draw(_TIMES) if draw(st.integers(0, 7)) == 0 else "1762000000"), ("value", draw(_VALUES))]
    return draw(_members(fields, style))


@st.composite
def _records(draw: st.DrawFn, style: tuple[str, str], *, bare: bool) -> str:
    hosts = draw(st.lists(st.sampled_from(['"h"', '"i"', '"a][b"']), max_size=4))
    elements = style[0].join(draw(_points(style, host if bare else None)) for host in hosts)
    if bare:
        return f"[{elements}]"
    kind, identity = draw(st.sampled_from([("host", "hostId"), ("host", "hostId"), ("service", "service"), ("labeled", "x")]))
    fields = [("type", f'"{kind}"'), (identity, draw(_texts(_NAMES)))]
    fields += draw(st.sampled_from([[], [("org", '"acme"')], [("org", "null")], [("org", '"日,本"')]]))
    fields += draw(st.sampled_from([[], [("receivedAt", "1762000000.123")], [("receivedAt", '"1762000000"')], [("receivedAt", "null")], [("receivedAt", "5")]]))
    fields += (
        draw(st.sampled_from([[], [], [("roles", "[]")], [("roles", '["web:app","b"]')], [("roles", "[null]")], [("roles", "null")]])) if kind == "host" else []
    )
    return draw(_members([*fields, ("metrics", f"[{elements}]")], style))


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """The bytes of an object, of bare arrays or typed postings."""
    style, separator, bare = draw(_STYLES), draw(_SEPARATORS), draw(st.booleans())
    records = draw(st.lists(_records(style, bare=bare), min_size=1, max_size=4))
    return (separator.join(records) + draw(st.sampled_from(["", separator]))).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An object with a few bytes taken out, put in, swapped or doubled."""
    data = bytearray(draw(objects()))
    for _ in range(draw(st.integers(1, 3))):
        at, other = draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                del data[at : at + draw(st.integers(1, 3))]
            case 1:
                data[at:at] = draw(st.sampled_from(_STRUCTURE))
            case 2:
                data[at : at + 1] = draw(st.sampled_from(_STRUCTURE))
            case _:
                data[at:at] = data[other : other + draw(st.integers(1, 30))]
    return bytes(data)
