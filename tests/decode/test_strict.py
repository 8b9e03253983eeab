"""The strict reader against tables written by hand."""

import pytest

from tests.decode.odd_points import BARE_ELEMENTS, ELEMENTS, INFINITE, NAN, NULL, TIMES, VALUES
from tests.decode.odd_records import OBJECTS, RECORDS, A, B
from tests.decode.readings import ARRIVAL_US, SOURCE, Reading, strictly
from transforms.core.model import DecodeTally
from transforms.decode import strict
from transforms.decode.causes import BAD_NAME, BAD_POINTS, CAUSES, TOO_LONG

REASONS = (NULL, NAN, INFINITE)
SIBLING = '{"name":"z","time":1762000060,"value":1}'
ROW = (0, "z", 1762000060, (1.0).hex())


def as_bytes(text: str) -> bytes:
    """The tables write a byte that is not UTF-8 as a lone surrogate."""
    return text.encode("utf-8", "surrogateescape")


def posting(*elements: str) -> bytes:
    return as_bytes(f'{{"type":"host","hostId":"h","metrics":[{",".join(elements)}]}}')


def read_one(element: str) -> Reading:
    """The element between two ordinary points."""
    return strictly(posting(SIBLING, element, SIBLING))


def require_one(reading: Reading, expected: tuple[str, int, float] | str, element: str, inexact: int = 0) -> None:
    """The ordinary points are there, and between them what is expected of the odd one."""
    raw, offset = as_bytes(element), len(posting(SIBLING)) - 1
    dropped = {expected: {"host": 1}} if expected in REASONS else {}
    kept = [] if isinstance(expected, str) else [(0, expected[0], expected[1], expected[2].hex())]
    dead = [(offset, expected, raw)] if expected in CAUSES else []
    assert reading.points == [ROW, *kept, ROW]
    assert reading.dead == dead
    assert reading.tally == DecodeTally(
        records=1, decoded_records=1, dead_points=len(dead), points={"host": 3 - len(dead)}, dropped=dropped, inexact={"host": inexact} if inexact else {}
    )


@pytest.mark.parametrize(("text", "expected"), VALUES.items())
def test_values(text: str, expected: float | str) -> None:
    element = f'{{"name":"a","time":1762000000,"value":{text}}}'
    inexact = isinstance(expected, float) and abs(expected) >= 2**53
    require_one(read_one(element), expected if isinstance(expected, str) else ("a", 1762000000, expected), element, int(inexact))


@pytest.mark.parametrize(("text", "expected"), TIMES.items())
def test_times(text: str, expected: int | str) -> None:
    element = f'{{"name":"a","time":{text},"value":7}}'
    require_one(read_one(element), expected if isinstance(expected, str) else ("a", expected, 7.0), element)


@pytest.mark.parametrize(("element", "expected"), ELEMENTS.items())
def test_elements(element: str, expected: tuple[str, int, float] | str) -> None:
    require_one(read_one(element), expected, element)


@pytest.mark.parametrize(("element", "expected"), BARE_ELEMENTS.items())
def test_elements_of_bare_arrays(element: str, expected: tuple[str, str] | str) -> None:
    sibling = '{"hostId":"z","name":"z","time":1762000060,"value":1}'
    found = strictly(as_bytes(f"[{sibling},{element},{sibling}]"))
    others = [] if isinstance(expected, str) else [("host", "default", expected[0], None, ARRIVAL_US)]
    kept = [] if isinstance(expected, str) else [(1, expected[1], 1762000000, (7.0).hex())]
    dead = [(len(sibling) + 2, expected, as_bytes(element))] if isinstance(expected, str) else []
    assert found.postings == [("host", "default", "z", None, ARRIVAL_US), *others]
    assert found.points == [ROW, *kept, ROW]
    assert found.dead == dead


@pytest.mark.parametrize(("text", "expected"), RECORDS.items(), ids=lambda value: str(value)[:60].encode("ascii", "backslashreplace").decode())
def test_records(text: str, expected: list[tuple[str, str, str, list[str] | None, int]] | str) -> None:
    raw = as_bytes(text)
    found = strictly(A + b"\n" + raw + b"\n" + B)
    a, b = (("host", "default", host, None, ARRIVAL_US) for host in "ab")
    is_dead = isinstance(expected, str)
    assert found.postings == [a, *([] if is_dead else expected), b]
    assert found.dead == ([(len(A) + 1, expected, raw)] if is_dead else [])
    assert found.tally == DecodeTally(records=3, decoded_records=3 - is_dead, dead_records=int(is_dead))


@pytest.mark.parametrize(("data", "expected"), OBJECTS.items(), ids=lambda value: ascii(value)[:60])
def test_objects(data: bytes, expected: tuple[str, list[tuple[int, str, bytes]]]) -> None:
    hosts, dead = expected
    found = strictly(data)
    assert "".join(row[2] for row in found.postings) == hosts
    assert found.dead == dead
    assert found.tally == DecodeTally(records=len(hosts) + len(dead), decoded_records=len(hosts), dead_records=len(dead))


def test_the_bytes_of_a_broken_point_are_found_wherever_it_stands() -> None:
    raw = as_bytes('{"metrics":[], "type":"host" ,"hostId":"日本","memo":{"metrics":[1]},\n "met\\u0072ics" : [ 5 ,{"a":[{}]} , "é"\t] }')
    texts = [b"5", b'{"a":[{}]}', '"é"'.encode()]
    start = raw.index(b"[ 5")
    assert [letter[2] for letter in strictly(A + raw).dead] == texts
    assert [letter[0] for letter in strictly(A + raw).dead] == [len(A) + raw.index(text, start) for text in texts]


def test_a_bare_array_has_a_posting_for_each_host_in_the_order_of_their_first_points() -> None:
    point = '{{"hostId":"{}","name":"{}","time":1762000000,"value":1}}'.format
    broken = '{"hostId":"ghost","time":1762000000,"value":1}'
    found = strictly(f"[{point('y', 'n')},{broken},{point('x', 'n')},{point('y', 'm')}][{point('x', 'n')}]".encode())
    assert [row[2] for row in found.postings] == ["y", "x", "x"]
    assert [(row[0], row[1]) for row in found.points] == [(0, "n"), (1, "n"), (0, "m"), (2, "n")]
    assert [letter[1] for letter in found.dead] == [BAD_NAME]


def test_details_hold_the_value_but_never_much_of_it() -> None:
    data = posting('{"name":"a","time":"noon"}', '{"name":"a","time":1762000000,"value":"' + "x" * 10_000 + '"}')
    part = strict.read(data, 0, len(data), SOURCE)
    noon, long = (letter.detail for letter in part.decoded.dead_letters)
    assert noon == 'time "noon" is not a time in seconds between the years 2000 and 2100'
    assert long.startswith('value "xxx')
    assert len(long) == 200


def test_a_record_with_very_many_broken_points_is_one_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "MAX_BROKEN_POINTS", 10)
    assert len(strictly(A + posting(*["0"] * 10, SIBLING) + B).points) == 1
    found = strictly(A + posting(*["0"] * 11, SIBLING) + B)
    assert [row[2] for row in found.postings] == ["a", "b"]
    assert found.points == []
    assert [letter[:2] for letter in found.dead] == [(len(A), BAD_POINTS)]


@pytest.mark.parametrize("length", [70_000, 70_001, 200_000])
def test_a_record_above_the_limit_is_a_dead_letter(length: int) -> None:
    source = strict.Source(key="k", arrival_us=ARRIVAL_US, max_record_bytes=70_000)
    head, tail = b'{"type":"host","hostId":"h","memo":"', b'","metrics":[]}'
    record = head + b"x" * (length - len(head) - len(tail)) + tail
    data = A + b"\n" + record + b"\n" + B
    part = strict.read(data, 0, len(data), source)
    is_dead = length > 70_000
    assert part.decoded.postings.entity.to_pylist() == (["a", "b"] if is_dead else ["a", "h", "b"])
    assert [(letter.offset, letter.cause, letter.raw) for letter in part.decoded.dead_letters] == [(len(A) + 1, TOO_LONG, record)] * is_dead


def test_records_longer_than_any_window_are_read_whole() -> None:
    long = A.replace(b'"metrics"', b'"memo":"' + b"x" * 300_000 + b'","metrics"')
    found = strictly(B + b"\n" + long + long + b"\n" + b"1" * 100_000)
    assert [row[2] for row in found.postings] == ["b", "a", "a"]
    assert [raw for _, _, raw in found.dead] == [b"1" * 100_000]
