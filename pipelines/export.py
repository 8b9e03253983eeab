"""`rollups export`: stored rollups as CSV, JSON or Parquet, in one fixed order and form (DESIGN §6)."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.jobs import ExportJob
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime, check_granularities
from transforms.core.errors import UsageError
from transforms.core.globs import read_series_file
from transforms.core.hash_slots import HashSlots
from transforms.core.model import EXPORT_COLUMNS
from transforms.core.selection import Selection
from transforms.core.store_settings import settings_of
from transforms.core.time import parse_period, unite
from transforms.stores.files import Files
from transforms.stores.frame import EXPORT_SCHEMA, exported

_ROWS: Final = 65_536
_JSON_NAMES: Final = tuple(map(json.dumps, EXPORT_COLUMNS))


def run(job: ExportJob, runtime: Runtime) -> Outcome:
    """Writes the rows to standard output or, whole or not at all, to a file. A reader who goes away has what was wanted: that is exit code 0."""
    now_s = runtime.now_s()
    periods = unite(parse_period(text, now_s) for text in job.period)
    selection = _selection(job, runtime)
    store = runtime.store(job.store, settings_of(job), writable=False)
    check_granularities([job.granularity], store, job.store)
    tables = exported(store, job.granularity, metric_types=sorted(job.metric_types), periods=periods, wanted=selection.selects)
    write = {"csv": write_csv, "json": write_json, "parquet": write_parquet}["json" if job.json and job.format == "csv" else job.format]
    with suppress(BrokenPipeError):
        if job.output:
            _to_file(Path(job.output).absolute(), lambda sink: write(tables, sink))
        else:
            write(tables, runtime.out)
    return Outcome(exit_code=0, text="")


def _selection(job: ExportJob, runtime: Runtime) -> Selection:
    listed = read_series_file(runtime.read_file(job.series_file, "series file"), job.series_file) if job.series_file else ()
    slots = HashSlots(ranges=job.hash_slots, template=job.hash_key) if job.hash_slots else None
    return Selection(metric_types=job.metric_types, computed={}, orgs=job.org, series=job.series + listed, slots=slots)


def write_csv(tables: Iterable[pa.Table], sink: BinaryIO) -> None:
    """A header and a line per row: floats by `repr`, what a kind does not have empty, minimal quoting, UTF-8, LF."""
    # With CR LF as its line end the writer quotes texts that hold either; the sink makes it LF.
    writer = csv.writer(_Lines(sink), lineterminator="\r\n")
    writer.writerow(EXPORT_COLUMNS)
    writer.writerows(_rows(tables))


class _Lines:
    """Takes whole lines from a csv writer."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write(self, line: str) -> None:
        """Called once per row."""
        self._sink.write(line[:-2].encode() + b"\n")


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
            yield from zip(*map(_cells, batch.columns), strict=True)


def _cells(column: pa.Array) -> Iterable[object]:
    """A column as it is written in text; what repeats is made once."""
    if pa.types.is_timestamp(column.type):
        column = column.dictionary_encode()
        texts = pc.strftime(column.dictionary.cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
        column = pa.DictionaryArray.from_arrays(column.indices, texts)
    if pa.types.is_dictionary(column.type):
        return map(column.dictionary.to_pylist().__getitem__, column.indices.to_numpy().tolist())
    if column.null_count == len(column):
        return [None] * len(column)
    cells: list[object] = column.to_pylist() if column.null_count else column.to_numpy().tolist()
    return cells


def _json(value: object) -> str:
    if isinstance(value, float) and abs(value) == float("inf"):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value, ensure_ascii=False)


def _to_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """A regular file is replaced whole; what else has a name, such as /dev/stdout, is written to."""

    def write_to(target: Path) -> None:
        with target.open("wb") as sink:
            write(sink)

    try:
        if not path.parent.is_dir():
            msg = f"--output {str(path)!r}: the folder {str(path.parent)!r} is not there"
            raise UsageError(msg)
        if path.exists() and not path.is_file():
            write_to(path)
        else:
            Files().replace(path, write_to, name="export")
    except BrokenPipeError:
        raise
    except OSError as error:
        msg = f"writing --output {str(path)!r}: {error.strerror}"
        raise UsageError(msg) from error


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("export")
