"""Rollups a second that local stores take: the same tables of gauges into each, fresh, again, of a newer run with the same values, and with other values.

Units (600 series, one day) are shared out to processes that begin together; the time is that until the last has ended.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.canonical import canonical
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.united import IDENTITY
from transforms.core.units import Unit
from transforms.stores import open_store

DAY, DAY_S = "2025-11-01", 1_761_955_200
WIDTHS_S = {"1m": 60, "5m": 300, "1h": 3600}
PASSES = {"fresh": (1, 0), "again": (1, 0), "newer run": (2, 0), "other values": (3, 1)}
"""Generation and which values."""

STORES = {"parquet": "parquet://{}/folder", "sqlite": "sqlite://{}/rollups.db"}


def unit_tables(shard: int, series: int, generation: int, seed: int, granularities: list[str]) -> dict[str, pa.Table]:
    return {name: _table(shard, series, generation, np.random.default_rng([shard, seed]), WIDTHS_S[name]) for name in granularities}


def _table(shard: int, series: int, generation: int, random: np.random.Generator, width_s: int) -> pa.Table:
    buckets = 86_400 // width_s
    rows = series * buckets
    values = random.normal(100, 30, rows).round(3)
    names = {"entity": [f"host-{shard:03d}-{number // 6:05d}" for number in range(series)], "name": [f"metric.{number % 6}" for number in range(series)]}
    texts = names | {"org": ["acme"] * series, "labels": ["{}"] * series, "kind": ["gauge"] * series}
    columns = {name: pa.array(np.repeat(texts[name], buckets)).dictionary_encode() for name in IDENTITY}
    columns["bucket_start"] = pa.array(np.tile((DAY_S + np.arange(buckets) * width_s) * 1000, series)).view(ROLLUP_SCHEMA.field("bucket_start").type)
    columns["minutes"] = pa.array(np.full(rows, width_s // 60, np.int32))
    columns["count"], columns["generation"] = pa.array(np.full(rows, width_s // 60)), pa.array(np.full(rows, generation))
    columns |= {name: pa.array(_spread(values, width_s, place)) for place, name in enumerate(("sum", "min", "max", "avg", "last"))}
    return canonical(pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in ROLLUP_SCHEMA], schema=ROLLUP_SCHEMA))


def _spread(values: npt.NDArray[np.float64], width_s: int, place: int) -> npt.NDArray[np.float64]:
    return values if width_s == 60 else values * (1 + place)


def work(url: str, shards: range, pass_name: str, asked: argparse.Namespace, barrier: Barrier) -> None:
    generation, seed = PASSES[pass_name]
    tables = {shard: unit_tables(shard, asked.series, generation, seed, asked.granularities) for shard in shards}
    store = open_store(url)
    barrier.wait()
    for shard, rollups in tables.items():
        store.upsert(Unit("host", DAY, shard), rollups, run_id=f"run{generation}", allow_fewer=False)
    barrier.wait()


def measure(url: str, processes: int, asked: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Seconds of each pass."""
    context = multiprocessing.get_context("spawn")
    open_store(url).open_partition("host", DAY, asked.units)
    for name in PASSES:
        barrier = context.Barrier(processes + 1)
        children = [context.Process(target=work, args=(url, range(place, asked.units, processes), name, asked, barrier)) for place in range(processes)]
        for child in children:
            child.start()
        barrier.wait()
        started = time.monotonic()
        barrier.wait()
        yield name, time.monotonic() - started
        for child in children:
            child.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=4)
    parser.add_argument("--series", type=int, default=600)
    parser.add_argument("--granularities", type=lambda text: text.split(","), default=["1m", "5m", "1h"])
    parser.add_argument("--processes", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2])
    parser.add_argument("--folder", type=Path, default=None, help="where the stores are made and removed (default: the temporary folder)")
    asked = parser.parse_args()
    rows = asked.units * asked.series * sum(86_400 // WIDTHS_S[name] for name in asked.granularities)
    print(
        f"{rows:,} rollups ({', '.join(asked.granularities)}) of {asked.units} units\n\n| store | processes | pass | s | M rollups/s |\n|---|---|---|---|---|"
    )
    for processes in asked.processes:
        for store, form in STORES.items():
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                for name, seconds in measure(form.format(folder), processes, asked):
                    print(f"| {store} | {processes} | {name} | {seconds:.2f} | {rows / seconds / 1e6:.2f} |", flush=True)
    print(f"\nCPU of all: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.1f} s")


if __name__ == "__main__":
    main()
