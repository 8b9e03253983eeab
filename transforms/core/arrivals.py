"""When an archive's records arrived: by the hour, and by shard and hour of the records that tell their shard of a Kinesis stream.

What is gathered of parts of an archive is added up in any order, and any grouping, with the same result.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.granularity import HOUR_S

SHARD_HOURS: Final = pa.schema(
    [
        ("shard", pa.string()),
        ("hour_s", pa.int64()),
        ("records", pa.int64()),
        ("first_us", pa.int64()),
        ("last_us", pa.int64()),
        ("minutes", pa.int64()),
        ("first_sequence", pa.string()),
        ("last_sequence", pa.string()),
    ]
)
"""A row per shard and hour of arrival (its start), sorted by both: how many records, the first and last arrival, the minutes of the hour that have any (bit n:
minute n), the smallest and largest sequence number as `_sortable` writes them, null where no record tells any."""

NO_SHARDS: Final = SHARD_HOURS.empty_table()

_HOUR_US: Final = HOUR_S * 1_000_000
_MINUTE_US: Final = 60_000_000
_LENGTH_DIGITS: Final = 3
_MANY_ROWS: Final = 1 << 16


class Origin(NamedTuple):
    """Where and when a record entered a stream: `stream/shard id` or the shard id alone, its sequence number (digits) if told, its arrival."""

    shard: str
    sequence: str | None
    arrival_us: int


@dataclass(frozen=True)
class Arrivals:
    """Records and dead records by hour of arrival (its start), and rows of SHARD_HOURS for those that tell their shard."""

    records: Mapping[int, int] = field(default_factory=dict)
    dead_records: Mapping[int, int] = field(default_factory=dict)
    shards: pa.Table = field(default_factory=SHARD_HOURS.empty_table)


def hour_of(arrival_us: int) -> int:
    """The start of the hour of an arrival, in seconds."""
    return arrival_us // _HOUR_US * HOUR_S


def in_hour(hour_s: int, records: int, dead_records: int) -> Arrivals:
    """Records that all arrived in one hour, some of them dead."""
    return Arrivals({hour_s: records} if records else {}, {hour_s: dead_records} if dead_records else {})


def of_origins(origins: Sequence[Origin]) -> pa.Table:
    """The rows of SHARD_HOURS of some records."""
    if not origins:
        return NO_SHARDS
    shards, sequences, told_us = zip(*origins, strict=True)
    arrivals_us = np.array(told_us, np.int64)
    sequence = _sortable(pa.array(sequences, pa.string()))
    minutes = np.left_shift(1, arrivals_us // _MINUTE_US % 60)
    hours = arrivals_us // _HOUR_US * HOUR_S
    columns = [pa.array(shards, pa.string()), hours, np.ones(len(hours), np.int64), arrivals_us, arrivals_us, minutes, sequence, sequence]
    return _summed(pa.table(columns, schema=SHARD_HOURS))


def united(parts: Iterable[Arrivals]) -> Arrivals:
    """The sum of the parts."""
    records, dead_records = Counter[int](), Counter[int]()
    tables: list[pa.Table] = []
    for part in parts:
        records.update(part.records)
        dead_records.update(part.dead_records)
        if part.shards.num_rows:
            tables.append(part.shards)
        if sum(one.num_rows for one in tables) > _MANY_ROWS and len(tables) > 1:
            tables = [_summed(pa.concat_tables(tables))]
    return Arrivals(dict(records), dict(dead_records), _summed(pa.concat_tables(tables)) if len(tables) > 1 else [NO_SHARDS, *tables][-1])


def sequence_number(sortable: str | None) -> str | None:
    """The sequence number that `_sortable` wrote."""
    return None if sortable is None else sortable[_LENGTH_DIGITS:]


def _sortable(sequences: pa.StringArray) -> pa.StringArray:
    """Numbers as texts that sort as they do: how many digits there are, then the digits. They have up to 129, too many for an integer."""
    lengths = pc.utf8_lpad(pc.utf8_length(sequences).cast(pa.string()), _LENGTH_DIGITS, "0")
    return pc.binary_join_element_wise(lengths, sequences, "")


def _summed(rows: pa.Table) -> pa.Table:
    """One row for all that are of the same shard and hour."""
    order = [("shard", "ascending"), ("hour_s", "ascending")]
    ordered = rows.sort_by(order).combine_chunks()
    shard = ordered["shard"].combine_chunks().dictionary_encode().indices.to_numpy()
    hour = ordered["hour_s"].to_numpy()
    starts = np.flatnonzero(np.r_[True, (shard[1:] != shard[:-1]) | (hour[1:] != hour[:-1])])
    minutes = np.bitwise_or.reduceat(ordered["minutes"].to_numpy(), starts)
    sums = [("records", "sum"), ("first_us", "min"), ("last_us", "max"), ("first_sequence", "min"), ("last_sequence", "max")]
    summed = ordered.group_by(["shard", "hour_s"]).aggregate(sums).sort_by(order)  # groups come in no promised order
    columns = {name: summed[name] for name in ("shard", "hour_s")} | {name: summed[f"{name}_{how}"] for name, how in sums} | {"minutes": pa.array(minutes)}
    return pa.table([columns[name] for name in SHARD_HOURS.names], schema=SHARD_HOURS)
