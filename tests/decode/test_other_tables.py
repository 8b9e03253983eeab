"""Tables whose rows are no postings of hosts and services: labeled postings, flat rows."""

import base64
import json
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest

from scripts.encoders.containers import orc, parquet
from tests.decode.parts import Plain, otlp_exports, plain
from tests.decode.readings import ARRIVAL_US
from transforms.core.flat import FlatMapping
from transforms.decode.causes import BAD_TIME
from transforms.decode.objects import DecodeRules, decode_object

FLAT = FlatMapping(time="ts", time_unit="ms", value="v", name="metric", entity="device", labels=("site", "room"))
ROWS = [
    {"ts": 1_762_000_000_123, "v": 1.5, "metric": "temperature", "device": "a", "site": "tokyo", "room": None},
    {"ts": 1_762_000_060_000, "v": None, "metric": "temperature", "device": "b", "site": None, "room": 7},
    {"ts": 1_762_000_120_999, "v": -2.0, "metric": "humidity", "device": "a", "site": "kyoto", "room": 8},
]


def decoded(body: bytes, flat: FlatMapping | None = None) -> Plain:
    return plain(decode_object(body, key="k", arrival_us=ARRIVAL_US, rules=DecodeRules(org="default", flat=flat)))


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.mark.parametrize("write", [parquet, orc])
def test_flat_rows(write: Any) -> None:
    found = decoded(write(pa.Table.from_pylist(ROWS)), FLAT)
    assert found == decoded(as_lines(ROWS), FLAT)
    assert [(row[1], row[2], row[5], row[7]) for row in found.points] == [
        ("temperature", '{"site":"tokyo"}', 1_762_000_000_123_000, (1.5).hex()),
        ("humidity", '{"room":"8","site":"kyoto"}', 1_762_000_120_999_000, (-2.0).hex()),
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_timestamp_has_a_unit_of_its_own(unit: str) -> None:
    rows = pa.Table.from_pylist(ROWS)
    times = rows["ts"].cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp(unit, "UTC"), safe=False)
    found = decoded(parquet(rows.set_column(0, "ts", times)), FLAT)
    assert [row[6] for row in found.points] == [1_762_000_000, 1_762_000_120]
    assert found.dead == []


def test_a_broken_row_is_a_dead_letter() -> None:
    found = decoded(parquet(pa.Table.from_pylist([ROWS[0], ROWS[1] | {"ts": 5}, ROWS[2]])), FLAT)
    assert [letter[1:3] for letter in found.dead] == [(1, BAD_TIME)]
    assert len(found.points) == 2


@pytest.mark.parametrize("with_hosts", [False, True])
def test_labeled_postings(with_hosts: bool) -> None:
    rows: list[dict[str, Any]] = [{"type": "labeled", "org": "acme", "otlp": base64.b64encode(one).decode()} for one in otlp_exports()[:5]]
    schema = [("type", pa.string()), ("org", pa.string()), ("otlp", pa.string())]
    if with_hosts:
        point = pa.struct([("name", pa.string()), ("time", pa.int64()), ("value", pa.float64())])
        schema += [("hostId", pa.string()), ("metrics", pa.list_(point))]
        rows[2:2] = [{"type": "host", "hostId": "h", "metrics": [{"name": "a", "time": 1_762_000_000, "value": 1.5}]}] * 2
    found = decoded(parquet(pa.Table.from_pylist(rows, pa.schema(schema))))
    assert found == decoded(as_lines(rows))
    assert len(found.points) > 100
    assert found.dead == []
