"""`rollups export`: stored rollups as CSV, JSON or Parquet, in one fixed order and form (DESIGN §6)."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.jobs import ExportJob
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime
from transforms.core.errors import UsageError
from transforms.core.model import EXPORT_COLUMNS
from transforms.core.selection import Selection
from transforms.core.time import parse_period, unite
from transforms.stores.files import Files
from transforms.stores.frame import EXPORT_SCHEMA, exported

_ROWS: Final = 65_536
_JSON_NAMES: Final = tuple(map(json.dumps, EXPORT_COLUMNS))


def run(job: ExportJob, runtime: Runtime) -> Outcome:
    """Writes the rows to standard output or, whole or not at all, to a file."""
    now_s = runtime.now_s()
    periods = unite(parse_period(text, now_s) for text in job.period)
    selection = Selection(metric_types=job.metric_types, computed={}, orgs=job.org, series=job.series)
    store = runtime.store(job.store, writable=False)
    tables = exported(store, job.granularity, metric_types=sorted(job.metric_types), periods=periods, wanted=selection.selects)
    write = {"csv": write_csv, "json": write_json, "parquet": write_parquet}["json" if job.json and job.format == "csv" else job.format]
    if job.output:
        _to_file(Path(job.output).absolute(), lambda sink: write(tables, sink))
    else:
        write(tables, runtime.out)
    return Outcome(exit_code=0, text="")


def write_csv(tables: Iterable[pa.Table], sink: BinaryIO) -> None:
    """A header and a line per row: floats by `repr`, what a kind does not have empty, minimal quoting, UTF-8, LF."""
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EXPORT_COLUMNS)
    writer.writerows(_rows(tables))
    text.detach()


def write_json(tables: Iterable[pa.Table], sink: BinaryIO) -> None:
    """One array of objects, one object a line. An infinite number is written as 1e999, which JSON allows and readers take as infinite."""
    sink.write(b"[")
    for place, row in enumerate(_rows(tables)):
        fields = ",".join(f"{name}:{_json(value)}" for name, value in zip(_JSON_NAMES, row, strict=True))
        sink.write(f"{',' if place else ''}\n{{{fields}}}".encode())
    sink.write(b"\n]\n")


def write_parquet(tables: Iterable[pa.Table], sink: BinaryIO) -> None:
    """One file with the export's columns; `bucket_start` as a timestamp in UTC, what a kind does not have null."""
    schema = pa.schema([(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type) for field in EXPORT_SCHEMA])
    with pq.ParquetWriter(sink, schema) as writer:
        for table in tables:
            writer.write_table(table.cast(schema))


def _rows(tables: Iterable[pa.Table]) -> Iterator[tuple[object, ...]]:
    for table in tables:
        for batch in table.to_batches(max_chunksize=_ROWS):
            yield from zip(*(_plain(column).to_pylist() for column in batch.columns), strict=True)


def _plain(column: pa.Array) -> pa.Array:
    """A column as it is written in text."""
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
    return column


def _json(value: object) -> str:
    if isinstance(value, float) and abs(value) == float("inf"):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value, ensure_ascii=False)


def _to_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    if not path.parent.is_dir():
        msg = f"--output {str(path)!r}: the folder {str(path.parent)!r} is not there"
        raise UsageError(msg)

    def write_temporary(temporary: Path) -> None:
        with temporary.open("wb") as sink:
            write(sink)

    Files().replace(path, write_temporary, name="export")


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("export")
