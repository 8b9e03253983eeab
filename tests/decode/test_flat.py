"""Flat rows: what each odd field means, and that columns say what the strict reader says."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from tests.decode.parts import ARRIVAL_US, Plain, plain
from tests.decode.test_schemas import CLOUDWATCH
from transforms.core.errors import DecodeError
from transforms.core.flat import FlatMapping
from transforms.decode import columnar, flat_tables, strict
from transforms.decode.causes import BAD_ELEMENT, BAD_ENTITY, BAD_LABELS, BAD_NAME, BAD_POINT_ORG, BAD_POINT_TYPE, BAD_TIME, BAD_VALUE
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.strict import Source

MAPPING = FlatMapping(time="ts", time_unit="ms", value="v", name="metric", labels="tags", entity="host", type="kind", org="org")
LISTED = replace(MAPPING, labels=("site", "room"))
INNER = replace(MAPPING, labels=("tags.a", "site"), value="tags.c")
SOURCE = Source(key="key", arrival_us=ARRIVAL_US, org="acme", flat=MAPPING)
ROW = {"ts": 1762000000123, "v": 1.5, "metric": "m"}
KEPT = ("m", "{}", "gauge", 0, 1762000000123000, 1762000000, (1.5).hex(), None)


def strictly(body: bytes, mapping: FlatMapping = MAPPING) -> Plain:
    return plain(strict.read(body, 0, len(body), replace(SOURCE, flat=mapping)).decoded)


def by_columns(body: bytes, mapping: FlatMapping = MAPPING) -> Plain | None:
    try:
        return plain(columnar.read(body, replace(SOURCE, flat=mapping)))
    except DecodeError:
        return None


def whole(body: bytes, mapping: FlatMapping | None = MAPPING) -> Plain:
    return plain(decode_object(body, key="key", arrival_us=ARRIVAL_US, rules=DecodeRules(org="acme", flat=mapping)))


def row(**fields: Any) -> bytes:
    return json.dumps(ROW | fields).encode()


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"org": 5}, BAD_POINT_ORG),
        ({"kind": "role"}, BAD_POINT_TYPE),
        ({"kind": 5}, BAD_POINT_TYPE),
        ({"kind": "host"}, BAD_ENTITY),
        ({"host": 5}, BAD_ENTITY),
        ({"metric": None}, BAD_NAME),
        ({"metric": "\ud800"}, BAD_NAME),
        ({"tags": 5}, BAD_LABELS),
        ({"tags": {"\ud800": "x"}}, BAD_LABELS),
        ({"ts": None}, BAD_TIME),
        ({"ts": True}, BAD_TIME),
        ({"ts": "noon"}, BAD_TIME),
        ({"ts": 1762000000}, BAD_TIME),
        ({"v": True}, BAD_VALUE),
        ({"v": "x"}, BAD_VALUE),
        ({"v": []}, BAD_VALUE),
        ({"v": None}, "null"),
        ({"v": "nan"}, "nan"),
        ({"v": float("1e308") * 10}, "infinite"),
    ],
)
def test_odd_fields(fields: dict[str, Any], what: str) -> None:
    raw = row(**fields).replace(b"Infinity", b"1e400")
    found = whole(raw)
    is_dead = what.startswith("broken")
    assert found.points == []
    assert found.dead == ([("key", 0, what, raw)] if is_dead else [])
    assert found.tally.dropped == ({} if is_dead else {what: {"labeled": 1}})
    assert found.tally.decoded_records == 1


@pytest.mark.parametrize(
    ("fields", "posting", "point"),
    [
        ({}, ("labeled", "acme", ""), KEPT),
        ({"kind": "host", "host": "h", "org": "o"}, ("host", "o", "h"), KEPT),
        ({"kind": "service", "host": ""}, ("service", "acme", ""), KEPT),
        ({"tags": {"b": "x", "a": 1.5, "c": None, "d": [1]}}, ("labeled", "acme", ""), ("m", '{"a":"1.5","b":"x","d":"[1]"}', *KEPT[2:])),
        ({"ts": "1762000000123"}, ("labeled", "acme", ""), KEPT),
        ({"v": "1.5"}, ("labeled", "acme", ""), KEPT),
        ({"extra": {"a": [1]}}, ("labeled", "acme", ""), KEPT),
    ],
)
def test_fields(fields: dict[str, Any], posting: tuple[str, ...], point: tuple[Any, ...]) -> None:
    found = whole(row(**fields))
    assert found.postings == [(*posting, None, ARRIVAL_US)]
    assert found.points == [(0, *point)]


@pytest.mark.parametrize(
    ("unit", "written", "time_us"),
    [
        ("s", "1762000000.5", 1762000000500000),
        ("ms", "1762000000123", 1762000000123000),
        ("us", "1762000000123456", 1762000000123456),
        ("ns", "1762000000999999999", 1762000000999999),
        ("ns", '"1762000000999999999"', 1762000000999999),
    ],
)
def test_units_of_time(unit: str, written: str, time_us: int) -> None:
    mapping = replace(MAPPING, time_unit=unit)
    raw = f'{{"ts":{written},"v":1,"metric":"m"}}'.encode()
    found = whole(raw, mapping)
    assert [one[5] for one in found.points] == [time_us]
    assert found == strictly(raw, mapping)


@pytest.mark.parametrize(
    ("written", "time_us"),
    [
        ("2025-11-01T12:26:40Z", 1762000000000000),
        ("2025-11-01T21:26:40+09:00", 1762000000000000),
        ("2025-11-01T21:26:40+0900", 1762000000000000),
        ("2025-11-01T21:26:40+09", 1762000000000000),
        ("2025-11-01 12:26:40", 1762000000000000),
        ("2025-11-01 12:26:40.123456789", 1762000000123456),
        ("2025-11-01T12:26:40,5-00:30", 1762001800500000),
        ("2025-11-01T12:26Z", 1761999960000000),
        ("2025-11-01", 1761955200000000),
        ("2024-02-29T00:00:00Z", 1709164800000000),
        ("1999-12-31T23:59:59Z", None),
        ("2101-01-01T00:00:00Z", None),
        ("2100-12-31T23:59:59.999999Z", 4133980799999999),
        ("2025-02-29T00:00:00Z", None),
        ("2025-11-01T24:00:00Z", None),
        ("2025-11-01T12:26:60Z", None),
        ("2025-11-01T12:26:40+24:00", None),
        ("2025-11-01T12:26:40 Z", None),
        ("2025-11-01T12:26:40Z\n", None),
        ("2025-11-01T12", None),
        ("20251101T122640Z", None),
        ("٢٠٢٥-11-01", None),
        ("noon", None),
    ],
)
def test_times_of_iso_8601(written: str, time_us: int | None) -> None:
    """Without an offset they are UTC, as timestamps of tables without a time zone are."""
    raw = row(ts=written)
    found = whole(raw)
    assert [one[5] for one in found.points] == ([] if time_us is None else [time_us])
    assert [letter[2] for letter in found.dead] == ([BAD_TIME] if time_us is None else [])
    assert found == strictly(raw)
    assert by_columns(raw) in (None, found)
    table = plain(flat_tables.read_table(pa.table({"ts": [written], "v": [1.5], "metric": ["m"]}), SOURCE))
    assert (table.points, table.tally) == (found.points, found.tally)


@pytest.mark.parametrize("end", ["Z", "+09:00", "", ".25Z"])
def test_ordinary_times_of_iso_8601_are_read_by_columns(end: str) -> None:
    body = b"\n".join(row(ts=f"2025-11-01T12:{one:02}:40{end}") for one in range(60))
    assert by_columns(body) == strictly(body)


NESTED = FlatMapping(time="at.time", time_unit="ms", value="value.sum", name="metric", labels="at.tags", entity="host")
DEEP = {"at": {"time": 1762000000123, "tags": {"a": "x"}}, "value": {"sum": 1.5, "count": 2}, "metric": "m", "host": "h"}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, ""),
        ({"value.sum": 1.5, "value": 5}, ""),
        ({"at": {"time": 1762000000123}}, ""),
        ({"value": {"sum": None}}, "null"),
        ({"value": {"summ": 1}}, "no value field"),
        ({"value": None}, "no value field"),
        ({"value": [{"sum": 1}]}, "no value field"),
        ({"value": {"sum": "x"}}, BAD_VALUE),
        ({"at": {}}, BAD_TIME),
        ({"at": None}, BAD_TIME),
    ],
)
def test_fields_within_fields(changed: dict[str, Any], what: str) -> None:
    """A field of exactly the name goes first."""
    body = json.dumps(DEEP | changed).encode()
    found = whole(body, NESTED)
    is_dead = what.startswith("broken")
    assert len(found.points) == (not what)
    assert [letter[2] for letter in found.dead] == ([what] if is_dead else [])
    assert found.tally.dropped == ({what: {"labeled": 1}} if what and not is_dead else {})
    assert found == strictly(body, NESTED)
    assert by_columns(body, NESTED) in (None, found)
    table = plain(flat_tables.read_table(pa.Table.from_pylist([DEEP | changed]), replace(SOURCE, flat=NESTED)))
    assert (table.postings, table.points, table.tally) == (found.postings, found.points, found.tally)


def test_ordinary_fields_within_fields_are_read_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [DEEP | {"value": {"sum": one / 2, "count": 1}} for one in range(300)]
    body = "\n".join(map(json.dumps, rows)).encode()
    truth = strictly(body, NESTED)
    assert by_columns(body, NESTED) == truth
    monkeypatch.setattr(flat_tables, "_one_by_one", None)
    assert plain(flat_tables.read_table(pa.Table.from_pylist(rows), replace(SOURCE, flat=NESTED))).points == truth.points


def test_cloudwatch_records_that_firehose_converted() -> None:
    """A stream's JSON as a table, of which `dimensions` is a map."""
    fields = [("timestamp", pa.int64()), ("metric_name", pa.string()), ("namespace", pa.string()), ("dimensions", pa.map_(pa.string(), pa.string()))]
    schema = pa.schema([*fields, ("value", pa.struct([("sum", pa.float64()), ("count", pa.float64())]))])
    table = pa.Table.from_pylist([CLOUDWATCH | {"dimensions": [*CLOUDWATCH["dimensions"].items()]}], schema)
    mapping = FlatMapping(time="timestamp", time_unit="ms", value="value.sum", name="metric_name", labels="dimensions", entity="namespace")
    found = plain(flat_tables.read_table(table, replace(SOURCE, flat=mapping)))
    assert [(one[1], one[7]) for one in found.points] == [(CLOUDWATCH["metric_name"], float(CLOUDWATCH["value"]["sum"]).hex())]
    labels = FlatMapping(time="timestamp", time_unit="ms", value="value.sum", name="metric_name", labels=("dimensions.InstanceId",))
    found = plain(flat_tables.read_table(table, replace(SOURCE, flat=labels)))
    assert [one[2] for one in found.points] == [json.dumps({"dimensions.InstanceId": CLOUDWATCH["dimensions"]["InstanceId"]}, separators=(",", ":"))]


def test_times_and_decimals_within_fields_of_tables() -> None:
    inner = pa.struct([("time", pa.timestamp("ms")), ("tags", pa.struct([("a", pa.string())]))])
    schema = pa.schema([("at", inner), ("value", pa.struct([("sum", pa.decimal128(5, 2))])), ("metric", pa.string())])
    moment = {"time": datetime(2025, 11, 1, 12, 26, 40, 123000), "tags": {"a": "x"}}  # noqa: DTZ001
    rows = [{"at": moment, "value": {"sum": Decimal("1.5")}, "metric": "m"}] * 3
    for broken in ([], [{"at": None, "value": None, "metric": "m"}]):  # of which the second is read row by row
        found = plain(flat_tables.read_table(pa.Table.from_pylist(rows + broken, schema), replace(SOURCE, flat=NESTED)))
        assert [one[1:] for one in found.points] == [("m", '{"a":"x"}', *KEPT[2:])] * 3
        assert [letter[2] for letter in found.dead] == [BAD_TIME] * len(broken)


def test_a_value_field_that_no_row_has_is_told_apart_from_nulls() -> None:
    mapping = replace(MAPPING, value="valeu")
    rows = [ROW] * 5
    found = whole("\n".join(map(json.dumps, rows)).encode(), mapping)
    assert found.tally.dropped == {"no value field": {"labeled": 5}}
    assert by_columns("\n".join(map(json.dumps, rows)).encode(), mapping) == found
    table = plain(flat_tables.read_table(pa.Table.from_pylist(rows), replace(SOURCE, flat=mapping)))
    assert table.tally == found.tally
    mixed = "\n".join(map(json.dumps, [ROW, {"ts": ROW["ts"], "metric": "m"}, ROW | {"v": None}])).encode()
    assert whole(mixed).tally.dropped == {"no value field": {"labeled": 1}, "null": {"labeled": 1}}
    assert by_columns(mixed) == strictly(mixed)


def test_arrays_of_rows_and_constants() -> None:
    body = b"[" + row(host="a") + b", 5 ," + row(host="b") + b"]" + row(host="a")
    mapping = replace(MAPPING, name="=temperature", type="=service")
    found = whole(body, mapping)
    assert [one[:3] for one in found.postings] == [("service", "acme", "a"), ("service", "acme", "b"), ("service", "acme", "a")]
    assert [one[:2] for one in found.points] == [(0, "temperature"), (1, "temperature"), (2, "temperature")]
    assert found.dead == [("key", 0, BAD_ELEMENT, b"5")]


_TEXTS = st.sampled_from(["h", "", "日本", 'q"', "\U0001f600", "1.5"])
_ODD = st.sampled_from(["2025-11-01T12:26:40Z", None, True, 5, 1.5, "x", [], {}, {"a": None}, {"a": "b", "c": 5}, "\ud800", -1, 10**30])
_FIELDS = st.fixed_dictionaries(
    {
        "ts": st.one_of(st.integers(1762000000000, 1762000100000), st.floats(1762000000000, 1762000100000)),
        "v": st.one_of(st.floats(-10, 10), st.integers(-9, 9)),
        "metric": _TEXTS,
    },
    optional={
        "host": _TEXTS,
        "org": _TEXTS,
        "kind": st.sampled_from(["labeled", "host", "service"]),
        "tags": st.dictionaries(st.sampled_from(["a", "b"]), _TEXTS),
        "site": _TEXTS,
        "room": st.one_of(_TEXTS, st.none()),
    },
)  # fmt: skip


@st.composite
def _rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = draw(st.lists(_FIELDS, min_size=1, max_size=5))
    if draw(st.integers(0, 2)) == 0:
        draw(st.sampled_from(rows))[draw(st.sampled_from(["ts", "v", "metric", "host", "org", "kind", "tags", "site"]))] = draw(_ODD)
    return rows


@settings(max_examples=300, deadline=None)
@given(_rows(), st.sampled_from([MAPPING, LISTED, INNER]))
def test_columns_say_what_the_strict_reader_says(rows: list[dict[str, Any]], mapping: FlatMapping) -> None:
    body = "\n".join(map(json.dumps, rows)).encode()
    truth = strictly(body, mapping)
    assert by_columns(body, mapping) in (None, truth)
    assert whole(body, mapping) == truth


def test_ordinary_rows_are_read_by_columns() -> None:
    body = b"\n".join(row(host=f"h{one % 3}", kind="host", tags={"a": str(one % 2)}, v=one) for one in range(100))
    assert by_columns(body) == strictly(body)
    body = b"\n".join(row(host=f"h{one % 3}", site="s", v=one / 2) for one in range(100))
    assert by_columns(body, LISTED) == strictly(body, LISTED)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.just([]), _rows()), min_size=1, max_size=4), st.sampled_from(["", "\n", " \r\n"]), st.sampled_from([MAPPING, LISTED, INNER]))
def test_columns_of_arrays_say_what_the_strict_reader_says(arrays: list[list[dict[str, Any]]], between: str, mapping: FlatMapping) -> None:
    body = (between + between.join(map(json.dumps, arrays))).encode()
    truth = strictly(body, mapping)
    assert by_columns(body, mapping) in (None, truth)
    assert whole(body, mapping) == truth


def test_ordinary_arrays_are_read_by_columns() -> None:
    """A posting for each array and identity, in the order in which they appear."""
    arrays = [[{**ROW, "host": f"h{(one * other) % 3}", "kind": "host", "v": one} for one in range(20)] for other in range(5)]
    body = b"\n[]".join(json.dumps(one).encode() for one in arrays)
    found = by_columns(body)
    assert found == strictly(body)
    assert [row[2] for row in found.postings[:5]] == ["h0", "h0", "h1", "h2", "h0"]
    assert (found.tally.records, len(found.points)) == (9, 100)


@pytest.mark.parametrize("depth", [150, 198, 199, 200, 201, 250])
@pytest.mark.parametrize("is_array", [False, True])
def test_unknown_fields_nested_deep(depth: int, is_array: bool) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    rows = [row(host=f"h{one}") for one in range(300)]
    rows[150] = rows[150][:-1] + b',"x":' + deep + b"}"
    body = b"[" + b"]\n[".join(rows) + b"]" if is_array else b"\n".join(rows)
    truth = strictly(body)
    assert by_columns(body) in (None, truth)
    assert whole(body) == truth


@pytest.mark.parametrize("fields", [{"kinesis": 1}, {"rawData": 1, "errorCode": 2}, {"approximateArrivalTimestamp": 1, "data": "e30="}])
def test_what_may_be_an_envelope_is_not_read_as_a_row(fields: dict[str, Any]) -> None:
    assert by_columns(b"\n".join([row(), row(**fields)])) is None


_CHANGES = st.sampled_from(
    [
        {}, {}, {"timestamp": 1762000020123.5}, {"timestamp": "1762000020123"}, {"timestamp": 5},
        {"dimensions": {}}, {"dimensions": None}, {"dimensions": {"b": "x"}}, {"dimensions": {"b": None}}, {"dimensions": {"b": 5}},
        {"dimensions": {"region": "x"}},
        {"region": None}, {"namespace": ""}, {"metric_name": 5}, {"value": None},
        {"value": {"count": 1}}, {"value": {"count": 0, "sum": 0, "min": 0, "max": 0}}, {"value": {"count": 1.5, "sum": 0, "min": 0, "max": 0}},
        {"value": {"count": "2", "sum": 0, "min": 0, "max": 0}}, {"resourceMetrics": []}, {"x": [1]}, {"type": "host"},
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(_CHANGES, min_size=1, max_size=4))
def test_columns_of_cloudwatch_say_what_the_strict_reader_says(changes: list[dict[str, Any]]) -> None:
    body = "\n".join(json.dumps(CLOUDWATCH | one) for one in changes).encode()
    truth = plain(strict.read(body, 0, len(body), replace(SOURCE, flat=None)).decoded)
    try:
        found = plain(columnar.read(body, replace(SOURCE, flat=None)))
    except DecodeError:
        found = None
    assert found in (None, truth)
    assert whole(body, None) == truth
    if not any(changes):
        assert found == truth


def _table(rows: list[dict[str, Any]]) -> pa.Table | None:
    try:
        return (
            pa.Table.from_pylist(rows)
            if len({key for one in rows for key in one}) == len({*rows[0]})
            else pa.table({key: [one.get(key) for one in rows] for key in sorted({key for one in rows for key in one})})
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        return None


@settings(max_examples=200, deadline=None)
@given(_rows(), st.sampled_from([MAPPING, LISTED, INNER]))
def test_tables_say_what_rows_of_json_say(rows: list[dict[str, Any]], mapping: FlatMapping) -> None:
    table = _table(rows)
    if table is None or not table.num_columns:
        return
    truth = strictly("\n".join(map(json.dumps, table.to_pylist())).encode(), mapping)
    found = plain(flat_tables.read_table(table, replace(SOURCE, flat=mapping)))
    assert found.postings == truth.postings
    assert found.points == truth.points
    assert [letter[2] for letter in found.dead] == [letter[2] for letter in truth.dead]
    assert found.tally == truth.tally


@pytest.mark.parametrize(
    ("column", "time_us"),
    [
        (pa.array([datetime(2025, 11, 1, 12, 26, 40, 123456, UTC)], pa.timestamp("us", "UTC")), 1762000000123456),
        (pa.array([1762000000999999999], pa.timestamp("ns")), 1762000000999999),
        (pa.array([1762000000], pa.timestamp("s")), 1762000000000000),
        (pa.array([date(2025, 11, 1)], pa.date32()), 1761955200000000),
        (pa.array([1762000000123], pa.int64()), 1762000000123000),
        (pa.array([1762000000123.0], pa.float64()), 1762000000123000),
        (pa.array(["1762000000123"]), 1762000000123000),
    ],
)
def test_times_of_tables(column: pa.Array, time_us: int) -> None:
    found = plain(flat_tables.read_table(pa.table({"ts": column, "v": [1.5], "metric": ["m"]}), SOURCE))
    assert [one[5] for one in found.points] == [time_us]


@pytest.mark.parametrize("column", [pa.array([1.5], pa.float32()), pa.array([Decimal("1.5")]), pa.array(["1.5"]), pa.array(["1.5"]).dictionary_encode()])
def test_values_of_tables(column: pa.Array) -> None:
    found = plain(flat_tables.read_table(pa.table({"ts": [1762000000123], "v": column, "metric": pa.array(["m"], pa.large_string())}), SOURCE))
    assert found.points == [(0, *KEPT)]


def test_maps_are_labels() -> None:
    tags = pa.array([[("a", "x")], None], pa.map_(pa.string(), pa.string()))
    found = plain(flat_tables.read_table(pa.table({"ts": [1762000000123] * 2, "v": [1.5] * 2, "metric": ["m"] * 2, "tags": tags}), SOURCE))
    assert [one[2] for one in found.points] == ['{"a":"x"}', "{}"]


def test_parquet_objects_are_rows() -> None:
    rows = 40_000
    table = pa.table({"ts": np.arange(rows) + 1762000000000, "v": np.arange(rows) / 2, "metric": ["m"] * (rows - 1) + [None], "host": ["h"] * rows})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    found = whole(sink.getvalue().to_pybytes())
    assert len(found.points) == rows - 1
    assert found.points[-1] == (rows - 2, "m", "{}", "gauge", 0, (1762000000000 + rows - 2) * 1000, 1762000039, ((rows - 2) / 2).hex(), None)
    assert [(letter[1], letter[2]) for letter in found.dead] == [(rows - 1, BAD_NAME)]
    assert found.tally.records == rows
