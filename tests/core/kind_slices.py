"""Slices of points of any kind as literals, rows with every column, and the same by the oracle."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from scripts import oracle_kinds
from scripts.oracle_kinds import Histogram
from tests.core.unit_slices import DAY, START_S
from transforms.core.granularity import WIDTH_S
from transforms.core.model import SLICE_SCHEMA
from transforms.core.rollup import Computed

START_US = START_S * 1_000_000
COLUMNS = (
    "minutes", "count", "sum", "min", "max", "avg", "last", "increase", "p50", "p90", "p95", "p99",
    "first_value", "last_value", "start_time", "bounds", "bucket_counts",
)  # fmt: skip


class Sample(NamedTuple):
    """A point: `second` of the day and `start` (0: unknown) in seconds of it, `arrival` in µs after its start."""

    second: float
    value: float = 0.0
    arrival: int = 0
    kind: str = "counter"
    start: float | None = None
    histogram: Histogram | None = None
    name: str = "requests"

    @property
    def start_us(self) -> int:
        return 0 if self.start is None else START_US + round(self.start * 1_000_000)

    @property
    def time_us(self) -> int:
        return START_US + round(self.second * 1_000_000)


def slice_of(samples: Iterable[Sample]) -> pa.RecordBatch:
    """A slice with a row per series and kind, in the order of their first sample."""
    rows: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        rows.setdefault((sample.name, sample.kind), []).append(sample)
    columns = {
        **{name: [text] * len(rows) for name, text in (("metric_type", "labeled"), ("org", "acme"), ("entity", "shop"), ("labels", '{"a":"b"}'))},
        "name": [name for name, _ in rows],
        "kind": [kind for _, kind in rows],
        "minute": [[DAY * 1440 + int(one.second // 60) for one in row] for row in rows.values()],
        "arrival_us": [[START_US + one.arrival for one in row] for row in rows.values()],
        "value": [[one.value for one in row] for row in rows.values()],
        "start_us": [None if kind == "gauge" else [one.start_us for one in row] for (_, kind), row in rows.items()],
        "time_us": [None if kind == "gauge" else [one.time_us for one in row] for (_, kind), row in rows.items()],
        "histogram": [[as_dict(one.histogram) for one in row] if "histogram" in kind else None for (_, kind), row in rows.items()],
    }
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in SLICE_SCHEMA], schema=SLICE_SCHEMA)


def as_dict(one: Histogram | None) -> dict[str, Any]:
    assert one is not None
    return one._asdict() | {"bounds": list(one.bounds), "bucket_counts": list(one.bucket_counts)}


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """(name, kind, bucket start in seconds of the day, columns) of every row; floats as they are, `start_time` in ms of the day."""
    plain = table.set_column(table.schema.get_field_index("start_time"), "start_time", table["start_time"].cast(pa.int64()))
    start = [milli // 1000 - START_S for milli in table["bucket_start"].cast(pa.int64()).to_pylist()]
    times = [None if one is None else one - START_S * 1000 for one in plain["start_time"].to_pylist()]
    columns = {name: plain[name].to_pylist() for name in COLUMNS} | {"start_time": times}
    return list(zip(table["name"].to_pylist(), table["kind"].to_pylist(), start, *columns.values(), strict=True))


def expected(slices: Sequence[Sequence[Sample]], computed: Computed, average: str, lead_in_s: int) -> dict[str, list[tuple[Any, ...]]]:
    """`rows_of` the tables, by the oracle."""
    rolled = oracle(slices, average, lead_in_s)
    return {
        name: [
            (key[0], key[1], start - START_S, *(cell(row, column) for column in COLUMNS))
            for key, rows in sorted(rolled[name].items())
            for start, row in sorted(rows.items())
            if any(a <= start < b for a, b in computed[name])
        ]
        for name in computed
    }


def cell(row: oracle_kinds.Row, column: str) -> Any:
    if column == "start_time":
        return row["start_us"] // 1000 - START_S * 1000 if row.get("start_us") else None
    return row.get(column)


def oracle(slices: Sequence[Sequence[Sample]], average: str, lead_in_s: int) -> dict[str, dict[oracle_kinds.Series, oracle_kinds.Rows]]:
    samples = [sample for one in slices for sample in one]
    points = (
        oracle_kinds.Point((one.name,), one.kind, START_US + one.arrival, order, one.time_us, one.start_us, one.value, one.histogram)
        for order, one in enumerate(samples)
    )
    return oracle_kinds.roll_up(points, average, lead_in_s)


def bits(value: Any) -> Any:
    """The value with every float as its eight bytes."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, list | tuple):
        return [bits(one) for one in value]
    return {name: bits(one) for name, one in value.items()} if isinstance(value, dict) else value


def minutes_within(computed: Computed, minute_s: int) -> list[str]:
    """Granularities that compute the bucket of a minute."""
    return [name for name, ranges in computed.items() if any(a <= minute_s // WIDTH_S[name] * WIDTH_S[name] < b for a, b in ranges)]
