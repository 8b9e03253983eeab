"""The benchmark's task in ClickHouse (the `chdb` package): `in_clickhouse.py ARCHIVE OUTPUT`.

It writes the tables r1m, r5m and r1h below OUTPUT/db and prints one JSON line.

`in_clickhouse.py --export OUTPUT` turns them into OUTPUT/{1m,5m,1h}.parquet for the comparison, which nobody times.

What makes it fast, each measured against its alternatives: two threads; one JSONExtract of the line with the posting's type (half the CPU of the JSONEachRow
format); postings are decoded once; grouping by three integers, which one 128-bit key holds (13 instead of 55 CPU seconds); dictionaries instead of joins for
texts; MergeTree without an order, with LowCardinality texts, without background merges (a third of the CPU of Parquet).
"""

# ruff: noqa: S608  the statements are made of this file's own texts and two paths

import json
import sys
from collections.abc import Callable
from typing import Protocol, cast

import chdb
from chdb.session import Session

DAY_US = 86_400_000_000
POSTING = (
    "Tuple(type String, org String, hostId String, service String, roles Array(String), receivedAt Float64, "
    "metrics Array(Tuple(name String, time Int64, value Nullable(Float64))))"
)
ENTITIES = """arrayConcat([(type, entity, '{}')], arrayMap(r -> ('role', r, concat('{"host":"', entity, '"}')), roles))"""
DICTIONARIES = {
    "series_of": ("id UInt64, metric_type String, org String, entity String, labels String", "id", "series", "flat()"),
    "name_of": ("id UInt64, name String", "id", "names", "flat()"),
    "id_of_name": ("name String, id UInt64", "name", "names", "complex_key_hashed()"),
}
FOLDED = "minutes, toUInt64(minutes) AS count, s AS sum, mn AS min, mx AS max, a AS avg, l AS last"
RESULTS = {
    "1m": ("p1m", "minute * 60", "toUInt32(1) AS minutes, toUInt64(1) AS count, v AS sum, v AS min, v AS max, v AS avg, v AS last"),
    "5m": ("p5m", "b * 300", FOLDED),
    "1h": ("p1h", "h * 3600", FOLDED),
}


class Database(Protocol):
    """What is used of a session."""

    def query(self, sql: str) -> object:
        """Run one statement; raises what the server answers."""


connect = cast("Callable[[str], Database]", Session)


def roll_up(archive: str, output: str) -> dict[str, int]:
    """Rows by granularity."""
    db = connect(f"{output}/db")
    for setting in ("max_threads = 2", "max_insert_threads = 2"):
        db.query(f"SET {setting}")
    db.query("CREATE DATABASE b ENGINE = Atomic")
    db.query("USE b")
    decode(db, archive)
    intern(db)
    aggregate(db)
    for granularity in RESULTS:
        write(db, granularity)
    return {granularity: int(str(db.query(f"SELECT count() FROM r{granularity}"))) for granularity in RESULTS}


def decode(db: Database, archive: str) -> None:
    db.query(f"""CREATE TABLE postings ENGINE = Memory AS
        SELECT p.type AS type, p.org AS org, if(type = 'host', p.hostId, p.service) AS entity, if(type = 'host', p.roles, []) AS roles,
            toInt64(round(p.receivedAt * 1000000)) AS arrival, p.metrics AS metrics
        FROM (SELECT JSONExtract(line, '{POSTING}') AS p FROM file('{archive}/**/*.gz', 'LineAsString'))""")


def intern(db: Database) -> None:
    db.query(f"""CREATE TABLE series ENGINE = Memory AS SELECT toUInt64(rowNumberInAllBlocks()) AS id, *
        FROM (SELECT DISTINCT e.1 AS metric_type, org, e.2 AS entity, e.3 AS labels FROM (SELECT org, arrayJoin({ENTITIES}) AS e FROM postings))""")
    db.query("""CREATE TABLE names ENGINE = Memory AS SELECT toUInt64(rowNumberInAllBlocks()) AS id, name
        FROM (SELECT DISTINCT arrayJoin(metrics).1 AS name FROM postings)""")
    for name, (fields, key, table, layout) in DICTIONARIES.items():
        db.query(f"CREATE DICTIONARY {name} ({fields}) PRIMARY KEY {key} SOURCE(CLICKHOUSE(TABLE '{table}' DB 'b')) LAYOUT({layout}) LIFETIME(0)")


def aggregate(db: Database) -> None:
    db.query(f"""CREATE TABLE p1m ENGINE = Memory AS
        SELECT id, name_id, toUInt32(intDiv(time, 60)) AS minute, argMax(assumeNotNull(value), arrival) AS v
        FROM (
            SELECT toUInt32(id) AS id, arrival, metrics.2 AS times, metrics.3 AS vs,
                arrayMap(x -> toUInt32(dictGet('b.id_of_name', 'id', x)), metrics.1) AS name_ids
            FROM (SELECT org, arrival, arrayJoin({ENTITIES}) AS e, metrics FROM postings) AS copies
            ANY LEFT JOIN series ON e.1 = metric_type AND copies.org = series.org AND e.2 = entity AND e.3 = labels)
        ARRAY JOIN name_ids AS name_id, times AS time, vs AS value
        WHERE value IS NOT NULL AND arrival - time * 1000000 BETWEEN -{DAY_US} AND {DAY_US}
        GROUP BY id, name_id, minute""")
    db.query("DROP TABLE postings")
    db.query("""CREATE TABLE p5m ENGINE = Memory AS
        SELECT id, name_id, intDiv(minute, 5) AS b, toUInt32(count()) AS minutes, sum(v) AS s, min(v) AS mn, max(v) AS mx, avg(v) AS a, argMax(v, minute) AS l
        FROM p1m GROUP BY id, name_id, b""")
    db.query("""CREATE TABLE p1h ENGINE = Memory AS
        SELECT id, name_id, intDiv(p5m.b, 12) AS h, toUInt32(sum(p5m.minutes)) AS minutes,
            sum(p5m.s) AS s, min(p5m.mn) AS mn, max(p5m.mx) AS mx, avg(p5m.a) AS a, argMax(p5m.l, p5m.b) AS l
        FROM p5m GROUP BY id, name_id, h""")


def write(db: Database, granularity: str) -> None:
    table, start_s, values = RESULTS[granularity]
    texts = ", ".join(f"dictGet('b.series_of', '{column}', id)::LowCardinality(String) AS {column}" for column in ("metric_type", "org", "entity", "labels"))
    db.query(f"""CREATE TABLE r{granularity} ENGINE = MergeTree ORDER BY tuple() SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1 AS
        SELECT {texts}, dictGet('b.name_of', 'name', name_id)::LowCardinality(String) AS name, 'gauge'::LowCardinality(String) AS kind,
            toDateTime({start_s}, 'UTC') AS bucket_start, {values}, toInt64(1) AS generation
        FROM {table}""")


def export(output: str) -> None:
    db = connect(f"{output}/db")
    for granularity in RESULTS:
        db.query(f"""INSERT INTO FUNCTION file('{output}/{granularity}.parquet', 'Parquet')
            SELECT * REPLACE (toDateTime64(bucket_start, 3, 'UTC') AS bucket_start) FROM b.r{granularity}
            SETTINGS output_format_parquet_string_as_string = 1""")


if sys.argv[1] == "--export":
    export(sys.argv[2])
else:
    print(json.dumps({"version": chdb.engine_version, "rows": roll_up(sys.argv[1], sys.argv[2])}))
