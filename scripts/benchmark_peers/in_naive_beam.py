"""The benchmark's task as a beginner would write it in Beam: `in_naive_beam.py ARCHIVE OUTPUT` writes OUTPUT/{1m,5m,1h}-*.parquet and prints one JSON line.

One element per point, three GroupByKeys, dictionaries to Parquet, on FnApiRunner in one process (its default).
"""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

DAY_US = 86_400_000_000
WIDTH_S = {"1m": 60, "5m": 300, "1h": 3600}
Series = tuple[str, str, str, str, str]
Rollup = dict[str, float]
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("metric_type", "org", "entity", "name", "labels", "kind")),
        ("bucket_start", pa.timestamp("ms", "UTC")),
        ("minutes", pa.int32()),
        ("count", pa.int64()),
        *((name, pa.float64()) for name in ("sum", "min", "max", "avg", "last")),
        ("generation", pa.int64()),
    ]
)


def points_of(path: str) -> Iterator[tuple[tuple[Series, int], tuple[int, float]]]:
    """((series, minute in s), (arrival in µs, value)) of every point and role copy in an object."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            posting = json.loads(line)
            arrival_us = round(posting["receivedAt"] * 1_000_000)
            for metric_type, entity, labels in entities_of(posting):
                for point in posting["metrics"]:
                    if point["value"] is not None and abs(arrival_us - point["time"] * 1_000_000) <= DAY_US:
                        yield ((metric_type, posting["org"], entity, point["name"], labels), point["time"] // 60 * 60), (arrival_us, point["value"])


def entities_of(posting: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """(metric type, entity, labels): the poster, then each role of a host."""
    if posting["type"] == "service":
        yield "service", posting["service"], "{}"
        return
    yield "host", posting["hostId"], "{}"
    for role in posting.get("roles", ()):
        yield "role", role, json.dumps({"host": posting["hostId"]}, separators=(",", ":"))


def last_arrival(key: tuple[Series, int], arrivals: Iterable[tuple[int, float]]) -> tuple[tuple[Series, int], Rollup]:
    value = max(arrivals, key=lambda one: one[0])[1]
    return key, {"minutes": 1, "sum": value, "min": value, "max": value, "avg": value, "last": value}


def moved(finer: tuple[tuple[Series, int], Rollup], width_s: int) -> tuple[tuple[Series, int], tuple[int, Rollup]]:
    """A finer rollup with its start, under the bucket of this width that holds it."""
    (series, start_s), rollup = finer
    return (series, start_s // width_s * width_s), (start_s, rollup)


def fold(key: tuple[Series, int], parts: Iterable[tuple[int, Rollup]]) -> tuple[tuple[Series, int], Rollup]:
    finer = [rollup for _, rollup in sorted(parts, key=lambda part: part[0])]
    return key, {
        "minutes": sum(one["minutes"] for one in finer),
        "sum": sum(one["sum"] for one in finer),
        "min": min(one["min"] for one in finer),
        "max": max(one["max"] for one in finer),
        "avg": sum(one["avg"] for one in finer) / len(finer),
        "last": finer[-1]["last"],
    }


def row_of(key: tuple[Series, int], rollup: Rollup) -> dict[str, object]:
    (metric_type, org, entity, name, labels), start_s = key
    texts = {"metric_type": metric_type, "org": org, "entity": entity, "name": name, "labels": labels, "kind": "gauge"}
    return {**texts, "bucket_start": datetime.fromtimestamp(start_s, UTC), "count": rollup["minutes"], **rollup, "generation": 1}


def main(archive: str, output: str) -> None:
    paths = sorted(str(path) for path in Path(archive).rglob("*.gz"))
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        one = pipeline | beam.Create(paths) | beam.FlatMap(points_of) | beam.GroupByKey() | beam.MapTuple(last_arrival)
        five = one | "into 5m" >> beam.Map(moved, WIDTH_S["5m"]) | "group 5m" >> beam.GroupByKey() | "fold 5m" >> beam.MapTuple(fold)
        hour = five | "into 1h" >> beam.Map(moved, WIDTH_S["1h"]) | "group 1h" >> beam.GroupByKey() | "fold 1h" >> beam.MapTuple(fold)
        for granularity, rollups in (("1m", one), ("5m", five), ("1h", hour)):
            rows = rollups | f"rows {granularity}" >> beam.MapTuple(row_of)
            rows | f"write {granularity}" >> beam.io.WriteToParquet(f"{output}/{granularity}", SCHEMA, file_name_suffix=".parquet")
    print(json.dumps({"version": beam.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
