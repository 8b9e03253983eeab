"""Whole objects: containers and records together, stretches, limits, real postings."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from tests.decode.odd_records import A, B, C
from tests.decode.readings import ARRIVAL_US, RULES, SOURCE, Reading, as_stored, hosts, require_same, strictly, whole
from transforms.core.model import DecodeTally
from transforms.decode import columnar, objects
from transforms.decode.causes import BAD_JSON, BAD_TIME, CORRUPT, EXPANSION, TOO_LARGE, TOO_LONG, TOO_MANY, TRAILING, TRUNCATED
from transforms.decode.objects import DecodeRules, decode_object

DATA = Path(__file__).parent.parent / "data"
HAIRY = '{"type" :"host","hostId":"é\\u00e9\\\\\\"", "org": null,\n"roles":["a:b"],"x":[true,false,-1.5e+10,{"y":{}}],"metrics":[]}'.encode()


def ordinary(count: int) -> list[bytes]:
    point = b'{"name":"n%d","time":%d,"value":%d.25}'
    record = b'{"type":"host","org":"acme","hostId":"h%d","receivedAt":1762000000.5,"metrics":[%s]}'
    return [record % (i, b",".join(point % (j, 1_762_000_000 + i, i * j) for j in range(5))) for i in range(count)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, as_stored], ids=["none", "gzip", "zstd", "stored"])
def test_containers_make_no_difference(pack: object) -> None:
    data = b"\n".join(ordinary(50))
    assert whole(pack(data)) == strictly(data)  # type: ignore[operator]


def test_a_record_may_go_on_in_the_next_member() -> None:
    data = b"".join(ordinary(9))
    assert whole(gzip.compress(data[:700]) + gzip.compress(data[700:])) == strictly(data)


@pytest.mark.parametrize("before", [b"", A, A + b"\n", A + b"\nx\n"])
def test_the_rest_of_a_truncated_container_is_one_dead_letter(before: bytes) -> None:
    for length in range(len(HAIRY)):
        found = whole(as_stored(before + HAIRY)[: -8 - len(HAIRY) + length])
        assert hosts(found) == ("a" if before else "")
        assert [letter for letter in found.dead if letter[1] != BAD_JSON] == [(len(before), TRUNCATED, HAIRY[:length])]
        assert found.tally.dead_records == found.tally.records - len(found.postings)


def test_a_container_may_end_between_records() -> None:
    data = A + b"\n" + B + b"\n"
    found = whole(as_stored(data)[:-8])
    assert hosts(found) == "ab"
    assert found.dead == [(len(data), TRUNCATED, b"")]
    assert found.tally == DecodeTally(records=3, decoded_records=2, dead_records=1)


def test_bad_json_before_the_truncation_is_its_own_dead_letter() -> None:
    data = b'{"type":\n' + A + b"\n" + B[:-5]
    assert whole(as_stored(data)[:-8]).dead == [(0, BAD_JSON, b'{"type":'), (9 + len(A) + 1, TRUNCATED, B[:-5])]
    assert whole(data).dead == [(0, BAD_JSON, b'{"type":'), (9 + len(A) + 1, BAD_JSON, B[:-5])]


def test_garbage_after_the_container() -> None:
    found = whole(gzip.compress(A + B[:-1]) + bytes(5) + b"PS: sorry")
    assert hosts(found) == "a"
    assert found.dead == [(len(A), BAD_JSON, B[:-1]), (len(A + B) - 1, TRAILING, b"PS: sorry")]


def test_damage_in_the_second_member() -> None:
    second = bytearray(gzip.compress(C))
    second[-5] ^= 1
    found = whole(gzip.compress(A + B[:-3]) + bytes(second))
    assert hosts(found) == "a"
    assert found.dead == [(len(A), CORRUPT, B[:-3])]


@pytest.mark.parametrize(
    ("rules", "cause"),
    [(DecodeRules(max_expansion=20), EXPANSION), (DecodeRules(max_object_bytes=5_000_000), TOO_LARGE)],
)
def test_bombs_leave_one_dead_letter_and_nothing_else(rules: DecodeRules, cause: str) -> None:
    found = whole(gzip.compress(A * 200_000), rules)
    assert found == Reading([], [], [(0, cause, b"")], DecodeTally(records=1, dead_records=1))


def test_few_records_are_read_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken point in a megabyte costs the strict reader one small stretch."""
    records = ordinary(4000)
    records[2000] = records[2000].replace(b'"time":1762002000', b'"time":"noon"', 1)
    data = b"\n".join(records)
    expected = strictly(data)
    read: list[int] = []
    strict_read = objects.strict.read

    def counted(data: bytes, start: int, stop: int, *args: object, **options: object) -> object:
        read.append(stop - start)
        return strict_read(data, start, stop, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(objects.strict, "read", counted)
    assert whole(data) == expected
    assert [letter[1] for letter in expected.dead] == [BAD_TIME]
    assert len(read) == 1
    assert read[0] < 70_000


@pytest.mark.parametrize("sizes", [(1, 1), (500, 100), (5000, 500)])
@pytest.mark.parametrize("separator", [b"\n", b"", b"\r\n"])
def test_stretches_join_without_a_seam(sizes: tuple[int, int], separator: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_LARGE_BYTES", sizes[0])
    monkeypatch.setattr(objects, "_SMALL_BYTES", sizes[1])
    records = ordinary(60)
    records[20] = records[20].replace(b'"n3"', b'"}{"')
    records[30] = records[30].replace(b'"n3"', b"null")
    records[31] = records[31].replace(b'"host"', b'"ghost"')
    records[40] = b"[]"
    records[41:43] = [records[41] + records[42][:100]]
    data = separator.join(records)
    found = decode_object(data, key=SOURCE.key, arrival_us=ARRIVAL_US, rules=RULES)
    assert whole(data) == strictly(data)
    names = found.points.name.dictionary.to_pylist()
    assert len(names) == len(set(names))


def test_dead_letters_are_limited() -> None:
    rules = DecodeRules(org="default", max_dead_letters=3)
    few = A + b"\nx\ny\n" + B
    assert whole(few, rules) == strictly(few)
    many = A + b"\nx\ny\nz\n" + B + b"\nx\n"
    found = whole(many, rules)
    assert hosts(found) == "a"
    at = many.index(b"\n" + B)
    assert [letter[1] for letter in found.dead] == [BAD_JSON] * 3 + [TOO_MANY]
    assert found.dead[-1] == (at, TOO_MANY, many[at:])
    assert found.tally.records == 5


def test_time_lost_on_dead_letters_is_limited() -> None:
    """Each line opens an array that is never closed, so that reading it goes on over many of the lines after it."""
    lines = A + b"\n" + (b"[" + b"1," * 20 + b"\n") * 200
    assert len(strictly(lines).dead) == 200
    found = whole(lines, DecodeRules(org="default", max_dead_letters=300))
    assert hosts(found) == "a"
    assert len(found.dead) < 100
    assert found.dead[-1][1] == TOO_MANY
    assert b"\n".join([A, *(raw for _, _, raw in found.dead[:-1])]) + found.dead[-1][2] == lines


def test_a_record_above_the_limit_is_dead_for_both_readers() -> None:
    long = A.replace(b'"metrics"', b'"memo":"' + b"x" * 1000 + b'","metrics"')
    rules = DecodeRules(max_record_bytes=500)
    for data in (A + b"\n" + long + b"\n" + B, long + b"\n" + A + B):
        found = whole(data, rules)
        assert hosts(found) == "ab"
        assert found.dead == [(data.index(long), TOO_LONG, long)]


def test_scalars_without_end_are_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretch that can't be cut is not tried as columns."""
    monkeypatch.setattr(objects, "_LARGE_BYTES", 100)
    monkeypatch.setattr(columnar, "read", None)
    found = whole(b"5 " * 400, DecodeRules(max_record_bytes=500))
    assert found.tally.dead_records == 400


def agent_posts() -> list[tuple[float, bytes]]:
    lines = (DATA / "agent-posts.ndjson").read_text().splitlines()
    return [(post["receivedAt"], post["body"].encode()) for post in map(json.loads, lines)]


def test_real_bare_arrays() -> None:
    bodies = [body for _, body in agent_posts()]
    elements = [element for body in bodies for element in json.loads(body)]
    for data in (b"".join(bodies), b"".join(body.strip() for body in bodies)):
        assert require_same(data)
        found = whole(gzip.compress(data))
        assert [(name, time, value) for _, name, time, value in found.points] == [
            (element["name"], element["time"], float(element["value"]).hex()) for element in elements
        ]
        assert len(found.postings) == len(bodies)


def test_real_points_in_typed_postings() -> None:
    records = [
        {"type": "host", "org": "acme", "hostId": "4HkAgent0001", "roles": ["web:app"], "receivedAt": at, "metrics": json.loads(body)}
        for at, body in agent_posts()
    ]
    data = "\n".join(map(json.dumps, records)).encode()
    assert require_same(data)
    assert [row[4] for row in whole(data).postings] == [round(at * 1e6) for at, _ in agent_posts()]
