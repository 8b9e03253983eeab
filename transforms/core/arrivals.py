"""When an archive's records arrived: by the hour, and by shard and hour of the records that tell their shard of a Kinesis stream.

What is gathered of parts of an archive is added up in any order, and any grouping, with the same result.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
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
_HOUR_BITS: Final = 33
_NUMBERS: Final = {"records": np.add, "first_us": np.minimum, "last_us": np.maximum, "minutes": np.bitwise_or}


@dataclass(frozen=True)
class Arrivals:
    """Records and dead records by hour of arrival (its start), and rows of SHARD_HOURS for those that tell their shard.

    `undecoded` are the keys of objects that hold something of which nothing could be decoded: there are few dead records in them, as nobody knows how many
    they were.
    """

    records: Mapping[int, int] = field(default_factory=dict)
    dead_records: Mapping[int, int] = field(default_factory=dict)
    shards: pa.Table = field(default_factory=SHARD_HOURS.empty_table)
    undecoded: frozenset[str] = frozenset()


def hour_of(arrival_us: int) -> int:
    """The start of the hour of an arrival, in seconds."""
    return arrival_us // _HOUR_US * HOUR_S


def in_hour(hour_s: int, records: int, dead_records: int) -> Arrivals:
    """Records that all arrived in one hour, some of them dead."""
    return Arrivals({hour_s: records} if records else {}, {hour_s: dead_records} if dead_records else {})


def shard_hours(shards: Sequence[str | None], sequences: pa.StringArray, arrivals_us: npt.NDArray[np.int64]) -> pa.Table:
    """The rows of SHARD_HOURS of some records: `stream/shard id` of each, or the id alone; its sequence number (digits) or null; when it arrived."""
    if not len(shards):
        return NO_SHARDS
    sequence = _sortable(sequences)
    minutes = np.left_shift(1, arrivals_us // _MINUTE_US % 60)
    hours = arrivals_us // _HOUR_US * HOUR_S
    columns = [pa.array(shards, pa.string()), hours, np.ones(len(hours), np.int64), arrivals_us, arrivals_us, minutes, sequence, sequence]
    return _summed(pa.table(columns, schema=SHARD_HOURS))


def united(parts: Iterable[Arrivals]) -> Arrivals:
    """The sum of the parts."""
    records, dead_records, undecoded = Counter[int](), Counter[int](), set[str]()
    tables: list[pa.Table] = []
    for part in parts:
        records.update(part.records)
        dead_records.update(part.dead_records)
        undecoded.update(part.undecoded)
        if part.shards.num_rows:
            tables.append(part.shards)
        if sum(one.num_rows for one in tables) > _MANY_ROWS and len(tables) > 1:
            tables = [_summed(pa.concat_tables(tables))]
    shards = _summed(pa.concat_tables(tables)) if len(tables) > 1 else [NO_SHARDS, *tables][-1]
    return Arrivals(dict(records), dict(dead_records), shards, frozenset(undecoded))


def sequence_number(sortable: str | None) -> str | None:
    """The sequence number that `_sortable` wrote."""
    return None if sortable is None else sortable[_LENGTH_DIGITS:]


def _sortable(sequences: pa.StringArray) -> pa.StringArray:
    """Numbers as texts that sort as they do: how many digits there are, then the digits. They have up to 129, too many for an integer."""
    lengths = pc.utf8_lpad(pc.utf8_length(sequences).cast(pa.string()), _LENGTH_DIGITS, "0")
    return pc.binary_join_element_wise(lengths, sequences, "")


def _summed(rows: pa.Table) -> pa.Table:
    """One row for all that are of the same shard and hour."""
    rows = rows.combine_chunks()
    shard, hour = rows["shard"].combine_chunks().dictionary_encode(), rows["hour_s"].to_numpy()
    key = (shard.indices.to_numpy().astype(np.int64) << _HOUR_BITS) + hour
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) > 0])
    firsts = order[starts]
    numbers = {name: how.reduceat(rows[name].to_numpy()[order], starts) for name, how in _NUMBERS.items()}
    columns = {"shard": rows["shard"].take(pa.array(firsts)), "hour_s": hour[firsts]} | numbers | _ends(key, rows)
    return pa.table([columns[name] for name in SHARD_HOURS.names], schema=SHARD_HOURS).sort_by([("shard", "ascending"), ("hour_s", "ascending")])


def _ends(key: npt.NDArray[np.int64], rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The smallest and the largest sequence number of each key, in the order of the keys."""
    keyed = pa.table({"key": key, "first": rows["first_sequence"], "last": rows["last_sequence"]})
    found = keyed.group_by("key").aggregate([("first", "min"), ("last", "max")]).sort_by("key")
    return {"first_sequence": found["first_min"], "last_sequence": found["last_max"]}
