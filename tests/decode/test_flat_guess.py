"""What the fields of rows that nobody knows are taken for."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from scripts.encoders.containers import orc, parquet
from transforms.core.flat import FlatMapping
from transforms.core.model import DeadLetter
from transforms.decode.causes import BAD_TIME, UNKNOWN_TYPE
from transforms.decode.flat_guess import SEEN_ROWS, guess, unknown_rows
from transforms.decode.objects import DecodeRules, decode_object

NOW_S = 1_762_000_000


def rows(*names: str, **columns: Any) -> list[dict[str, Any]]:
    """Thirty rows: the columns, of which functions make the values from the row's number, and further ones of numbers."""
    return [{name: value(place) if callable(value) else value for name, value in columns.items()} | dict.fromkeys(names, place + 0.5) for place in range(30)]


def tick(scale: int = 1) -> Any:
    return lambda place: (NOW_S + 60 * place) * scale


def iso(place: int) -> str:
    return f"2025-11-01T12:{place:02}:00Z"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (rows(ts=tick(1000), v=1.5, metric="cpu"), FlatMapping(time="ts", time_unit="ms", value="v", name="metric")),
        (rows(timestamp=iso, value="1.5", name="cpu"), FlatMapping(time="timestamp", value="value", name="name")),
        (rows(n="cpu", t=tick(10**9), x=3), FlatMapping(time="t", time_unit="ns", value="x", name="n")),
        (
            rows(created_time=tick(), eventTime=tick(1_000_000), metricName="cpu", reading=2, hostId="h"),
            FlatMapping(time="eventTime", time_unit="us", value="reading", name="metricName", entity="hostId"),
        ),
        (
            rows(time=tick(), value=lambda place: NOW_S + place, metric="uptime", host_name="a", org="acme", type="host"),
            FlatMapping(time="time", value="value", name="metric", entity="host_name", org="org", type="type"),
        ),
        (
            rows(time=tick(), metric="cpu", value=1, type="gauge", host="a"),
            FlatMapping(time="time", value="value", name="metric", entity="host", labels=("type",)),
        ),
        (
            rows(time=tick(), metric="cpu", id=lambda place: place, value=1, region="x", request=lambda place: f"r{place}", tags={"site": "a", "room": "b"}),
            FlatMapping(time="time", value="value", name="metric", labels=("region", "tags.site", "tags.room")),
        ),
        (
            rows(timestamp=tick(1000), namespace="AWS/EC2", metric_name="cpu", dimensions={"a": "b", "c": "d"}, value={"max": 2, "sum": 1}),
            FlatMapping(time="timestamp", time_unit="ms", value="value.sum", name="metric_name", labels=("namespace", "dimensions.a", "dimensions.c")),
        ),
        (rows(time=tick(), metric="cpu", value=1, tags={"a": "b", "c": "d"}), FlatMapping(time="time", value="value", name="metric", labels="tags")),
        (rows("mem", when=iso, host="h", day_id=7, up=True, cpu=0.5), FlatMapping(time="when", value="cpu", name="=cpu", entity="host")),
    ],
)  # fmt: skip
def test_fields_are_told_by_values_and_names(seen: list[dict[str, Any]], expected: FlatMapping) -> None:
    found = guess(seen)
    assert found is not None
    assert (found.mapping, found.rows, found.good_rows) == (expected, 30, 30)


def test_numbers_that_are_left_out_are_named() -> None:
    found = guess(rows("mem", "disk", time=tick(), cpu=0.5, account="123"))
    assert found is not None
    assert (found.mapping.value, found.other_numbers) == ("cpu", ("mem", "disk"))


@pytest.mark.parametrize(
    "seen",
    [
        [],
        rows(time=tick(), metric="cpu"),
        rows(value=1.5, metric="cpu"),
        rows(time=lambda place: NOW_S * 1000 ** (place % 2), value=1.5, metric="cpu"),
        rows(time=tick(), value=True, metric="cpu"),
        rows(**{"=time": tick(), "=value": 1.5}),
        [*rows(time=tick(), value=1.5, metric="cpu"), *rows(a=1), *rows(b="x")],
    ],
)
def test_what_no_mapping_reads_is_not_guessed(seen: list[dict[str, Any]]) -> None:
    assert guess(seen) is None


def test_some_rows_may_be_broken_or_without_a_value() -> None:
    seen = rows(time=tick(), value=1.5, metric="cpu")
    seen[3]["value"] = None
    seen[4]["time"] = "never"
    del seen[5]["metric"]
    found = guess(seen)
    assert found is not None
    assert (found.rows, found.good_rows) == (30, 28)


@pytest.mark.parametrize("write", [parquet, orc])
def test_rows_of_tables_are_seen_with_their_times_and_maps(write: Any) -> None:
    labels = pa.array([[("site", "a"), ("room", "b")]] * 30, pa.map_(pa.string(), pa.string()))
    times = pa.array([(NOW_S + place) * 1_000_000 + 500 for place in range(30)], pa.timestamp("us", "UTC"))
    body = write(pa.table({"at": times, "reading": pa.array([1.5] * 30), "metric": pa.array(["cpu"] * 30), "tags": labels}))
    letters = decode_object(body, key="k", arrival_us=0, rules=DecodeRules()).dead_letters
    found = guess(unknown_rows(letters))
    assert found is not None
    assert (found.mapping, found.good_rows) == (FlatMapping(time="at", value="reading", name="metric", labels="tags"), 30)
    decoded = decode_object(body, key="k", arrival_us=0, rules=DecodeRules(flat=found.mapping))
    assert (decoded.tally.points, decoded.dead_letters) == ({"labeled": 30}, ())


def test_only_unknown_rows_are_seen_and_not_too_many() -> None:
    row = b'{"a":1}'
    assert unknown_rows([DeadLetter("k", 0, BAD_TIME, "", row), DeadLetter("k", 0, UNKNOWN_TYPE, "", b"{"), DeadLetter("k", 0, UNKNOWN_TYPE, "", b"[1]")]) == []
    assert unknown_rows([DeadLetter("k", 0, UNKNOWN_TYPE, "", row)] * 5000) == [{"a": 1}] * SEEN_ROWS


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(NOW_S, NOW_S + 10) | st.just("2025-11-01")


@given(
    st.lists(st.dictionaries(st.text(max_size=6) | st.sampled_from(["time", "value", "metric", "a.b"]), VALUES | st.dictionaries(st.text(max_size=3), VALUES)))
)
def test_any_rows_are_looked_at(seen: list[dict[str, Any]]) -> None:
    written = [json.loads(json.dumps(one)) for one in seen]
    found = guess(unknown_rows([DeadLetter("k", 0, UNKNOWN_TYPE, "", json.dumps(one).encode()) for one in written]))
    assert found is None or 2 * found.good_rows >= found.rows > 0
