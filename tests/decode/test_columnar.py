"""The columnar path: what it must read by itself, and that it never says anything else than the strict reader."""

import json
import math
import random
import struct

import pytest

from tests.decode.odd_points import BARE_ELEMENTS, ELEMENTS, TIMES, VALUES
from tests.decode.odd_records import BOM, OBJECTS, RECORDS, A, B, C
from tests.decode.readings import ARRIVAL_US, columns, require_same, strictly
from transforms.decode import objects

POINT = '{"name":"a","time":1762000000,"value":1.5}'
HOST_POINT = '{"hostId":"y",' + POINT[1:]
ODD_POINTS = [
    *(f'{{"name":"a","time":1762000000,"value":{text}}}' for text in VALUES),
    *(f'{{"name":"a","time":{text},"value":7}}' for text in TIMES),
    *ELEMENTS,
]


def typed(*points: str, head: str = '"type":"host","org":"acme","hostId":"h"') -> str:
    return f'{{{head},"metrics":[{",".join(points)}]}}'


def bare(*points: str) -> str:
    return f"[{','.join(points)}]"


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def shown(value: object) -> str:
    return ascii(value)[:60]


@pytest.fixture(params=[(1 << 22, 1 << 16), (250, 60)], ids=["large", "small"])
def _stretches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_LARGE_BYTES", request.param[0])
    monkeypatch.setattr(objects, "_SMALL_BYTES", request.param[1])


@pytest.mark.usefixtures("_stretches")
@pytest.mark.parametrize("separator", ["\n", "", "\ufeff"])
def test_both_readers_agree_on_every_odd_point(separator: str) -> None:
    ordinary = [typed(POINT, POINT), typed(POINT, head='"type":"service","service":"s"')]
    for element in ODD_POINTS:
        require_same(as_bytes(separator.join([*ordinary, typed(POINT, element, POINT), *ordinary, ""])))
    arrays = [bare(HOST_POINT, HOST_POINT.replace('"y"', '"x"'), HOST_POINT), bare()]
    for element in (*BARE_ELEMENTS, *ELEMENTS):
        require_same(as_bytes(separator.join([*arrays, bare(element), *arrays])))


@pytest.mark.usefixtures("_stretches")
def test_both_readers_agree_on_every_odd_record() -> None:
    for data in (*map(as_bytes, RECORDS), *OBJECTS):
        require_same(data)
        require_same(b"\n".join([A, B, data, A, C, B]))
        require_same(A + B + data + A + C)


NATIVE = {
    "nothing": "",
    "white space": " \r\n",
    "one record": typed(POINT),
    "a line each": typed(POINT) + "\n" + typed(POINT) + "\n",
    "no separator": typed(POINT) * 5,
    "Windows lines": (typed(POINT) + "\r\n") * 3,
    "blanks": (typed(POINT) + "  \n\n\t") * 3,
    "a byte-order mark": "\ufeff" + typed(POINT),
    "json.dumps": json.dumps(json.loads(typed(POINT))),
    "json.dumps with indentation": json.dumps(json.loads(typed(POINT)), indent=2) + "\n" + json.dumps(json.loads(typed(POINT)), indent="\t"),
    "hosts and services": typed(POINT) + typed(POINT, head='"type":"service","service":"s","receivedAt":1762000000.5'),
    "no points": typed(),
    "points without value, null values": typed('{"name":"a","time":1762000000}', '{"name":"a","time":1762000000,"value":null}'),
    "explicit nulls": typed(POINT, head='"type":"host","hostId":"h","org":null,"roles":null,"receivedAt":null,"service":null'),
    "roles": typed(POINT, head='"type":"host","hostId":"h","roles":["web:app","b,c:d","web:app"]') + typed(head='"type":"host","hostId":"h","roles":[]'),
    "fractional times": typed('{"name":"a","time":1762000000.9,"value":1}'),
    "numeric strings": typed('{"name":"a","time":"1762000000","value":"12.5"}', '{"name":"a","time":1762000000,"value":"NaN"}'),
    "received at a numeric string": typed(POINT, head='"type":"host","hostId":"h","receivedAt":"1762000000.25"'),
    "received at milliseconds and microseconds": "".join(
        typed(POINT, head=f'"type":"host","hostId":"h","receivedAt":{time}') for time in ("1762000000123", "1762000000.5", "1762000000123456")
    ),
    "beyond float64": typed('{"name":"a","time":1762000000,"value":1e400}', '{"name":"a","time":1762000000,"value":-1e400}'),
    "huge integers": typed('{"name":"a","time":1762000000,"value":123456789012345678901234567890}'),
    "unknown text": typed('{"name":"a","memo":"x","time":1762000000,"value":1}', head='"type":"host","hostId":"h","memo":"a, b: \\"c\\" {[","":""'),
    "unknown scalars": typed('{"name":"a","n":-1.5e3,"t":true,"f":false,"z":null,"time":1762000000,"value":1}'),
    "unknown containers": typed('{"name":"a","tags":{"a":[1,"}]"],"b":{}},"time":1762000000,"value":1}', head='"type":"host","hostId":"h","x":[[[]]]'),
    "repeated keys": typed('{"name":"b","name":"a","time":1762000000,"value":0,"value":1}', head='"type":"service","type":"host","hostId":"h"'),
    "names": typed(
        *(f'{{"name":{json.dumps(name)},"time":1762000000,"value":1}}' for name in ("x.y-z_0", "", "a,b:c", 'q"\\', "日本😀", "}{", "null", "\x1f"))
    ),
    "names not escaped": typed(*(f'{{"name":{json.dumps(name, ensure_ascii=False)},"time":1762000000,"value":1}}' for name in ("日本😀", "ü"))),
    "escaped keys": typed('{"n\\u0061me":"a","time":1762000000,"v\\u0061lue":"1"}'),
    "the edges of time": typed('{"name":"a","time":946684800,"value":1}', '{"name":"a","time":4133980799.99,"value":1}'),
    "bare arrays": bare(HOST_POINT, HOST_POINT) + "\n" + bare() + "\n" + bare(HOST_POINT),
    "bare arrays, no separator": bare(HOST_POINT) * 3 + bare() * 2,
    "bare arrays, spread out": ("[ \n" + '{"hostId" : "h", "memo": ["]"],' + POINT[1:] + "\n ]\r\n \n") * 2,
}


@pytest.mark.parametrize("text", NATIVE.values(), ids=NATIVE)
def test_what_the_columnar_path_reads_by_itself(text: str) -> None:
    assert require_same(text.encode())


LENIENCIES = {
    "no comma between fields": ('"h","metrics"', '"h" "metrics"'),
    "no comma, no blank": ('"h","metrics"', '"h""metrics"'),
    "two commas": ('"h","metrics"', '"h",,"metrics"'),
    "leading comma": ('{"type"', '{,"type"'),
    "trailing comma": ("]}", "],}"),
    "trailing comma in an array": ("}]", "},]"),
    "leading comma in an array": ("[{", "[,{"),
    "no comma between points": ("},{", "}{"),
    "a newline between points": ("},{", "}\n{"),
    "leading zero": ("1.5", "01.5"),
    "two zeros": ("1.5", "00"),
    "minus zero one": ("1.5", "-01"),
    "no fraction": ("1.5", "1."),
    "no fraction but an exponent": ("1.5", "1.e5"),
    "minus point": ("1.5", "-.5"),
    "no digits in the exponent": ("1.5", "1e"),
    "junk number in an unknown field": ('"type"', '"x":1-2e+.,"type"'),
    "leading zero in an unknown field": ('"type"', '"x":01,"type"'),
    "raw tab in a name": ('"name":"a"', '"name":"a\t"'),
    "raw newline in an unknown text": ('"type"', '"x":"\n","type"'),
    "plus in a text": ("1.5", '"+1.5"'),
    "leading zero in a text": ("1.5", '"01.5"'),
    "no fraction in a text": ("1.5", '"1."'),
    "point first in a text": ("1.5", '".5"'),
    "text for a time": ("1762000000,", '"+1762000000",'),
    "text for receivedAt": ('"type"', '"receivedAt":"+1762000000","type"'),
    "text beside an unknown text": ('"value":1.5', '"memo":"a:b:c","value":"+1.5"'),
    "text beside keys that look like nulls": ('"value":1.5', '":null":null,"value":"+1.5"'),
    "text with an escaped key": ('"value":1.5', '"v\\u0061lue":"+1.5"'),
    "text after blanks": ('"value":1.5', '"value" \n:\t "+1.5"'),
    "text after one blank": ('"value":1.5', '"value": "+1.5"'),
    "text with escaped quotation marks about": ("1.5", '"+1.5","x":"\\"\\""'),
    "NUL where text can't be": ('"h"', '{"\\u0000":"\\u0000"}'),
    "not UTF-8 in an unknown text": ('"type"', '"x":"\udcff","type"'),
    "a role that is null": ('"type"', '"roles":[null],"type"'),
    "a point that is null": ("[{", "[null,{"),
}
"""What arrow-json or msgspec would take, alone, as (what is replaced, by what)."""


@pytest.mark.parametrize(("old", "new"), LENIENCIES.values(), ids=LENIENCIES)
def test_what_the_columnar_path_hands_over(old: str, new: str) -> None:
    text = typed(POINT, POINT, head='"type":"host","hostId":"h"')
    assert old in text
    for data in (text.replace(old, new, 1), typed(POINT) + text.replace(old, new, 1) + typed(POINT)):
        assert not require_same(as_bytes(data))


def numbers(rng: random.Random) -> list[str]:
    """Texts of numbers that are hard to round."""
    floats = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(6000)]
    finite = [number for number in floats if math.isfinite(number)]
    ties = [f"{rng.getrandbits(53)}{rng.choice(('5', '50000000000000000000000001', '49999999999999999999'))}e{rng.randrange(-330, 300)}" for _ in range(2000)]
    between = [f"{(number + math.nextafter(number, math.inf)) / 2:.40g}" for number in finite[:1000]]
    exact = [f"{number:.770f}" for number in (5e-324, 2.5e-320, 2.2250738585072014e-308, 0.1, 1 / 3)]
    return [*map(repr, finite), *(f"{number:.17g}" for number in finite), *(f"{number:.25e}" for number in finite), *ties, *between, *exact]


def test_numbers_are_the_nearest_floats() -> None:
    texts = numbers(random.Random(20251101))
    found = columns(typed(*(f'{{"name":"a","time":1762000000,"value":{text}}}' for text in texts)).encode())
    assert found
    assert [row[3] for row in found.points] == [float(text).hex() for text in texts if math.isfinite(float(text))]
    quoted = columns(typed(*(f'{{"name":"a","time":1762000000,"value":"{text}"}}' for text in texts)).encode())
    assert quoted == found


def test_arrivals_are_rounded_the_same() -> None:
    rng = random.Random(7)
    times = [f"{rng.uniform(946684800, 4133980800):.{rng.randrange(10)}f}" for _ in range(3000)]
    times += [f"{rng.uniform(946684800, 4133980800) * scale:.{rng.randrange(6)}f}" for scale in (1000, 1_000_000) for _ in range(1000)]
    text = "\n".join(typed(head=f'"type":"host","hostId":"h","receivedAt":{time}') for time in times)
    assert require_same(text.encode())


def test_hosts_of_bare_arrays_are_in_the_order_of_their_first_points() -> None:
    point = '{{"hostId":"{}","name":"{}","time":1762000000,"value":1}}'.format
    found = columns((bare(point("y", "n"), point("x", "n"), point("y", "m")) + bare() + bare(point("x", "n"), point("x", "m"))).encode())
    assert found
    assert found.postings == [("host", "default", host, None, ARRIVAL_US) for host in "yxx"]
    assert [(row[0], row[1]) for row in found.points] == [(0, "n"), (1, "n"), (0, "m"), (2, "n"), (2, "m")]


@pytest.mark.parametrize("copies", [1, 40])
def test_nesting_of_unknown_fields(copies: int) -> None:
    for depth in (1, 150, 199, 200, 201, 900):
        for opening, closing in (("[", "]"), ('{"":', "}")):
            extra = f'"x":{opening * depth}1{closing * depth}'
            require_same("\n".join([typed(POINT, head=f'"type":"host","hostId":"h",{extra}')] * copies).encode())
            require_same("\n".join([typed(f"{{{extra},{POINT[1:]}")] * copies).encode())


def test_a_byte_order_mark_between_records_needs_the_strict_reader() -> None:
    data = A + BOM + B
    assert columns(data) is None
    assert [row[2] for row in strictly(data).postings] == ["a", "b"]
