"""What points weigh: rows of gauges and of histograms, by hand."""

import pytest

from scripts.oracle_kinds import Histogram
from tests.core.kind_slices import Sample, slice_of
from transforms.core.weights import points_bytes, row_weights


def histogram(second: float, buckets: int, name: str = "h") -> Sample:
    found = Histogram(0, 0.0, None, None, tuple(float(one) for one in range(1, buckets)), (0,) * buckets)
    return Sample(second, kind="histogram", name=name, histogram=found)


def test_a_gauge_weighs_one_and_four_buckets_as_much() -> None:
    rows = slice_of(
        [
            Sample(10, 1.0, kind="gauge", name="a"),
            Sample(70, 1.0, kind="gauge", name="a"),
            *(histogram(60 * minute, 16) for minute in range(3)),
            *(histogram(60 * minute, 3, "few") for minute in range(2)),
            Sample(10, 1.0, kind="delta", name="d"),
        ]
    )
    assert row_weights(rows).tolist() == [2, 3 * 5, 2 + 6 // 4, 1]
    assert row_weights(rows.slice(1, 2)).tolist() == [15, 3]


def test_without_histograms_and_without_rows() -> None:
    assert row_weights(slice_of([Sample(10, 1.0, kind="gauge")])).tolist() == [1]
    assert row_weights(slice_of([])).tolist() == []


@pytest.mark.parametrize(("kind", "each"), [("gauge", 20), ("delta", 36)])
def test_bytes_of_numbers(kind: str, each: int) -> None:
    """4 of the minute, 8 of arrival and value each, and of what is no gauge as many of start and time."""
    assert points_bytes(slice_of(Sample(60 * minute, 1.0, kind=kind) for minute in range(1000))) == 1000 * each


def test_bytes_of_histograms() -> None:
    """36 as any other, 4 numbers and 3 places of lists of 4 bytes, 8 a bound and 8 a bucket; of `min` and `max`, which are null here, a bit each."""
    few, many = (slice_of(histogram(60 * minute, 16) for minute in range(number)) for number in (8, 1008))
    assert points_bytes(many) - points_bytes(few) == 1000 * (36 + 4 * 8 + 3 * 4 + 15 * 8 + 16 * 8) + 2 * 125
