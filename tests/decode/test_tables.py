"""Parquet and ORC files of postings, written by pyarrow in the shapes that Firehose's record conversion gives them."""

import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest
from hypothesis import given, settings, strategies as st

from scripts.encoders.containers import orc, parquet
from tests.decode.readings import ARRIVAL_US, RULES, hosts, strictly, whole
from transforms.core.model import DecodeTally
from transforms.decode import tables
from transforms.decode.causes import (
    BAD_ELEMENT,
    BAD_IDENTITY,
    BAD_NAME,
    BAD_TIME,
    BAD_VALUE,
    CORRUPT,
    EXPANSION,
    TOO_LARGE,
    TOO_MANY,
    TRUNCATED,
    UNKNOWN_TYPE,
    UNSUPPORTED_PAYLOAD,
)
from transforms.decode.objects import DecodeRules, decode_object

POINT = pa.struct([("name", pa.string()), ("time", pa.int64()), ("value", pa.float64())])
SCHEMA = pa.schema(
    [
        ("type", pa.string()),
        ("org", pa.string()),
        ("hostid", pa.string()),
        ("service", pa.string()),
        ("roles", pa.list_(pa.string())),
        ("receivedat", pa.float64()),
        ("metrics", pa.list_(POINT)),
    ]
)
"""A Glue table's columns: lower case."""


def point(number: float, name: str | None = "n", time: object = 1_762_000_000) -> dict[str, object]:
    return {"name": name, "time": time, "value": number}


def host(name: str | None, *points: object, **fields: object) -> dict[str, Any]:
    return {"type": "host", "hostid": name, "metrics": list(points)} | fields


ROWS = [
    host("a", point(1.5), point(math.nan), point(-0.0), point(2.0**60, "m")),
    host("b", point(0.1), org="acme", roles=["web:app"], receivedat=1_762_000_000.25),
    {"type": "service", "service": "s", "org": "acme", "metrics": [point(3.0)]},
    host("c", roles=[]),
    {"type": "host", "hostid": "d", "metrics": None},
    host("e", {"name": "n", "time": 1_762_000_000}),
]


def table(rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(rows, schema)


def as_json(rows: list[dict[str, Any]]) -> bytes:
    """The rows as JSON postings."""
    names = {"hostid": "hostId", "receivedat": "receivedAt"}
    return "\n".join(json.dumps({names.get(name, name): value for name, value in row.items()}) for row in rows).encode()


@pytest.mark.parametrize("write", [parquet, orc])
@pytest.mark.parametrize("rows", [ROWS, ROWS * 3000, []], ids=["few", "many", "none"])
def test_postings_are_what_they_are_as_json(write: Any, rows: list[dict[str, Any]]) -> None:
    found = whole(write(table(rows)))
    assert found == strictly(as_json(rows))


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_codecs_and_row_groups(compression: str) -> None:
    expected = strictly(as_json(ROWS * 50))
    assert whole(parquet(table(ROWS * 50), compression=compression, row_group_size=7)) == expected
    assert whole(parquet(table(ROWS * 50), compression=compression, use_dictionary=False, data_page_version="2.0")) == expected
    for encoding in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"):
        encodings = {"hostid": encoding, "metrics.list.element.name": encoding}
        assert whole(parquet(table(ROWS * 50), use_dictionary=["type"], column_encoding=encodings, row_group_size=40)) == expected


def test_texts_that_outgrow_their_dictionary() -> None:
    rows = [host(f"{number}", *(point(place, f"{number * place * 7919}") for place in range(5))) for number in range(3000)]
    expected = strictly(as_json(rows))
    for options in ({}, {"dictionary_pagesize_limit": 2000, "data_page_size": 5000}, {"use_dictionary": ["hostid"]}):
        assert whole(parquet(table(rows), **options)) == expected  # type: ignore[arg-type]


def test_postings_are_read_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "Columns", None)
    for write in (parquet, orc):
        assert len(whole(write(table(ROWS * 1000))).postings) == 6000  # type: ignore[operator]


def retyped(**types: pa.DataType) -> pa.Schema:
    """The schema with other types of a posting's or a point's field."""
    fields = pa.struct([(field.name, types.get(field.name, field.type)) for field in POINT])
    return pa.schema([(field.name, pa.list_(fields) if field.name == "metrics" else types.get(field.name, field.type)) for field in SCHEMA])


@pytest.mark.parametrize(
    "types",
    [
        {"time": pa.int32(), "value": pa.float32()},
        {"time": pa.float64(), "value": pa.int64()},
        {"time": pa.string(), "value": pa.string(), "receivedat": pa.string()},
        {"value": pa.decimal128(20, 2)},
        {"name": pa.binary(), "hostid": pa.large_string(), "type": pa.binary()},
        {"time": pa.timestamp("ms"), "receivedat": pa.timestamp("us")},
        {"time": pa.timestamp("ns", "UTC"), "receivedat": pa.timestamp("ns")},
    ],
    ids=str,
)
def test_types_of_columns(types: dict[str, pa.DataType]) -> None:
    rows = [host(name, point(2.0), point(4.0), receivedat=1_762_000_000.0) for name in "abc"]
    found = whole(parquet(table(rows).cast(retyped())))
    assert found == strictly(as_json(rows))
    other = whole(parquet(converted(rows, retyped(**types))))
    assert other == found


def converted(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows with numbers and texts as the schema's types have them."""

    def fitting(value: object, kind: pa.DataType) -> object:
        if pa.types.is_timestamp(kind):
            return pa.scalar(int(value), pa.int64()).cast(pa.timestamp("s")).cast(kind)  # type: ignore[call-overload]
        return pa.scalar(str(value) if pa.types.is_string(kind) else value).cast(kind)

    field = schema.field("metrics").type.value_type
    plain = [
        row
        | {"receivedat": fitting(row["receivedat"], schema.field("receivedat").type)}
        | {"metrics": [{one.name: fitting(each[one.name], one.type) for one in field} for each in row["metrics"]]}
        for row in rows
    ]
    return pa.Table.from_pylist(plain, schema)


def test_names_in_any_case_and_fields_that_are_not_known() -> None:
    extra = pa.struct([("Time", pa.int64()), ("memo", pa.string()), ("VALUE", pa.float64()), ("name", pa.string())])
    schema = pa.schema(
        [("year", pa.string()), ("METRICS", pa.list_(extra)), ("hostId", pa.string()), ("Type", pa.string()), ("tags", pa.map_(pa.string(), pa.string()))]
    )
    rows = [{"year": "2025", "METRICS": [{"Time": 1_762_000_000, "memo": "x", "VALUE": 1.5, "name": "n"}], "hostId": "a", "Type": "host", "tags": [("a", "b")]}]
    assert whole(parquet(pa.Table.from_pylist(rows, schema))) == strictly(as_json([host("a", point(1.5))]))


ODD: list[tuple[dict[str, Any], str]] = [
    (host(None, point(1.0)), BAD_IDENTITY),
    ({"hostid": "x", "metrics": []}, UNKNOWN_TYPE),
    ({"type": "ghost", "metrics": []}, UNKNOWN_TYPE),
    (host("x", None), BAD_ELEMENT),
    (host("x", point(1.0, None)), BAD_NAME),
    (host("x", point(1.0, "n", None)), BAD_TIME),
    (host("x", point(1.0, "n", 5)), BAD_TIME),
]


@pytest.mark.parametrize(("row", "cause"), ODD)
@pytest.mark.parametrize("write", [parquet, orc])
def test_odd_rows_are_dead_letters(row: dict[str, Any], cause: str, write: Any) -> None:
    found = whole(write(table([*ROWS * 100, row, *ROWS])))
    expected = strictly(as_json([*ROWS * 100, row, *ROWS]))
    assert (found.postings, found.points, found.tally) == (expected.postings, expected.points, expected.tally)
    assert [letter[:2] for letter in found.dead] == [(600, cause)]


def test_rows_are_kept_as_json() -> None:
    found = whole(parquet(table([host("a", point(1.5)), host(None)])))
    assert json.loads(found.dead[0][2]) == {
        "type": "host", "org": None, "hostId": None, "service": None, "roles": None, "receivedAt": None, "otlp": None, "metrics": []
    }  # fmt: skip
    assert found.tally == DecodeTally(records=2, decoded_records=1, dead_records=1, points={"host": 1})


def test_texts_that_are_no_unicode() -> None:
    rows = [host("a", point(1.0)), host("b", point(2.0, b"\xff")), host("c", point(3.0))]  # type: ignore[arg-type]
    rows = [
        row | {"metrics": [{**each, "name": each["name"].encode() if isinstance(each["name"], str) else each["name"]} for each in row["metrics"]]}
        for row in rows
    ]
    found = whole(parquet(table(rows, retyped(name=pa.binary()))))
    assert hosts(found) == "abc"
    assert [letter[:2] for letter in found.dead] == [(1, BAD_NAME)]


def test_values_that_are_no_numbers() -> None:
    rows = [host("a", {"name": "n", "time": 1_762_000_000, "value": value}) for value in ("1.5", "much", None)]
    found = whole(parquet(table(rows, retyped(value=pa.string()))))
    assert [letter[:2] for letter in found.dead] == [(1, BAD_VALUE)]
    assert found.tally.points == {"host": 2}


def test_other_tables_are_dead_letters_row_by_row() -> None:
    rows = pa.table({"when": pa.array([1, 2], pa.timestamp("s")), "metrics": ["a", None], "value": [1.5, math.inf]})
    for write in (parquet, orc):
        found = whole(write(rows))  # type: ignore[operator]
        assert [letter[:2] for letter in found.dead] == [(0, UNSUPPORTED_PAYLOAD), (1, UNSUPPORTED_PAYLOAD)]
        assert json.loads(found.dead[0][2]) == {"when": "1970-01-01 00:00:01", "metrics": "a", "value": 1.5}
        assert found.tally == DecodeTally(records=2, dead_records=2)


def test_dead_letters_are_limited() -> None:
    rows = [host("a"), *[host(None)] * 5000, host("b")]
    found = whole(parquet(table(rows)), DecodeRules(org="default", max_dead_letters=10))
    assert hosts(found) == "a"
    assert found.dead[-1][:2] == (4096, TOO_MANY)


def test_damage() -> None:
    body = parquet(table(ROWS * 4000), row_group_size=6000, compression="none")
    assert whole(body[:-20]).dead == [(0, TRUNCATED, b"")]
    data_page = len(body) // 2
    broken = body[:data_page] + bytes(2000) + body[data_page + 2000 :]
    found = whole(broken)
    assert found.tally.records == found.tally.decoded_records + found.tally.dead_records
    assert found.dead[-1][1] == CORRUPT
    assert found.postings == strictly(as_json(ROWS * 4000)).postings[: len(found.postings)]
    assert len(found.postings) >= 4096
    assert [letter[1] for letter in whole(orc(table(ROWS))[:-3]).dead] == [CORRUPT]
    assert [letter[1] for letter in whole(b"PAR1...").dead] == [TRUNCATED]


def test_bombs_leave_one_dead_letter_and_nothing_else() -> None:
    numbers = table([host("a", *[point(0.0)] * 300_000)])
    texts = table([host("x" * 50_000)] * 300)
    for bomb in (parquet(numbers), parquet(texts), orc(numbers, compression="zlib"), orc(texts, compression="zlib")):
        assert len(bomb) < 80_000
        assert whole(bomb, DecodeRules(max_expansion=3)).dead == [(0, EXPANSION, b"")]
        assert whole(bomb, DecodeRules(max_object_bytes=2_000_000)).dead == [(0, TOO_LARGE, b"")]
        assert not whole(bomb, DecodeRules(max_expansion=100_000)).dead


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_damage_anywhere_is_decoded_or_dead(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([parquet(table(ROWS)), orc(table(ROWS)), parquet(table(ROWS), compression="none", write_page_checksum=True)])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    decoded = decode_object(bytes(body), key="k", arrival_us=ARRIVAL_US, rules=RULES)
    tally = decoded.tally
    assert tally.records == tally.decoded_records + tally.dead_records
    assert len(decoded.dead_letters) == tally.dead_records + tally.dead_points
