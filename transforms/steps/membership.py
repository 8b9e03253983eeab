"""The role membership table: read from what the user gives, carried to the workers as Arrow."""

import io
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from transforms.core.errors import UsageError
from transforms.core.model import Ints
from transforms.core.roles import Membership
from transforms.core.time import parse_time

COLUMNS: Final = ("org", "host", "role", "valid_from", "valid_to")

_BEYOND_S: Final = 1e11
_FOREVER_US: Final = np.iinfo(np.int64).max


def read_membership(body: bytes, name: str) -> pa.Table:
    """The table of a CSV (with a header) or Parquet file, as text columns org, host, role and integer `from_us`, `to_us`.

    `valid_from` and `valid_to` are ISO 8601 with an offset, seconds since the epoch, or (Parquet) timestamps; empty means always.
    Raises UsageError naming the file, the row and the value.
    """
    table = _parse(body, name)
    if twice := [column for column in COLUMNS if table.column_names.count(column) > 1]:
        msg = f"the role membership {name!r} has the column {', '.join(twice)} twice"
        raise UsageError(msg)
    if unknown := [column for column in COLUMNS if column not in table.column_names]:
        msg = f"the role membership {name!r} has no column {', '.join(unknown)}: it needs {', '.join(COLUMNS)}"
        raise UsageError(msg)
    texts = {column: table[column].cast(pa.string()).fill_null("").combine_chunks() for column in ("org", "host", "role")}
    for column in ("host", "role"):
        _refuse_empty(texts[column], column, name)
    from_us = _times_us(table["valid_from"], name, "valid_from", np.iinfo(np.int64).min)
    to_us = _times_us(table["valid_to"], name, "valid_to", _FOREVER_US)
    if (reversed_rows := np.flatnonzero(from_us >= to_us)).size:
        row = int(reversed_rows[0])
        msg = f"the role membership {name!r}, row {row + 1}: valid_from {table['valid_from'][row]} is not before valid_to {table['valid_to'][row]}"
        raise UsageError(msg)
    return pa.table(texts | {"from_us": from_us, "to_us": to_us})


def membership_from_arrow(table: pa.Table) -> Membership:
    """The value that transforms use, from the table of `read_membership`."""
    org, host, role = (table[name].combine_chunks() for name in ("org", "host", "role"))
    return Membership(org, host, role, table["from_us"].to_numpy(), table["to_us"].to_numpy())


def _parse(body: bytes, name: str) -> pa.Table:
    try:
        if body.startswith(b"PAR1"):
            return pq.read_table(io.BytesIO(body))
        convert = pcsv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False)
        return pcsv.read_csv(io.BytesIO(body.removeprefix(b"\xef\xbb\xbf")), convert_options=convert)
    except pa.ArrowInvalid as error:
        msg = f"the role membership {name!r} can't be read as CSV or Parquet: {error}"
        raise UsageError(msg) from error


def _refuse_empty(column: pa.Array, what: str, name: str) -> None:
    if (empty := np.flatnonzero(pc.equal(column, "").to_numpy(zero_copy_only=False))).size:
        msg = f"the role membership {name!r}, row {int(empty[0]) + 1}: {what} is empty"
        raise UsageError(msg)


def _times_us(column: pa.ChunkedArray, name: str, what: str, open_us: int) -> Ints:
    if pa.types.is_timestamp(column.type):
        values = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
        return np.array([open_us if value is None else value for value in values], np.int64)
    return np.array([_time_us(value, name, row, what, open_us) for row, value in enumerate(column.to_pylist(), 1)], np.int64)


def _time_us(value: object, name: str, row: int, what: str, open_us: int) -> int:
    text = "" if value is None else str(value).strip()
    if not text:
        return open_us
    try:
        return _moment_us(text)
    except UsageError as error:
        msg = f"the role membership {name!r}, row {row}, {what}: {error}"
        raise UsageError(msg) from None


def _moment_us(text: str) -> int:
    """A number of seconds or an ISO 8601 time; never relative: a membership does not depend on when it is read."""
    try:
        seconds = float(text)
    except ValueError:
        if text[0] in "+-" or text == "now":
            msg = f"{text!r} is relative: write a time with an offset, like 2025-11-01T00:00Z"
            raise UsageError(msg) from None
        return parse_time(text.replace(" ", "T", 1), 0) * 1_000_000
    if not abs(seconds) < _BEYOND_S:
        msg = f"{text!r} is no number of seconds since 1970 that is a time"
        raise UsageError(msg)
    return round(seconds * 1_000_000)
