"""Summaries of very many OTLP points: which are statistic sets, and the values of all quantiles."""

from typing import NamedTuple

import numpy as np

from transforms.core.model import Bools, Floats, Ints
from transforms.decode.otlp_spans import Reader, Rows, Spans, last, pick
from transforms.decode.otlp_values import Values
from transforms.decode.wire import FIXED64


class Summaries(NamedTuple):
    """Quantiles of all points, `sizes` of them for each from `first` on; `owner` is the point.

    `is_set` marks points of exactly the quantiles 0 and 1, of which `low` and `high` are the values, `is_plain` other summaries.
    """

    owner: Rows
    quantile: Floats
    value: Floats
    first: Ints
    sizes: Ints
    is_set: Bools
    is_plain: Bools
    low: Floats
    high: Floats


def read_summaries(reader: Reader, points: Spans, values: Values, is_summary: Bools) -> Summaries:
    """Look into the quantiles of all points."""
    start, stop, owner = values.quantiles
    fields = reader.fields(Spans(start, stop, owner, points.record[owner]))
    quantile, value = (last(fields, pick(fields, number, FIXED64), len(start)).view(np.float64) for number in (1, 2))
    sizes = np.bincount(owner, minlength=len(is_summary)).astype(np.int64)
    first = np.cumsum(sizes) - sizes
    is_set = is_summary & (sizes == 2)
    low, high = (np.zeros(len(is_summary)) for _ in range(2))
    pairs = np.flatnonzero(is_set)
    left, right = first[pairs], first[pairs] + 1
    is_swapped = quantile[left] > quantile[right]
    left, right = np.where(is_swapped, right, left), np.where(is_swapped, left, right)
    is_set[pairs] = (quantile[left] == 0) & (quantile[right] == 1)
    low[pairs], high[pairs] = value[left], value[right]
    return Summaries(owner, quantile, value, first, sizes, is_set, is_summary & ~is_set, low, high)
