"""Histograms of unlike bounds merged in portions, with and without the sort, and percentiles in portions: always the same."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from transforms.core import histograms, percentiles
from transforms.core.histograms import Histograms, histograms_of, merge
from transforms.core.intervals import Intervals, aligned, united
from transforms.core.model import HISTOGRAM

EDGES = np.array([0.0, 1.0, 2.0, 4.0, 8.0])


@st.composite
def _intervals(draw: st.DrawFn) -> tuple[Intervals, int]:
    rows = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 2), st.integers(0, 3)), max_size=12))
    group, below, width, number = (np.array([row[place] for row in rows], np.int64) for place in range(4))
    return Intervals(group, below, np.minimum(below + width, len(EDGES) + 1), number, EDGES), 4


def _plain(value: Any) -> list[list[float]]:
    return [column.tolist() for column in value]


@settings(max_examples=300, deadline=None)
@given(_intervals())
def test_without_a_sort(given_intervals: tuple[Intervals, int]) -> None:
    intervals, groups = given_intervals
    expected, rebinned = united(intervals.filled(), groups)
    found = aligned(intervals, groups)
    spans = (intervals.above - intervals.below > 1) & (intervals.number > 0)
    assert (found is None) == bool(spans.any())
    if found is not None:
        assert _plain(found) == _plain(expected)
        assert not rebinned.any()


def test_negative_and_very_large_numbers_are_left_to_the_sort() -> None:
    one = np.array([0, 0]), np.array([1, 2]), np.array([2, 3])
    assert aligned(Intervals(*one, np.array([1, -1]), EDGES), 1) is None
    assert aligned(Intervals(*one, np.array([1, 1 << 53]), EDGES), 1) is None
    assert aligned(Intervals(*one, np.array([1, 1]), EDGES), 1) is not None


_BOUNDS = st.sampled_from([[], [1.0], [1.0, 2.0], [0.0, 1.0, 2.0, 4.0], [2.0, 4.0, 8.0], [1.0, 4.0], [0.5, 1.0]])


@st.composite
def _histograms(draw: st.DrawFn) -> Histograms:
    rows = []
    for bounds in draw(st.lists(_BOUNDS, min_size=1, max_size=30)):
        counts = draw(st.lists(st.integers(0, 3), min_size=len(bounds) + 1, max_size=len(bounds) + 1))
        rows.append({"count": sum(counts), "sum": 1.0, "min": None, "max": 9.0, "bounds": bounds, "bucket_counts": counts})
    return histograms_of(pa.array(rows, HISTOGRAM))


def _merged(given_histograms: Histograms, starts: Any) -> list[Any]:
    merged, rebinned = merge(given_histograms, starts)
    lists = merged.bounds_lists().to_pylist(), merged.counts_lists().to_pylist()
    return [merged.count.tolist(), *lists, rebinned.tolist(), {name: column.tolist() for name, column in percentiles.percentiles(merged).items()}]


@settings(max_examples=200, deadline=None)
@given(_histograms(), st.integers(1, 5), st.integers(1, 20), st.integers(0, 20))
def test_portions(some: Histograms, group: int, cached: int, few: int) -> None:
    starts = np.arange(0, len(some), group)
    expected = repr(_merged(some, starts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histograms, "_CACHED_BUCKETS", cached)
        patch.setattr(histograms, "_FEW_BUCKETS", few)
        patch.setattr(percentiles, "_CACHED_BUCKETS", cached)
        assert repr(_merged(some, starts)) == expected
