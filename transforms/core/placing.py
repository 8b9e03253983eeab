"""Which rows of a table a unit holds."""

import numpy as np
import pyarrow as pa

from transforms.core.canonical import Identity, bucket_ms, canonical, pick, series_runs
from transforms.core.granularity import Range, within
from transforms.core.model import Bools, SeriesKey, labels_pairs
from transforms.core.units import Unit, shard_of


def rows_of_unit(table: pa.Table, unit: Unit, shards: int, window: Range) -> pa.Table:
    """Of rows of the unit's metric type, canonical, with the identity and bucket_start at least, those that it holds in a partition of so many shards."""
    return chosen_rows(table, _lies_in(table, unit, shards, window))


def chosen_rows(table: pa.Table, chosen: Bools) -> pa.Table:
    """The chosen rows of a canonical table, canonical."""
    return canonical(pick(table, np.flatnonzero(chosen)))


def _lies_in(table: pa.Table, unit: Unit, shards: int, window: Range) -> Bools:
    runs = series_runs(table)
    held = np.array([shard_of(_series_key(unit.metric_type, key), shards) == unit.shard for key in runs.keys], bool)
    return np.repeat(held, runs.lengths()) & within(bucket_ms(table) // 1000, (window,))


def _series_key(metric_type: str, identity: Identity) -> bytes:
    org, entity, name, labels, _ = identity
    return SeriesKey(metric_type, org, entity, name, labels_pairs(labels)).encode()
