"""Rows that come in no order, sorted on disk: for stores whose service has none.

Pieces are gathered until there are SPOOL_ROWS of a metric type, sorted and written as a Parquet file into a temporary folder; then all files are read as shards
of a Parquet store are (`scanning`). Memory: the rows gathered, and what `scanning` needs. Disk: all rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa

from transforms.core.canonical import sorted_together
from transforms.stores.scanning import Overlap, Source, scan_sorted
from transforms.stores.shard_files import write_table

SPOOL_ROWS: Final = 1 << 19
"""Rows of a file."""

_EVERY_ROW: Final = Overlap(0, None)


def sorted_on_disk(pieces: Iterable[tuple[str, pa.Table]], columns: Sequence[str], *, spool_rows: int = SPOOL_ROWS) -> Iterator[tuple[str, pa.Table]]:
    """The rows of pieces (metric type, canonical table of ROLLUP_SCHEMA), no bucket twice, as `RollupStore.scan` yields them, with these columns.

    The folder is made beside other temporary files of the machine ($TMPDIR) and removed at the end.
    """
    with TemporaryDirectory(prefix="rollups-scan-") as folder:
        spool = _Spool(Path(folder), spool_rows)
        for metric_type, table in pieces:
            spool.add(metric_type, table)
        for metric_type in sorted(spool.gathered):
            spool.write(metric_type)
            sources = [Source(path, lambda _: True, _EVERY_ROW) for path in spool.files[metric_type]]
            for table in scan_sorted(sources, columns):
                yield metric_type, table


class _Spool:
    """The rows gathered, and the files written, by metric type."""

    def __init__(self, folder: Path, spool_rows: int) -> None:
        self._folder, self._spool_rows = folder, spool_rows
        self.gathered: dict[str, list[pa.Table]] = {}
        self.files: dict[str, list[Path]] = {}

    def add(self, metric_type: str, table: pa.Table) -> None:
        gathered = self.gathered.setdefault(metric_type, [])
        gathered.append(table)
        if sum(one.num_rows for one in gathered) >= self._spool_rows:
            self.write(metric_type)

    def write(self, metric_type: str) -> None:
        files, gathered = self.files.setdefault(metric_type, []), self.gathered[metric_type]
        if any(one.num_rows for one in gathered):
            path = self._folder / f"{metric_type}-{len(files):06d}.parquet"
            write_table(sorted_together(gathered), path)
            files.append(path)
        self.gathered[metric_type] = []
