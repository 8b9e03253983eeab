"""Slices and rows written as literals, for the tests of the rollup mathematics."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from transforms.core.granularity import DAY_S
from transforms.core.model import SLICE_SCHEMA
from transforms.core.rollup import Computed

DAY = 20393
"""A UTC day, 2025-11-01, since the epoch."""

START_S = DAY * DAY_S
WHOLE_DAY: Computed = dict.fromkeys(("1m", "5m", "1h"), ((START_S, START_S + DAY_S),))

Series = tuple[str, str, str, str, str]
"""org, entity, name, labels, kind."""

Cells = tuple[object, ...]
"""Of a row."""

LOAD: Series = ("acme", "h1", "load", "{}", "gauge")


class Sample(NamedTuple):
    """A point: `minute` of the day, `arrival` in µs after its start."""

    minute: int
    value: float
    arrival: int = 0
    series: Series = LOAD


def slice_of(samples: Iterable[Sample]) -> pa.RecordBatch:
    """A slice with a row per series, in the order of their first sample."""
    rows: dict[Series, list[Sample]] = {}
    for sample in samples:
        rows.setdefault(sample.series, []).append(sample)
    lists = {
        "minute": [[DAY * 1440 + one.minute for one in row] for row in rows.values()],
        "arrival_us": [[START_S * 1_000_000 + one.arrival for one in row] for row in rows.values()],
        "value": [[one.value for one in row] for row in rows.values()],
    }
    identity = [["host"] * len(rows), *([series[at] for series in rows] for at in range(5))]
    more = [[None] * len(rows)] * 3
    arrays = [pa.array(column, field.type) for column, field in zip([*identity, *lists.values(), *more], SLICE_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SLICE_SCHEMA)


def minutes(values: Mapping[int, float]) -> list[pa.RecordBatch]:
    """One slice of one series."""
    return [slice_of(Sample(minute, value) for minute, value in values.items())]


def rows_of(table: pa.Table) -> list[Cells]:
    """(minute of the day, minutes, count, sum, min, max, avg, last) of every row, floats as they are."""
    start = (milli // 60_000 - DAY * 1440 for milli in table["bucket_start"].cast(pa.int64()).to_pylist())
    rest = (table[name].to_pylist() for name in ("minutes", "count", "sum", "min", "max", "avg", "last"))
    return list(zip(start, *rest, strict=True))


def bits(rows: Sequence[Cells]) -> list[Cells]:
    """The rows with every float as its eight bytes, which tell -0.0 from 0.0."""
    return [tuple(struct.pack("<d", cell) if isinstance(cell, float) else cell for cell in row) for row in rows]
