"""Undoing a run, unit by unit; killed at any step and repeated, it ends as if undisturbed.

The text `undo/RUN` remembers which generations the undo used and whether it is finished; an unfinished one goes on under its last generation.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from transforms.core.errors import RefusedError
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.restoring import TRACED, History, Undone, changed_since, restore
from transforms.core.units import Unit
from transforms.stores.backend import Backend, Change
from transforms.stores.protocol import UndoCounts

FORMAT: Final = 1

UNDO_PREFIX: Final = "undo-"
"""An undo of run X keeps before-images as run `undo-X`."""

UNDO_KEYS: Final = "undo/"


@dataclass(frozen=True)
class Record:
    """What the text says."""

    undone: Undone
    finished: bool

    def text(self) -> str:
        """A JSON object; `_parse` reads it."""
        undone = self.undone
        data = {"format": FORMAT, "run": undone.run_id, "generation": undone.generation, "issued": undone.issued, "finished": self.finished}
        return json.dumps(data) + "\n"


@dataclass(frozen=True)
class Undoing:
    """Takes back runs."""

    backend: Backend

    def undo(self, run_id: str, generation: int, now_generation: int) -> UndoCounts:
        """As `RollupStore.undo`."""
        imaged = list(self.backend.imaged(run_id))
        if not imaged:
            return UndoCounts()
        undone = self._begin(run_id, generation, now_generation)
        counts: dict[str, Counter[str]] = {name: Counter() for name in ("restored", "removed", "left_alone")}
        for unit, granularity in imaged:
            for name, number in zip(counts, self._undo_unit(unit, granularity, undone), strict=True):
                counts[name][granularity] += number
        self.backend.change_text(UNDO_KEYS + run_id, lambda _: Record(undone, finished=True).text())
        return UndoCounts(**{name: dict(by_granularity) for name, by_granularity in counts.items()}, generation=undone.issued[-1], units=frozenset(imaged))

    def _begin(self, run_id: str, generation: int, now_generation: int) -> Undone:
        """Note that the undo begins, or goes on."""

        def begun(text: str | None) -> str:
            record = _parse(text, run_id, self.backend) if text else None
            if text and record and not record.finished:
                return text
            return Record(Undone(run_id, generation, (*(record.undone.issued if record else ()), now_generation)), finished=False).text()

        return _parse(self.backend.change_text(UNDO_KEYS + run_id, begun), run_id, self.backend).undone

    def _undo_unit(self, unit: Unit, granularity: str, undone: Undone) -> tuple[int, int, int]:
        """Buckets restored, removed and left alone in one granularity of a unit."""
        history = History(lambda run_id, columns: self.backend.images(run_id, unit, granularity, columns), self._others(undone.run_id))
        counts = (0, 0, 0)

        def make(current: pa.Table) -> pa.Table | None:
            nonlocal counts
            left_alone = self._changed_since(current, unit, granularity, undone, history)
            result = restore(current, undone.run_id, undone.generation, undone.issued[-1], history)
            counts = result.restored, result.removed, left_alone
            return result.table if result.restored or result.removed else None

        change = Change(ROLLUP_SCHEMA.empty_table(), make)
        self.backend.restore(unit, granularity, change, of_run=undone.run_id, run_id=UNDO_PREFIX + undone.run_id)
        return counts

    def _changed_since(self, current: pa.Table, unit: Unit, granularity: str, undone: Undone, history: History) -> int:
        own = UNDO_PREFIX + undone.run_id
        others = [run_id for run_id in self.backend.imaging_runs() if run_id != own]
        seen = (image for run_id in others for image in self.backend.images(run_id, unit, granularity, TRACED))
        return changed_since(current, undone.generation, seen, self.backend.images(own, unit, granularity, TRACED), history)

    def _others(self, run_id: str) -> tuple[Undone, ...]:
        """Undos of other runs."""
        names = [key.removeprefix(UNDO_KEYS) for key in self.backend.texts(UNDO_KEYS)]
        read = [(name, self.backend.text(UNDO_KEYS + name)) for name in names if name != run_id]
        return tuple(_parse(text, name, self.backend).undone for name, text in read if text)


def _parse(text: str, run_id: str, backend: Backend) -> Record:
    try:
        data = json.loads(text)
        return Record(Undone(data["run"], int(data["generation"]), tuple(int(one) for one in data["issued"])), bool(data["finished"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"reading the undo of run {run_id} in {backend.name}: {text[:200]!r} does not tell what it has begun; restore it"
        raise RefusedError(msg) from error
