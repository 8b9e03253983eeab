"""The form of an object as its beginning shows it."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given, strategies as st

from tests.decode.postings import damaged
from tests.decode.test_kpl import aggregate, sealed
from tests.decode.test_otlp_forms import REQUESTS
from transforms.decode.containers import UnpackLimits, unpack
from transforms.decode.forms import Form, form_of, schema_of

HOST = b'{"type":"host","hostId":"h","metrics":[]}'
SERVICE = b'{"type":"service","service":"s","metrics":[]}'
BARE = b'[{"hostId":"h","name":"n","time":1762000000,"value":1}]'
LIMITS = UnpackLimits()


def form(body: bytes) -> Form:
    return form_of(unpack(body, LIMITS))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (HOST, ("none", "one JSON value", "host posting")),
        (HOST + b"\n" + HOST + b"\r\n" + SERVICE, ("none", "one JSON value a line", "host posting, service posting")),
        (HOST + HOST, ("none", "JSON values joined", "host posting")),
        (HOST + b" " + HOST + b"\n" + HOST, ("none", "JSON values", "host posting")),
        (b"\xef\xbb\xbf\n" + BARE, ("none", "one JSON value", "bare host points")),
        (gzip.compress(BARE, mtime=0), ("gzip", "one JSON value", "bare host points")),
        (zstandard.compress(b"{}"), ("zstd", "one JSON value", "empty object")),
        (b"oops\n" + HOST, ("none", "one JSON value a line", "host posting")),
        (b"", ("none", "nothing in it", "none")),
        (b" \n", ("none", "nothing in it", "none")),
        (b"PAR1\x15\x04", ("parquet", "rows", "table")),
        (b"PK\x03\x04\x14", ("zip", "nothing in it", "none")),
        (aggregate(HOST, SERVICE, HOST), ("none", "KPL aggregate", "host posting, service posting")),
        (gzip.compress(aggregate(REQUESTS[0]), mtime=0), ("gzip", "KPL aggregate", "OTLP metrics protobuf")),
        (aggregate(gzip.compress(BARE, mtime=0), aggregate(HOST)), ("none", "KPL aggregate", "KPL aggregate, bare host points")),
        (sealed(b""), ("none", "KPL aggregate", "none")),
        (aggregate(HOST)[:-1], ("none", "KPL aggregate", "damaged (broken aggregate: MD5)")),
        (b"\xf3\x89\x9a\xc2\x0a", ("none", "KPL aggregate", "damaged (broken aggregate: MD5)")),
        (gzip.compress(gzip.compress(HOST, mtime=0), mtime=0), ("gzip", "no JSON", "looks like gzip")),
        (b"timestamp,value\r\n2015,3", ("none", "no JSON", "text, begins with 'timestamp,value'")),
        (b"1,2\n3,4\n", ("none", "no JSON", "text, begins with '1,2'")),
        (b"\x00\x01\xff", ("none", "no JSON", "unknown, begins with 00 01 ff")),
        (b"\x1b[31mred", ("none", "no JSON", "unknown, begins with 1b 5b 33 31 6d 72 65 64")),
    ],
)
def test_forms(body: bytes, expected: tuple[str, str, str]) -> None:
    assert form(body) == expected


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ('{"type":"labeled","otlp":"x"}', "labeled posting"),
        ('{"resourceMetrics":[]}', "OTLP/JSON metrics"),
        ('{"metric_stream_name":"s","value":{}}', "CloudWatch metric stream JSON"),
        ('{"Records":[]}', "Lambda event"),
        ('{"rawData":"e30=","errorCode":"x"}', "Firehose error output of empty object"),
        ('{"attemptsMade":1,"rawData":"eA=="}', "object of attemptsMade, rawData"),
        ('{"Records":[{"kinesis":{"data":"e30="}},{"kinesis":{"data":"W10="}}]}', "Lambda event of empty array, empty object"),
        ('{"Records":[{"kinesis":{"data":"eyJSZWNvcmRzIjpbXX0="}}]}', "Lambda event of Lambda event"),
        ('{"Records":[{"kinesis":{"data":"!"}}]}', "Lambda event"),
        ('{"kinesis":{"data":"e30="}}', "Lambda event of empty object"),
        ('{"records":[{"recordId":"1","data":"e30="}]}', "Firehose records of empty object"),
        ('[{"type":"host","hostId":"h","metrics":[]},{"type":"labeled","otlp":""}]', "array of host posting, labeled posting"),
        ('[{"type":"host","hostId":"h","metrics":[]},{"kinesis":{"data":"e30="}}]', "array of Lambda event of empty object, host posting"),
        ('[[{"hostId":"h"}]]', "array of bare host points"),
        ('{"a":1,"b":2,"c":3,"d":4,"e":5}', "object of a, b, c, d, …"),
        ('{"\\u001b[31m":1}', "object of \\x1b[31m"),
        ('{"type":7}', "object of type"),
        ('{"type":"\\ud800\\u001b"}', "\\ud800\\x1b posting"),
        ('[{"name":"n","value":1}]', "array of rows of name, value"),
        ("[]", "empty array"),
        ("[1]", "array"),
        ("null", "number or text"),
    ],
)
def test_schemas(text: str, schema: str) -> None:
    assert schema_of(json.loads(text)) == schema


@given(damaged() | st.binary(max_size=200))
def test_every_object_has_a_form_in_short_printable_words(body: bytes) -> None:
    found = form(body)
    assert all(one and one.isprintable() for one in found)
    assert len(found.framing) <= 25


def test_a_record_of_any_size_is_looked_at() -> None:
    array = b"[" + b",".join([HOST] * 40_000) + b"]"
    assert form(array + array) == ("none", "one JSON value", "array of host posting")


def test_only_the_beginning_is_looked_at() -> None:
    assert form(HOST * 100 + SERVICE) == ("none", "JSON values joined", "host posting")
