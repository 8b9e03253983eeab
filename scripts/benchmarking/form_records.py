"""The records of which forms are made: 20 senders that post 50 series each once a minute, as the benchmark's archive has them.

`count` is always a number of records of 50 points.
"""

import json
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.senders import Fleet, Sender
from scripts.archive_maker.walks import random_walks
from scripts.encoders import cloudwatch, otlp
from transforms.core.flat import FlatMapping

POINTS: Final = otlp.SERIES
"""Of a record."""

START_S: Final = 1_762_000_020
ARRIVAL_US: Final = START_S * 1_000_000 + 250_000
FLAT: Final = FlatMapping(time="ts", time_unit="ms", value="v", name="metric", entity="device", labels=("site", "room"))
_SENDERS: Final = 20


@cache
def _senders() -> list[Sender]:
    return Fleet(ArchiveOptions(hosts=_SENDERS, services=0, metrics=POINTS, roles=0)).senders


def turns(count: int) -> Iterator[tuple[int, int, list[float]]]:
    """Number of the sender, time and values of each record."""
    walks = random_walks(_senders(), seed=1)
    minutes = ((START_S + 60 * minute, values) for minute, values in enumerate(islice(walks, -(-count // _SENDERS))))
    return islice(((sender, time_s, own) for time_s, values in minutes for sender, own in enumerate(values)), count)


def compact(value: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def postings(count: int) -> list[bytes]:
    """Host postings as JSON."""
    return [_senders()[sender].text(time_s, ARRIVAL_US, values).encode() for sender, time_s, values in turns(count)]


def bare_arrays(count: int) -> list[bytes]:
    """The points of hosts as their API takes them."""
    return [_senders()[sender].bare_text(time_s, values).encode() for sender, time_s, values in turns(count)]


def posting_table(count: int) -> pa.Table:
    """Host postings as rows; columns in lower case, as Glue knows them."""
    senders, times, values = zip(*turns(count), strict=True)
    names = pa.array([name for sender in senders for name in _senders()[sender].names])
    is_whole = np.array([[form == "%d" for form in _senders()[sender].formats] for sender in senders])
    points = [names, pa.array(np.repeat(times, POINTS)), pa.array(np.where(is_whole, np.trunc(values), values).ravel())]
    metrics = pa.ListArray.from_arrays(
        pa.array(range(0, count * POINTS + 1, POINTS), pa.int32()), pa.StructArray.from_arrays(points, ["name", "time", "value"])
    )
    texts = {"type": ["host"] * count, "org": ["acme"] * count, "hostid": [_senders()[sender].entity for sender in senders]}
    return pa.table(texts | {"receivedat": [ARRIVAL_US / 1e6] * count, "metrics": metrics})


def gauge_exports(count: int) -> Iterator[ExportMetricsServiceRequest]:
    """OTLP requests of gauges; each is valid until the next one."""
    services = [otlp.Gauges(f"service-{number}") for number in range(_SENDERS)]
    return (services[sender].export(time_s, values) for sender, time_s, values in turns(count))


def histogram_exports(count: int) -> Iterator[ExportMetricsServiceRequest]:
    """OTLP requests of cumulative histograms; each is valid until the next one."""
    services = [otlp.Histograms(f"service-{number}", is_cumulative=True) for number in range(_SENDERS)]
    totals = np.zeros((_SENDERS, POINTS, len(otlp.BOUNDS) + 1), np.int64)
    random = np.random.default_rng(1)
    for sender, time_s, _ in turns(count):
        totals[sender] += random.poisson(12, totals.shape[1:])
        yield services[sender].export(START_S - 60, time_s, totals[sender])


def statistic_exports(count: int) -> Iterator[ExportMetricsServiceRequest]:
    """Requests of a CloudWatch metric stream; each is valid until the next one."""
    streams = [otlp.StatisticSets(f"i-{number:04d}") for number in range(_SENDERS)]
    return (streams[sender].export(time_s, values) for sender, time_s, values in turns(count))


def cloudwatch_records(count: int) -> Iterator[dict[str, Any]]:
    """Records of a CloudWatch metric stream in JSON, of one point each."""
    for sender, time_s, values in turns(count):
        for place, value in enumerate(values):
            own = {"metric_name": f"Metric{place}", "dimensions": {"InstanceId": f"i-{sender:04d}"}, "timestamp": time_s * 1000}
            yield cloudwatch.RECORD | own | {"value": {"count": 4.0, "sum": 4 * value, "max": value + 1, "min": value - 1}}


def flat_rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows of sensors, of one point each, of which FLAT tells the meaning."""
    for sender, time_s, values in turns(count):
        for place, value in enumerate(values):
            yield {"ts": time_s * 1000, "metric": f"metric-{place}", "v": value} | _sensor(sender)


def flat_table(count: int) -> pa.Table:
    """The same rows as columns."""
    senders, times, values = zip(*turns(count), strict=True)
    sensors = pa.Table.from_pylist([_sensor(sender) for sender in range(_SENDERS)]).take(pa.array(np.repeat(senders, POINTS)))
    columns = {"ts": np.repeat(times, POINTS) * 1000, "metric": [f"metric-{place}" for place in range(POINTS)] * count, "v": np.concatenate(values)}
    return pa.table(columns | {name: sensors[name] for name in sensors.column_names})


def _sensor(sender: int) -> dict[str, str]:
    return {"device": f"device-{sender}", "site": f"site-{sender % 5}", "room": str(sender % 3)}
