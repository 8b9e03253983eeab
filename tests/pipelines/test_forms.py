"""Whatever form the archive keeps the same postings in, the store holds the same rollups."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import snappy

from scripts.encoders.aggregates import aggregate
from scripts.encoders.containers import framed_snappy, hadoop_snappy, orc, parquet, zipped
from scripts.encoders.envelopes import as_lines, error_record, firehose_record, lambda_event, lambda_record
from tests.builders import NOON_S, host_record
from tests.pipelines.worlds import World, call, key

RECORDS = [host_record(f"h{one % 3}", NOON_S + 60 * one, [("cpu", NOON_S + 60 * one, one / 7), ("mem", NOON_S + 60 * one, one)]) for one in range(40)]


def table() -> pa.Table:
    return pa.Table.from_pylist(list(map(json.loads, RECORDS)))


FORMS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zipped(b"".join(RECORDS)[:1000], b"".join(RECORDS)[1000:]),
    "snappy": lambda: framed_snappy(b"".join(RECORDS)),
    "hadoop snappy": lambda: hadoop_snappy(b"\n".join(RECORDS)),
    "raw snappy": lambda: snappy.compress(b"\n".join(RECORDS)),
    "Lambda's events": lambda: lambda_event(*RECORDS[:20]) + lambda_event(*RECORDS[20:]),
    "Lambda's records": lambda: as_lines(*map(lambda_record, RECORDS)),
    "Firehose's records": lambda: gzip.compress(as_lines(*map(firehose_record, RECORDS))),
    "KPL in events": lambda: lambda_event(aggregate(*RECORDS[:20]), aggregate(*map(gzip.compress, RECORDS[20:]))),
    "KPL": lambda: aggregate(*RECORDS),
    "an array": lambda: b"[" + b",\n".join(RECORDS) + b"]",
    "arrays in events": lambda: lambda_event(*(b"[" + b",".join(RECORDS[at : at + 4]) + b"]" for at in range(0, 40, 4))),
    "Parquet": lambda: parquet(table()),
    "ORC": lambda: orc(table()),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_makes_no_difference(form: str, tmp_path: Path) -> None:
    rows = []
    for name, body in (("plain", b"\n".join(RECORDS)), ("other", FORMS[form]())):
        world = World(tmp_path / name)
        world.put(key(NOON_S), body)
        result = world.backfill()
        assert result.code == 0, result.err + result.out
        assert result.data["records"] == {"read": 40, "decoded": 40, "dead_letters": 0}
        rows.append([{column: value for column, value in row.items() if column != "generation"} for row in world.all_rows()])
    assert rows[0] == rows[1]
    assert len(rows[0]) > 80


def test_what_firehose_could_not_deliver_is_read_on_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), b"\n".join(RECORDS[:30]), b"\n", as_lines(*map(error_record, RECORDS[30:])))
    without = world.backfill("--dry-run")
    assert (without.code, without.data["firehose_error_records"]) == (3, 10)
    assert without.data["dead_letters"]["by_cause"] == {"Firehose error output": 10}
    found = world.backfill("--read-firehose-errors")
    assert (found.code, found.data["firehose_error_records"]) == (0, 10)
    assert found.data["records"] == {"read": 40, "decoded": 40, "dead_letters": 0}


@pytest.mark.parametrize(("value", "warned"), [("v", False), ("value", True)])
def test_a_value_field_that_no_row_has_is_warned_of(value: str, warned: bool, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), as_lines(*({"ts": f"2025-11-01T12:{one:02}:00Z", "metric": "m", "v": one} for one in range(40))))
    result = world.backfill("--flat", f"time=ts,value={value},name=metric", "--run-id", "flat", types="labeled")
    assert result.code == 0, result.err
    shown = call(["status", "flat", "--work-dir", str(world.work)]).out
    assert ("warning   none of 40 rows has the field of the value that the mapping names: is `value` in --flat right?" in shown) is warned


def test_a_file_that_would_end_the_process_costs_itself_only(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), orc(table()))
    world.put(key(NOON_S, "b"), (Path(__file__).parents[1] / "data" / "damaged.orc").read_bytes())
    result = world.backfill()
    assert (result.code, result.data["records"]) == (3, {"read": 41, "decoded": 40, "dead_letters": 1})
    assert result.data["points"]["host"]["stored"] == 80
