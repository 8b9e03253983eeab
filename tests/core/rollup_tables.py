"""Small rollup tables for tests, from rows given as dicts and back."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from transforms.core.canonical import canonical, ordered
from transforms.core.model import ROLLUP_SCHEMA

DAY = "2025-11-01"
DAY_S = 1_761_955_200
"""Start of DAY in seconds since the epoch."""

Row = dict[str, Any]


def row(entity: str = "h1", bucket_s: int = 0, minutes: int = 1, value: float | None = 1.0, generation: int | None = 1, **more: object) -> Row:
    """A gauge's row; `bucket_s` counts from the start of DAY. `more` overrides any column."""
    aggregates = dict.fromkeys(("sum", "min", "max", "avg", "last"), value)
    series = {"org": "acme", "entity": entity, "name": "cpu", "labels": "{}", "kind": "gauge"}
    return {**series, "bucket_start": (DAY_S + bucket_s) * 1000, "minutes": minutes, "count": minutes, **aggregates, "generation": generation, **more}


def table(rows: Iterable[Row]) -> pa.Table:
    """The rows in order, in canonical form."""
    return canonical(ordered(canonical(unordered(rows))))


def unordered(rows: Iterable[Row]) -> pa.Table:
    """The rows as they come."""
    listed = list(rows)
    columns = [pa.array([one.get(field.name) for one in listed], _plain(field.type)).cast(field.type) for field in ROLLUP_SCHEMA]
    return pa.table(columns, schema=ROLLUP_SCHEMA)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.string() if pa.types.is_dictionary(kind) else kind


def rows_of(rollups: pa.Table) -> list[Row]:
    """The rows with times in ms since the epoch and without nulls."""
    times = [field for field in rollups.schema if pa.types.is_timestamp(field.type)]
    plain = rollups
    for field in times:
        plain = plain.set_column(plain.schema.get_field_index(field.name), field.name, plain.column(field.name).cast(pa.int64()))
    return [{name: value for name, value in one.items() if value is not None} for one in plain.to_pylist()]


def versions(rollups: pa.Table) -> dict[tuple[str, int], tuple[int, float | None, int | None]]:
    """(minutes, sum, generation) by entity and bucket in seconds from the start of DAY."""
    rows = rows_of(rollups)
    found = {(one["entity"], one["bucket_start"] // 1000 - DAY_S): (one["minutes"], one.get("sum"), one.get("generation")) for one in rows}
    assert len(found) == len(rows)
    return found
