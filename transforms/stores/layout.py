"""Where everything lies under the root of a Parquet store.

    metric_type=host/granularity=1m/day=2025-11-01/shard-0003.parquet   rollups, Hive-partitioned
    _partitions/host/2025-11-01.json                                    number of shards of (host, 2025-11-01)
    _generation                                                         the last generation issued
    _locks/…                                                            empty files to lock
    _before/RUN/metric_type=…/granularity=…/day=…/shard-0003.0.image    the file before RUN first replaced it, empty if there was none (.1: then)
    _before/undo-RUN/undo.json                                          what an undo of RUN has begun

Only rollups end in `.parquet`: some readers (DuckDB) look into every folder.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transforms.core.errors import UsageError
from transforms.core.units import Unit
from transforms.stores.partitions import GENERATION, partition_key
from transforms.stores.undoing import UNDO_KEYS, UNDO_PREFIX

_SHARD: Final = re.compile(r"shard-(\d{4,})\.parquet")
_FIRST_IMAGE: Final = re.compile(r".*/metric_type=([^/]+)/granularity=([^/]+)/day=([^/]+)/shard-(\d{4,})\.0\.image")
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:@=-]*")


@dataclass(frozen=True)
class Layout:
    """Paths under one root. Nothing here touches the disk, except that the plural methods list it."""

    root: Path

    def folder(self, metric_type: str, granularity: str, window: str) -> Path:
        """The folder of one partition and granularity."""
        return self.root / f"metric_type={metric_type}" / f"granularity={granularity}" / f"day={window}"

    def shard(self, unit: Unit, granularity: str) -> Path:
        """The file of a unit's rollups."""
        return self.folder(unit.metric_type, granularity, unit.window) / f"shard-{unit.shard:04d}.parquet"

    def text(self, key: str) -> Path:
        """The file of a small text (`Backend.text`): the number of shards of a partition, the last generation issued, or what an undo has begun."""
        if key == GENERATION:
            return self.root / "_generation"
        if key.startswith(UNDO_KEYS):
            return self.before(UNDO_PREFIX + key.removeprefix(UNDO_KEYS)) / "undo.json"
        return self.root / "_partitions" / f"{key.removeprefix('partition/')}.json"

    def texts(self, prefix: str) -> list[str]:
        """Keys of the texts of undos, which are the only ones that are looked for."""
        runs = [name.removeprefix(UNDO_PREFIX) for name in self.run_ids() if name.startswith(UNDO_PREFIX)]
        keys = [UNDO_KEYS + run_id for run_id in runs]
        return [key for key in keys if key.startswith(prefix) and self.text(key).exists()]

    def partition(self, metric_type: str, window: str) -> Path:
        """The file that tells a partition's number of shards."""
        return self.text(partition_key(metric_type, window))

    def lock(self, name: str) -> Path:
        """The file to lock for something of that name."""
        return self.root / "_locks" / name

    def before(self, run_id: str) -> Path:
        """The folder of a run's before-images. Raises UsageError if the id is no file name."""
        if not _RUN_ID.fullmatch(run_id):
            msg = f"the run id {run_id!r} can't name a folder: use letters, digits and ._+:@=- and begin with a letter or digit"
            raise UsageError(msg)
        return self.root / "_before" / run_id

    def image(self, run_id: str, unit: Unit, granularity: str, number: int) -> Path:
        """A run's before-image of one file; the numbers count from 0, oldest first."""
        path = self.shard(unit, granularity)
        return self.before(run_id) / path.parent.relative_to(self.root) / f"{path.stem}.{number}.image"

    def data_files(self, metric_type: str, granularity: str, window: str) -> list[Path]:
        """Files that readers of the folder see, sorted."""
        return sorted(path for path in self.folder(metric_type, granularity, window).glob("*.parquet") if path.name[0] not in "_.")

    def windows(self, metric_type: str, granularity: str) -> list[str]:
        """Days that have a folder, sorted."""
        return sorted(path.name.removeprefix("day=") for path in self.folder(metric_type, granularity, "").parent.glob("day=*"))

    def image_numbers(self, run_id: str, unit: Unit, granularity: str) -> int:
        """How many before-images of one file the run has."""
        number = 0
        while self.image(run_id, unit, granularity, number).exists():
            number += 1
        return number

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """Units and granularities of which the run has before-images, in sorted order."""
        for path in sorted(self.before(run_id).glob("metric_type=*/granularity=*/day=*/shard-*.0.image")):
            if found := first_image(str(path)):
                yield found

    def run_ids(self) -> list[str]:
        """Runs that have a folder of before-images, sorted."""
        return sorted(path.name for path in self.root.glob("_before/*/"))


def first_image(path: str) -> tuple[Unit, str] | None:
    """Unit and granularity of a run's oldest before-image of a file; None for another path."""
    match = _FIRST_IMAGE.fullmatch(path)
    return (Unit(match[1], match[3], int(match[4])), match[2]) if match else None


def shard_number(name: str) -> int | None:
    """Number in the name of a shard's file, None for another name."""
    match = _SHARD.fullmatch(name)
    return int(match[1]) if match else None
