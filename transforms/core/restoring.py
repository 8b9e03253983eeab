"""What undoing a run makes of one table: the versions that the run replaced come back, everything else stays.

A before-image is the table as it was just before a run replaced it; a run may have replaced the same table several times. The version of a bucket that run R
replaced is the one in the newest of R's images that is not R's own; if the bucket is missing there, R added it. A version that an undo brought back carries the
undo's generation but still belongs to the run that wrote it, so that runs can be undone one after the other, newest first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import canonical, find, keys_of, one_chunk, pick, sorted_together
from transforms.core.model import ROLLUP_SCHEMA, Bools, Ints
from transforms.core.united import IDENTITY


class Undone(NamedTuple):
    """A run that an undo took back: its run id and generation, and the generations that the undo's versions carry."""

    run_id: str
    generation: int
    issued: tuple[int, ...]


TRACED: Final = (*IDENTITY, "bucket_start", "generation")
"""Columns that tell which run a bucket's version belongs to."""


class History(NamedTuple):
    """All that is known of one table's past: the before-images of a run, newest first (canonical, in order), and the undos of the store.

    `images` is asked for run id and columns, TRACED or all.
    """

    images: Callable[[str, Sequence[str]], Iterator[pa.Table]]
    undos: Sequence[Undone]


class Restored(NamedTuple):
    """A table after undoing a run in it (canonical, in order), and how many of the run's buckets were restored to an earlier version or removed."""

    table: pa.Table
    restored: int
    removed: int


def restore(current: pa.Table, run_id: str, generation: int, now_generation: int, history: History) -> Restored:
    """Bring back what the run of that generation replaced, under `now_generation`.

    Only buckets whose stored version is the run's are touched; one that no image of the run tells about stays as well.
    """
    mine = origins(current, history) == generation
    pending, parts, removed = _rows(current, mine), [_rows(current, ~mine)], 0
    for image in history.images(run_id, ROLLUP_SCHEMA.names):
        rows, found = _find(pending, image)
        earlier = pick(image, rows[found])
        settled = origins(earlier, history) != generation
        parts.append(with_generation(_rows(earlier, settled), now_generation))
        removed += len(found) - int(found.sum())
        pending = _rows(_rows(pending, found), ~settled)
    return Restored(sorted_together([*parts, pending]), sum(part.num_rows for part in parts[1:]), removed)


def origins(table: pa.Table, history: History) -> Ints:
    """For each row the generation of the run that wrote its values; 0 for a live writer's."""
    generations = pc.fill_null(one_chunk(table.column("generation")), 0).to_numpy()
    result: Ints = generations.copy()
    for undone in history.undos:
        for issued in undone.issued:
            rows = np.flatnonzero(generations == issued)
            if len(rows):
                result[rows] = _origins_before(pick(table, rows), undone, issued, history)
    return result


def _origins_before(brought_back: pa.Table, undone: Undone, issued: int, history: History) -> Ints:
    """Origins of the versions that the undo found in the images of the run: neither the run's own nor, in images of a later time, the undo's or newer."""
    result = np.zeros(brought_back.num_rows, np.int64)
    pending = np.arange(brought_back.num_rows)
    for image in history.images(undone.run_id, TRACED):
        rows, found = _find(pick(brought_back, pending), image)
        versions = pick(image, rows[found])
        generations = pc.fill_null(one_chunk(versions.column("generation")), 0).to_numpy()
        earlier = (generations != undone.generation) & (generations < issued)
        settled = np.flatnonzero(found)[earlier]
        result[pending[settled]] = origins(_rows(versions, earlier), history)
        pending = np.delete(pending, settled)
    return result


def changed_since(current: pa.Table, generation: int, seen: Iterable[pa.Table], taken_back: Iterable[pa.Table], history: History) -> int:
    """How many buckets the run once wrote that were changed since.

    The images `seen` show its versions; those in `taken_back`, the images of its undo, were not changed but taken back.
    """
    own = [_keys_written(table, generation, history) for table in chain([current], taken_back)]
    written = [_keys_written(table, generation, history) for table in seen]
    keys = keys_of([*own, *written])
    return len(np.setdiff1d(_united(keys[len(own) :]), _united(keys[: len(own)])))


def _keys_written(table: pa.Table, generation: int, history: History) -> pa.Table:
    rows = _rows(table, origins(table, history) == generation)
    return canonical(rows.select([*IDENTITY, "bucket_start"]))


def with_generation(table: pa.Table, generation: int) -> pa.Table:
    """The same rows under another generation."""
    position = table.schema.get_field_index("generation")
    return table.set_column(position, table.schema.field(position), pa.array(np.full(table.num_rows, generation)))


def _find(sought: pa.Table, image: pa.Table) -> tuple[Ints, Bools]:
    return find(*keys_of([canonical(sought), canonical(image)]))


def _rows(table: pa.Table, chosen: Bools) -> pa.Table:
    return pick(table, np.flatnonzero(chosen))


def _united(keys: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *keys])
