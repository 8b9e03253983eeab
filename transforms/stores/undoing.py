"""Undoing a run in a Parquet store, file by file; killed at any step and repeated, it ends as if undisturbed.

`undo.json` in the undo's own folder remembers which generations the undo used and whether it is finished; an unfinished one goes on under its last generation.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from transforms.core.errors import RefusedError
from transforms.core.restoring import TRACED, History, Undone, changed_since, restore
from transforms.core.units import Unit
from transforms.stores.files import Files
from transforms.stores.layout import UNDO_PREFIX, Layout
from transforms.stores.protocol import UndoCounts
from transforms.stores.shards import Shards

FORMAT: Final = 1


@dataclass(frozen=True)
class Record:
    """What `undo.json` says."""

    undone: Undone
    finished: bool


@dataclass(frozen=True)
class Undoing:
    """Takes back runs."""

    layout: Layout
    files: Files
    shards: Shards

    def undo(self, run_id: str, generation: int, now_generation: int) -> UndoCounts:
        """As `RollupStore.undo`."""
        imaged = list(self.layout.imaged(run_id))
        if not imaged:
            return UndoCounts()
        with self.files.lock(self.layout.lock(UNDO_PREFIX + run_id)):
            undone = self._begin(run_id, generation, now_generation)
            counts: dict[str, Counter[str]] = {name: Counter() for name in ("restored", "removed", "left_alone")}
            for unit, granularity in imaged:
                for name, number in zip(counts, self._undo_file(unit, granularity, undone), strict=True):
                    counts[name][granularity] += number
            self._write(Record(undone, finished=True))
        return UndoCounts(**{name: dict(by_granularity) for name, by_granularity in counts.items()}, generation=undone.issued[-1])

    def _begin(self, run_id: str, generation: int, now_generation: int) -> Undone:
        """Note that the undo begins, or goes on."""
        record = self._read(run_id)
        if record and not record.finished:
            return record.undone
        undone = Undone(run_id, generation, (*(record.undone.issued if record else ()), now_generation))
        self._write(Record(undone, finished=False))
        return undone

    def _undo_file(self, unit: Unit, granularity: str, undone: Undone) -> tuple[int, int, int]:
        """Buckets restored, removed and left alone in one file."""
        with self.shards.locked(unit):
            self.shards.sweep(unit)
            history = History(lambda run_id, columns: self.shards.images(run_id, unit, granularity, columns), self._others(undone.run_id))
            current = self.shards.read(unit, granularity)
            left_alone = self._changed_since(current, unit, granularity, undone, history)
            result = restore(current, undone.run_id, undone.generation, undone.issued[-1], history)
            if result.restored or result.removed:
                self.shards.replace(unit, granularity, result.table, UNDO_PREFIX + undone.run_id)
        return result.restored, result.removed, left_alone

    def _changed_since(self, current: pa.Table, unit: Unit, granularity: str, undone: Undone, history: History) -> int:
        own = UNDO_PREFIX + undone.run_id
        others = [run_id for run_id in self.layout.run_ids() if run_id != own]
        seen = (image for run_id in others for image in self.shards.images(run_id, unit, granularity, TRACED))
        return changed_since(current, undone.generation, seen, self.shards.images(own, unit, granularity, TRACED), history)

    def _others(self, run_id: str) -> tuple[Undone, ...]:
        """Undos of other runs."""
        return tuple(record.undone for record in self._records() if record.undone.run_id != run_id)

    def _records(self) -> Iterator[Record]:
        for name in self.layout.run_ids():
            if name.startswith(UNDO_PREFIX) and (record := self._read(name.removeprefix(UNDO_PREFIX))):
                yield record

    def _read(self, run_id: str) -> Record | None:
        path = self.layout.undo_record(run_id)
        return _parse(path) if path.exists() else None

    def _write(self, record: Record) -> None:
        undone = record.undone
        data = {"format": FORMAT, "run": undone.run_id, "generation": undone.generation, "issued": undone.issued, "finished": record.finished}
        self.files.replace(self.layout.undo_record(undone.run_id), lambda temp: temp.write_text(json.dumps(data) + "\n"), name="undo")


def _parse(path: Path) -> Record:
    text = path.read_text()
    try:
        data = json.loads(text)
        return Record(Undone(data["run"], int(data["generation"]), tuple(int(one) for one in data["issued"])), bool(data["finished"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"reading {path}: {text[:200]!r} does not tell what an undo has begun; restore the file"
        raise RefusedError(msg) from error
