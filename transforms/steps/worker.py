"""What one worker does with a read group and with a unit. No Beam here: the PTransforms in `transforms.steps.pipeline` call this."""

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from transforms.archive import Archive, open_archive
from transforms.archive.reading import Reader
from transforms.core.accounts import UnitRecord
from transforms.core.counts import count_retries
from transforms.core.errors import IncompleteError, ObjectUnreadable
from transforms.core.manifest import ArchiveObject
from transforms.core.model import DeadLetter
from transforms.core.outcome import unit_record
from transforms.core.plan import Plan
from transforms.core.restored import restored
from transforms.core.roles import Membership
from transforms.core.rollup import UnitRollups, roll_up_in_passes
from transforms.core.rows import joined
from transforms.core.selection import Selection
from transforms.core.slices import GroupColumns
from transforms.core.stopwatch import Stopwatch
from transforms.core.undelivered import Undelivered
from transforms.core.units import Unit
from transforms.core.versions import Merged
from transforms.decode.objects import decode_object, rules_of, unreadable_object
from transforms.decode.otlp_labels import LabelReader
from transforms.steps.completion import held_back
from transforms.steps.holding import Holding
from transforms.steps.ledger import Ledger
from transforms.steps.pool import map_ahead
from transforms.steps.reading_back import read_again
from transforms.steps.staging import Footer, Slice, read_footer, read_slice, write_staging
from transforms.stores import open_store
from transforms.stores.protocol import KeptOut, RollupStore

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT_BYTES = -1, -3, 64 << 20

PASS_POINTS: Final = 2_000_000
"""Points rolled up at once; a larger unit takes several passes."""


class Worker:
    """One run as a worker process sees it: plan, archive and store are opened on first use and shared by its threads."""

    def __init__(self, run_dir: str) -> None:
        """Remember the run directory."""
        _keep_memory()
        self.ledger = Ledger(run_dir)
        self._stages = True

    def __eq__(self, other: object) -> bool:
        """Those of one run are equal: what one began another may take over."""
        return isinstance(other, Worker) and other.ledger.path == self.ledger.path

    def __hash__(self) -> int:
        """As equality asks."""
        return hash(self.ledger.path)

    def __reduce__(self) -> tuple[Callable[[str], "Worker"], tuple[str]]:
        """Travels as its run directory; a process that gets it many times opens it once."""
        return _worker_of, (str(self.ledger.path),)

    @cached_property
    def plan(self) -> Plan:
        """The stored plan."""
        return self.ledger.plan()

    @cached_property
    def _selection(self) -> Selection:
        return self.plan.selection

    @cached_property
    def _holding(self) -> Holding:
        return Holding(self.ledger)

    @cached_property
    def _archive(self) -> Archive:
        return open_archive(self.plan.request.archive, self.plan.request.keys, self._holding.limits)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self._archive, self._objects)

    @cached_property
    def _store(self) -> RollupStore:
        return open_store(self.plan.request.store, settings=self.plan.request.settings, limits=self._holding.limits)

    @cached_property
    def _membership(self) -> Membership | None:
        return self.ledger.membership()

    @cached_property
    def _kept_out(self) -> KeptOut:
        return KeptOut(held_back(self.plan, self.ledger), self.plan.left)

    @cached_property
    def _verified(self) -> frozenset[Unit]:
        return self.plan.verified_units()

    @cached_property
    def _objects(self) -> tuple[ArchiveObject, ...]:
        return self.ledger.manifest(self.plan).objects

    def stage(self, group: int) -> Footer:
        """The footer, without dead letters, of a group's staging file, which is made first if it is not there or was damaged."""
        path = self.ledger.staging_file(group)
        try:
            footer = read_footer(path)
        except IncompleteError:
            footer = self._staged(group, path)
        return replace(footer, dead_letters=())

    def _staged(self, group: int, path: Path) -> Footer:
        self._holding.begin()
        request = self.plan.request
        columns = GroupColumns(self._selection, request.reach, self.plan.shard_count, self._membership, self.plan.windows)
        rules, labels = rules_of(request), LabelReader()
        dead_letters: list[DeadLetter] = []
        watch = Stopwatch()
        first, number = self.plan.groups[group]
        objects = self._objects[first : first + number]
        bodies = self._bodies(objects)
        for planned in objects:
            self._holding.hold()
            with watch.step("fetch"):
                body = next(bodies)
            with watch.step("decode"):
                if isinstance(body, ObjectUnreadable):
                    decoded = unreadable_object(body, planned.arrival_in(request.keys))
                else:
                    decoded = decode_object(body, key=planned.key, arrival_us=planned.arrival_in(request.keys), rules=rules, labels=labels)
            with watch.step("select"):
                dead_letters.extend(columns.add(decoded))
            del body, decoded
        count_retries(columns.counts, self._archive.retried())
        self._holding.count(columns.counts)
        with watch.step("slice"):
            staged = columns.slices()
        return write_staging(path, group, staged, dead_letters, watch.steps)

    def _bodies(self, objects: Sequence[ArchiveObject]) -> Iterator[bytes | ObjectUnreadable]:
        """The objects' bytes in their order, some fetched by threads before their turn comes if the archive is a slow one."""
        ahead = min(self._archive.ahead, len(objects))
        if ahead < 2:
            yield from map(self._body, objects)
            return
        with ThreadPoolExecutor(ahead) as pool:
            yield from map_ahead(pool, self._body, ((one,) for one in objects), ahead)

    def _body(self, planned: ArchiveObject) -> bytes | ObjectUnreadable:
        """What is wrong with this one object takes its place; anything else that is wrong ends the group."""
        try:
            return self._reader.read(planned)
        except ObjectUnreadable as problem:
            return problem

    def roll_up(self, unit: Unit, slices: Iterable[Slice]) -> UnitRecord | None:
        """The unit's record; unless there is one, its slices are rolled up, merged into the store and noted as done first.

        None if the store did not take all of it: what it did not take is noted, and the unit is to be done again.
        """
        if record := self.ledger.recorded(unit):
            return record
        self._holding.begin()
        if self._stages:
            self._stages = False
            give_memory_back()
        watch = Stopwatch()
        rollups = self._rolled_up(unit, slices, watch)
        with watch.step("upsert"):
            tables = {name: joined([one.tables[name] for one in rollups]) for name in self._selection.computed}
            try:
                merged = self._merge(unit, tables)
            except Undelivered as problem:
                self.ledger.keep_write_dead_letters(unit, problem.letters)
                return None
        record = unit_record(unit, rollups, tables, merged, self._selection)
        if not self.plan.request.dry_run:
            self.ledger.keep_restored(unit, restored(tables, merged, self.plan.windows.range_of(unit.window)))
        if unit in self._verified:
            with watch.step("read back"):
                number, different = read_again(self._store, unit, tables, merged, partial(self._preview, unit))
            record = replace(record, read_back=number, different=different)
        self._holding.count(record.counts)
        record = replace(record, finished_s=time.time(), steps=watch.steps)
        count_retries(record.counts, self._store.repeated())
        self.ledger.record(record)
        return record

    def _rolled_up(self, unit: Unit, slices: Iterable[Slice], watch: Stopwatch) -> list[UnitRollups]:
        """The rollups of each pass; the slices' memory is free again on return."""
        with watch.step("read slices"):
            batches = [read_slice(self.ledger.staging_file(one.group), one.offset) for one in sorted(set(slices))]
        passes = roll_up_in_passes(
            batches,
            max_points=PASS_POINTS,
            computed=self._selection.computed_within(self.plan.windows.range_of(unit.window)),
            average=self.plan.request.average,
            generation=self.plan.generation,
            lead_in_s=self.plan.request.reach.lead_in_s,
        )
        with watch.step("roll up"):
            return list(passes)

    def _merge(self, unit: Unit, tables: Mapping[str, pa.Table]) -> Mapping[str, Merged]:
        request = self.plan.request
        if request.dry_run:
            return self._preview(unit, tables)
        return self._store.upsert(unit, tables, run_id=self.plan.run_id, allow_fewer=request.allow_fewer, kept_out=self._kept_out)

    def _preview(self, unit: Unit, tables: Mapping[str, pa.Table]) -> Mapping[str, Merged]:
        return self._store.preview(unit, tables, allow_fewer=self.plan.request.allow_fewer, kept_out=self._kept_out)


@lru_cache(maxsize=1)
def _worker_of(run_dir: str) -> Worker:
    return Worker(run_dir)


def _keep_memory() -> None:
    """Lets Arrow take memory from the C library, as NumPy does, so that either uses what the other freed; and the C library keep 64 MB of it.

    glibc's own limits follow the largest array freed: it would return and fetch the same pages over and over.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_memory_back() -> None:
    """Returns to the system what the C library keeps of freed memory, a hundred MB or two after staging."""
    pa.default_memory_pool().release_unused()
