"""Columns of lists in packed items (`packed` tells the bytes): consecutive equal lists are stored once."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.model import Bools, Ints
from transforms.core.ragged import concatenated_ranges, sizes_of

LISTS: Final = 7

_HEAD: Final = struct.Struct("<HB")
_NULL_RUN: Final = 0x8000
_RUN: Final = np.dtype([("rows", "<u2"), ("elements", "<u4")])


def pack_lists(column: pa.Array, starts: Ints) -> Iterator[tuple[int, bytes]]:
    """Number and section of each block that has a list."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    elements = column.flatten()
    is_float = pa.types.is_floating(elements.type)
    bits = elements.to_numpy(zero_copy_only=False).view(np.int64)
    offsets = np.append(0, np.cumsum(sizes))
    changes = _changes(bits, offsets, sizes, valid)
    changes[starts] = True
    known = np.add.reduceat(valid, starts, dtype=np.int64)
    widths = _element_widths(bits, is_float=is_float)
    at = np.flatnonzero(changes)
    runs = np.zeros(len(at), _RUN)
    runs["rows"] = sizes_of(at, len(valid)) | np.where(valid[at], 0, _NULL_RUN)
    runs["elements"] = sizes[at]
    edges = np.searchsorted(at, np.append(starts, len(valid)))
    for block in np.flatnonzero(known).tolist():
        first, end = int(edges[block]), int(edges[block + 1])
        chosen = concatenated_ranges(offsets[at[first:end]], sizes[at[first:end]])
        width = int(widths[chosen].max(initial=1))
        yield block, _HEAD.pack(end - first, width) + runs[first:end].tobytes() + _narrowed(bits[chosen], width, is_float=is_float)


def _changes(bits: Ints, offsets: Ints, sizes: Ints, valid: Bools) -> Bools:
    """Which rows differ from the one before."""
    changes = np.ones(len(sizes), bool)
    changes[1:] = (sizes[1:] != sizes[:-1]) | (valid[1:] != valid[:-1])
    alike = np.flatnonzero(~changes & (sizes > 0))
    if len(alike):
        at = concatenated_ranges(offsets[alike], sizes[alike])
        differs = bits[at] != bits[at - np.repeat(sizes[alike], sizes[alike])]
        begins = np.cumsum(sizes[alike]) - sizes[alike]
        changes[alike] = np.logical_or.reduceat(differs, begins)
    return changes


def _element_widths(bits: Ints, *, is_float: bool) -> npt.NDArray[np.int8]:
    """Bytes that each element needs as a whole number, 8 for what is none or larger."""
    ints = bits
    widths = np.full(len(bits), 8, np.int8)
    is_whole = np.ones(len(bits), bool)
    if is_float:
        floats = bits.view(np.float64)
        ints = np.where(np.abs(floats) < 2.0**31, floats, 0.0).astype(np.int64)
        is_whole = ints.astype(np.float64).view(np.int64) == bits
    for width in (4, 2, 1):
        least = -(1 << (8 * width - 1))
        widths[is_whole & (ints >= least) & (ints < -least)] = width
    return widths


def _narrowed(bits: Ints, width: int, *, is_float: bool) -> bytes:
    if width == 8:
        return bits.tobytes()
    ints = bits.view(np.float64).astype(np.int64) if is_float else bits
    return ints.astype(f"<i{width}").tobytes()


def unpack_lists(blocks: Sequence[int], data: Sequence[memoryview], rows: Ints, kind: pa.ListType) -> pa.Array:
    """The column over all blocks, of which these have sections; the others are null. Raises ValueError or struct.error for what is no section."""
    if not blocks:
        return pa.nulls(int(rows.sum()), kind)
    is_float = pa.types.is_floating(kind.value_type)
    sections = dict(zip(blocks, data, strict=True))
    lengths: list[Ints] = []
    valid: list[Bools] = []
    values: list[Ints] = []
    for block, number in enumerate(rows.tolist()):
        if block not in sections:
            lengths.append(np.zeros(number, np.int64))
            valid.append(np.zeros(number, bool))
            continue
        sizes, known, elements = _of_block(sections[block], number, is_float=is_float)
        lengths.append(sizes)
        valid.append(known)
        values.append(elements)
    offsets = np.append(0, np.cumsum(np.concatenate(lengths)))
    flat = pa.array(np.concatenate(values).view(np.float64 if is_float else np.int64))
    if offsets[-1] >= 1 << 31:
        raise ValueError(f"{offsets[-1]} list elements are too many for one table")
    known = np.concatenate(valid)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=kind, mask=None if known.all() else pa.array(~known))


def _of_block(data: memoryview, rows: int, *, is_float: bool) -> tuple[Ints, Bools, Ints]:
    """Sizes and validity of the lists of a block, and their elements as bits."""
    number, width = _HEAD.unpack_from(data)
    if width not in (1, 2, 4, 8):
        raise ValueError(f"lists of elements of {width} bytes")
    runs = np.frombuffer(data, _RUN, number, _HEAD.size)
    repeats = (runs["rows"] & (_NULL_RUN - 1)).astype(np.int64)
    if repeats.sum() != rows:
        raise ValueError(f"lists of {repeats.sum()} rows in a block of {rows}")
    sizes = runs["elements"].astype(np.int64)
    elements = np.frombuffer(data[_HEAD.size + _RUN.itemsize * number :], f"<i{width}").astype(np.int64)
    if width < 8 and is_float:
        elements = elements.astype(np.float64).view(np.int64)
    every = np.repeat(sizes, repeats)
    known = np.repeat(runs["rows"] < _NULL_RUN, repeats)
    firsts = np.repeat(np.cumsum(sizes) - sizes, repeats)
    return every, known, elements[concatenated_ranges(firsts, every)]
