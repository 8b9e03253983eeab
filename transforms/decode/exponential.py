"""Buckets of exponential histograms with their bounds written out.

Bucket `index` of scale `scale` holds (base^index, base^(index + 1)] with base = 2^(2^-scale)
(opentelemetry.io/docs/specs/otel/metrics/data-model, ExponentialHistogram). A bound is 2.0 ** (index / 2 ** scale), of which the exponent is exact, so that the
bounds of a coarser scale are among those of a finer one, bit by bit.

Bounds end where float64 does: what is beyond the largest number is that number, what is too small is 0; so scale -10 has the bucket (1, largest]. Buckets that
would lie beyond hold no number of float64 and are refused.
"""

import math
import sys
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode.causes import BAD_VALUE

Range = tuple[int, int]
"""Index of the first bucket, and how many buckets there are."""


class Layout(NamedTuple):
    """Strictly increasing bounds, and the place among the buckets (one more than bounds) of the first negative, zero and first positive one.

    Negative buckets stand in the order of their values: the one farthest from zero, with the highest index, first.
    """

    bounds: tuple[float, ...]
    negative_at: int
    zero_at: int
    positive_at: int


@lru_cache(maxsize=1 << 12)
def layout(scale: int, positive: Range, negative: Range, zero_threshold: float | None) -> Layout:
    """Where the buckets of a histogram go; `zero_threshold` is None if the zero bucket is empty and need not be shown.

    The zero bucket is (-threshold, threshold]; for a threshold of 0 it is the smallest interval that ends at 0. Between the groups, below and above them stand
    empty buckets. Raises DecodeError if the bounds are not strictly increasing, as of a bucket that holds no number of float64, or the threshold is not finite.
    """
    below = [0.0 - bound for bound in reversed(_bounds(scale, negative))]
    zero = [] if zero_threshold is None else [-zero_threshold or math.nextafter(0.0, -1.0), zero_threshold + 0.0]
    above = _bounds(scale, positive)
    bounds = _continued(below, zero)
    zero_at = len(bounds) - 1
    bounds = _continued(bounds, above)
    if not all(map(math.isfinite, bounds)) or any(left >= right for left, right in pairwise(bounds)):
        raise DecodeError(BAD_VALUE, f"bucket bounds of scale {scale}, positive {positive}, negative {negative}, zero threshold {zero_threshold}")
    return Layout(tuple(bounds), 1, zero_at, len(bounds) - len(above) + 1 if above else 0)


def _bounds(scale: int, buckets: Range) -> list[float]:
    """All bounds of consecutive buckets, none for no bucket."""
    first, count = buckets
    return [_bound(index, scale) for index in range(first, first + count + 1)] if count else []


def _bound(index: int, scale: int) -> float:
    try:
        exponent = math.ldexp(index, -scale)
    except OverflowError:
        exponent = math.copysign(math.inf, index)
    return sys.float_info.max if exponent >= sys.float_info.max_exp else 2.0**exponent


def _continued(bounds: list[float], more: list[float]) -> list[float]:
    """Both, the bound in which they meet once."""
    meets = bounds and more and bounds[-1] == more[0]
    return bounds + (more[1:] if meets else more)
