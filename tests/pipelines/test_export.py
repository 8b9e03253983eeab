"""`rollups export`: the exact text, order and selection of DESIGN §6, from a store filled by hand."""

import csv
import io
import json
import math
import os
import random
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.core.rollup_tables import DAY_S, Row, row, table
from tests.failpoints import steps_of, stop_at
from tests.pipelines.worlds import Result, call, iso
from transforms.core.model import EXPORT_COLUMNS, SeriesKey, labels_pairs
from transforms.core.units import Unit, shard_of
from transforms.stores import open_store

HEAD = "metric_type,org,entity,name,labels,kind,granularity,bucket_start,minutes,count,sum,min,max,avg,last,increase,p50,p90,p95,p99,generation\n"
ALL_DAYS = "2025-10-01T00:00Z/2025-12-01T00:00Z"
SHARDS = 3


def filled(folder: Path, rows: Iterable[Row], metric_type: str = "host", granularity: str = "5m") -> str:
    """Puts rows where the store wants them; the store's URL."""
    url = f"parquet://{folder}"
    store = open_store(url)
    units: defaultdict[Unit, list[Row]] = defaultdict(list)
    for one in rows:
        window = iso(one["bucket_start"] // 1000)[:10]
        key = SeriesKey(metric_type, one["org"], one["entity"], one["name"], labels_pairs(one["labels"]))
        units[Unit(metric_type, window, shard_of(key.encode(), SHARDS))].append(one)
    for unit, found in units.items():
        store.open_partition(metric_type, unit.window, SHARDS)
        store.upsert(unit, {granularity: table(found)}, run_id="r1", allow_fewer=False)
    return url


def export(url: str, *more: str, granularity: str = "5m", period: str = ALL_DAYS) -> Result:
    result = call(["export", "--store", url, "--granularity", granularity, "--period", period, *more])
    assert (result.code, result.err) == (0, ""), result.err
    return result


def exported(url: str, *more: str, **asked: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(export(url, "--format", "json", *more, **asked).out)
    return rows


# --- forms ------------------------------------------------------------------------------------------------------------

ODD = [
    row(value=0.1 + 0.2, generation=None),
    row(bucket_s=300, minutes=5, value=1e16, min=-math.inf, max=math.inf, last=1e-7, avg=-0.5, generation=1_762_000_000_123),
    row(entity='a,"b"', org="", name="zwei\nzeilen", value=5e-324, labels='{"host":"h1"}'),
    row(entity="ünï \U0001f600", name="naïve", value=None, count=None, kind="counter", increase=2.0, minutes=3),
    row(entity="ünï \U0001f600", name="p", value=1.0, kind="histogram", p50=0.5, p90=0.9, p95=0.95, p99=float(2**53)),
]


def test_csv_to_the_letter(tmp_path: Path) -> None:
    assert export(filled(tmp_path, ODD)).out == (
        HEAD + 'host,,"a,""b""","zwei\nzeilen","{""host"":""h1""}",gauge,5m,2025-11-01T00:00:00Z,1,1,5e-324,5e-324,5e-324,5e-324,5e-324,,,,,,1\n'
        "host,acme,h1,cpu,{},gauge,5m,2025-11-01T00:00:00Z,1,1,0.30000000000000004,0.30000000000000004,0.30000000000000004,0.30000000000000004,0.30000000000000004,,,,,,0\n"
        "host,acme,h1,cpu,{},gauge,5m,2025-11-01T00:05:00Z,5,5,1e+16,-inf,inf,-0.5,1e-07,,,,,,1762000000123\n"
        "host,acme,ünï \U0001f600,naïve,{},counter,5m,2025-11-01T00:00:00Z,3,,,,,,,2.0,,,,,1\n"
        "host,acme,ünï \U0001f600,p,{},histogram,5m,2025-11-01T00:00:00Z,1,1,1.0,1.0,1.0,1.0,1.0,,0.5,0.9,0.95,9007199254740992.0,1\n"
    )


def test_json_to_the_letter(tmp_path: Path) -> None:
    assert export(filled(tmp_path, [ODD[1], ODD[3]]), "--format", "json").out == (
        "[\n"
        '{"metric_type":"host","org":"acme","entity":"h1","name":"cpu","labels":"{}","kind":"gauge","granularity":"5m","bucket_start":"2025-11-01T00:05:00Z",'
        '"minutes":5,"count":5,"sum":1e+16,"min":-1e999,"max":1e999,"avg":-0.5,"last":1e-07,"increase":null,"p50":null,"p90":null,"p95":null,"p99":null,'
        '"generation":1762000000123},\n'
        '{"metric_type":"host","org":"acme","entity":"ünï \U0001f600","name":"naïve","labels":"{}","kind":"counter","granularity":"5m",'
        '"bucket_start":"2025-11-01T00:00:00Z","minutes":3,"count":null,"sum":null,"min":null,"max":null,"avg":null,"last":null,"increase":2.0,"p50":null,'
        '"p90":null,"p95":null,"p99":null,"generation":1}\n'
        "]\n"
    )


def test_nothing_is_a_header_or_an_empty_array(tmp_path: Path) -> None:
    url = filled(tmp_path, [row()])
    assert export(url, period="2024-01-01T00:00Z/P1D").out == HEAD
    assert export(url, "--json", period="2024-01-01T00:00Z/P1D").out == "[\n]\n"


def test_every_text_is_read_back_from_csv_as_it_was(tmp_path: Path) -> None:
    names = ["plain", " spaced ", "a,b", 'quo"te', "line\nfeed", "carriage\rreturn", "both\r\n", "tab\t", "\u2028", "'", "", "\U0001f600", "{}", "#"]
    out = export(filled(tmp_path, [row(name=name) for name in names])).out
    read = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [one["name"] for one in read] == sorted(names)
    assert {one["generation"] for one in read} == {"1"}


def test_parquet_has_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    url = filled(tmp_path / "store", ODD)
    export(url, "--format", "parquet", "--output", str(tmp_path / "out.parquet"))
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.names == list(EXPORT_COLUMNS)
    assert {name: str(found.schema.field(name).type) for name in ("org", "bucket_start", "minutes", "count", "sum", "generation")} == {
        "org": "string", "bucket_start": "timestamp[ms, tz=UTC]", "minutes": "int32", "count": "int64", "sum": "double", "generation": "int64",
    }  # fmt: skip
    rows = [one | {"bucket_start": one["bucket_start"].strftime("%Y-%m-%dT%H:%M:%SZ")} for one in found.to_pylist()]
    assert rows == exported(url)


class Piped:
    """Standard output is a pipe: it can't be sought in, and its reader may go away."""

    def __init__(self, *, is_read: bool = True) -> None:
        self._read, write = os.pipe()
        self._is_read = is_read
        if not is_read:
            os.close(self._read)
        self._out = os.fdopen(write, "w", encoding="utf-8")

    def export(self, *argv: str) -> tuple[int, bytes]:
        with mock.patch.object(sys, "stdout", self._out):
            code = main(["export", *argv])
        self._out.close()
        if not self._is_read:
            return code, b""
        with os.fdopen(self._read, "rb") as file:
            return code, file.read()


def test_parquet_goes_through_a_pipe(tmp_path: Path) -> None:
    url = filled(tmp_path, ODD)
    code, body = Piped().export("--store", url, "--granularity", "5m", "--period", ALL_DAYS, "--format", "parquet")
    assert (code, pq.read_table(pa.BufferReader(body)).num_rows) == (0, 5)


def test_a_reader_that_goes_away_ends_the_export_quietly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`rollups export … | head -1`."""
    code, _ = Piped(is_read=False).export("--store", filled(tmp_path, ODD), "--granularity", "5m", "--period", ALL_DAYS)
    assert code == 0
    assert capsys.readouterr().err == ""


# --- order ------------------------------------------------------------------------------------------------------------


def test_rows_are_sorted_by_code_point_over_days_shards_and_types(tmp_path: Path) -> None:
    """UTF-16 or a locale would sort otherwise."""
    texts = ["", "Z", "a", "a ", "a-", "é", "e\u0301", "\uffff", "\U0001f600"]
    dice = random.Random(7)
    rows: dict[str, list[Row]] = {}
    choices: tuple[list[Any], ...] = (texts, texts, texts, ["{}", '{"a":"b"}', '{"a":""}'], ["gauge", "counter"], [0, 300, 86_400, -300])
    for metric_type in ("service", "host", "role"):
        some = {tuple(dice.choice(one) for one in choices) for _ in range(150)}
        rows[metric_type] = [row(entity, bucket_s, org=org, name=name, labels=labels, kind=kind) for org, entity, name, labels, kind, bucket_s in some]
        filled(tmp_path, rows[metric_type], metric_type)
    expected = sorted(
        (metric_type, one["org"], one["entity"], one["name"], one["labels"], one["kind"], "5m", iso(one["bucket_start"] // 1000))
        for metric_type, of_type in rows.items()
        for one in of_type
    )
    found = [tuple(one[name] for name in EXPORT_COLUMNS[:8]) for one in exported(f"parquet://{tmp_path}", "--metric-types", "service,host,role")]
    assert len(found) > 400
    assert found == expected


# --- selection --------------------------------------------------------------------------------------------------------

BUCKETS = {"1m": 60, "5m": 300, "1h": 3_600}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Buckets of every granularity from 23:00 of the day before to 02:00."""
    folder = tmp_path_factory.mktemp("day")
    for granularity, width_s in BUCKETS.items():
        filled(folder, (row(bucket_s=start_s) for start_s in range(-3_600, 7_200, width_s)), granularity=granularity)
    return f"parquet://{folder}"


@pytest.mark.parametrize("granularity", sorted(BUCKETS))
@pytest.mark.parametrize(
    "periods",
    [
        [(0, 3_600)],
        [(1, 2)],
        [(3_599, 3_600)],
        [(3_600, 3_601)],
        [(-1, 1)],
        [(-7_200, -3_600)],
        [(7_199, 9_000)],
        [(0, 60), (3_600, 3_660)],
        [(30, 90), (60, 400)],
    ],
)
def test_buckets_that_overlap_a_period_are_listed(day: str, granularity: str, periods: list[tuple[int, int]]) -> None:
    width_s = BUCKETS[granularity]
    texts = [f"{iso(DAY_S + from_s)}/{iso(DAY_S + to_s)}" for from_s, to_s in periods]
    expected = [start_s for start_s in range(-3_600, 7_200, width_s) if any(start_s < to_s and from_s < start_s + width_s for from_s, to_s in periods)]
    found = exported(day, *(word for text in texts[1:] for word in ("--period", text)), period=texts[0], granularity=granularity)
    assert [one["bucket_start"] for one in found] == [iso(DAY_S + start_s) for start_s in expected]
    assert {one["granularity"] for one in found} <= {granularity}


def test_relative_periods_are_taken_from_now(day: str) -> None:
    result = call(["export", "--store", day, "--granularity", "1h", "--period", "-1h/now", "--json"], now_s=DAY_S + 3_600)
    assert [one["bucket_start"] for one in json.loads(result.out)] == ["2025-11-01T00:00:00Z"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("mixed")
    for metric_type in ("host", "service"):
        filled(folder, [row(entity, org=org, name=name) for org in ("acme", "other") for entity in ("h1", "h2") for name in ("cpu", "load")], metric_type)
    return f"parquet://{folder}"


@pytest.mark.parametrize(
    ("more", "selected"),
    [
        ((), 16),
        (("--metric-types", "service"), 8),
        (("--metric-types", "role"), 0),
        (("--org", "acme"), 8),
        (("--org", "acme", "--org", "other"), 16),
        (("--org", "nobody"), 0),
        (("--series", "host/acme/h1/cpu"), 1),
        (("--series", "host/*/cpu"), 4),
        (("--series", "host/acme/*", "--series", "service/other/h?/load"), 6),
        (("--series", "host/*", "--metric-types", "service"), 0),
        (("--series", "*/h1/*", "--org", "acme", "--metric-types", "host"), 2),
    ],
)
def test_types_orgs_and_globs_select(mixed: str, more: tuple[str, ...], selected: int) -> None:
    found = exported(mixed, *more)
    assert len(found) == selected
    if "--org" in more and "other" not in more:
        assert {one["org"] for one in found} <= {"acme"}


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_file_has_what_standard_output_would_have(tmp_path: Path, form: str) -> None:
    url = filled(tmp_path / "store", ODD)
    arguments = ("--store", url, "--granularity", "5m", "--period", ALL_DAYS, "--format", form)
    result = call(["export", *arguments, "--output", str(tmp_path / "out")])
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / "out").read_bytes() == Piped().export(*arguments)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    argv = ["export", "--store", filled(tmp_path / "store", ODD), "--granularity", "5m", "--period", ALL_DAYS, "--output", str(tmp_path / "out.csv")]
    moments = steps_of(lambda: call(argv))
    new = (tmp_path / "out.csv").read_bytes()
    renamed = moments.index("after export.rename #0")
    for number, moment in enumerate(moments):
        (tmp_path / "out.csv").write_bytes(b"old")
        stop_at(moment, lambda: call(argv))
        assert (tmp_path / "out.csv").read_bytes() == (b"old" if number < renamed else new), moment
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "store"]


def refused(argv: list[str]) -> str:
    result = call(argv)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result
    return result.err


def test_an_output_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    argv = ["export", "--store", filled(tmp_path / "store", ODD), "--granularity", "5m", "--period", ALL_DAYS, "--output"]
    assert f"--output '{tmp_path}/no/out.csv': the folder '{tmp_path}/no' is not there" in refused([*argv, f"{tmp_path}/no/out.csv"])
    assert f"{tmp_path}/store" in refused([*argv, f"{tmp_path}/store"])


def test_an_output_that_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """As /dev/null and /dev/stdout."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    argv = ["export", "--store", filled(tmp_path / "store", ODD), "--granularity", "5m", "--period", ALL_DAYS]
    try:
        assert call([*argv, "--output", str(tmp_path / "pipe")]).code == 0
        assert os.read(reader, 1 << 20).decode() == call(argv).out
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
