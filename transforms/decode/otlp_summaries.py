"""Summaries of very many OTLP points: which are statistic sets, and the values of all quantiles."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import Bools, Floats, Ints
from transforms.decode.attributes import STREAM_ARN, STREAM_NAMES, is_of_metric_stream, read_pairs, split_resource
from transforms.decode.otlp_spans import Reader, Rows, Spans, last, pick
from transforms.decode.otlp_values import Values
from transforms.decode.wire import FIXED64, Message


class Summaries(NamedTuple):
    """Quantiles of all points, `sizes` of them for each from `first` on; `owner` is the point.

    `is_set` marks statistic sets by the rule of otlp_rules.py, `is_plain` other summaries. `low` and `high` are the values of a set's quantiles 0 and 1 where
    it has them.
    """

    owner: Rows
    quantile: Floats
    value: Floats
    first: Ints
    sizes: Ints
    is_set: Bools
    is_plain: Bools
    low: Floats
    has_low: Bools
    high: Floats
    has_high: Bools


def read_summaries(reader: Reader, own: Reader, points: Spans, values: Values, is_summary: Bools) -> Summaries:
    """Look into the quantiles of all points, whose parents are those of the requests that were read."""
    start, stop, owner = values.quantiles
    fields = reader.fields(Spans(start, stop, owner, points.record[owner]))
    quantile, value = (last(fields, pick(fields, number, FIXED64), len(start)).view(np.float64) for number in (1, 2))
    sizes = np.bincount(owner, minlength=len(is_summary)).astype(np.int64)
    (low, has_low), (high, has_high) = (_of_quantile(end, owner, quantile, value, len(is_summary)) for end in (0.0, 1.0))
    is_set = is_summary & (sizes == 2) & has_low & has_high
    if is_summary.any():
        is_set |= is_summary & _of_metric_streams(own)[points.parent]
    return Summaries(owner, quantile, value, np.cumsum(sizes) - sizes, sizes, is_set, is_summary & ~is_set, low, has_low, high, has_high)


def _of_quantile(wanted: float, owner: Rows, quantile: Floats, value: Floats, points: int) -> tuple[Floats, Bools]:
    """Each point's value of that quantile, the last one if there are several, and whether it has one."""
    at = np.flatnonzero(quantile == wanted)
    found, has = np.zeros(points), np.zeros(points, np.bool_)
    found[owner[at]], has[owner[at]] = value[at], True
    return found, has


def _of_metric_streams(reader: Reader) -> Bools:
    """Whether a CloudWatch metric stream sent the metric, for each metric's data."""
    levels = reader.levels()
    by_name = _holding(reader.octets.binary(*levels.name), _is_stream_name)
    by_resource = _holding(reader.octets.binary(*levels.resource), _is_stream_resource)
    metric = levels.data.parent
    resource = levels.scopes.parent[levels.metrics.parent[metric]]
    of_data: Bools = by_name[metric] | by_resource[resource]
    return of_data


def _holding(column: pa.Array, test: Callable[[bytes], bool]) -> Bools:
    """The test of every element, made once for each distinct one."""
    encoded = column.dictionary_encode()
    distinct = np.array([test(one) for one in encoded.dictionary.to_pylist()], np.bool_)
    found: Bools = distinct[encoded.indices.to_numpy()]
    return found


def _is_stream_name(name: bytes) -> bool:
    return name.startswith(STREAM_NAMES.encode())


def _is_stream_resource(resource: bytes) -> bool:
    """What is no resource, or one with broken labels, is in doubt or dead anyhow."""
    if STREAM_ARN.encode() not in resource:
        return False
    try:
        return is_of_metric_stream("", split_resource(read_pairs(Message(resource).contents(1)))[1])
    except DecodeError:
        return False
