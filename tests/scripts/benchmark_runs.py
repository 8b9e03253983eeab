"""The benchmark's whole command with contestants that copy a result, and what such runs are made of."""

import json
import sys
from pathlib import Path

import duckdb
import pytest

from scripts import benchmark
from scripts.archive_maker.options import ArchiveOptions
from scripts.benchmarking.contestants import CONTESTANTS, GRANULARITIES, Contestant
from scripts.benchmarking.measure import Measurement
from scripts.benchmarking.report import Result

MB = 1_000_000
ROW = (
    "'host' AS metric_type, 'acme' AS org, 'h' || i % 7 AS entity, 'cpu' AS name, '{}' AS labels, 'gauge' AS kind,"
    " make_timestamptz((1762000020 + 60 * i) * 1000000) AS bucket_start, 1 AS minutes, 1::BIGINT AS count,"
    " i / 3 AS sum, i / 3 AS min, i / 3 AS max, i / 3 AS avg, -i / 7 AS last, 5::BIGINT AS generation"
)
PLAIN = f"SELECT {ROW} FROM range(100) AS t(i)"


def store(folder: Path, query: str, only: str = "") -> Path:
    """A result whose three granularities hold what the query gives; `only` limits it to one, the others are plain."""
    folder.mkdir(parents=True, exist_ok=True)
    for granularity in GRANULARITIES:
        chosen = query if only in ("", granularity) else PLAIN
        duckdb.execute(f"COPY ({chosen}) TO '{folder}/{granularity}.parquet' (FORMAT parquet)")
    return folder


PEER = Contestant("peer", lambda _, __: [], lambda output, granularity: f"read_parquet('{output}/{granularity}.parquet')")

TOLD = {
    "duration_s_estimated": 1.0,
    "steps": {"decode": {"wall_s": 0.5, "cpu_s": 0.25}},
    "buckets": {"service": {"1m": {"added": 50}, "5m": {"added": 10}}, "host": {"1m": {"added": 10}}},
}
PEER_NAMES = "ours,duckdb,clickhouse,polars,naive"
COPY = (
    f"import shutil, sys; print({json.dumps(TOLD)!r}); shutil.copytree(*sys.argv[1:3], dirs_exist_ok=True); open(sys.argv[3], 'a').write(sys.argv[4] + chr(10))"
)


def replaced_by_copiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces everybody; who ran when is in the file. Polars' result differs where `polars` holds another one."""
    file = tmp_path / "turns"
    store(tmp_path / "result", PLAIN)
    store(tmp_path / "polars", PLAIN)
    for name in CONTESTANTS:
        source = tmp_path / ("polars" if name == "polars" else "result")
        fake = Contestant(
            name, lambda _, output, name=name, source=source: [sys.executable, "-c", COPY, str(source), str(output), str(file), name], PEER.relation
        )  # type: ignore[misc]
        monkeypatch.setitem(CONTESTANTS, name, fake)
    monkeypatch.setattr(benchmark.os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(benchmark, "benchmark_options", lambda points: ArchiveOptions(hosts=1, services=0, metrics=1, duration_s=60 * max(1, points)))
    return file


def run(tmp_path: Path, *arguments: str) -> int:
    return benchmark.main(
        ["--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "results.json"), "--points", "20", "--form-s", "0", "--only", PEER_NAMES, *arguments]
    )


def result(name: str, wall_s: float, *, points: int = 20 * MB, rss: int = 1000 * MB, estimated_s: float = 12.0) -> Result:
    told = json.dumps({"duration_s_estimated": estimated_s, "steps": {"decode": {"wall_s": wall_s, "cpu_s": wall_s / 2}}})
    one = Measurement(wall_s=wall_s, cpu_s=2 * wall_s, peak_rss_bytes=rss, peak_pss_bytes=rss, exit_code=0, stdout=told)
    return Result(name=name, points=points, runs=(one,), stored_bytes=1)
