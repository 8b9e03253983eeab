"""The columns of packed items (`packed` tells the bytes): whole columns on one side, for each block its sections on the other."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import one_chunk
from transforms.core.model import ROLLUP_SCHEMA, Bools, Ints
from transforms.core.packed_lists import LISTS, pack_lists, unpack_lists
from transforms.core.ragged import concatenated_ranges, sizes_of

COLUMNS: Final = tuple(name for name in ROLLUP_SCHEMA.names[ROLLUP_SCHEMA.get_field_index("minutes") :])
"""In the order of their sections."""

EQUALS: Final[Mapping[str, tuple[str, ...]]] = {
    "count": ("minutes",),
    "min": ("sum",),
    "max": ("sum", "min"),
    "avg": ("sum", "min", "max"),
    "last": ("sum", "min", "max", "avg"),
    "increase": ("sum", "last"),
    "first_value": ("sum", "min"),
    "last_value": ("sum", "max", "last"),
}
"""Columns that a column is compared with, the first equal one counts."""

NULL: Final = 0
RAW: Final = 1
INTS: Final = 2
RUNS: Final = 3
HOLES: Final = 4
SAME: Final = 16

_NULL_RUN: Final = 0x8000
_RUN: Final = np.dtype([("rows", "<u2"), ("bits", "<i8")])
_FLOATS: Final = frozenset(field.name for field in ROLLUP_SCHEMA if pa.types.is_floating(field.type))
_LISTS: Final = frozenset(field.name for field in ROLLUP_SCHEMA if pa.types.is_list(field.type))


class Packed(NamedTuple):
    """For each block the forms of its columns and the parts of its sections, in order."""

    forms: npt.NDArray[np.uint8]
    parts: list[list[bytes]]


class Sections(NamedTuple):
    """What a block says of its columns."""

    forms: bytes
    data: memoryview
    rows: int


class _Values(NamedTuple):
    """A column: the bits of its values as integers, 0 where null; which are not null; bytes that each needs as a whole number, 8 for what is none."""

    bits: Ints
    valid: Bools
    ints: Ints
    width: npt.NDArray[np.int8]


def pack_columns(table: pa.Table, starts: Ints) -> Packed:
    """The columns of a canonical table, cut into blocks at these rows."""
    packed = Packed(np.zeros((len(starts), len(COLUMNS)), np.uint8), [[] for _ in starts])
    done: dict[str, _Values] = {}
    for number, name in enumerate(COLUMNS):
        column = one_chunk(table.column(name))
        if column.null_count == len(column):
            continue
        if name in _LISTS:
            _lists(column, starts, number, packed)
            continue
        done[name] = values = _values(column)
        _same(values, number, starts, done, packed)
        _scalars(values, number, starts, packed)
    return packed


def _lists(column: pa.Array, starts: Ints, number: int, packed: Packed) -> None:
    for block, part in pack_lists(column, starts):
        packed.forms[block, number] = LISTS
        packed.parts[block].append(part)


def _values(column: pa.Array) -> _Values:
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(column.type):
        floats = pc.fill_null(column, 0.0).to_numpy()
        bits = floats.view(np.int64)
        with np.errstate(invalid="ignore"):
            ints = np.where(np.abs(floats) < 2.0**31, floats, 0.0).astype(np.int64)
        is_whole = ints.astype(np.float64).view(np.int64) == bits
        return _Values(bits, valid, ints, np.where(is_whole, _widths(ints), 8).astype(np.int8))
    plain = column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column.cast(pa.int64())
    bits = pc.fill_null(plain, 0).to_numpy()
    return _Values(bits, valid, bits, _widths(bits))


def _widths(ints: Ints) -> npt.NDArray[np.int8]:
    """Bytes that each integer needs: 1, 2, 4 or 8."""
    widths = np.full(len(ints), 8, np.int8)
    for width in (4, 2, 1):
        least = -(1 << (8 * width - 1))
        widths[(ints >= least) & (ints < -least)] = width
    return widths


def _same(values: _Values, number: int, starts: Ints, done: Mapping[str, _Values], packed: Packed) -> None:
    """Marks the blocks in which the column equals an earlier one."""
    forms = packed.forms
    for other in EQUALS.get(COLUMNS[number], ()):
        if other not in done:
            continue
        theirs, place = done[other], COLUMNS.index(other)
        open_blocks = (forms[:, number] == NULL) & (forms[:, place] != NULL) & (forms[:, place] < SAME)
        equal = np.logical_and.reduceat((values.bits == theirs.bits) & (values.valid == theirs.valid), starts)
        forms[open_blocks & equal, number] = SAME + place


def _scalars(values: _Values, number: int, starts: Ints, packed: Packed) -> None:
    """Chooses a form for the blocks that have none yet, and adds their sections."""
    total = len(values.bits)
    rows, known = sizes_of(starts, total), np.add.reduceat(values.valid, starts, dtype=np.int64)
    changes = np.ones(total, bool)
    changes[1:] = (values.bits[1:] != values.bits[:-1]) | (values.valid[1:] != values.valid[:-1])
    changes[starts] = True
    runs, width = np.add.reduceat(changes, starts, dtype=np.int64), np.maximum.reduceat(values.width, starts).astype(np.int64)
    holes = np.where(known < rows, (rows + 7) // 8, 0)
    plain = holes + np.where(width < 8, 1 + width * known, 8 * known)
    chosen = np.where(2 + _RUN.itemsize * runs <= plain, RUNS, np.where(width < 8, INTS, RAW) + np.where(holes > 0, HOLES, 0))
    mine = (packed.forms[:, number] == NULL) & (known > 0)
    packed.forms[mine, number] = chosen[mine]
    _add_runs(values, changes, runs, np.flatnonzero(mine & (chosen == RUNS)), packed)
    for block in np.flatnonzero(mine & (chosen & HOLES > 0)).tolist():
        first = int(starts[block])
        packed.parts[block].append(np.packbits(values.valid[first : first + int(rows[block])], bitorder="little").tobytes())
    kinds = chosen & ~HOLES
    for size in (1, 2, 4):
        _add_values(values.ints.astype(f"<i{size}"), values.valid, starts, np.flatnonzero(mine & (kinds == INTS) & (width == size)), packed, bytes((size,)))
    _add_values(values.bits, values.valid, starts, np.flatnonzero(mine & (kinds == RAW)), packed, b"")


def _add_runs(values: _Values, changes: Bools, runs: Ints, blocks: Ints, packed: Packed) -> None:
    if not len(blocks):
        return
    at = np.flatnonzero(changes)
    every = np.zeros(len(at), _RUN)
    every["rows"] = sizes_of(at, len(values.bits)) | np.where(values.valid[at], 0, _NULL_RUN)
    every["bits"] = values.bits[at]
    data, ends = memoryview(every.tobytes()), np.cumsum(runs)
    for block in blocks.tolist():
        number, end = int(runs[block]), int(ends[block])
        packed.parts[block].append(struct.pack("<H", number) + data[(end - number) * _RUN.itemsize : end * _RUN.itemsize])


def _add_values(values: npt.NDArray[np.signedinteger], valid: Bools, starts: Ints, blocks: Ints, packed: Packed, before: bytes) -> None:
    """For each of the blocks these bytes and its values that are not null."""
    if not len(blocks):
        return
    data, size = memoryview(values[valid].tobytes()), values.itemsize
    passed = np.append(0, np.cumsum(valid, dtype=np.int64))
    edges = passed[np.append(starts, len(valid))]
    for block in blocks.tolist():
        packed.parts[block].append(before + data[int(edges[block]) * size : int(edges[block + 1]) * size])


# --- and back


class _Found(NamedTuple):
    """Sections of one column and form: the blocks they are of, and their bytes."""

    blocks: list[int]
    data: list[memoryview]


def unpack_columns(sections: Sequence[Sections], rows: Ints) -> dict[str, pa.Array]:
    """The columns, one block after another. Raises ValueError, IndexError or struct.error for what is no section."""
    found: list[dict[tuple[int, int], _Found]] = [{} for _ in COLUMNS]
    holes: list[dict[int, memoryview]] = [{} for _ in COLUMNS]
    for block, one in enumerate(sections):
        _walk(block, one, found, holes)
    firsts = np.cumsum(rows) - rows
    columns: dict[str, pa.Array] = {}
    bits: list[tuple[Ints, Bools]] = []
    for number, name in enumerate(COLUMNS):
        if name in _LISTS:
            lists = found[number].get((LISTS, 0), _Found([], []))
            columns[name] = unpack_lists(lists.blocks, lists.data, rows, ROLLUP_SCHEMA.field(name).type)
            continue
        bits.append(_column(name, found[number], holes[number], bits, firsts, rows))
        columns[name] = _array(*bits[-1], name)
    return columns


def _walk(block: int, one: Sections, found: list[dict[tuple[int, int], _Found]], holes: list[dict[int, memoryview]]) -> None:
    """Cuts a block's bytes into the sections of its columns."""
    at = 0
    for number, written in enumerate(one.forms):
        if written == NULL:
            continue
        known, form = one.rows, written
        if written in (RAW | HOLES, INTS | HOLES):
            holes[number][block] = bits = one.data[at : at + (one.rows + 7) // 8]
            known = int.from_bytes(bits, "little").bit_count()
            at, form = at + len(bits), written & ~HOLES
        size, width = _size(form, one, at, known, number)
        if at + size > len(one.data):
            raise ValueError(f"column {COLUMNS[number]} goes on after the end of the block")
        where = found[number].setdefault((form, width), _Found([], []))
        where.blocks.append(block)
        where.data.append(one.data[at : at + size])
        at += size
    if at != len(one.data):
        raise ValueError(f"{len(one.data) - at} bytes follow the last column")


def _size(form: int, one: Sections, at: int, known: int, number: int) -> tuple[int, int]:
    """Bytes of a section, and the width of its values (INTS), or which column it is equal to (SAME)."""
    is_list = COLUMNS[number] in _LISTS
    if is_list and form == LISTS:
        runs, width = struct.unpack_from("<HB", one.data, at)
        lists = np.frombuffer(one.data, [("rows", "<u2"), ("elements", "<u4")], runs, at + 3)
        return 3 + 6 * runs + width * int(lists["elements"].sum(dtype=np.int64)), 0
    if not is_list and form == RAW:
        return 8 * known, 8
    if not is_list and form == INTS and (width := one.data[at]) in (1, 2, 4):
        return 1 + width * known, width
    if not is_list and form == RUNS:
        return 2 + _RUN.itemsize * int(struct.unpack_from("<H", one.data, at)[0]), 0
    if not is_list and SAME <= form < SAME + number and NULL < one.forms[form - SAME] < SAME:
        return 0, form - SAME
    raise ValueError(f"form {form} of column {COLUMNS[number]} is not known")


def _column(
    name: str, found: Mapping[tuple[int, int], _Found], holes: Mapping[int, memoryview], before: Sequence[tuple[Ints, Bools]], firsts: Ints, rows: Ints
) -> tuple[Ints, Bools]:
    """The bits and validity of one column."""
    bits, valid = np.zeros(int(rows.sum()), np.int64), np.zeros(int(rows.sum()), bool)
    for (form, width), sections in found.items():
        blocks = np.array(sections.blocks, np.int64)
        at = concatenated_ranges(firsts[blocks], rows[blocks])
        if form >= SAME:
            bits[at], valid[at] = (one[at] for one in before[width])
            continue
        if form == RUNS:
            bits[at], valid[at] = _of_runs(sections, rows)
            continue
        at = at[_not_holes(sections.blocks, holes, rows)]
        values = np.frombuffer(b"".join(one[form == INTS :] for one in sections.data), f"<i{width}").astype(np.int64)
        bits[at] = values.astype(np.float64).view(np.int64) if form == INTS and name in _FLOATS else values
        valid[at] = True
    return bits, valid


def _of_runs(sections: _Found, rows: Ints) -> tuple[Ints, Bools]:
    runs = np.frombuffer(b"".join(one[2:] for one in sections.data), _RUN)
    lengths = (runs["rows"] & (_NULL_RUN - 1)).astype(np.int64)
    block = np.repeat(np.arange(len(sections.data)), [len(one) // _RUN.itemsize for one in sections.data])
    if not (np.bincount(block, lengths, len(sections.data)) == rows[sections.blocks]).all():
        raise ValueError("the runs of a column have other lengths than its block")
    return np.repeat(runs["bits"], lengths), np.repeat(runs["rows"] < _NULL_RUN, lengths)


def _not_holes(blocks: Sequence[int], holes: Mapping[int, memoryview], rows: Ints) -> Bools:
    """For each row of the blocks whether its value is there."""
    if not holes:
        return np.ones(int(rows[blocks].sum()), bool)
    parts = [
        np.unpackbits(np.frombuffer(holes[block], np.uint8), count=int(rows[block]), bitorder="little") if block in holes else np.ones(rows[block], np.uint8)
        for block in blocks
    ]
    return np.concatenate(parts).astype(bool)


def _array(bits: Ints, valid: Bools, name: str) -> pa.Array:
    field = ROLLUP_SCHEMA.field(name)
    if not valid.all() and not field.nullable:
        raise ValueError(f"column {name} has nulls")
    mask = None if valid.all() else ~valid
    if name in _FLOATS:
        return pa.array(bits.view(np.float64), mask=mask)
    if pa.types.is_timestamp(field.type):
        return pa.array(bits, mask=mask).view(field.type)
    return pa.array(bits, mask=mask).cast(field.type)
