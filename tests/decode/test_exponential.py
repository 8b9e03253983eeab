"""Bounds of exponential histograms, written out by hand; tests/decode/test_otlp.py holds both readers against an oracle."""

import sys

import pytest

from transforms.core.errors import DecodeError
from transforms.decode.exponential import layout

MAX = sys.float_info.max


@pytest.mark.parametrize(
    ("scale", "positive", "bounds"),
    [
        (0, (0, 3), (1.0, 2.0, 4.0, 8.0)),
        (1, (-2, 2), (0.5, 2.0**-0.5, 1.0)),
        (-9, (-3, 5), (2.0**-1536, 2.0**-1024, 2.0**-512, 1.0, 2.0**512, MAX)),
        (-10, (-1, 2), (2.0**-1024, 1.0, MAX)),
        (-10, (-2, 1), (0.0, 2.0**-1024)),
        (-11, (-1, 2), (0.0, 1.0, MAX)),
        (-(1 << 31), (-1, 2), (0.0, 1.0, MAX)),
        (0, (1022, 2), (2.0**1022, 2.0**1023, MAX)),
        (20, (0, 1), (1.0, 2.0 ** (2.0**-20))),
    ],
)
def test_bounds_end_where_float64_does(scale: int, positive: tuple[int, int], bounds: tuple[float, ...]) -> None:
    assert layout(scale, positive, (0, 0), None).bounds == bounds
    assert layout(scale, (0, 0), positive, None).bounds == tuple(-one for one in reversed(bounds))


@pytest.mark.parametrize(("scale", "positive"), [(-10, (0, 2)), (-10, (-3, 1)), (0, (1024, 1)), (60, (0, 1)), (-(1 << 31), (1, 1))])
def test_buckets_that_hold_no_float64_are_broken(scale: int, positive: tuple[int, int]) -> None:
    with pytest.raises(DecodeError, match=f"scale {scale}"):
        layout(scale, positive, (0, 0), None)
