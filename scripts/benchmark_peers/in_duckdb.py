"""The benchmark's task in DuckDB: `in_duckdb.py ARCHIVE OUTPUT` writes OUTPUT/{1m,5m,1h}.parquet and prints one JSON line.

What makes it fast, each measured against its alternatives: two threads, no insertion order, typed JSON columns; postings are decoded once and kept; role
copies and series are made of postings, not of points; grouping by small integers instead of five strings (17 instead of 39 CPU seconds); the texts come back
as ENUMs, which Parquet writes as dictionaries; uncompressed Parquet (4 seconds; a database file took 5 to 9).
"""

# ruff: noqa: S608  the statements are made of this file's own texts and two paths

import json
import sys

import duckdb

ARCHIVE, OUTPUT = sys.argv[1:3]
DAY_US = 86_400_000_000
COLUMNS = (
    "{type: 'VARCHAR', org: 'VARCHAR', hostId: 'VARCHAR', service: 'VARCHAR', roles: 'VARCHAR[]', receivedAt: 'DOUBLE', "
    """metrics: 'STRUCT(name VARCHAR, "time" BIGINT, value DOUBLE)[]'}"""
)
ENTITIES = """
    SELECT type AS metric_type, org, entity, '{}' AS labels, arrival, metrics FROM postings
    UNION ALL SELECT 'role', org, unnest(roles), '{"host":"' || entity || '"}', arrival, metrics FROM postings WHERE type = 'host'"""
SERIES = "metric_type, org, entity, name, labels, 'gauge'::kind_t AS kind"
FOLDED = "minutes, minutes::BIGINT AS count, sum, min, max, avg, last"
RESULTS = {
    "1m": ("p1m", "minute::BIGINT * 60", "1::INT AS minutes, 1::BIGINT AS count, v AS sum, v AS min, v AS max, v AS avg, v AS last"),
    "5m": ("p5m", "b::BIGINT * 300", FOLDED),
    "1h": ("p1h", "b::BIGINT * 3600", FOLDED),
}

db = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
db.execute(f"""CREATE TABLE postings AS
    SELECT type, org, coalesce(hostId, service) AS entity, roles, round(receivedAt * 1000000)::BIGINT AS arrival, metrics
    FROM read_json('{ARCHIVE}/**/*.gz', format = 'newline_delimited', columns = {COLUMNS})""")
db.execute(f"CREATE TABLE texts AS SELECT (row_number() OVER ())::INT AS id, * FROM (SELECT DISTINCT metric_type, org, entity, labels FROM ({ENTITIES}))")
db.execute("""CREATE TABLE texts_of_names AS
    SELECT (row_number() OVER ())::INT AS name_id, name FROM (SELECT DISTINCT unnest(metrics).name AS name FROM postings)""")
db.execute(f"""CREATE TABLE p1m AS
    WITH copies AS (SELECT id, arrival, unnest(metrics) AS m FROM ({ENTITIES}) JOIN texts USING (metric_type, org, entity, labels)),
    points AS (SELECT id, name_id, (m.time // 60)::INT AS minute, m.value AS value, arrival FROM copies JOIN texts_of_names AS t ON t.name = m.name
        WHERE m.value IS NOT NULL AND arrival - m.time * 1000000 BETWEEN -{DAY_US} AND {DAY_US})
    SELECT id, name_id, minute, arg_max(value, arrival) AS v FROM points GROUP BY ALL""")
db.execute("DROP TABLE postings")
db.execute("""CREATE TABLE p5m AS
    SELECT id, name_id, minute // 5 AS b, count(*)::INT AS minutes, sum(v) AS sum, min(v) AS min, max(v) AS max, avg(v) AS avg, arg_max(v, minute) AS last
    FROM p1m GROUP BY ALL""")
db.execute("""CREATE TABLE p1h AS
    SELECT id, name_id, p5m.b // 12 AS b, sum(minutes)::INT AS minutes, sum(sum) AS sum, min(min) AS min, max(max) AS max, avg(avg) AS avg,
        arg_max(last, p5m.b) AS last
    FROM p5m GROUP BY ALL""")
db.execute("CREATE TYPE kind_t AS ENUM ('gauge')")
db.execute("CREATE TYPE name_t AS ENUM (SELECT name FROM texts_of_names)")
for column in ("metric_type", "org", "entity", "labels"):
    db.execute(f"CREATE TYPE {column}_t AS ENUM (SELECT DISTINCT {column} FROM texts)")
enums = ", ".join(f"{column}::{column}_t AS {column}" for column in ("metric_type", "org", "entity", "labels"))
db.execute(f"CREATE TABLE series AS SELECT id, {enums} FROM texts")
db.execute("CREATE TABLE names AS SELECT name_id, name::name_t AS name FROM texts_of_names")
rows = {}
for granularity, (table, start_s, values) in RESULTS.items():
    rows[granularity] = db.execute(f"""COPY (
        SELECT {SERIES}, make_timestamp({start_s} * 1000000) AS bucket_start, {values}, 1::BIGINT AS generation
        FROM {table} JOIN series USING (id) JOIN names USING (name_id)
        ) TO '{OUTPUT}/{granularity}.parquet' (FORMAT parquet, COMPRESSION uncompressed)""").fetchall()[0][0]
print(json.dumps({"version": duckdb.__version__, "rows": rows}))
