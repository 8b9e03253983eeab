"""Shared bounds of histograms, against the lists that they stand for."""

import numpy as np
import pyarrow as pa
from hypothesis import given, strategies as st

from transforms.core.bounds import distinct, shared, shared_anew, shared_within
from transforms.core.histograms import histograms_of
from transforms.core.model import HISTOGRAM, Floats

LISTS = [[], [1.0], [1.0, 2.0], [0.0], [-0.0, 5.0]]


def views(codes: list[int], lists: list[list[float]] = LISTS) -> pa.ListViewArray:
    return shared(_flat(lists), np.array([len(one) for one in lists], np.int64), np.array(codes, np.int64))


def _flat(lists: list[list[float]]) -> Floats:
    return np.array([bound for one in lists for bound in one], np.float64)


def listed(bounds: pa.ListViewArray) -> list[list[float]]:
    """The distinct lists of each row."""
    code, offsets, edges = distinct(bounds)
    return [edges[offsets[one] : offsets[one + 1]].tolist() for one in code.tolist()]


@given(st.lists(st.integers(0, len(LISTS) - 1), max_size=30), st.data())
def test_sharing_changes_no_list(codes: list[int], data: st.DataObject) -> None:
    wanted = [LISTS[one] for one in codes]
    bounds = views(codes)
    bounds.validate(full=True)
    assert bounds.to_pylist() == listed(bounds) == wanted
    at = data.draw(st.lists(st.integers(0, len(codes) - 1), max_size=40)) if codes else []
    assert shared_anew(bounds, np.array(at, np.int64)).to_pylist() == [wanted[one] for one in at]
    group = sorted(data.draw(st.lists(st.integers(0, 5), min_size=len(codes), max_size=len(codes))))
    within = shared_within(bounds, np.array(group, np.int64))
    within.validate(full=True)
    assert within.to_pylist() == listed(within) == wanted


def test_a_group_holds_its_own_bounds_once() -> None:
    """So does the file of a slice, whatever else the read group has; unused bounds are gone."""
    bounds = shared_within(views([2, 1, 2, 2, 4, 1, 1]), np.array([0, 0, 0, 1, 1, 3, 3]))
    assert bounds.values.to_pylist() == [1.0, 2.0, 1.0, 1.0, 2.0, -0.0, 5.0, 1.0]
    assert (bounds.offsets.to_pylist(), bounds.sizes.to_pylist()) == ([0, 2, 0, 3, 5, 7, 7], [2, 1, 2, 2, 2, 1, 1])


def test_equal_bounds_at_two_places_are_one_shape() -> None:
    """-0.0 equals 0.0. Lists that nobody shares, as they are stored, give the same."""
    rows = [(0, [0.0, 1.0]), (1, [1.0]), (2, [-0.0, 1.0]), (1, [1.0]), (3, [])]
    bounds = views([code for code, _ in rows], [[0.0, 1.0], [1.0], [-0.0, 1.0], []])
    rest = [pa.nulls(5, pa.float64())] * 3, pa.array([[0] * (len(one) + 1) for _, one in rows], pa.list_(pa.int64()))
    columns = [pa.array([0] * 5), *rest[0], bounds, rest[1]]
    for points in (pa.StructArray.from_arrays(columns, fields=list(HISTOGRAM)), pa.StructArray.from_arrays(_with_lists(columns), names=HISTOGRAM.names)):
        found = histograms_of(points)
        assert found.shape.tolist() == [0, 1, 0, 1, 2]
        assert found.bounds_lists().to_pylist() == [one for _, one in rows]


def _with_lists(columns: list[pa.Array]) -> list[pa.Array]:
    return [pa.array(one.to_pylist(), pa.list_(pa.float64())) if pa.types.is_list_view(one.type) else one for one in columns]
