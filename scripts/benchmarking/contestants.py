"""Who takes part: how each is started, where its results are, and how they are read for the comparison."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.benchmarking.archives import Archive
from scripts.benchmarking.in_bucket import in_bucket
from scripts.s3_gateway import client_environment

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = ROOT / "scripts" / "benchmark_peers"
GRANULARITIES: Final = ("1m", "5m", "1h")
OURS: Final = "ours"
S3: Final = "s3"
NAIVE: Final = "naive"
OUR_COMMAND: Final = (
    sys.executable, "-m", "pipelines.backfill", "--archive", "{archive}", "--store", "{store}", "--period", "{period}",
    "--work-dir", "{work}", "--workers", "2", "--yes", "--json",
)  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """`command` rolls an archive up into an empty folder; `relation` is SQL for DuckDB that reads one granularity of the result.

    `prepare` makes the result readable first, which nobody times. As long as `place` is open, the archive it gives is where the command reads it; it may put
    it below the folder that it gets. `environment` is that of the command's process, None for ours.
    """

    name: str
    command: Callable[[Archive, Path], list[str]]
    relation: Callable[[Path, str], str]
    prepare: Callable[[Path], None] = lambda _: None
    place: Callable[[Archive, Path], AbstractContextManager[Archive]] = lambda archive, _: nullcontext(archive)
    environment: Callable[[], Mapping[str, str] | None] = lambda: None


def _our_command(archive: Archive, output: Path) -> list[str]:
    values = {"archive": archive.location, "store": f"parquet://{output / 'store'}", "period": archive.period, "work": str(output / "work")}
    return [part.format(**values) for part in OUR_COMMAND]


def _our_relation(output: Path, granularity: str) -> str:
    return f"read_parquet('{output}/store/metric_type=*/granularity={granularity}/day=*/*.parquet', hive_partitioning = true)"


def _peer(name: str, prepare: Callable[[Path], None] = lambda _: None) -> Contestant:
    program = str(PEERS / f"in_{name}.py")
    return Contestant(
        name,
        lambda archive, output: [sys.executable, program, str(archive.path), str(output)],
        lambda output, granularity: f"read_parquet('{output}/{granularity}*.parquet')",
        prepare,
    )


def _export_clickhouse(output: Path) -> None:
    subprocess.run([sys.executable, str(PEERS / "in_clickhouse.py"), "--export", str(output)], check=True, stdout=subprocess.DEVNULL)


CONTESTANTS: Final = {
    OURS: Contestant(OURS, _our_command, _our_relation),
    S3: Contestant(S3, _our_command, _our_relation, place=in_bucket, environment=client_environment),
    "duckdb": _peer("duckdb"),
    "clickhouse": _peer("clickhouse", prepare=_export_clickhouse),
    "polars": _peer("polars"),
    NAIVE: Contestant(
        NAIVE,
        lambda archive, output: [sys.executable, str(PEERS / "in_naive_beam.py"), str(archive.path), str(output)],
        lambda output, granularity: f"read_parquet('{output}/{granularity}-*.parquet')",
    ),
}
"""In the order in which they run."""
