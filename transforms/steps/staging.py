"""Staging files: one per read group, slices by unit and a footer with the slice index, all counts and the dead letters.

The file is an Arrow IPC file whose record batch `offset` is the slice of one unit (rows of SLICE_SCHEMA) and whose footer metadata `footer` is a JSON object.
Beside it `arrivals` is another one, read only where coverage is asked for: with many shards it has some hundred bytes for each.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.arrivals import NO_SHARDS, Arrivals
from transforms.core.counts import Counts
from transforms.core.errors import IncompleteError
from transforms.core.model import SLICE_SCHEMA, DeadLetter
from transforms.core.slices import GroupSlices
from transforms.core.stopwatch import Steps
from transforms.core.units import Unit
from transforms.stores.files import Files

_KEY: Final = b"footer"
_ARRIVALS_KEY: Final = b"arrivals"


class Slice(NamedTuple):
    """Reference to a unit's part of a read group: the record batch number `offset` of its staging file, holding `points` points."""

    unit: Unit
    group: int
    offset: int
    points: int


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What a staging file says of itself; `steps` is the time that was spent before writing it, `lateness` a histogram (transforms.core.lateness)."""

    slices: tuple[Slice, ...]
    counts: Counts
    dead_letters: tuple[DeadLetter, ...]
    steps: Steps = field(default_factory=dict)
    lateness: tuple[int, ...] = ()


def write_staging(path: Path, group: int, staged: GroupSlices, dead_letters: Sequence[DeadLetter], steps: Steps | None = None) -> Footer:
    """Writes the group's file, whole or not at all, and returns its footer.

    What a power failure takes of it is its end, and with that the footer: it is staged again then.
    """
    slices = tuple(Slice(one.unit, group, offset, one.points) for offset, one in enumerate(staged.index))
    metadata = {_ARRIVALS_KEY: _arrivals_to_json(staged.arrivals)}
    footer = Footer(slices=slices, counts=staged.counts, dead_letters=tuple(dead_letters), steps=steps or {}, lateness=staged.lateness)

    def write(temporary: Path) -> None:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SLICE_SCHEMA, metadata=metadata | {_KEY: _to_json(footer)}) as writer:
            for one in staged.index:
                writer.write_batch(_alone(staged.batch.slice(one.first_row, one.rows)))

    Files().replace_soon(path, write, name="staging")
    return footer


def _alone(part: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, written without anything of others.

    Where a slice has no list, Arrow writes with it the offsets of all lists within lists of the batch that it is cut from.
    """
    columns = [_no_lists(one) if pa.types.is_list(one.type) and one.null_count == len(one) else one for one in part.columns]
    return pa.RecordBatch.from_arrays(columns, schema=part.schema)


def _no_lists(nulls: pa.ListArray) -> pa.ListArray:
    offsets, mask = np.zeros(len(nulls) + 1, np.int32), np.ones(len(nulls), bool)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array([], nulls.type.value_type), type=nulls.type, mask=pa.array(mask))


def read_footer(path: Path) -> Footer:
    """The footer alone; the slices' data are not read."""
    with _open(path) as reader:
        return _from_json(reader.metadata[_KEY])


def read_arrivals(path: Path) -> Arrivals:
    """When the group's records arrived."""
    with _open(path) as reader:
        return _arrivals_from_json(reader.metadata[_ARRIVALS_KEY])


def read_slice(path: Path, offset: int) -> pa.RecordBatch:
    """One unit's rows."""
    with _open(path) as reader:
        return reader.get_batch(offset)


def _open(path: Path) -> pa.ipc.RecordBatchFileReader:
    try:
        return pa.ipc.open_file(pa.OSFile(str(path)))
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        msg = f"the staging file {str(path)!r} is missing or damaged ({error}): resume the run to stage it again"
        raise IncompleteError(msg) from error


def _to_json(footer: Footer) -> bytes:
    letters = [one._replace(raw=base64.b64encode(one.raw).decode()) for one in footer.dead_letters]  # type: ignore[arg-type]
    return json.dumps(asdict(footer) | {"dead_letters": letters}, separators=(",", ":")).encode()


def _from_json(text: bytes) -> Footer:
    data = json.loads(text)
    return Footer(
        slices=tuple(Slice(Unit(*unit), *rest) for unit, *rest in data["slices"]),
        counts=data["counts"],
        dead_letters=tuple(DeadLetter(*fields)._replace(raw=base64.b64decode(fields[-1])) for fields in data["dead_letters"]),
        steps=data["steps"],
        lateness=tuple(data.get("lateness", ())),
    )


def _arrivals_to_json(arrivals: Arrivals) -> bytes:
    hours = {"records": list(arrivals.records.items()), "dead_records": list(arrivals.dead_records.items())}
    data: dict[str, Any] = hours | {"shards": "", "undecoded": sorted(arrivals.undecoded)}
    if arrivals.shards.num_rows:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrivals.shards.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(arrivals.shards)
        data["shards"] = base64.b64encode(sink.getvalue()).decode()
    return json.dumps(data, separators=(",", ":")).encode()


def _arrivals_from_json(text: bytes) -> Arrivals:
    data = json.loads(text)
    shards = pa.ipc.open_stream(base64.b64decode(data["shards"])).read_all() if data["shards"] else NO_SHARDS
    return Arrivals(dict(data["records"]), dict(data["dead_records"]), shards, frozenset(data.get("undecoded", ())))
