"""What is stored against what the oracle expects: every bucket, every exported column but the generation, bit for bit."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scripts import oracle

KEYS: Final = oracle.COLUMNS[:8]
VALUES: Final = oracle.COLUMNS[8:]
VERDICTS: Final = ("right", "wrong", "missing", "extra")
"""Stored as expected, stored otherwise, expected and not stored, stored and not expected."""

Counts = dict[str, dict[str, dict[str, int]]]
"""Numbers of buckets by metric type, granularity and verdict."""

_TYPES: Final = {"bucket_start": pa.timestamp("ms", "UTC"), "minutes": pa.int32(), "count": pa.int64()}
_SCHEMA: Final = pa.schema([(name, _TYPES.get(name, pa.string() if name in KEYS else pa.float64())) for name in oracle.COLUMNS])


def expected_table(archive: Path, period_s: oracle.Range) -> pa.Table:
    """All rollups that a backfill of the period stores, at all granularities, as `oracle.expected_rows` tells them but in columns."""
    minutes = oracle.last_arrivals(oracle.read_archive(str(archive)))
    return pa.concat_tables([_of_series(series, values, period_s) for series, values in sorted(minutes.items())])


def _of_series(series: oracle.Series, values: dict[int, float], period_s: oracle.Range) -> pa.Table:
    by_granularity = oracle.roll_up(values, "cascade")
    return pa.concat_tables([_of_granularity(series, granularity, rollups, period_s) for granularity, rollups in by_granularity.items()])


def _of_granularity(series: oracle.Series, granularity: str, rollups: dict[int, oracle.Rollup], period_s: oracle.Range) -> pa.Table:
    starts_s = oracle.computed_starts(rollups, oracle.WIDTH_S[granularity], [period_s], "expand")
    columns: dict[str, Iterable[object]] = {name: [text] * len(starts_s) for name, text in zip(KEYS[:7], (*series, "gauge", granularity), strict=True)}
    columns["bucket_start"] = [start_s * 1000 for start_s in starts_s]
    columns |= {name: [getattr(rollups[start_s], name) for start_s in starts_s] for name in oracle.Rollup.__dataclass_fields__}
    nothing = [None] * len(starts_s)
    return pa.table([pa.array(columns.get(name, nothing), _SCHEMA.field(name).type) for name in oracle.COLUMNS], schema=_SCHEMA)


def stored_table(files: Sequence[Path]) -> pa.Table:
    """The rows of exported Parquet files."""
    return pa.concat_tables([pq.read_table(file) for file in files]).cast(pa.schema([*_SCHEMA, ("generation", pa.int64())]))


def compare(expected: pa.Table, stored: pa.Table) -> pa.Table:
    """A row for every bucket of either: its keys, the values expected and, as `stored_…`, stored (with `stored_generation`), and the `verdict`."""
    both = expected.append_column("expected", pa.repeat(True, len(expected))).join(  # noqa: FBT003 - has no keyword
        stored.append_column("stored", pa.repeat(True, len(stored))).rename_columns(  # noqa: FBT003
            [*KEYS, *(f"stored_{name}" for name in VALUES), "stored_generation", "stored"]
        ),
        KEYS,
        join_type="full outer",
    )
    same = np.logical_and.reduce([_bits(both[name]) == _bits(both[f"stored_{name}"]) for name in VALUES])
    missing, extra = (np.asarray(both[side].is_null()) for side in ("stored", "expected"))
    verdict = np.select([missing, extra, same], ["missing", "extra", "right"], "wrong")
    return both.drop_columns(["expected", "stored"]).append_column("verdict", pa.array(verdict.tolist(), pa.string()))


def _bits(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Integers that are equal where the values are the same bits, or both null."""
    if not pa.types.is_floating(column.type):
        return np.asarray(pc.fill_null(column, -1)).astype(np.int64)
    return np.asarray(pc.fill_null(column, float("nan"))).view(np.int64)


def counts_of(compared: pa.Table) -> Counts:
    """How many buckets are right, wrong, missing and extra."""
    counts: Counts = {}
    grouped = compared.group_by(["metric_type", "granularity", "verdict"]).aggregate([([], "count_all")])
    for metric_type, granularity, verdict, number in zip(*(grouped[name].to_pylist() for name in grouped.column_names), strict=True):
        by_verdict = counts.setdefault(metric_type, {}).setdefault(granularity, dict.fromkeys(VERDICTS, 0))
        by_verdict[verdict] = number
    ranks = [list(oracle.TYPES), list(oracle.WIDTH_S)]
    return {one: {width: counts[one][width] for width in sorted(counts[one], key=ranks[1].index)} for one in sorted(counts, key=ranks[0].index)}


def differences(compared: pa.Table, number: int) -> list[str]:
    """A sentence for each of the first buckets that are not right."""
    found = compared.filter(pc.not_equal(compared["verdict"], "right"))
    return [_sentence(row) for row in found.sort_by([(name, "ascending") for name in KEYS]).slice(0, number).to_pylist()]


def _sentence(row: dict[str, Any]) -> str:
    who = f"{series_text(row)} {row['granularity']} {row['bucket_start']:%Y-%m-%dT%H:%M:%SZ}"
    if row["verdict"] != "wrong":
        return f"{who}: {row['verdict']}"
    columns = [name for name in VALUES if repr(row[name]) != repr(row[f"stored_{name}"])]
    return f"{who}: " + ", ".join(f"{name} is {row[f'stored_{name}']!r}, expected {row[name]!r}" for name in columns)


def series_text(row: dict[str, Any]) -> str:
    """`host/acme/4Hk…/loadavg5`, as `--series` matches it, and the labels if there are any."""
    labels = "" if row["labels"] == "{}" else row["labels"]
    return "/".join(row[name] for name in ("metric_type", "org", "entity", "name")) + labels


def outside(table: pa.Table, computed: Mapping[str, Sequence[oracle.Range]]) -> pa.Table:
    """The rows outside the computed ranges of their granularity."""
    start_s = np.asarray(table["bucket_start"].cast(pa.int64())) // 1000
    granularity = np.asarray(table["granularity"])
    inside = [(granularity == name) & (from_s <= start_s) & (start_s < to_s) for name, ranges in computed.items() for from_s, to_s in ranges]
    return table.filter(pa.array(~np.logical_or.reduce(inside)))


def moved(before: pa.Table, after: pa.Table) -> int:
    """Buckets that are in one of the tables only, or in both with different generations."""
    earlier, later = before.select([*KEYS, "generation"]), after.select([*KEYS, "generation"]).rename_columns([*KEYS, "later"])
    joined = earlier.join(later, KEYS, join_type="full outer")
    return int(np.count_nonzero(_bits(joined["generation"]) != _bits(joined["later"])))
