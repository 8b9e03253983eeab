"""Columns in groups, against loops."""

import math
import random

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from tests.core.kind_slices import bits
from transforms.core.ragged import MOST, concatenated_ranges, is_all, latest, left_folds, saturated_sums, sizes_of, starts_of, taken

ODD = (0.1, 0.2, 1e16, -1e16, 1.7e308, -1.7e308, 1.0)
rows = st.tuples(st.integers(0, 2), st.integers(0, 2) | st.sampled_from((-(2**61), 2**61)), st.integers(0, 1), st.integers(0, 2))


@given(st.lists(st.lists(st.sampled_from(ODD), min_size=1, max_size=7), max_size=6))
@example([[0.1] * 64, [0.1] * 65, [0.3]])
@example([[1.7e308] * 70 + [-1.7e308] * 70, [1e16, 1.0] * 100])
def test_left_folds_add_one_after_another(groups: list[list[float]]) -> None:
    wanted = []
    for group in groups:
        total = group[0]
        for one in group[1:]:
            total = total if math.isinf(total) else total + one
        wanted.append(total)
    starts = np.cumsum([0, *map(len, groups)])[:-1]
    assert bits(left_folds(np.array([one for group in groups for one in group], float), starts).tolist()) == bits(wanted)


@given(st.lists(rows, max_size=12))
def test_latest_is_the_last_of_each_key_in_sorted_order(points: list[tuple[int, int, int, int]]) -> None:
    columns = np.array(points, np.int64).reshape(-1, 4).T
    order, stands = latest(*columns)
    wanted = sorted(range(len(points)), key=lambda at: (points[at], at))
    assert order.tolist() == wanted
    last = {points[at][:3]: at for at in wanted}
    assert order[stands].tolist() == [at for at in wanted if last[points[at][:3]] == at]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=9))
def test_groups_begin_where_a_column_changes(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted = [at for at, pair in enumerate(pairs) if not at or pair != pairs[at - 1]]
    starts = starts_of(first, second)
    assert starts.tolist() == wanted
    assert sizes_of(starts, len(pairs)).tolist() == np.diff([*wanted, len(pairs)]).tolist()


@pytest.mark.parametrize("lists", [[[1.0, 2.0], [3.0, 4.0]], [[1.0], [], [2.0, 3.0]], [[], []]], ids=["one size", "sizes", "empty"])
def test_lists_are_taken(lists: list[list[float]]) -> None:
    offsets = np.cumsum([0, *map(len, lists)])
    for at in ([1, 0, 1], [0], []):
        values, ends = taken(np.array([one for some in lists for one in some]), offsets, np.array(at, np.int64))
        assert values.tolist() == [one for place in at for one in lists[place]]
        assert ends.tolist() == np.cumsum([0, *(len(lists[place]) for place in at)]).tolist()


def test_ranges_one_after_another() -> None:
    assert concatenated_ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.sampled_from((9, MOST // 3)), st.randoms(use_true_random=False))
@example([3, 3, 3], 9, random.Random(1))
@example([1, 3, 3, 2], 9, random.Random(2))
def test_sums_of_rows_are_those_of_python(sizes: list[int], largest: int, chance: random.Random) -> None:
    """Groups of one size, of several, and with sums beyond 64 bits."""
    rows = [[chance.randint(-1, largest) for _ in range(3)] for _ in range(sum(sizes))]
    starts = np.cumsum([0, *sizes])[:-1]
    groups = [rows[start : start + size] for start, size in zip(starts.tolist(), sizes, strict=True)]
    wanted = [[min(MOST, sum(column)) for column in zip(*group, strict=True)] for group in groups]
    assert saturated_sums(np.array(rows), starts).tolist() == wanted
    assert saturated_sums(np.array(rows)[:, 1].copy(), starts).tolist() == [one[1] for one in wanted]


@pytest.mark.parametrize(("at", "number", "wanted"), [([0, 1, 2], 3, True), ([0, 2, 1], 3, False), ([0, 1], 3, False), ([1, 2, 3], 3, False), ([], 0, True)])
def test_all_places(at: list[int], number: int, *, wanted: bool) -> None:
    assert is_all(np.array(at, np.int64), number) is wanted
