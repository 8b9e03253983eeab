"""Sorting what a store tells in no order: on disk, in pieces of bounded size."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms.core.canonical import canonical, keys_of, ordered
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.united import IDENTITY
from transforms.stores.data_files import LocalFile
from transforms.stores.protocol import Wanted
from transforms.stores.scanning import PIECE_ROWS, Overlap, Source, keep_of, scan_sorted
from transforms.stores.shard_files import write_table


def sorted_scan(
    tables: Iterable[tuple[str, pa.Table]], granularity: str, *, periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """What `RollupStore.scan` answers, of (metric type, rows of ROLLUP_SCHEMA) in any order; of a bucket told twice one of the two.

    The rows lie in a temporary folder until the iterator ends.
    """
    overlap = Overlap(WIDTH_S[granularity], periods)
    with tempfile.TemporaryDirectory(prefix="metric-rollups-scan-") as folder:
        paths = _spooled(tables, Path(folder))
        for metric_type in sorted(paths):
            sources = [Source(LocalFile(path), keep_of(metric_type, wanted), overlap) for path in paths[metric_type]]
            for piece in scan_sorted(sources, [*IDENTITY, "bucket_start", *columns]):
                yield metric_type, _distinct(piece).select([name for name in ROLLUP_SCHEMA.names if name in columns])


def _spooled(tables: Iterable[tuple[str, pa.Table]], folder: Path) -> dict[str, list[Path]]:
    """Sorted files of about PIECE_ROWS rows each, by metric type."""
    waiting: dict[str, list[pa.Table]] = {}
    paths: dict[str, list[Path]] = {}

    def write(metric_type: str) -> None:
        path = folder / f"{metric_type}-{len(paths.setdefault(metric_type, []))}.parquet"
        write_table(canonical(ordered(canonical(pa.concat_tables(waiting.pop(metric_type))))), path)
        paths[metric_type].append(path)

    for metric_type, table in tables:
        waiting.setdefault(metric_type, []).append(table)
        if sum(one.num_rows for one in waiting[metric_type]) >= PIECE_ROWS:
            write(metric_type)
    for metric_type in list(waiting):
        write(metric_type)
    return paths


def _distinct(piece: pa.Table) -> pa.Table:
    (keys,) = keys_of([canonical(piece)])
    kept = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    return piece if len(kept) == piece.num_rows else canonical(piece.take(pa.array(kept)))
