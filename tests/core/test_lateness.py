"""The histogram of arrival - time against a loop; when the limit looks too small."""

from bisect import bisect_left
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from transforms.core.lateness import BINS, Bin, bins, edges_s, histogram, seems_cut

LIMITS = st.one_of(st.sampled_from([0, 1, 2, 3_600, 7_200, 86_400, 604_800]), st.integers(0, 100_000))


@pytest.mark.parametrize(
    ("late_s", "edges"),
    [
        (86_400, (0, 10, 60, 300, 3_600, 21_600, 43_200, 82_800, 86_400)),
        (7_200, (0, 10, 60, 300, 3_600, 3_600, 3_600, 3_600, 7_200)),
        (600, (0, 10, 60, 300, 300, 300, 300, 300, 600)),
        (0, (0, 0, 0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_edges(late_s: int, edges: tuple[int, ...]) -> None:
    assert edges_s(late_s) == edges
    assert len(edges) == BINS


@given(LIMITS, st.data())
def test_every_point_is_in_the_first_bin_that_reaches_up_to_it(late_s: int, data: st.DataObject) -> None:
    limit_us = late_s * 1_000_000
    near_edges = st.sampled_from(edges_s(late_s)).flatmap(lambda edge: st.integers(edge * 1_000_000 - 1, edge * 1_000_000 + 1))
    lags = data.draw(st.lists((near_edges | st.integers(-(10**12), limit_us)).filter(lambda lag: lag <= limit_us), max_size=30))
    expected = [0] * BINS
    for lag in lags:
        expected[bisect_left([edge * 1_000_000 for edge in edges_s(late_s)], lag)] += 1
    assert histogram(np.array(lags, np.int64), late_s).tolist() == expected


@given(st.lists(st.lists(st.integers(-(10**12), 86_400_000_000), max_size=20), max_size=4))
def test_histograms_of_parts_add_up_to_that_of_the_whole(parts: list[list[int]]) -> None:
    counted = [tuple(histogram(np.array(part, np.int64), 86_400).tolist()) for part in parts]
    whole = histogram(np.array([lag for part in parts for lag in part], np.int64), 86_400).tolist()
    assert bins([*counted, ()], 86_400) == tuple(map(Bin, edges_s(86_400), whole))


@given(LIMITS)
def test_bins_that_can_hold_nothing_are_left_out(late_s: int) -> None:
    edges = [one.up_to_s for one in bins([], late_s)]
    assert edges == sorted(set(edges_s(late_s)))
    assert all(a < b for a, b in pairwise(edges))


@pytest.mark.parametrize(("before", "last", "cut"), [(0, 0, False), (999, 1, False), (998, 1, True), (0, 1, True), (99_900, 100, False), (99_899, 101, True)])
def test_more_than_one_in_a_thousand_in_the_last_bin_looks_cut(before: int, last: int, cut: bool) -> None:
    assert seems_cut([Bin(0, before), Bin(1, last)]) is cut
