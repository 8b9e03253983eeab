"""An hour of OTLP around midnight as a collector would export it, every kind of metric with all that happens to it; made with opentelemetry-proto."""

import base64
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from tests.builders import DAY_START_S

S = 1_000_000_000
STEP_S = 20
FIRST_S = DAY_START_S - 1800
LONG_AGO_S = FIRST_S - 3600
"""Streams that began here are too old for their first value to count whole."""

DELTA, CUMULATIVE = pb.AGGREGATION_TEMPORALITY_DELTA, pb.AGGREGATION_TEMPORALITY_CUMULATIVE


def request(numbers: Sequence[int], *, again: bool = False) -> bytes:
    """One export of the points of these numbers: point n is of `FIRST_S + 20 n`. Exported `again`, delta sums and gauges have other values."""
    metrics = [
        pb.Metric(name=name, **{form: {"data_points": [make(n, again) for n in numbers], **more}})  # type: ignore[arg-type]
        for name, form, more, make in (
            ("requests", "sum", {"aggregation_temporality": CUMULATIVE, "is_monotonic": True}, _requests),
            ("bytes", "sum", {"aggregation_temporality": DELTA, "is_monotonic": True}, _bytes),
            ("queue", "sum", {"aggregation_temporality": CUMULATIVE}, _queue),
            ("latency", "histogram", {"aggregation_temporality": DELTA}, _latency),
            ("latency.total", "histogram", {"aggregation_temporality": CUMULATIVE}, _latency_total),
            ("size", "exponential_histogram", {"aggregation_temporality": DELTA}, _size),
            ("size.total", "exponential_histogram", {"aggregation_temporality": CUMULATIVE}, _size_total),
        )
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"string_value": "shop"}}, {"key": "host", "value": {"string_value": "h1"}}]}
    scope = {"scope": {"name": "app"}, "metrics": metrics}
    made: bytes = ExportMetricsServiceRequest(resource_metrics=[{"resource": resource, "scope_metrics": [scope]}]).SerializeToString()
    return made


def labeled(data: bytes, received_s: float) -> bytes:
    """The posting that delivers an export."""
    return json.dumps({"type": "labeled", "org": "acme", "receivedAt": received_s, "otlp": base64.b64encode(data).decode()}).encode()


def _times(n: int, start_s: int = LONG_AGO_S) -> dict[str, Any]:
    attributes = [{"key": "route", "value": {"string_value": "/a"}}]
    return {"start_time_unix_nano": start_s * S, "time_unix_nano": (FIRST_S + STEP_S * n) * S, "attributes": attributes}


def _of_step(n: int) -> dict[str, Any]:
    return _times(n, FIRST_S + STEP_S * (n - 1))


def _requests(n: int, _again: bool) -> Any:
    """A value falls at 60; at 110 the start changes and the value does not fall."""
    if n >= 110:
        return pb.NumberDataPoint(**_times(n, FIRST_S + STEP_S * 110 - 10), as_int=1000 + 7 * (n - 110))
    return pb.NumberDataPoint(**_times(n), as_int=5 * n if n < 60 else 3 * (n - 60))


def _bytes(n: int, again: bool) -> Any:
    return pb.NumberDataPoint(**_of_step(n), as_double=0.1 * n + again)


def _queue(n: int, again: bool) -> Any:
    return pb.NumberDataPoint(**_times(n), as_int=37 * n % 50 - 20 + again)


def _latency(n: int, _again: bool) -> Any:
    """Other bounds from 100 on, in the middle of a bucket of 5 minutes."""
    counts = [n % 3, n % 5, 1, n % 2]
    bounds = [1.0, 2.0, 5.0] if n < 100 else [1.0, 3.0, 5.0]
    return pb.HistogramDataPoint(**_of_step(n), count=sum(counts), sum=0.7 * n, min=0.25, max=4.0 + n, explicit_bounds=bounds, bucket_counts=counts)


def _latency_total(n: int, _again: bool) -> Any:
    """Counts fall at 130, bounds change at 40."""
    since = n if n < 130 else n - 130
    counts = [since, 2 * since, since // 3, 0]
    bounds = [1.0, 2.0, 5.0] if n < 40 else [1.0, 2.0, 4.0]
    return pb.HistogramDataPoint(**_times(n), count=sum(counts), sum=1.5 * since, explicit_bounds=bounds, bucket_counts=counts)


def _size(n: int, _again: bool) -> Any:
    """A coarser scale from 105 on; some zeros and negative ones."""
    above, below, zeros = [1 + n % 2, 0, 2, n % 3], [n % 4], n % 2
    return pb.ExponentialHistogramDataPoint(
        **_of_step(n), count=sum(above) + sum(below) + zeros, sum=1.1 * n, scale=3 if n < 105 else 2, zero_count=zeros,
        positive={"offset": n % 4 - 2, "bucket_counts": above}, negative={"offset": 1, "bucket_counts": below},
    )  # fmt: skip


def _size_total(n: int, _again: bool) -> Any:
    """At 120 the scale becomes coarser and pairs of buckets one."""
    fine = [n, n, 2 * n, n // 2]
    scale, counts = (2, fine) if n < 120 else (1, [left + right for left, right in list(pairwise(fine))[::2]])
    return pb.ExponentialHistogramDataPoint(**_times(n), count=sum(counts), sum=0.3 * n, scale=scale, positive={"bucket_counts": counts})
