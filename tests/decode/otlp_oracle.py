"""OTLP metrics as points, with the protobuf package, dicts and loops: what the readers of the project must say of messages that protobuf can read."""

import base64
import json
import math
import sys
from collections import Counter
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

FROM_NS, TO_NS = 946_684_800 * 10**9, 4_133_980_800 * 10**9


class Broken(Exception):
    """The cause is the argument."""


class Dropped(Exception):
    """The reason is the argument."""


class Expected(NamedTuple):
    """Kept points as `(record, entity, name, labels, kind, start_us, time_us, value, histogram)`, dropped ones by reason, causes of broken ones."""

    points: list[tuple[Any, ...]]
    dropped: Counter[str]
    broken: list[str]


def expected(requests: list[bytes]) -> Expected:
    found = Expected([], Counter(), [])
    for record, data in enumerate(requests):
        for resource_metrics in ExportMetricsServiceRequest.FromString(data).resource_metrics:
            attributes = resource_metrics.resource.attributes
            keys = [one.key for one in attributes]
            entity = "" if len(set(keys)) < len(keys) else "".join(text_of(one.value) for one in attributes if one.key == "service.name")
            for scope_metrics in resource_metrics.scope_metrics:
                pairs = [("resource." + one.key, text_of(one.value)) for one in attributes if one.key != "service.name"]
                pairs += [("resource.service.name", "")] * keys.count("service.name") if keys.count("service.name") > 1 else []
                pairs += [("scope.name", scope_metrics.scope.name)] if scope_metrics.scope.name else []
                pairs += [("scope.version", scope_metrics.scope.version)] if scope_metrics.scope.version else []
                for metric in scope_metrics.metrics:
                    _add_metric(found, record, entity, pairs, metric)
    return found


def _add_metric(found: Expected, record: int, entity: str, pairs: list[tuple[str, str]], metric: Any) -> None:
    which = metric.WhichOneof("data")
    data = getattr(metric, which) if which else None
    for point in data.data_points if data else ():
        try:
            rows = list(_rows(which, data, metric.name, point, pairs))
        except Broken as broken:
            found.broken.append(str(broken))
            continue
        for name, labels, kind, value in rows:
            if isinstance(value, Dropped):
                found.dropped[str(value)] += 1
            else:
                number, histogram = (0.0, value) if isinstance(value, dict) else (value, None)
                times = point.start_time_unix_nano // 1000, point.time_unix_nano // 1000
                found.points.append((record, entity, name, labels, kind, *times, number.hex(), histogram))


def _rows(which: str, data: Any, name: str, point: Any, pairs: list[tuple[str, str]]) -> Any:
    quantiles = [one.quantile for one in point.quantile_values] if which == "summary" else []
    exporters = [value for key, value in pairs if key == "resource.aws.exporter.arn"]
    is_stream = name[:14] == "amazonaws.com/" or any(one[:4] == "arn:" and ":metric-stream/" in one for one in exporters)
    is_set = which == "summary" and (is_stream or sorted(quantiles) == [0, 1])
    if not name:
        raise Broken("broken point: name")
    pairs = pairs + [(one.key, text_of(one.value)) for one in point.attributes]
    labels = _labels(pairs)
    ranked = [_labels([*pairs, ("quantile", str(one + 0.0).removesuffix(".0"))]) for one in quantiles] if not is_set else []
    if not FROM_NS <= point.time_unix_nano < TO_NS:
        raise Broken("broken point: time")
    temporality = 0 if which in ("gauge", "summary") else data.aggregation_temporality
    if which not in ("gauge", "summary") and temporality not in (1, 2):
        raise Broken("broken point: temporality")
    flagged = Dropped("no recorded value") if point.flags & 1 else None
    if which == "summary" and not is_set:
        values = [float(point.count), point.sum, *(one.value for one in point.quantile_values)]
        bad = point.count >= 2**63 or not all(0 <= one <= 1 for one in quantiles)
        if bad and not flagged:
            raise Broken("broken point: value")
        for suffix, value in zip((".count", ".sum"), values[:2], strict=True):
            yield name + suffix, labels, "counter", flagged or _finite(value)
        for text, value in zip(ranked, values[2:], strict=True):
            yield name, text, "gauge", flagged or _finite(value)
        return
    yield name, labels, _kind(which, data, temporality), flagged or _value(which, point)


def _kind(which: str, data: Any, temporality: int) -> str:
    if which == "sum":
        return "delta" if temporality == 1 else "counter" if data.is_monotonic else "gauge"
    if which == "gauge":
        return "gauge"
    return "cumulative histogram" if temporality == 2 else "histogram"


def _value(which: str, point: Any) -> Any:
    if which in ("gauge", "sum"):
        member = point.WhichOneof("value")
        return _finite(float(getattr(point, member))) if member else Dropped("null")
    if point.count >= 2**63:
        raise Broken("broken point: value")
    if which == "summary":
        if not all(0 <= one.quantile <= 1 for one in point.quantile_values):
            raise Broken("broken point: value")
        low, high = ([None, *(one.value for one in point.quantile_values if one.quantile == end)][-1] for end in (0, 1))
        measures = {"sum": point.sum, "min": low, "max": high}
        bounds, counts = [], [point.count]
    else:
        measures = {one: getattr(point, one) if point.HasField(one) else None for one in ("sum", "min", "max")}
        bounds, counts = (list(point.explicit_bounds), list(point.bucket_counts)) if which == "histogram" else _written_out(point)
        if not bounds and not counts:
            counts = [point.count]
    if not all(map(math.isfinite, bounds)) or sorted(set(bounds)) != bounds or len(counts) != len(bounds) + 1 or sum(counts) != point.count:
        raise Broken("broken point: value")
    known = [one for one in measures.values() if one is not None]
    if any(map(math.isnan, known)):
        return Dropped("nan")
    if any(map(math.isinf, known)):
        return Dropped("infinite")
    return {"count": point.count, **measures, "bounds": bounds, "bucket_counts": counts}


def _bound(index: int, scale: int) -> float:
    """2^(index * 2^-scale) in float64; what is beyond the largest float is that."""
    exponent = index if index == 0 or scale == 0 else index / 2**scale if 0 < scale < 1100 else 0 if scale > 0 else index * 2 ** min(1100, -scale)
    return 0.0 if exponent < -1100 else sys.float_info.max if exponent >= 1024 else 2.0**exponent


def _written_out(point: Any) -> tuple[list[float], list[int]]:
    """Every bucket as (low, high, count), sorted, with empty ones between."""
    buckets: list[tuple[float, float, int]] = []
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
        buckets.append((_bound(index, point.scale), _bound(index + 1, point.scale), count))
    for index, count in enumerate(point.negative.bucket_counts, point.negative.offset):
        buckets.append((-_bound(index + 1, point.scale), -_bound(index, point.scale), count))
    if point.zero_count:
        threshold = point.zero_threshold
        buckets.append((-threshold if threshold else -5e-324, abs(threshold) if threshold == 0 else threshold, point.zero_count))
    if any(not low < high for low, high, _ in buckets):
        raise Broken("broken point: value")
    buckets.sort()
    bounds: list[float] = []
    counts = [0]
    for low, high, count in buckets:
        if not bounds:
            bounds.append(low)
        elif low != bounds[-1]:
            if low < bounds[-1]:
                raise Broken("broken point: value")
            bounds.append(low)
            counts.append(0)
        bounds.append(high)
        counts.append(count)
    return (bounds, [*counts, 0]) if bounds else ([], [])


def _finite(value: float) -> Any:
    return Dropped("nan") if math.isnan(value) else Dropped("infinite") if math.isinf(value) else value


def _labels(pairs: list[tuple[str, str]]) -> str:
    if len({key for key, _ in pairs}) < len(pairs):
        raise Broken("broken point: labels")
    return json.dumps(dict(pairs), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def text_of(value: Any) -> str:
    plain = _plain(value)
    return (
        plain
        if isinstance(plain, str) and value.WhichOneof("value") in ("string_value", "bytes_value")
        else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    )


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if which == "kvlist_value":
        return {one.key: _plain(one.value) for one in value.kvlist_value.values}
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    number = getattr(value, which) if which else None
    if which == "double_value" and not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return number
