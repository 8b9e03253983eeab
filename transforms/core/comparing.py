"""Two sorted streams of stored rollups compared bucket by bucket, in bounded memory: a merge join on columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import canonical, find, keys_of, one_chunk, pick
from transforms.core.model import ROLLUP_SCHEMA, Bools, Ints
from transforms.core.versions import VALUES, differing

LEAST_ROWS: Final = 1 << 17
"""Pieces are gathered up to so many rows and cut to about as many: small ones don't sort a large one of the other side again and again, and the join's own
memory does not grow with the pieces."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A stretch of buckets of one metric type and granularity, all that both sides have there.

    `missing` has the rows that only the left side has, `extra` those that only the right side has; `left` and `right` are parallel: the two versions of the
    buckets that differ. `whole` are all rows of both that were compared; `equal` buckets are alike.
    """

    equal: int
    missing: pa.Table
    extra: pa.Table
    left: pa.Table
    right: pa.Table
    whole: tuple[pa.Table, pa.Table]


class _Side(NamedTuple):
    """Rows of one side and their `keys_of`, those of both sides together."""

    table: pa.Table
    keys: Ints


def compare_sorted(left: Iterable[pa.Table], right: Iterable[pa.Table], *, with_generation: bool) -> Iterator[Compared]:
    """Compares rows of ROLLUP_SCHEMA, both sides sorted by series and bucket over all their tables. Values are compared bit for bit.

    Holds one piece of each side as it comes, and a few times LEAST_ROWS.
    """
    streams = [_gathered(left), _gathered(right)]
    held: list[pa.Table | None] = [next(one, None) for one in streams]
    while any(one is not None for one in held):
        tables = [ROLLUP_SCHEMA.empty_table() if one is None else one for one in held]
        keys = keys_of(tables)
        bound = min(int(some[-1]) for some, one in zip(keys, held, strict=True) if one is not None)
        ends = [int(np.searchsorted(some, bound, side="right")) for some in keys]
        sides = [_Side(_cut(table, 0, end), some[:end]) for table, some, end in zip(tables, keys, ends, strict=True)]
        yield _compared(*sides, with_generation=with_generation)
        for side, (table, end) in enumerate(zip(tables, ends, strict=True)):
            if held[side] is not None:
                held[side] = _cut(table, end, table.num_rows) if end < table.num_rows else next(streams[side], None)


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in canonical tables, none empty and all but the last of LEAST_ROWS."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(one.num_rows for one in held) >= LEAST_ROWS:
            whole = pa.concat_tables(held)
            yield canonical(whole.slice(0, LEAST_ROWS))
            held = [whole.slice(LEAST_ROWS)]
    if any(one.num_rows for one in held):
        yield canonical(pa.concat_tables(held))


def _cut(table: pa.Table, first: int, end: int) -> pa.Table:
    return table if (first, end) == (0, table.num_rows) else canonical(table.slice(first, end - first))


def _compared(left: _Side, right: _Side, *, with_generation: bool) -> Compared:
    rows, found = find(left.keys, right.keys)
    met, partners = np.flatnonzero(found), rows[found]
    alone = np.ones(len(right.keys), bool)
    alone[partners] = False
    ours, theirs = pick(left.table, met), pick(right.table, partners)
    differ = np.flatnonzero(_differ(ours, theirs, with_generation=with_generation))
    return Compared(
        equal=len(met) - len(differ),
        missing=canonical(pick(left.table, np.flatnonzero(~found))),
        extra=canonical(pick(right.table, np.flatnonzero(alone))),
        left=canonical(pick(ours, differ)),
        right=canonical(pick(theirs, differ)),
        whole=(left.table, right.table),
    )


def _differ(left: pa.Table, right: pa.Table, *, with_generation: bool) -> Bools:
    differ = differing(left, right, VALUES)
    if with_generation:
        generations = [pc.fill_null(one_chunk(table["generation"]), 0).to_numpy() for table in (left, right)]
        differ |= generations[0] != generations[1]
    return differ
