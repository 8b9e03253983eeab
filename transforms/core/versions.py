"""Two versions of the same buckets: which one stays (DESIGN §4.4).

Of two versions of a bucket the larger `(generation if allow_fewer else 0, minutes, generation)` wins. Where even these are equal but the values are not (which
no honest run produces), the values decide by a fixed order, so that for one `allow_fewer` the rule is a maximum: commutative, associative, idempotent. A null
generation, a live writer's, counts as 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import canonical, find, keys_of, one_chunk, pick
from transforms.core.model import ROLLUP_SCHEMA, Bools, Ints
from transforms.core.united import IDENTITY

Signs = npt.NDArray[np.int8]
"""-1, 0 or 1 per pair of rows: the first is smaller, equal, larger."""

VALUES: Final = tuple(name for name in ROLLUP_SCHEMA.names if name not in {*IDENTITY, "bucket_start", "generation"})
"""Columns that make two versions of a bucket equal or different."""


class Verdict(IntEnum):
    """What becomes of a new row.

    ADDED: the bucket was not stored. CHANGED: the new version wins, and a value differs bitwise. EQUAL: it wins with the same values, or is the very row that
    is stored. REFUSED: the stored version has more minutes and stays, or the new one was held back. NEWER: the stored version stays by its generation.
    LEFT: the bucket is the live writer's.
    """

    ADDED = 0
    CHANGED = 1
    EQUAL = 2
    REFUSED = 3
    NEWER = 4
    LEFT = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """Stored and new rows made one.

    `table`: all buckets, canonical and in order. `changed`: whether it differs from what is stored. `verdicts`: Verdict of each new row. `met`: the new rows
    that met a stored one, increasing; `stored`: those stored rows, parallel to `met`. `unmatched`: per stored row, whether no new one has its bucket;
    `alone`: the identity and bucket_start of these. `lapsed`: per new row, whether it was refused because its time to live has passed; None if none was.
    """

    table: pa.Table
    changed: bool
    verdicts: Signs
    met: Ints
    stored: pa.Table
    unmatched: Bools
    alone: pa.Table
    lapsed: Bools | None = None


def merge(stored: pa.Table, new: pa.Table, *, allow_fewer: bool, held: Bools | None = None, left: Bools | None = None) -> Merged:
    """Apply the rule to every bucket. Both tables are canonical and in order; with nothing stored `new` is returned as it is.

    New rows that are `held` back or `left` to the live writer never win: whatever is stored, or nothing, stays, and the row is REFUSED or LEFT.
    """
    held, left = (np.zeros(new.num_rows, bool) if rows is None else rows for rows in (held, left))
    kept_out = held | left
    if not stored.num_rows and not kept_out.any():
        none = np.zeros(0, np.int64)
        return Merged(new, new.num_rows > 0, np.full(new.num_rows, Verdict.ADDED, np.int8), none, stored, none.astype(bool), stored)
    stored_keys, new_keys = keys_of([stored, new])
    rows, found = find(new_keys, stored_keys)
    met, partners = np.flatnonzero(found), rows[found]
    theirs = pick(stored, partners)
    wins, verdicts = _judge(pick(new, met), theirs, allow_fewer=allow_fewer)
    wins &= ~kept_out[met]
    every = np.full(new.num_rows, Verdict.ADDED, np.int8)
    every[met] = verdicts
    every[held] = Verdict.REFUSED
    every[left] = Verdict.LEFT
    taken = ~found & ~kept_out
    taken[met] = wins
    kept, unmatched = np.ones(stored.num_rows, bool), np.ones(stored.num_rows, bool)
    kept[partners[wins]] = False
    unmatched[partners] = False
    table = _unite(stored, np.flatnonzero(kept), stored_keys, new, np.flatnonzero(taken), new_keys)
    return Merged(table, bool(taken.any()), every, met, theirs, unmatched, pick(stored.select([*IDENTITY, "bucket_start"]), np.flatnonzero(unmatched)))


def _unite(stored: pa.Table, kept: Ints, stored_keys: Ints, new: pa.Table, taken: Ints, new_keys: Ints) -> pa.Table:
    """The kept stored and the taken new rows in order."""
    if not len(taken):
        return stored
    if not len(kept):
        return canonical(pick(new, taken))
    order = np.argsort(np.concatenate([stored_keys[kept], new_keys[taken]]), kind="stable")
    rows = np.concatenate([kept, stored.num_rows + taken])[order]
    return canonical(canonical(pa.concat_tables([stored, new])).take(pa.array(rows)))


def _judge(new: pa.Table, stored: pa.Table, *, allow_fewer: bool) -> tuple[Bools, Signs]:
    """Whether the new row of each pair wins, and its verdict."""
    generation = _signs(*(pc.fill_null(_column(table, "generation"), 0) for table in (new, stored)))
    minutes = _signs(_column(new, "minutes"), _column(stored, "minutes"))
    values = _first(*(_signs(_column(new, name), _column(stored, name)) for name in VALUES))
    rule = _first(*([generation] if allow_fewer else []), minutes, generation)
    total = _first(rule, values, _signs(_column(new, "generation"), _column(stored, "generation")))
    newer = (generation < 0) if allow_fewer else np.zeros(len(minutes), bool)
    loses = np.where((minutes < 0) & ~newer, Verdict.REFUSED, Verdict.NEWER)
    verdicts = np.where(total > 0, np.where(values != 0, Verdict.CHANGED, Verdict.EQUAL), loses)
    verdicts[(rule == 0) & (values == 0)] = Verdict.EQUAL
    return total > 0, verdicts.astype(np.int8)


def _column(table: pa.Table, name: str) -> pa.Array:
    return one_chunk(table.column(name))


def _first(*signs: Signs) -> Signs:
    """Per row the first sign that isn't 0."""
    result = signs[0]
    for one in signs[1:]:
        if one.any():
            result = np.where(result != 0, result, one)
    return result


def _signs(left: pa.Array, right: pa.Array) -> Signs:
    """Null is less than any value; numbers compare by their bits, lists by length, then by the first element that differs."""
    if left.null_count == len(left) and right.null_count == len(right):
        return np.zeros(len(left), np.int8)
    return _signs_of_lists(left, right) if pa.types.is_list(left.type) else _signs_of_numbers(left, right)


def _compare(left: npt.NDArray[np.signedinteger], right: npt.NDArray[np.signedinteger]) -> Signs:
    signs: Signs = (left > right).astype(np.int8) - (left < right).astype(np.int8)
    return signs


def _signs_of_numbers(left: pa.Array, right: pa.Array) -> Signs:
    signs = _compare(_bits(left), _bits(right))
    if not left.null_count and not right.null_count:
        return signs
    valid = _compare(_valid(left), _valid(right))
    return np.where(valid != 0, valid, signs)


def _bits(array: pa.Array) -> npt.NDArray[np.signedinteger]:
    """The values as integers of the same width, 0 where null."""
    integers = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    bits: npt.NDArray[np.signedinteger] = pc.fill_null(integers, 0).to_numpy()
    return bits


def _valid(array: pa.Array) -> Signs:
    valid: Signs = array.is_valid().to_numpy(zero_copy_only=False).astype(np.int8)
    return valid


def _signs_of_lists(left: pa.Array, right: pa.Array) -> Signs:
    lengths, others = (pc.fill_null(pc.list_value_length(one), -1).to_numpy() for one in (left, right))
    signs = _compare(lengths, others)
    alike = np.flatnonzero((signs == 0) & (lengths > 0))
    elements = _signs(*(one.take(pa.array(alike)).flatten() for one in (left, right)))
    owners = np.repeat(alike, lengths[alike])
    differing = np.flatnonzero(elements)
    lists, firsts = np.unique(owners[differing], return_index=True)
    signs[lists] = elements[differing[firsts]]
    return signs


def differing(left: pa.Table, right: pa.Table, names: Sequence[str] = VALUES) -> Bools:
    """Of parallel rows, which differ in one of these columns, bit for bit."""
    differ: Bools = _first(*(_signs(_column(left, name), _column(right, name)) for name in names)) != 0
    return differ
