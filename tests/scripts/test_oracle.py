"""The oracle against tables computed by hand: what it reads of an archive, and what it makes of it."""

import gzip
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from scripts import oracle

T = 1_762_000_020  # 2025-11-01T12:27:00Z
MEMBERS = [oracle.Member("acme", "h1", "shop:web", T * 1e6, (T + 60) * 1e6), oracle.Member("acme", "h1", "shop:db", -math.inf, math.inf)]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def point(value: Json, time: Json = T, name: Json = "load") -> Json:
    return {"name": name, "time": time, "value": value}


def host(*points: Json, **fields: Json) -> str:
    return json.dumps({"type": "host", "org": "acme", "hostId": "h1", "receivedAt": T + 1, "metrics": list(points)} | fields)


def archive(folder: Path, content: str | bytes, key: str = "2025/11/01/12/s-1-2025-11-01-12-28-00-ab.json") -> Path:
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def values(folder: Path) -> list[float]:
    return [one.value for one in oracle.read_archive(str(folder))]


A, B = host(point(1)), host(point(2))
RECORDS = {
    "no separator": (A + B, [1, 2]),
    "any whitespace": (f" {A}\r\n\t{B}\n\n", [1, 2]),
    "a byte-order mark": ("\ufeff" + A + "\n\ufeff" + B, [1, 2]),
    "nothing": ("", []),
    "bad JSON, then a newline": (f'{{"type":"host" oops {A}\n{B}', [2]),
    "bad JSON without a newline": (f"{A}{{]{B}", [1]),
    "a record that breaks off": (A + B[:-3], [1]),
    "a newline inside the bad record": ('{"a":\n' + A + "\n" + B, [1, 2]),
    "an unknown type": (A.replace('"host"', '"trace"') + B, [2]),
    "a type that is no text": (A.replace('"host"', "[]") + B, [2]),
    "an unsupported type": ('{"type":"labeled","org":"acme","otlp":""}' + B, [2]),
    "records that are no postings": ('1 "a" null true {} [] [7] ' + A, [1]),
    "invalid UTF-8 in a name breaks the point": (host(point(1), point(2, name="?")).encode().replace(b"?", b"\xff"), [1]),
    "invalid UTF-8 in the identity breaks the record": (A.encode().replace(b"h1", b"\xff") + B.encode(), [2]),
    "a lone surrogate": (A.replace("load", "\\ud800") + B, [2]),
    "broken envelopes": (
        host(point(1), hostId=5) + host(point(1), org=5) + host(point(1), roles="a") + host(metrics={}) + host(point(1), receivedAt=True) + B,
        [2],
    ),
    "roles of a service say nothing": (A.replace('"host"', '"service"').replace("hostId", "service").replace('"metrics"', '"roles":7,"metrics"'), [1]),
    "a repeated key": (A.replace('"value"', '"value": 9, "value"'), [1]),
}


@pytest.mark.parametrize(("content", "expected"), RECORDS.values(), ids=RECORDS)
def test_records(tmp_path: Path, content: str | bytes, expected: list[float]) -> None:
    assert values(archive(tmp_path, content)) == expected


POINTS: dict[str, tuple[Json, float | None]] = {
    "number": (point(1.5), 1.5),
    "numeric string": (point("-1.5e3"), -1500.0),
    "huge integer": (point(2**53 + 1), 2.0**53),
    "null": (point(None), None),
    "missing value": ({"name": "load", "time": T}, None),
    "NaN": (point(math.nan), None),
    "NaN as text": (point("nan"), None),
    "infinity": (point(-math.inf), None),
    "beyond float64": (point(10**400), None),
    "text": (point("high"), None),
    "text with spaces": (point(" 1"), None),
    "bool": (point(value=True), None),
    "array": (point([1]), None),
    "no object": (7, None),
    "name is a number": (point(1, name=5), None),
    "no time": ({"name": "load", "value": 1}, None),
    "time as text": (point(1, time=str(T)), 1.0),
    "time with a fraction": (point(1, time=T + 0.9), 1.0),
    "time of another century": (point(1, time=5e9), None),
    "P late": (point(1, time=T + 1 - 86400), 1.0),
    "later than P": (point(1, time=T - 86400), None),
    "F early": (point(1, time=T + 1 + 86400), 1.0),
    "fraction floored before F": (point(1, time=T + 1 + 86400.9), 1.0),
    "earlier than F": (point(1, time=T + 2 + 86400), None),
}


@pytest.mark.parametrize(("odd", "expected"), POINTS.values(), ids=POINTS)
def test_points_and_their_siblings(tmp_path: Path, odd: Json, expected: float | None) -> None:
    assert values(archive(tmp_path, host(odd, point(7)))) == [one for one in (expected, 7.0) if one is not None]


def _zstd(text: str) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(text.encode())


def _gzip(text: str) -> bytes:
    return gzip.compress(text.encode())


CONTAINERS = {
    "gzip": (_gzip(A + B), [1, 2]),
    "gzip members": (_gzip(A) + _gzip(B), [1, 2]),
    "gzip with zeros": (_gzip(A) + bytes(7) + _gzip(B) + bytes(9), [1, 2]),
    "gzip with garbage": (_gzip(A) + b"garbage" + _gzip(B), [1]),
    "gzip that breaks off": (_gzip(A) + _gzip(B)[:-9], [1, 2]),
    "corrupt gzip": (_gzip(A) + _gzip(B)[:-8] + bytes(8), [1]),
    "a record over two members": (_gzip(A[:40]) + _gzip(A[40:]), [1]),
    "zstd frames": (_zstd(A) + _zstd(B), [1, 2]),
    "corrupt zstd": (_zstd(A) + _zstd(B)[:-1] + b"?", [1]),
}


@pytest.mark.parametrize(("body", "expected"), CONTAINERS.values(), ids=CONTAINERS)
def test_containers_whatever_the_name(tmp_path: Path, body: bytes, expected: list[float]) -> None:
    assert values(archive(tmp_path, body, "x.txt")) == expected


@pytest.mark.parametrize(
    ("key", "arrival_s"),
    [
        ("2025/11/01/12/s-1-2025-11-01-13-59-59-ab.gz", T - 27 * 60 + 3600 + 59 * 60 + 59),
        ("p/2025/11/01/12/x", T - 27 * 60),
        ("2025/13/01/12/s-1-2025-11-41-13-59-59", T + 5),
        ("x", T + 5),
    ],
)
def test_arrival_of_an_object(tmp_path: Path, key: str, arrival_s: int) -> None:
    folder = archive(tmp_path, json.dumps([{"hostId": "h1", "name": "load", "time": T, "value": 1}]), key)
    os.utime(folder / key, (T + 5.9, T + 5.9))
    (one,) = oracle.read_archive(str(folder), org="mine")
    assert (one.arrival_us, one.series) == (arrival_s * 1_000_000, ("host", "mine", "h1", "load", "{}"))


def test_received_at_is_rounded_to_microseconds(tmp_path: Path) -> None:
    (one,) = oracle.read_archive(str(archive(tmp_path, host(point(1), receivedAt="1762000000.1234567"))))
    assert one.arrival_us == 1_762_000_000_123_457


@pytest.mark.parametrize(
    ("received", "arrival_us"),
    [
        (T, T * 1_000_000),
        (T * 1000 + 0.5, T * 1_000_000 + 500),
        (str(T * 1000 + 7), T * 1_000_000 + 7000),
        (T * 1_000_000 + 3, T * 1_000_000 + 3),
        (946_684_799, None),
        (946_684_800, 946_684_800_000_000),
        (946_684_800_000, 946_684_800_000_000),
        (4_133_980_799_999_999, 4_133_980_799_999_999),
        (4_133_980_800_000_000, None),
        (4_133_980_800, None),
        (T * 1_000_000_000, None),
    ],
)
def test_the_unit_of_received_at_is_told_by_its_magnitude(received: Json, arrival_us: int | None) -> None:
    record = json.loads(host(point(1), receivedAt=received), parse_int=float)
    if arrival_us is None:
        with pytest.raises(oracle.Broken):
            list(oracle.postings_of(record, ""))
    else:
        ((posting, _),) = oracle.postings_of(record, "")
        assert posting is not None
        assert posting.arrival_us == arrival_us


@pytest.mark.parametrize(
    ("fields", "roles"),
    [
        ({"roles": ["b:b", "a:a", "b:b"]}, ["a:a", "b:b"]),
        ({"roles": []}, []),
        ({}, ["shop:db", "shop:web"]),
        ({"roles": None}, ["shop:db", "shop:web"]),
        ({"receivedAt": T}, ["shop:db", "shop:web"]),
        ({"receivedAt": T + 60}, ["shop:db"]),
        ({"receivedAt": T - 1}, ["shop:db"]),
        ({"org": "other"}, []),
        ({"type": "service", "service": "h1", "roles": ["a:a"]}, []),
    ],
)
def test_role_copies(tmp_path: Path, fields: dict[str, Json], roles: list[str]) -> None:
    found = [one.series for one in oracle.read_archive(str(archive(tmp_path, host(point(1), **fields))), membership=MEMBERS)]
    org = str(fields.get("org", "acme"))
    assert [series for series in found if series[0] == "role"] == [("role", org, role, "load", '{"host":"h1"}') for role in roles]
    assert len(found) == len(roles) + 1


def test_last_arrival_wins_then_the_later_key_then_the_later_position(tmp_path: Path) -> None:
    archive(tmp_path, host(point(1), point(2)) + host(point(9, T + 60)), "b")
    archive(tmp_path, host(point(3)) + host(point(4, T + 60), receivedAt=T + 2), "a")
    rows = oracle.expected_rows(str(tmp_path), periods_s=[], granularities=["1m"])
    assert [(row["bucket_start"], row["last"]) for row in rows] == [("2025-11-01T12:27:00Z", 2.0), ("2025-11-01T12:28:00Z", 4.0)]


@pytest.mark.parametrize(("average", "expected"), [("cascade", 8.33), ("flat", 1.79)])
def test_averages_of_the_design(average: str, expected: float) -> None:
    hours = oracle.roll_up({60: 100.0} | {60 * minute: 0.0 for minute in range(5, 60)}, average)["1h"]
    assert [round(one.avg, 2) for one in hours.values()] == [expected]


def test_folds_by_hand() -> None:
    fives = oracle.roll_up({0: 1e16, 60: 1.0, 120: 1.0, 300: -0.0, 600: 3.0}, "cascade")["5m"]
    assert fives == {0: oracle.Rollup(3, 3, 1e16, 1.0, 1e16, 1e16 / 3, 1.0), 300: oracle.Rollup(1, 1, *[0.0] * 5), 600: oracle.Rollup(1, 1, *[3.0] * 5)}
    assert math.copysign(1, fives[300].last) == 1.0
    assert oracle.fold([1.7e308, 1.7e308, -math.inf]) == math.inf


@pytest.mark.parametrize(
    ("edge", "starts"),
    [("expand", {"1m": [27, 28, 29], "5m": [25], "1h": [0]}), ("clip", {"1m": [28], "5m": [], "1h": []})],
)
def test_edges(tmp_path: Path, edge: str, starts: dict[str, list[int]]) -> None:
    archive(tmp_path, host(*(point(1, T + 60 * at) for at in range(-1, 4))))
    periods = [(T + 30, T + 70), (T + 70, T + 150)]
    for granularity, expected in starts.items():
        rows = oracle.expected_rows(str(tmp_path), periods_s=periods, granularities=[granularity], edge=edge)
        assert [int(str(row["bucket_start"])[14:16]) for row in rows] == expected
    with pytest.raises(ValueError, match="cuts a bucket"):
        oracle.expected_rows(str(tmp_path), periods_s=periods, edge="fail")


def test_prints_what_export_prints(tmp_path: Path) -> None:
    archive(tmp_path, host(point(1, name='a,"é'), point(0.1), roles=["s:r"]))
    (tmp_path / ".hidden").write_text(A)
    command = [sys.executable, "scripts/oracle.py", str(tmp_path), "--period", "2025-11-01T21:27+09:00/2025-11-01T13:00Z", "--granularity", "5m"]
    shown = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2]).stdout.decode()
    assert shown.splitlines() == [
        "metric_type,org,entity,name,labels,kind,granularity,bucket_start,minutes,count,sum,min,max,avg,last,increase,p50,p90,p95,p99",
        'host,acme,h1,"a,""é",{},gauge,5m,2025-11-01T12:25:00Z,1,1,1.0,1.0,1.0,1.0,1.0,,,,,',
        "host,acme,h1,load,{},gauge,5m,2025-11-01T12:25:00Z,1,1,0.1,0.1,0.1,0.1,0.1,,,,,",
        'role,acme,s:r,"a,""é","{""host"":""h1""}",gauge,5m,2025-11-01T12:25:00Z,1,1,1.0,1.0,1.0,1.0,1.0,,,,,',
        'role,acme,s:r,load,"{""host"":""h1""}",gauge,5m,2025-11-01T12:25:00Z,1,1,0.1,0.1,0.1,0.1,0.1,,,,,',
    ]
    assert "\r" not in shown


def test_membership_files(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("role,org,host,valid_from,valid_to\na:b,acme,h1,2025-11-01T21:00+09:00,\nc:d,,h2,,1762000000.5\n")
    assert oracle.read_membership(str(path)) == [
        oracle.Member("acme", "h1", "a:b", 1_761_998_400_000_000, math.inf),
        oracle.Member("", "h2", "c:d", -math.inf, 1_762_000_000_500_000),
    ]


def test_shares_no_code_with_the_project() -> None:
    text = Path(oracle.__file__).read_text()
    assert not [name for name in ("transforms", "pipelines", "configs", "numpy", "pyarrow") if f"import {name}" in text or f"from {name}" in text]
