"""Exports of OpenTelemetry metrics, put together and encoded by the public protobuf package: services with 50 series of one kind each.

A service's messages are made once; an export sets times and values in them, which is several times faster than to make them anew.
"""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.proto import serialize_length_prefixed
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

BOUNDS: Final = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0)
"""The OpenTelemetry specification's default buckets (metrics/sdk, "Explicit Bucket Histogram Aggregation")."""

NAMES: Final = tuple(f"http.server.{what}" for what in ("duration", "wait", "size.in", "size.out", "queue", "db", "cache", "render", "auth", "retries"))
ROUTES: Final = ("/", "/cart", "/orders/{id}", "/search", "/login")
SERIES: Final = len(NAMES) * len(ROUTES)
"""Points of an export."""

Counts = npt.NDArray[np.int64]
_NS: Final = 1_000_000_000


class Gauges:
    """A service whose series are gauges."""

    def __init__(self, service: str) -> None:
        points = [pb.NumberDataPoint(attributes=_pairs(route=route, status=200)) for route in ROUTES]
        self._request, metrics = _request(service, [pb.Metric(name=name, gauge=pb.Gauge(data_points=points)) for name in NAMES])
        self._points = [point for metric in metrics for point in metric.gauge.data_points]

    def export(self, time_s: int, values: Sequence[float]) -> ExportMetricsServiceRequest:
        """The request with these values; valid until the next one."""
        for point, value in zip(self._points, values, strict=True):
            point.time_unix_nano, point.as_double = time_s * _NS, value
        return self._request


class Histograms:
    """A service whose series are histograms of the default buckets."""

    def __init__(self, service: str, *, is_cumulative: bool) -> None:
        points = [pb.HistogramDataPoint(attributes=_pairs(route=route, status=200), explicit_bounds=BOUNDS) for route in ROUTES]
        temporality = pb.AGGREGATION_TEMPORALITY_CUMULATIVE if is_cumulative else pb.AGGREGATION_TEMPORALITY_DELTA
        data = pb.Histogram(data_points=points, aggregation_temporality=temporality)
        self._request, metrics = _request(service, [pb.Metric(name=name, unit="ms", histogram=data) for name in NAMES])
        self._points = [point for metric in metrics for point in metric.histogram.data_points]

    def export(self, start_s: int, time_s: int, counts: Counts) -> ExportMetricsServiceRequest:
        """The request with these counts, an array of (series, buckets); valid until the next one. Sum, min and max are as if observations lay on bounds."""
        uppers = np.array([*BOUNDS, BOUNDS[-1]])
        sums, lowest, highest = counts @ uppers, uppers[(counts > 0).argmax(axis=1)], uppers[::-1][(counts[:, ::-1] > 0).argmax(axis=1)]
        columns = (column.tolist() for column in (counts, counts.sum(axis=1), sums, lowest, highest))
        for point, row, total, value, low, high in zip(self._points, *columns, strict=True):
            point.start_time_unix_nano, point.time_unix_nano = start_s * _NS, time_s * _NS
            point.count, point.sum, point.min, point.max = total, value, low, high
            point.bucket_counts[:] = row
        return self._request


class StatisticSets:
    """A CloudWatch metric stream in OpenTelemetry 1.0: summaries of the quantiles 0 and 1, as the vendor's documentation shows them.

    docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-opentelemetry-100.html
    """

    def __init__(self, instance: str) -> None:
        metrics = [
            pb.Metric(name=f"amazonaws.com/AWS/EC2/{name}", unit="Percent", summary=pb.Summary(data_points=[_statistic_set(name, f"{instance}{at}")]))
            for name, at in product(NAMES, range(len(ROUTES)))
        ]
        self._request, made = _request(None, metrics)
        self._points = [metric.summary.data_points[0] for metric in made]

    def export(self, time_s: int, values: Sequence[float]) -> ExportMetricsServiceRequest:
        """The request with sets of four observations about these values; valid until the next one."""
        for point, value in zip(self._points, values, strict=True):
            point.start_time_unix_nano, point.time_unix_nano = (time_s - 60) * _NS, time_s * _NS
            point.count, point.sum = 4, 4 * value
            point.quantile_values[0].value, point.quantile_values[1].value = value - 1, value + 1
        return self._request


def delimited(requests: Iterable[ExportMetricsServiceRequest]) -> bytes:
    """Requests, each behind its length."""
    sink = io.BytesIO()
    for one in requests:
        serialize_length_prefixed(one, sink)
    return sink.getvalue()


def labeled_posting(request: bytes, **fields: Any) -> bytes:  # noqa: ANN401 - any JSON
    """A labeled posting of the request; `fields` are org, arrival and so on."""
    return json.dumps({"type": "labeled"} | fields | {"otlp": base64.b64encode(request).decode()}, separators=(",", ":")).encode()


def _request(service: str | None, metrics: Sequence[pb.Metric]) -> tuple[ExportMetricsServiceRequest, Sequence[pb.Metric]]:
    """A request and its metrics, to be changed in place."""
    resource = _pairs(**{"service.name": service, "host.name": "h1"}) if service else _pairs(**{"cloud.provider": "aws", "cloud.account.id": "123456789012"})
    scope = pb.ScopeMetrics(scope=InstrumentationScope(name="app", version="1.2.3"), metrics=metrics)
    request = ExportMetricsServiceRequest(resource_metrics=[pb.ResourceMetrics(resource=Resource(attributes=resource), scope_metrics=[scope])])
    return request, request.resource_metrics[0].scope_metrics[0].metrics


def _pairs(**values: str | int) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=one) if isinstance(one, str) else AnyValue(int_value=one)) for key, one in values.items()]


def _statistic_set(name: str, instance: str) -> pb.SummaryDataPoint:
    dimensions = KeyValue(key="Dimensions", value=AnyValue(kvlist_value=KeyValueList(values=_pairs(InstanceId=instance))))
    quantiles = [pb.SummaryDataPoint.ValueAtQuantile(quantile=one) for one in (0.0, 1.0)]
    return pb.SummaryDataPoint(attributes=[*_pairs(Namespace="AWS/EC2", MetricName=name), dimensions], quantile_values=quantiles)
