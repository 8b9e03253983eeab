"""The maximum rule against dicts and loops."""

import itertools
import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.core.rollup_tables import Row, row, rows_of, table, versions
from transforms.core.canonical import canonical, in_order, ordered
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.restoring import with_generation
from transforms.core.versions import VALUES, Merged, Verdict, merge

NAMES = ("h1", "h2", "é", "\uffff", "\U0001f600")
FLOATS = (0.0, -0.0, 1.0, math.inf, math.nan, None)
LISTS = (None, [], [1], [1, 2], [2, 1], [None])

rows = st.builds(
    row,
    entity=st.sampled_from(NAMES),
    bucket_s=st.sampled_from((0, 60, 120)),
    minutes=st.integers(1, 3),
    value=st.sampled_from(FLOATS),
    generation=st.sampled_from((None, 0, 1, 2, 3)),
    kind=st.sampled_from(("gauge", "counter")),
    bounds=st.sampled_from((None, [], [0.5], [-0.0], [0.0])),
    bucket_counts=st.sampled_from(LISTS),
    start_time=st.sampled_from((None, 0, 1)),
)
Identity = tuple[Any, ...]
Version = tuple[int, float | None, int | None]
"""Minutes, value, generation."""


def identity(one: Row) -> Identity:
    return one["org"], one["entity"], one["name"], one["labels"], one["kind"], one["bucket_start"]


def bits(value: object) -> object:
    """Something that is equal if and only if the stored bits are."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    return tuple(bits(one) for one in value) if isinstance(value, list) else value


def same_values(one: Row, other: Row) -> bool:
    return all(bits(one.get(name)) == bits(other.get(name)) for name in VALUES)


def rank(one: Row, *, allow_fewer: bool) -> tuple[int, int, int]:
    generation = one.get("generation") or 0
    return (generation if allow_fewer else 0, one["minutes"], generation)


def tables(rows: st.SearchStrategy[Row] = rows) -> st.SearchStrategy[pa.Table]:
    return st.lists(rows, max_size=12, unique_by=identity).map(table)


def expected(stored: Row | None, new: Row, *, allow_fewer: bool) -> Verdict | None:
    """The verdict, None where only the values could decide."""
    if stored is None:
        return Verdict.ADDED
    before, after = rank(stored, allow_fewer=allow_fewer), rank(new, allow_fewer=allow_fewer)
    if same_values(stored, new) and after >= before:
        return Verdict.EQUAL
    if after > before:
        return Verdict.CHANGED
    if after == before:
        return None
    refused = stored["minutes"] > new["minutes"] and not (allow_fewer and before[0] > after[0])
    return Verdict.REFUSED if refused else Verdict.NEWER


def bits_of(rollups: pa.Table) -> list[dict[str, object]]:
    return [{name: bits(value) for name, value in one.items()} for one in rows_of(rollups)]


def check(merged: Merged, stored: pa.Table, new: pa.Table, *, allow_fewer: bool) -> None:
    """Every part of a Merged against the rows one by one."""
    before, fresh = {identity(one): one for one in rows_of(stored)}, rows_of(new)
    result = {identity(one): one for one in rows_of(merged.table)}
    assert set(result) == {*before, *map(identity, fresh)}
    assert [identity(one) for one in rows_of(merged.stored)] == [identity(fresh[place]) for place in merged.met]
    assert merged.met.tolist() == [place for place, one in enumerate(fresh) if identity(one) in before]
    assert merged.unmatched.tolist() == [key not in {identity(one) for one in fresh} for key in before]
    for one, verdict in zip(fresh, merged.verdicts, strict=True):
        wanted = expected(before.get(identity(one)), one, allow_fewer=allow_fewer)
        assert verdict == wanted or (wanted is None and verdict in {Verdict.CHANGED, Verdict.NEWER})
        kept = before[identity(one)] if verdict in {Verdict.REFUSED, Verdict.NEWER} else one
        assert same_values(result[identity(one)], kept)
        assert (result[identity(one)].get("generation") or 0) == (kept.get("generation") or 0)
    assert merged.changed == (bits_of(merged.table) != bits_of(stored))


@given(tables(), tables(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_merge_equals_the_rule_row_by_row(stored: pa.Table, new: pa.Table, allow_fewer: bool) -> None:
    merged = merge(stored, new, allow_fewer=allow_fewer)
    check(merged, stored, new, allow_fewer=allow_fewer)
    assert in_order(merged.table)
    assert bits_of(merged.table) == bits_of(table(rows_of(merged.table)))


@given(st.lists(tables(), min_size=3, max_size=3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_all_orders_of_three_end_alike(three: list[pa.Table], allow_fewer: bool) -> None:
    ends = []
    for order in itertools.permutations(three):
        stored = ROLLUP_SCHEMA.empty_table()
        for new in order:
            stored = merge(stored, new, allow_fewer=allow_fewer).table
            again = merge(stored, new, allow_fewer=allow_fewer)
            assert not again.changed
        ends.append(bits_of(stored))
    assert all(end == ends[0] for end in ends)


def test_nothing_stored_returns_the_new_table_itself() -> None:
    new = table([row("h1"), row("h2")])
    merged = merge(ROLLUP_SCHEMA.empty_table(), new, allow_fewer=False)
    assert merged.table is new
    assert merged.changed
    assert merged.verdicts.tolist() == [Verdict.ADDED, Verdict.ADDED]


def test_nothing_new_returns_the_stored_table_itself() -> None:
    stored = table([row("h1"), row("h2")])
    merged = merge(stored, ROLLUP_SCHEMA.empty_table(), allow_fewer=False)
    assert merged.table is stored
    assert not merged.changed
    assert merged.unmatched.tolist() == [True, True]


@pytest.mark.parametrize(
    ("stored", "new", "allow_fewer", "verdict", "stays"),
    [
        ((5, 9.0, 1), (5, 3.0, 2), False, Verdict.CHANGED, (5, 3.0, 2)),  # a lower, corrected value
        ((5, 9.0, 1), (5, 9.0, 2), False, Verdict.EQUAL, (5, 9.0, 2)),
        ((5, 9.0, 2), (5, 9.0, 2), False, Verdict.EQUAL, (5, 9.0, 2)),
        ((5, 9.0, 1), (4, 3.0, 2), False, Verdict.REFUSED, (5, 9.0, 1)),
        ((5, 9.0, 1), (4, 3.0, 2), True, Verdict.CHANGED, (4, 3.0, 2)),
        ((4, 9.0, 2), (5, 3.0, 1), False, Verdict.CHANGED, (5, 3.0, 1)),
        ((4, 9.0, 2), (5, 3.0, 1), True, Verdict.NEWER, (4, 9.0, 2)),
        ((5, 9.0, 2), (4, 3.0, 1), True, Verdict.NEWER, (5, 9.0, 2)),
        ((5, 9.0, 2), (5, 3.0, 1), False, Verdict.NEWER, (5, 9.0, 2)),
        ((5, 9.0, None), (5, 3.0, 1), False, Verdict.CHANGED, (5, 3.0, 1)),  # a live writer's row
        ((5, 9.0, 1), (5, 3.0, None), True, Verdict.NEWER, (5, 9.0, 1)),
        ((5, 0.0, 1), (5, -0.0, 2), False, Verdict.CHANGED, (5, -0.0, 2)),  # bitwise
        ((5, None, 1), (5, 0.0, 2), False, Verdict.CHANGED, (5, 0.0, 2)),  # null is not 0
    ],
)
def test_one_bucket(stored: Version, new: Version, allow_fewer: bool, verdict: Verdict, stays: Version) -> None:
    before, after = (table([row(minutes=one[0], value=one[1], generation=one[2])]) for one in (stored, new))
    merged = merge(before, after, allow_fewer=allow_fewer)
    assert merged.verdicts.tolist() == [verdict]
    assert versions(merged.table) == {("h1", 0): stays}


@pytest.mark.parametrize("column", [name for name in VALUES if name != "minutes"])
def test_every_value_column_can_make_a_version_different(column: str) -> None:
    one: object = [1] if column in {"bounds", "bucket_counts"} else 1
    other: object = [2] if column in {"bounds", "bucket_counts"} else 2
    for before, after in ((one, other), (None, one), (one, None)):
        stored, new = table([row(generation=1, **{column: before})]), table([row(generation=2, **{column: after})])
        assert merge(stored, new, allow_fewer=False).verdicts.tolist() == [Verdict.CHANGED]


def test_lists_are_compared_element_by_element_beside_rows_without_lists() -> None:
    def histograms(*counts: list[int] | None, generation: int) -> pa.Table:
        return table([row(f"h{place}", generation=generation, bucket_counts=one) for place, one in enumerate(counts)])

    stored = histograms([1, 2], None, [3], [], [1, 2, 3], generation=1)
    new = histograms([1, 2], None, [4], None, [1, 2], generation=2)
    verdicts = merge(stored, new, allow_fewer=False).verdicts
    assert verdicts.tolist() == [Verdict.EQUAL, Verdict.EQUAL, Verdict.CHANGED, Verdict.CHANGED, Verdict.CHANGED]


def test_kinds_of_one_name_are_series_of_their_own() -> None:
    merged = merge(table([row(kind="gauge", value=1.0)]), table([row(kind="counter", value=2.0)]), allow_fewer=False)
    assert [(one["kind"], one["sum"]) for one in rows_of(merged.table)] == [("counter", 2.0), ("gauge", 1.0)]


def test_canonical_form_forgets_where_rows_came_from() -> None:
    every = [row(entity, bucket_s) for entity in NAMES for bucket_s in (0, 60)]
    at_once = table(every)
    in_pieces = ROLLUP_SCHEMA.empty_table()
    for piece in (every[7:], every[3:7], every[:3]):
        in_pieces = merge(in_pieces, table(piece), allow_fewer=False).table
    assert in_pieces.equals(at_once)
    assert in_pieces.column("entity").chunk(0).dictionary.to_pylist() == sorted(NAMES)
    assert canonical(at_once).column("sum").chunk(0) is not None
    less = canonical(at_once.filter(pa.array(np.arange(at_once.num_rows) < 2)))
    assert less.column("entity").chunk(0).dictionary.to_pylist() == ["h1"]


def test_order_is_by_code_point_then_time() -> None:
    mixed = canonical(pa.concat_tables([table([row("\U0001f600", 60)]), table([row("\uffff", 0)]), table([row("\U0001f600", 0)])]))
    assert not in_order(mixed)
    assert list(versions(ordered(mixed))) == [("\uffff", 0), ("\U0001f600", 0), ("\U0001f600", 60)]
    assert not in_order(canonical(pa.concat_tables([table([row()]), table([row()])])))


def test_many_rows_take_no_python_step_each() -> None:
    series, buckets = 50, 1440
    stored = table([row(f"h{one:02d}", 0, generation=1) for one in range(series)])
    day = pa.concat_tables([stored] * buckets)
    starts = np.repeat(np.arange(buckets) * 60_000, series) + stored.column("bucket_start").cast(pa.int64())[0].as_py()
    day = canonical(ordered(canonical(day.set_column(5, ROLLUP_SCHEMA.field(5), pa.array(starts).view(ROLLUP_SCHEMA.field(5).type)))))
    half = canonical(day.filter(pa.array(np.arange(day.num_rows) % 2 == 0)))
    half = with_generation(half, 2)
    merged = merge(day, half, allow_fewer=False)
    assert (merged.verdicts == Verdict.EQUAL).all()
    assert np.array_equal(merged.unmatched, np.arange(day.num_rows) % 2 == 1)
    assert merged.table.column("generation").to_numpy().sum() == day.num_rows + half.num_rows
    assert in_order(merged.table)


def test_a_row_that_is_held_back_never_wins_whatever_is_stored() -> None:
    stored, new = table([row(bucket_s=0, minutes=1)]), table([row(bucket_s=0, minutes=5), row(bucket_s=60, minutes=5), row(bucket_s=120, minutes=5)])
    merged = merge(stored, new, allow_fewer=True, held=np.array([True, True, False]))
    assert merged.verdicts.tolist() == [Verdict.REFUSED, Verdict.REFUSED, Verdict.ADDED]
    assert merged.table.column("minutes").to_pylist() == [1, 5]
    assert merged.alone.num_rows == 0
    nothing = merge(ROLLUP_SCHEMA.empty_table(), new, allow_fewer=False, held=np.ones(3, bool))
    assert (nothing.changed, nothing.table.num_rows, set(nothing.verdicts.tolist())) == (False, 0, {Verdict.REFUSED})
