"""Values of a table's columns in Python, also those that Python can't hold."""

from typing import Any

import pyarrow as pa


def values_of(column: pa.Array) -> list[Any]:
    """The values as `to_pylist` says, but numbers for times beyond the years of Python, and lone surrogates for bytes of texts that are no UTF-8."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [_value_of(column.slice(place, 1)) for place in range(len(column))]


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows, of such values by the columns' names."""
    columns = [values_of(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _value_of(one: pa.Array) -> Any:  # noqa: ANN401 - any column's
    """The only value of the array."""
    try:
        return one.to_pylist()[0]
    except (OverflowError, ValueError):
        return _nested(one) if pa.types.is_nested(one.type) or pa.types.is_dictionary(one.type) else _single(one)


def _nested(one: pa.Array) -> Any:  # noqa: ANN401 - any column's
    kind = one.type
    if pa.types.is_dictionary(kind):
        return _value_of(one.dictionary_decode())
    if pa.types.is_struct(kind):
        return {field.name: _value_of(column) for field, column in zip(kind, one.flatten(), strict=True)}
    if pa.types.is_map(kind):
        return list(zip(_elements(one, one.keys), _elements(one, one.items), strict=True))
    return _elements(one, one.values)


def _elements(one: pa.Array, values: pa.Array) -> list[Any]:
    """Of the values of lists, before they were sliced, those of the only list."""
    size = one.type.list_size if pa.types.is_fixed_size_list(one.type) else 0
    places = range(one.offset * size, (one.offset + 1) * size) if size else range(*one.offsets.to_pylist())
    return [_value_of(values.slice(place, 1)) for place in places]


def _single(one: pa.Array) -> int | str:
    kind = one.type
    if pa.types.is_temporal(kind):
        return int(one.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64()).to_pylist()[0])
    return str(one.cast(pa.binary()).to_pylist()[0].decode("utf-8", "surrogateescape"))
