"""What somebody in a hurry writes instead of a store: the same rollups to the same services by unconditional puts, in a loop.

Nothing is read, nothing is merged, no before-image is kept: a version with fewer minutes replaces a better one, two writers at once mix theirs, and nothing can
be taken back. Layouts are those of our stores where services charge or slow down by size, and the simplest ones elsewhere.
"""

import base64
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from valkey import Valkey

from scripts.local_servers import REGION
from transforms.core.canonical import bucket_ms, series_runs
from transforms.core.packed import pack
from transforms.core.units import Unit
from transforms.stores.dynamodb_keys import item_name, series_text

Put = Callable[[Unit, Mapping[str, pa.Table]], None]

PUTTER: Final = "putter"
PUTTER_HANDLER: Final = f"{PUTTER}.handler"
PUTTER_SOURCE: Final = """
import base64, os, boto3

table = boto3.resource("dynamodb", endpoint_url=os.environ["PUTTER_ENDPOINT"]).Table(os.environ["PUTTER_TABLE"])


def handler(batch, _context):
    with table.batch_writer() as writer:
        for series, item, body in batch["items"]:
            writer.put_item(Item={"series": series, "item": item, "body": base64.b64decode(body)})
"""
"""A writer function in a few lines."""

BATCH_ITEMS: Final = 500
"""Of an invocation, which stays far below 6 MB, and of a pipeline."""

EXPIRE_S: Final = 25 * 3600
SPAN_S: Final = 3600
COLUMNS: Final = ("org", "entity", "name", "labels", "kind", "bucket_start", "minutes", "count", "sum", "min", "max", "avg", "last", "generation")
KEY: Final = 6
"""So many of the columns, behind the granularity, tell a row."""


def putter_zip() -> bytes:
    """The zip file of the function."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as zipped:
        zipped.writestr(f"{PUTTER}.py", PUTTER_SOURCE)
    return sink.getvalue()


def open_unsafe(url: str) -> Put:
    """Writes into the store of a URL, as `open_store` takes it."""
    return _KINDS[urlsplit(url).scheme](url)


def _parquet(url: str) -> Put:
    folder = Path(urlsplit(url).path)

    def put(unit: Unit, rollups: Mapping[str, pa.Table]) -> None:
        for granularity, table in rollups.items():
            path = folder / granularity / f"{unit}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)

    return put


def _parquet_s3(url: str) -> Put:
    parts = urlsplit(url)
    client = boto3.client("s3", **_where(url))

    def put(unit: Unit, rollups: Mapping[str, pa.Table]) -> None:
        for granularity, table in rollups.items():
            sink = io.BytesIO()
            pq.write_table(table, sink)
            client.put_object(Bucket=parts.netloc, Key=f"{parts.path[1:]}/{granularity}/{unit}.parquet", Body=sink.getvalue())

    return put


def _sqlite(url: str) -> Put:
    database = sqlite3.connect(urlsplit(url).path, timeout=60, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    names = ", ".join(f'"{name}"' for name in ("granularity", *COLUMNS))
    key = ", ".join(("granularity", *COLUMNS[:KEY]))
    database.execute(f"CREATE TABLE IF NOT EXISTS rollups ({names}, PRIMARY KEY ({key})) WITHOUT ROWID")
    statement = f"INSERT OR REPLACE INTO rollups VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"  # noqa: S608 - of names of our own

    def put(_unit: Unit, rollups: Mapping[str, pa.Table]) -> None:
        database.execute("BEGIN IMMEDIATE")
        for granularity, table in rollups.items():
            database.executemany(statement, ((granularity, *row) for row in _rows(table)))
        database.execute("COMMIT")

    return put


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    columns = [bucket_ms(table).tolist() if name == "bucket_start" else table[name].to_pylist() for name in COLUMNS]
    return zip(*columns, strict=True)


def _dynamodb(url: str) -> Put:
    table = boto3.resource("dynamodb", **_where(url)).Table(urlsplit(url).netloc)

    def put(unit: Unit, rollups: Mapping[str, pa.Table]) -> None:
        with table.batch_writer() as writer:
            for series, item, body in _items(unit, rollups):
                writer.put_item(Item={"series": series, "item": item, "body": body})

    return put


def _lambda(url: str) -> Put:
    client = boto3.client("lambda", **_where(url))

    def put(unit: Unit, rollups: Mapping[str, pa.Table]) -> None:
        items = [(series, item, base64.b64encode(body).decode()) for series, item, body in _items(unit, rollups)]
        for at in range(0, len(items), BATCH_ITEMS):
            answer = client.invoke(FunctionName=PUTTER, Payload=json.dumps({"items": items[at : at + BATCH_ITEMS]}))
            if "FunctionError" in answer:
                raise RuntimeError(answer["Payload"].read().decode())

    return put


def _items(unit: Unit, rollups: Mapping[str, pa.Table]) -> Iterator[tuple[str, str, bytes]]:
    """Partition key, sort key and body of packed items."""
    for granularity, table in rollups.items():
        for key, body in pack(table, granularity).items():
            yield series_text(unit.metric_type, key), item_name(granularity, key.start_s), body


def _valkey(url: str) -> Put:
    client = Valkey.from_url(url)

    def put(unit: Unit, rollups: Mapping[str, pa.Table]) -> None:
        pipeline = client.pipeline(transaction=False)
        for key, minutes in _hashes(unit, rollups["1m"]):
            pipeline.hset(key, mapping=minutes)
            pipeline.expire(key, EXPIRE_S)
            if len(pipeline) >= BATCH_ITEMS:
                pipeline.execute()
        pipeline.execute()

    return put


def _hashes(unit: Unit, table: pa.Table) -> Iterator[tuple[str, dict[str | bytes, bytes | float | int | str]]]:
    """A hash of texts by minute for each series and hour."""
    runs, starts_s, values = series_runs(table), (bucket_ms(table) // 1000).tolist(), table["avg"].to_pylist()
    for (org, entity, name, labels, kind), (first, end) in zip(runs.keys, pairwise(runs.edges.tolist()), strict=True):
        hours: dict[int, dict[str | bytes, bytes | float | int | str]] = {}
        for start_s, value in zip(starts_s[first:end], values[first:end], strict=True):
            hours.setdefault(start_s - start_s % SPAN_S, {})[str(start_s)] = repr(value)
        for hour_s, minutes in hours.items():
            yield f"metric:{{{unit.metric_type}|{org}|{entity}|{name}|{labels}}}:{kind}:{hour_s}", minutes


def _where(url: str) -> dict[str, str]:
    """The region and the endpoint of a URL, for a client."""
    return {"region_name": REGION, "endpoint_url": parse_qs(urlsplit(url).query)["endpoint_url"][0]}


_KINDS: Final[Mapping[str, Callable[[str], Put]]] = {
    "dynamodb": _dynamodb,
    "lambda": _lambda,
    "parquet": _parquet,
    "parquet+s3": _parquet_s3,
    "sqlite": _sqlite,
    "valkey": _valkey,
}
