"""Buckets in arrays → rows of ROLLUP_SCHEMA."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.fold import Buckets
from transforms.core.model import ROLLUP_SCHEMA, Bools, Floats, Ints
from transforms.core.united import in_order

_Values = TypeVar("_Values", Ints, Floats)


class Owners(NamedTuple):
    """The series of every tile: by identity column, the sorted distinct `values` and for each tile an index into them."""

    values: dict[str, pa.Array]
    codes: dict[str, npt.NDArray[np.int32]]


def table_of(buckets: Buckets, chosen: Bools, starts_s: Ints, owners: Owners, generation: int) -> pa.Table:
    """One row per chosen bucket, tile after tile.

    `chosen` and `starts_s` have the shape of the buckets' arrays. Dictionary values are the sorted distinct ones of the rows; what `buckets` lacks is null.
    Columns that are the same array share a buffer, so that at 1m five columns cost the memory of one.
    """
    sizes = chosen.sum(axis=1)
    rows = int(sizes.sum())
    zeros = pa.py_buffer(np.zeros(rows + 1))
    columns = {name: _dictionary(owners.values[name], codes, sizes, zeros) for name, codes in owners.codes.items()}
    columns["bucket_start"] = pa.array(_picked(starts_s * 1000, chosen)).view(ROLLUP_SCHEMA.field("bucket_start").type)
    columns["minutes"] = pa.array(_picked(buckets.minutes, chosen).astype(np.int32))
    columns["count"] = pa.array(_picked(buckets.count, chosen))
    columns["generation"] = pa.array(np.full(rows, generation))
    floats = {id(values): pa.array(_picked(values, chosen), from_pandas=buckets.gaps) for values in buckets.values.values()}
    columns |= {name: floats[id(values)] for name, values in buckets.values.items()}
    columns |= {name: _filtered(values, chosen) for name, values in buckets.columns.items()}
    absent = (field for field in ROLLUP_SCHEMA if field.name not in columns)
    columns |= {field.name: _nulls(field.type, rows, zeros) for field in absent}
    return pa.table([columns[name] for name in ROLLUP_SCHEMA.names], schema=ROLLUP_SCHEMA)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables one after another, as one table of ROLLUP_SCHEMA; copies no values.

    Dictionary values are sorted, and distinct if no table has one without a row.
    """
    if len(tables) < 2:
        return tables[0] if tables else ROLLUP_SCHEMA.empty_table()
    table = pa.concat_tables(tables).unify_dictionaries()
    for at, field in enumerate(ROLLUP_SCHEMA):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(at, field, _sorted_dictionary(table[field.name]))
    return table


def _sorted_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same strings with their dictionary sorted; all chunks have the same one."""
    values, rank = in_order(column.chunk(0).dictionary)
    chunks = [pa.DictionaryArray.from_arrays(rank.take(chunk.indices.to_numpy()), values) for chunk in column.chunks]
    return pa.chunked_array(chunks, column.type)


def _picked(values: _Values, chosen: Bools) -> _Values:
    return values.reshape(-1) if chosen.all() else values[chosen]


def _filtered(values: pa.Array, chosen: Bools) -> pa.Array:
    return values if chosen.all() else values.filter(pa.array(chosen.reshape(-1)))


def _dictionary(values: pa.Array, codes: npt.NDArray[np.int32], sizes: Ints, zeros: pa.Buffer) -> pa.DictionaryArray:
    """Every tile's value repeated for its rows."""
    used = np.zeros(len(values), bool)
    used[codes[sizes > 0]] = True
    rank = np.cumsum(used, dtype=np.int32) - np.int32(1)
    rows = int(sizes.sum())
    single = pa.Array.from_buffers(pa.int32(), rows, [None, zeros])
    indices = pa.array(np.repeat(rank.take(codes), sizes)) if used.sum() > 1 else single
    return pa.DictionaryArray.from_arrays(indices, values.filter(pa.array(used)))


def _nulls(kind: pa.DataType, rows: int, zeros: pa.Buffer) -> pa.Array:
    """Nulls that share one buffer of zeros: it serves as validity, data and list offsets."""
    children = [pa.nulls(0, kind.value_type)] if pa.types.is_list(kind) else []
    return pa.Array.from_buffers(kind, rows, [zeros, zeros], null_count=rows, children=children)
