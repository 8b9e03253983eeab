"""Rollups as a pandas DataFrame, and as the tables that `export` writes: the same rows, columns and order."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.granularity import Range
from transforms.core.model import EXPORT_COLUMNS, METRIC_TYPES, ROLLUP_SCHEMA
from transforms.core.time import unite
from transforms.stores import open_store
from transforms.stores.protocol import RollupStore, Wanted

if TYPE_CHECKING:
    import pandas as pd

EXPORT_SCHEMA = pa.schema(
    [ROLLUP_SCHEMA.field(name) if name in ROLLUP_SCHEMA.names else pa.field(name, ROLLUP_SCHEMA.field("name").type) for name in EXPORT_COLUMNS]
)
"""Columns as exported; metric_type and granularity, which a store keeps outside the rows, have the type of the other texts."""


def exported(
    store: RollupStore,
    granularity: str,
    *,
    metric_types: Sequence[str] = METRIC_TYPES,
    periods: Sequence[Range] | None = None,
    wanted: Wanted | None = None,
) -> Iterator[pa.Table]:
    """Tables of EXPORT_SCHEMA, one after another sorted by its columns.

    The stored buckets that overlap one of the periods. Rows without a generation show 0.
    """
    columns = [name for name in EXPORT_COLUMNS if name in ROLLUP_SCHEMA.names]
    united = None if periods is None else unite(periods)
    for metric_type, table in store.scan(granularity, metric_types=metric_types, periods=united, wanted=wanted, columns=columns):
        known = {name: table.column(name) for name in columns} | {
            "metric_type": _constant(metric_type, len(table)),
            "granularity": _constant(granularity, len(table)),
        }
        known["generation"] = pc.fill_null(known["generation"], 0)
        yield pa.table([known[name] for name in EXPORT_COLUMNS], schema=EXPORT_SCHEMA)


def _constant(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def load(store: str | Path, granularity: str, *, metric_types: Sequence[str] = METRIC_TYPES, period: Range | None = None) -> "pd.DataFrame":
    """Stored buckets as a DataFrame: `load("parquet:///srv/rollups", "5m")`.

    `store` is a store URL or the absolute path of a Parquet store, `period` [from, to) in seconds since the epoch: buckets that overlap it. Columns and order
    are `export`'s: texts are categories, `bucket_start` is a timestamp in UTC, what a kind doesn't have is NaN.
    """
    opened = open_store(store if isinstance(store, str) and "://" in store else f"parquet://{store}", writable=False)
    tables = list(exported(opened, granularity, metric_types=metric_types, periods=None if period is None else (period,)))
    frame: pd.DataFrame = pa.concat_tables([EXPORT_SCHEMA.empty_table(), *tables]).unify_dictionaries().to_pandas()
    return frame
