"""Small values for tests, from plain Python lists: decoded objects, plans, archives on disk."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.arrivals import shard_hours
from transforms.core.manifest import Manifest
from transforms.core.model import HISTOGRAM, POINT_KINDS, DeadLetter, DecodedObject, DecodeTally, Points, Postings
from transforms.core.plan import Estimate, Plan, Request

NOON_S = 1_761_998_400
"""2025-11-01T12:00:00Z."""

DAY_START_S = 1_761_955_200
"""2025-11-01T00:00:00Z."""


class Posting(NamedTuple):
    """A row of `Postings`."""

    metric_type: str = "host"
    org: str = "acme"
    entity: str = "h1"
    roles: tuple[str, ...] | None = None
    arrival_us: int = NOON_S * 1_000_000


class Point(NamedTuple):
    """A row of `Points`; `posting` is a row number, `kind` one of POINT_KINDS, `time_us` of None the whole second, `histogram` a dict of HISTOGRAM."""

    posting: int = 0
    name: str = "cpu"
    time_s: int = NOON_S
    value: float = 1.0
    labels: str = "{}"
    kind: str = "gauge"
    start_us: int = 0
    time_us: int | None = None
    histogram: dict[str, Any] | None = None


def decoded(postings: Sequence[Posting], points: Sequence[Point], tally: DecodeTally | None = None, letters: Sequence[DeadLetter] = ()) -> DecodedObject:
    """A decoded object of one record that counts what it holds, unless told otherwise."""
    by_type: dict[str, int] = {}
    for one in points:
        name = postings[one.posting].metric_type
        by_type[name] = by_type.get(name, 0) + 1
    return DecodedObject(
        postings_of(postings),
        Points(
            np.array([one.posting for one in points], np.int32),
            pa.array([one.name for one in points], pa.string()).dictionary_encode(),
            np.array([one.time_s for one in points], np.int64),
            np.array([one.value for one in points], np.float64),
            *_more_columns(points),
        ),
        tally or DecodeTally(records=1, decoded_records=1, points=by_type),
        tuple(letters),
    )


def _more_columns(points: Sequence[Point]) -> tuple[Any, ...]:
    """The columns of points that are more than gauges without labels; none where all are."""
    if all(one[4:] == Point()[4:] for one in points):
        return ()
    return (
        pa.array([one.labels for one in points], pa.string()).dictionary_encode(),
        np.array([POINT_KINDS.index(one.kind) for one in points], np.int8),
        np.array([one.start_us for one in points], np.int64),
        np.array([one.time_s * 1_000_000 if one.time_us is None else one.time_us for one in points], np.int64),
        pa.array([one.histogram for one in points], HISTOGRAM),
    )


def postings_of(postings: Sequence[Posting]) -> Postings:
    """The columns of these rows."""
    types, orgs, entities = (pa.array([one[place] for one in postings], pa.string()) for place in range(3))
    roles = pa.array([None if one.roles is None else list(one.roles) for one in postings], pa.list_(pa.string()))
    return Postings(types, orgs, entities, roles, np.array([one.arrival_us for one in postings], np.int64))


def request_of(**changes: Any) -> Request:
    """A request for six hours of hosts at all granularities."""
    asked: dict[str, Any] = {
        "archive": "file:///archive",
        "store": "parquet:///store",
        "periods": ("2025-11-01T00:00Z/PT6H",),
        "metric_types": ("service", "host"),
        "granularities": ("1m", "5m", "1h"),
    }
    return Request(**asked | changes)


def plan_of(**changes: Any) -> Plan:
    """A plan of two read groups, one service unit and two host units; no manifest is behind it."""
    planned: dict[str, Any] = {
        "run_id": "r1",
        "created_s": NOON_S,
        "request": request_of(),
        "periods": ((DAY_START_S, DAY_START_S + 6 * 3600),),
        "generation": 7,
        "manifest_digest": Manifest(()).digest(),
        "object_bytes": 12,
        "listed_objects": 3,
        "untimed_objects": 1,
        "object_times": ((DAY_START_S - 94_200, DAY_START_S + 108_000),),
        "groups": ((0, 2), (2, 1)),
        "shards": {"service": {"2025-11-01": 1}, "host": {"2025-11-01": 2}},
        "estimate": Estimate(sampled_objects=3, points=10, series=4, staging_bytes=200, free_bytes=10**9, duration_s=5.5, points_per_s=1.8),
    }
    return Plan(**planned | changes)


def host_record(host: str, received_s: float, metrics: Iterable[tuple[str, int, object]], **more: object) -> bytes:
    """One posting of a host of org acme; `metrics` are (name, time, value), `more` adds or overrides fields."""
    points = [{"name": name, "time": time, "value": value} for name, time, value in metrics]
    posting = {"type": "host", "org": "acme", "hostId": host, "receivedAt": received_s, "metrics": points}
    return json.dumps(posting | more, ensure_ascii=False).encode()


def service_record(service: str, received_s: float, metrics: Iterable[tuple[str, int, object]], **more: object) -> bytes:
    """One posting of a service of org acme."""
    points = [{"name": name, "time": time, "value": value} for name, time, value in metrics]
    posting = {"type": "service", "org": "acme", "service": service, "receivedAt": received_s, "metrics": points}
    return json.dumps(posting | more, ensure_ascii=False).encode()


def write_archive(folder: Path, objects: Mapping[str, Iterable[bytes]]) -> Path:
    """Objects of concatenated records by key; keys that end in `.gz` are compressed."""
    for key, records in objects.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        body = b"".join(records)
        path.write_bytes(gzip.compress(body, mtime=0) if key.endswith(".gz") else body)
    return folder


class Origin(NamedTuple):
    """Where and when a record entered its stream."""

    shard: str
    sequence: str | None
    arrival_us: int


def of_origins(origins: Sequence[Origin]) -> pa.Table:
    """The rows of SHARD_HOURS of these records."""
    shards, sequences, arrivals_us = (list(column) for column in zip(*origins, strict=True)) if origins else ([], [], [])
    return shard_hours(shards, pa.array(sequences, pa.string()), np.array(arrivals_us, np.int64))
