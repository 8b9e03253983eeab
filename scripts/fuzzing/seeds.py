"""Small real payloads by decoder, to be mutated. A new decoder gets a line in SEEDS, and one in rules.py if it needs rules of its own."""

import base64
import gzip
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import cramjam
import pyarrow as pa
import zstandard
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from scripts.encoders.containers import orc, parquet
from scripts.encoders.envelopes import as_lines, error_record, firehose_record
from scripts.encoders.otlp import SERIES, StatisticSets

DATA: Final = Path(__file__).resolve().parents[2] / "tests" / "data"

_LINES: Final = 4


@cache
def _bare() -> tuple[bytes, ...]:
    """Bodies of agent posts as captured, a few points each so that mutations hit something that matters."""
    lines = (DATA / "agent-posts.ndjson").read_text("utf-8").splitlines()[:_LINES]
    bodies = [json.loads(line)["body"] for line in lines]
    points = [json.loads(body) if isinstance(body, str) else body for body in bodies]
    return tuple(json.dumps(one[:5]).encode() for one in points)


@cache
def _postings() -> tuple[bytes, ...]:
    bare = [json.loads(body) for body in _bare()]
    hosts = [
        {"type": "host", "org": "acme", "hostId": body[0]["hostId"], "roles": ["web:app"], "receivedAt": 1_762_000_000.123, "metrics": body} for body in bare
    ]
    services = [{"type": "service", "org": "acme", "service": "shop", "receivedAt": 1_762_000_003, "metrics": body[:2]} for body in bare]
    return tuple(json.dumps(one, ensure_ascii=False).encode() + end for one, end in zip(hosts + services, [b"", b"\n", b" ", b"\r\n"] * 2, strict=True))


def _joined() -> tuple[bytes, ...]:
    return (b"".join(_postings()), b"\n".join(_bare()), b"".join(_bare()))


@cache
def _requests() -> tuple[bytes, ...]:
    """OTLP export requests as captured, thinned so that mutations are many and hit what differs."""
    lines = (DATA / "otlp-exports.ndjson").read_text("utf-8").splitlines()[:2]
    return tuple(_thinned(base64.b64decode(json.loads(line)["body_base64"])) for line in lines)


def _thinned(body: bytes) -> bytes:
    """A request with the first two attributes of each resource, metrics of each kind, and points of each metric."""
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        del resource.resource.attributes[2:]
        kinds = Counter[str]()
        for scope in resource.scope_metrics:
            metrics = [*scope.metrics]
            del scope.metrics[:]
            for metric in metrics:
                kind = metric.WhichOneof("data")
                kinds[kind] += 1
                if kinds[kind] <= 2:
                    del getattr(metric, kind).data_points[2:]
                    scope.metrics.append(metric)
    return bytes(request.SerializeToString())


def _delimited() -> tuple[bytes, ...]:
    return tuple(_behind_lengths(_requests()[:number]) for number in (1, 2))


def _behind_lengths(messages: Iterable[bytes]) -> bytes:
    return b"".join(_varint(len(one)) + one for one in messages)


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)


def _labeled() -> tuple[bytes, ...]:
    texts = (base64.b64encode(one).decode() for one in _requests())
    return tuple(json.dumps({"type": "labeled", "org": "acme", "receivedAt": 1_795_347_228, "otlp": text}).encode() for text in texts)


def _events() -> tuple[bytes, ...]:
    """Lambda's Kinesis events and Firehose's records."""
    arrived_s = 1_762_000_000.5
    datas = [base64.b64encode(one).decode() for one in _postings()[::3]]
    records = [{"eventID": "shardId-000000000000:1", "kinesis": {"data": one, "approximateArrivalTimestamp": arrived_s}} for one in datas]
    firehose = [{"recordId": "1", "approximateArrivalTimestamp": int(arrived_s * 1000), "data": one} for one in datas]
    return json.dumps({"Records": records}).encode(), b"\n".join(json.dumps(one).encode() for one in firehose)


def _aggregates() -> tuple[bytes, ...]:
    """KPL aggregates: magic, records (field 3) with partition key index and data, MD5."""
    records = b"".join(_field(3, b"\x08\x00" + _field(3, one)) for one in _postings())
    message = _field(1, b"key") + records
    return (b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message).digest(),)  # noqa: S324 - the format's own check


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _cloudwatch() -> tuple[bytes, ...]:
    value = {"max": 9.5, "min": 0.5, "sum": 20.0, "count": 4.0}
    records = [
        {
            "metric_stream_name": "all", "account_id": "123456789012", "region": "eu-west-1", "namespace": "AWS/EC2", "metric_name": name,
            "dimensions": {"InstanceId": "i-1"}, "timestamp": 1_762_000_020_000, "value": value, "unit": "Percent",
        }
        for name in ("CPUUtilization", "NetworkIn")
    ]  # fmt: skip
    return (b"\n".join(json.dumps(one).encode() for one in records),)


def _zipped() -> tuple[bytes, ...]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, body in enumerate(_joined()):
            archive.writestr(f"{number}.json", body)
    return (file.getvalue(),)


def _hadoop(body: bytes) -> bytes:
    """One block of two compressed parts."""
    halves = [bytes(cramjam.snappy.compress_raw(part)) for part in (body[:100], body[100:])]
    return len(body).to_bytes(4) + b"".join(len(part).to_bytes(4) + part for part in halves)


def _snappy() -> tuple[bytes, ...]:
    return tuple(make(body) for body in _joined() for make in (lambda one: bytes(cramjam.snappy.compress(one)), _hadoop))


def _posting_table() -> pa.Table:
    rows = [json.loads(one) for one in _postings()]
    names = {name for row in rows for name in row}
    return pa.table({name: [row.get(name) for row in rows] for name in sorted(names)})


def _otlp_json() -> tuple[bytes, ...]:
    documents = [json_format.MessageToDict(ExportMetricsServiceRequest.FromString(one)) for one in _requests()]
    return b"\n".join(json.dumps(one).encode() for one in documents), json.dumps(documents[:1]).encode()


def _statistic_sets() -> tuple[bytes, ...]:
    """A CloudWatch metric stream in OpenTelemetry 1.0: summaries, each request behind its length."""
    sets = StatisticSets("i-1")
    requests = (sets.export(1_762_000_020 + 60 * minute, [2.0 + minute] * SERIES).SerializeToString() for minute in range(2))
    return (_behind_lengths(map(_thinned, requests)),)


def _error_output() -> tuple[bytes, ...]:
    """What Firehose writes under its error prefix, and what a transform says of its records."""
    datas = _postings()[-_LINES:]
    results = [firehose_record(one, result=result) for one, result in zip(datas, ("Ok", "ProcessingFailed", "Dropped", "Ok"), strict=True)]
    return as_lines(*map(error_record, datas)), as_lines({"records": results})


def _arrays() -> tuple[bytes, ...]:
    """Arrays of records, of one schema or of many."""
    return _array(_postings()), _array((*_postings()[:2], _bare()[0], *_labeled()[:1], _events()[0])), _array(_bare())


def _array(elements: Iterable[bytes]) -> bytes:
    return b"[" + b", ".join(elements) + b"]"


def _flat() -> list[dict[str, object]]:
    times: list[object] = [1_762_000_020_123, "1762000020123", "2025-11-01T12:27:00.5Z", "2025-11-01 12:27:00"]
    return [
        {"at": {"ts": one}, "value": {"sum": 0.5, "count": 1}, "metric": "m", "device": "d", "tags": {"site": "s"}, "room": "r", "kind": "host"}
        for one in times
    ]


def _flat_rows() -> tuple[bytes, ...]:
    numbers, texts = _flat()[:1] * 3, _flat()[2:3] * 3
    return as_lines(*_flat()), as_lines(*numbers), as_lines(*texts), json.dumps(numbers).encode(), json.dumps(_flat()).encode()


def _flat_tables() -> tuple[bytes, ...]:
    tables = [pa.Table.from_pylist(rows * 3) for rows in (_flat()[:1], _flat()[1:])]
    return tuple(write(table) for write in (parquet, orc) for table in tables)


SEEDS: Final[Mapping[str, Callable[[], tuple[bytes, ...]]]] = {
    "postings": lambda: _postings() + _joined()[:1],
    "bare arrays": lambda: _bare() + _joined()[1:],
    "gzip": lambda: tuple(gzip.compress(body, mtime=0) + gzip.compress(other, mtime=0) for body, other in pairwise(_joined())),
    "zstd": lambda: tuple(zstandard.compress(body) for body in _joined()),
    "zip": _zipped,
    "snappy": _snappy,
    "Parquet": lambda: (parquet(_posting_table()),),
    "ORC": lambda: (orc(_posting_table()),),
    "envelopes": _events,
    "KPL aggregates": _aggregates,
    "OTLP": _requests,
    "OTLP delimited": _delimited,
    "OTLP/JSON": _otlp_json,
    "labeled postings": _labeled,
    "CloudWatch": _cloudwatch,
    "CloudWatch OpenTelemetry": _statistic_sets,
    "Firehose error output": _error_output,
    "arrays of records": _arrays,
    "flat rows": _flat_rows,
    "flat tables": _flat_tables,
}
