"""1m rollups as texts in an item's hash, one field for each minute, as any live writer can read and write them.

A field is the minute's start in seconds since the epoch. Its text is the value as a number (`0.5`, by `repr`), if that and the kind is all there is to say; the
kind is the key's, or gauge where the key tells none. Anything more is a compact JSON object of the columns that are not null, in which `value` stands for sum,
min, max, avg and last where all are that; times are milliseconds since the epoch, infinities the texts `inf` and `-inf`:

    {"kind":"counter","minutes":1,"count":1,"value":9.0,"increase":5.0,"first_value":9.0,"last_value":9.0,"start_time":1761955200000}
    {"kind":"histogram","minutes":1,"count":5,"sum":7.5,"p50":1.5,"p90":1.9,"p95":1.95,"p99":1.99,"bounds":[1.0,2.0],"bucket_counts":[0,5,0]}
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.canonical import one_chunk
from transforms.core.model import KINDS, ROLLUP_SCHEMA, Bools
from transforms.core.united import IDENTITY

SAME: Final = ("sum", "min", "max", "avg", "last")
"""Columns that are one number for a minute of a gauge."""

_DATA: Final = tuple(name for name in ROLLUP_SCHEMA.names if name not in {*IDENTITY, "bucket_start", "generation"})
_MORE: Final = tuple(name for name in _DATA if name not in {*SAME, "minutes", "count"})


def texts_of(rows: pa.Table, kinds: Sequence[str]) -> list[str]:
    """The text of each row; `kinds` are those that the rows' keys tell or imply."""
    texts: list[str] = list(map(repr, _floats(rows, "sum").tolist()))
    rest = np.flatnonzero(~_is_plain(rows, kinds))
    if len(rest):
        chosen = rows.select(["kind", *_DATA]).take(pa.array(rest))
        for place, row in zip(rest.tolist(), _without_times(chosen).to_pylist(), strict=True):
            texts[place] = _json(row)
    return texts


def _is_plain(rows: pa.Table, kinds: Sequence[str]) -> Bools:
    plain: Bools = np.array(one_chunk(rows.column("kind")).cast(pa.string()).to_numpy(zero_copy_only=False) == np.array(kinds, object), bool)
    for name in ("minutes", "count"):
        plain &= one_chunk(rows.column(name)).fill_null(0).to_numpy(zero_copy_only=False) == 1
    bits = _floats(rows, "sum").view(np.int64)
    for name in SAME:
        plain &= _valid(rows, name) & (_floats(rows, name).view(np.int64) == bits)
    for name in _MORE:
        plain &= ~_valid(rows, name)
    return plain


def _valid(rows: pa.Table, name: str) -> Bools:
    valid: Bools = one_chunk(rows.column(name)).is_valid().to_numpy(zero_copy_only=False)
    return valid


def _floats(rows: pa.Table, name: str) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = one_chunk(rows.column(name)).fill_null(0.0).to_numpy(zero_copy_only=False)
    return values


def _without_times(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("start_time")
    return rows.set_column(place, "start_time", rows.column("start_time").cast(pa.int64()))


def _json(row: Mapping[str, Any]) -> str:
    told = {name: value for name, value in row.items() if value is not None}
    if {repr(told.get(name)) for name in SAME} != {"None"} and len({repr(told.get(name)) for name in SAME}) == 1:
        told = {name: value for name, value in told.items() if name not in SAME} | {"value": told["sum"]}
    order = ("kind", "minutes", "count", "value", *_DATA)
    return json.dumps({name: _written(told[name]) for name in dict.fromkeys(order) if name in told}, separators=(",", ":"))


def _written(value: object) -> object:
    if isinstance(value, list):
        return list(map(_written, value))
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def normal(text: str) -> str:
    """The text as `texts_of` would write it; itself if it can't be read."""
    try:
        return json.dumps(json.loads(text), separators=(",", ":")) if text.startswith("{") else repr(float(text))
    except ValueError:
        return text


def columns_of(texts: Sequence[str], kinds: Sequence[str]) -> dict[str, pa.Array]:
    """The columns of rows but for series, time and generation, of texts as `texts_of` writes them.

    Raises ValueError for a text that is neither a number nor such an object: its first argument says which one, the second why.
    """
    rows = dict.fromkeys(place for place, text in enumerate(texts) if text.startswith("{"))
    if not rows:
        return _plain_columns(texts, kinds)
    plain = [place for place in range(len(texts)) if place not in rows]
    try:
        first = _plain_columns([texts[place] for place in plain], [kinds[place] for place in plain])
    except ValueError as error:
        raise ValueError(plain[error.args[0]], error.args[1]) from None
    second = _object_columns([(place, texts[place]) for place in rows], kinds)
    order = pa.array(np.argsort([*plain, *rows], kind="stable"))
    return {name: pa.concat_arrays([first[name], second[name]]).take(order) for name in first}


def _plain_columns(texts: Sequence[str], kinds: Sequence[str]) -> dict[str, pa.Array]:
    numbers = len(texts)
    try:
        values = np.fromiter(map(float, texts), np.float64, numbers)
    except ValueError:
        raise ValueError(next(place for place, text in enumerate(texts) if not _is_number(text)), "it is no number") from None
    if np.isnan(values).any():
        raise ValueError(int(np.flatnonzero(np.isnan(values))[0]), "it is no number")
    ones = np.ones(numbers, np.int32)
    columns = {"kind": pa.array(list(kinds), pa.string()), "minutes": pa.array(ones), "count": pa.array(ones.astype(np.int64))}
    columns |= dict.fromkeys(SAME, pa.array(values))
    return columns | {name: pa.nulls(numbers, ROLLUP_SCHEMA.field(name).type) for name in _MORE}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _object_columns(texts: Sequence[tuple[int, str]], kinds: Sequence[str]) -> dict[str, pa.Array]:
    rows = [_row(place, text, kinds[place]) for place, text in texts]
    columns = {"kind": pa.array([row["kind"] for row in rows], pa.string())}
    for name in _DATA:
        kind = ROLLUP_SCHEMA.field(name).type
        columns[name] = pa.array([row.get(name) for row in rows], pa.int64() if pa.types.is_timestamp(kind) else kind).cast(kind)
    return columns


def _row(place: int, text: str, kind: str) -> dict[str, Any]:
    """The row that an object tells. Raises as `columns_of`."""
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ValueError(place, f"it is no JSON ({error})") from None
    row = {"kind": kind, "minutes": 1, **row}
    if "value" in row:
        row |= dict.fromkeys(SAME, row.pop("value"))
    if unknown := sorted(row.keys() - {"kind", *_DATA}):
        raise ValueError(place, f"it has {unknown[0]!r}, which no rollup has")
    if row["kind"] not in KINDS:
        raise ValueError(place, f"the kind {row['kind']!r} is none of {', '.join(KINDS)}")
    return {name: _checked(place, name, value) for name, value in row.items() if value is not None}


def _checked(place: int, name: str, value: object) -> object:
    """The column's value. Raises as `columns_of`."""
    if name == "kind":
        return value
    kind = ROLLUP_SCHEMA.field(name).type
    try:
        if pa.types.is_list(kind):
            elements = value if isinstance(value, list) else [None]
            return [_float(one) if pa.types.is_floating(kind.value_type) else _whole(one) for one in elements]
        return _float(value) if pa.types.is_floating(kind) else _whole(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(place, f"its {name} {value!r} is not as a rollup's is") from None


def _float(value: object) -> float:
    if not isinstance(value, int | float | str) or isinstance(value, bool) or math.isnan(float(value)):
        raise TypeError
    return float(value)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
        raise TypeError
    return value
