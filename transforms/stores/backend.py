"""What one kind of store can do.

`rollups.Rollups` makes a `RollupStore` of it: the rules are there, once; a backend knows only how its service keeps things.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

from transforms.core.granularity import GRANULARITIES, Range
from transforms.core.live import LiveRule
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.units import Unit
from transforms.core.windows import DAILY, Windows
from transforms.stores.protocol import Wanted


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Properties of a kind of store.

    `windows` cut its partitions, `granularities` are those that it can hold. `is_local`: nobody else's service answers, so a run does not ask before it writes.
    `limits` name the limited services that it calls.
    """

    windows: Windows = DAILY
    granularities: tuple[str, ...] = GRANULARITIES
    is_local: bool = True
    live: LiveRule = "any"
    limits: tuple[str, ...] = ()


class Change(NamedTuple):
    """A change of stored rows.

    `make` is given what is stored (canonical, in order), at least all buckets of the items in which the rows `near` lie, and answers what shall be stored
    instead, None if nothing changes. It is pure and may be called several times; the last call is the one that counts.
    """

    near: pa.Table
    make: Callable[[pa.Table], pa.Table | None]


class Backend(Protocol):
    """Rollups of units, before-images of runs, and small texts by key (`[A-Za-z0-9._+:@=/-]+`).

    Cheap to make, without clients or open files until the first call, and used by several threads and processes at once.
    """

    @property
    def traits(self) -> Traits:
        """What it is like."""

    @property
    def name(self) -> str:
        """As messages call it, without secrets."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a run shows of it before it writes, as (name, value), such as account, region and table; may call the service."""

    def repeated(self) -> Mapping[str, int]:
        """As `RollupStore.repeated`."""

    def text(self, key: str) -> str | None:
        """A small text, None if there is none."""

    def change_text(self, key: str, make: Callable[[str | None], str]) -> str:
        """Atomically make the text of that key what `make` makes of it, which is pure and may be called several times; the text that is there then."""

    def texts(self, prefix: str) -> list[str]:
        """Keys with that prefix, sorted."""

    def shards_found(self, metric_type: str, window: str) -> int | None:
        """Shards of a partition that another writer made without saying their number; None if there is nothing.

        Raises RefusedError if its rollups do not fit any number.
        """

    def read(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        """All stored rows of a unit, canonical and in order; columns of ROLLUP_SCHEMA in its order, those that sort rows among them."""

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """Apply the changes, by granularity, to what is stored at that moment.

        Each item of the store is changed atomically, after what it replaces was kept as a before-image of the run. Killed and repeated, it ends as if
        undisturbed, as far as the changes are idempotent.
        """

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:
        """As `update` by `run_id`, near the items of which the run `of_run` kept before-images."""

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """The run's before-images of a unit, newest first; what was not there before is missing in its table.

        In stores of several items a unit, the n-th table holds the n-th newest image of each.
        """

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """Units and granularities of which the run has before-images, sorted."""

    def imaging_runs(self) -> list[str]:
        """Runs that have before-images, sorted."""

    def scan(
        self, granularity: str, *, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """As `RollupStore.scan`."""
