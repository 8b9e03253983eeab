"""What one worker does with a unit of a run from store to store. No Beam here: `TransferUnits` calls this.

A unit is the source's. It is read once, its rows are spread over the units of the target that may hold them, and each of these is merged into the target. Two
units may meet in one of the target: the merge is atomic and a maximum, so that their order does not matter.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa

from transforms.core.accounts import UnitRecord
from transforms.core.canonical import Identity, bucket_ms, canonical, one_chunk, pick, series_runs
from transforms.core.counts import Counts, add_counts, count
from transforms.core.granularity import within
from transforms.core.model import Bools, SeriesKey, labels_pairs
from transforms.core.outcome import copied_record, joined_records, unit_record
from transforms.core.recalculating import recalculate_in_passes
from transforms.core.rows import joined
from transforms.core.selection import Selection
from transforms.core.stopwatch import Stopwatch
from transforms.core.transfer import StorePlan
from transforms.core.undelivered import Undelivered, WriteDeadLetter
from transforms.core.units import Unit, shard_of
from transforms.core.versions import Merged
from transforms.steps.holding import Holding
from transforms.steps.ledger import Ledger
from transforms.stores import open_store
from transforms.stores.protocol import KeptOut, RollupStore

Tables = dict[str, pa.Table]
"""Stored rows by granularity, canonical and in order."""


class TransferWorker:
    """One run as a worker process sees it: plan and stores are opened on first use and shared by its threads."""

    def __init__(self, run_dir: str) -> None:
        """Remember the run directory."""
        self.ledger = Ledger(run_dir)

    def __reduce__(self) -> tuple[Callable[[str], "TransferWorker"], tuple[str]]:
        """Travels as its run directory; a process that gets it many times opens it once."""
        return _worker_of, (str(self.ledger.path),)

    @cached_property
    def plan(self) -> StorePlan:
        """The stored plan."""
        return self.ledger.store_plan()

    @cached_property
    def _selection(self) -> Selection:
        return self.plan.selection

    @cached_property
    def _holding(self) -> Holding:
        return Holding(self.ledger)

    @cached_property
    def _source(self) -> RollupStore:
        return open_store(self.plan.request.source, writable=False, settings=self.plan.request.settings, limits=self._holding.limits)

    @cached_property
    def _target(self) -> RollupStore:
        return open_store(self.plan.request.store, settings=self.plan.request.settings, limits=self._holding.limits)

    def work(self, unit: Unit) -> UnitRecord | None:
        """The unit's record; unless there is one, what is read of the unit is written to the target and noted as done first.

        None if the target did not take all of it: what it did not take is noted, and the unit is to be done again.
        """
        if record := self.ledger.recorded(unit):
            return record
        self._holding.begin()
        watch = Stopwatch()
        counts: Counts = {}
        with watch.step("fetch"):
            tables = {name: self._asked(unit, name, counts) for name in self.plan.request.read()}
        transfer = self._copied if self.plan.request.command == "copy" else self._recalculated
        parts: list[UnitRecord] = []
        letters: list[WriteDeadLetter] = []
        for target, part in self._spread(unit, tables):
            try:
                parts.append(transfer(unit, target, part, counts, watch))
            except Undelivered as problem:
                letters += problem.letters
        if letters:
            self.ledger.keep_write_dead_letters(unit, letters)
            return None
        record = joined_records(unit, parts)
        self._holding.count(counts)
        record = replace(record, counts=add_counts([counts, record.counts]), finished_s=time.time(), steps=watch.steps)
        self.ledger.record(record)
        return record

    def _asked(self, unit: Unit, granularity: str, counts: Counts) -> pa.Table:
        """The stored rows of the times and series that are asked for; others are counted as outside."""
        table = self._source.read_unit(unit, granularity)
        times = self._selection.needed() if self.plan.request.finer else self._selection.computed[granularity]
        in_time = _rows(table, within(bucket_ms(table) // 1000, times))
        asked = in_time if self._selection.is_of_all_series else _rows(in_time, self._selected(unit.metric_type, in_time))
        sizes = [self._size(one) for one in (table, in_time, asked)]
        count(counts, "points", unit.metric_type, sizes[0])
        count(counts, "outside.time", unit.metric_type, sizes[0] - sizes[1])
        count(counts, "outside.series", unit.metric_type, sizes[1] - sizes[2])
        return asked

    def _selected(self, metric_type: str, table: pa.Table) -> Bools:
        runs = series_runs(table)
        selected = np.array([self._selection.selects(metric_type, *key[:-1]) for key in runs.keys], bool)
        return np.repeat(selected, runs.lengths())

    def _size(self, table: pa.Table) -> int:
        """What is counted: rows that are copied, minutes that are rolled up."""
        return int(table.num_rows) if self.plan.request.command == "copy" else int(one_chunk(table["minutes"]).to_numpy().sum())

    def _spread(self, unit: Unit, tables: Tables) -> Iterator[tuple[Unit, Tables]]:
        """The rows of each unit of the target that may hold some, also where there are none; all others have none."""
        targets = list(self.plan.targets(unit))
        whole = len(targets) == 1 and self.plan.windows == self.plan.target_windows
        for target in targets:
            yield target, tables if whole else {name: self._part(target, table) for name, table in tables.items()}

    def _part(self, target: Unit, table: pa.Table) -> pa.Table:
        return _rows(table, self._lies_in(target, table, self.plan.target_shards, self.plan.target_windows.range_of(target.window)))

    def _lies_in(self, unit: Unit, table: pa.Table, shards: Mapping[str, Mapping[str, int]], window: tuple[int, int]) -> Bools:
        """Which rows a unit of this window in a store of so many shards holds."""
        runs = series_runs(table)
        number = shards[unit.metric_type][unit.window]
        held = np.array([shard_of(_series_key(unit.metric_type, key), number) == unit.shard for key in runs.keys], bool)
        return np.repeat(held, runs.lengths()) & within(bucket_ms(table) // 1000, (window,))

    def _recalculated(self, unit: Unit, target: Unit, tables: Tables, counts: Counts, watch: Stopwatch) -> UnitRecord:
        request = self.plan.request
        with watch.step("roll up"):
            passes = list(
                recalculate_in_passes(
                    tables[request.finer], request.finer, computed=self._selection.computed, average=request.average, generation=self.plan.generation
                )
            )
        count(counts, "refused.unusable", unit.metric_type, sum(one.unusable for one in passes))
        rollups = [one.rollups for one in passes]
        with watch.step("upsert"):
            made = {name: joined([one.tables[name] for one in rollups]) for name in self._selection.computed}
            return unit_record(target, rollups, made, self._merge(unit, target, made), self._selection)

    def _copied(self, unit: Unit, target: Unit, tables: Tables, _counts: Counts, watch: Stopwatch) -> UnitRecord:
        with watch.step("upsert"):
            return copied_record(target, tables, self._merge(unit, target, tables), self._selection)

    def _merge(self, unit: Unit, target: Unit, tables: Tables) -> Mapping[str, Merged]:
        request, kept_out = self.plan.request, KeptOut(left=self.plan.left)
        if request.dry_run:
            merged = self._target.preview(target, tables, allow_fewer=request.allow_fewer, kept_out=kept_out)
        else:
            merged = self._target.upsert(target, tables, run_id=self.plan.run_id, allow_fewer=request.allow_fewer, kept_out=kept_out)
        return {name: replace(one, alone=self._own(unit, one.alone)) for name, one in merged.items()}

    def _own(self, unit: Unit, alone: pa.Table) -> pa.Table:
        """Of the target's rows those that this unit of the source would hold: the others are met by other units."""
        table = canonical(alone)
        return _rows(table, self._lies_in(unit, table, self.plan.shards, self.plan.windows.range_of(unit.window)))


def _rows(table: pa.Table, chosen: Bools) -> pa.Table:
    """The chosen rows of a canonical table, canonical."""
    return canonical(pick(table, np.flatnonzero(chosen)))


def _series_key(metric_type: str, identity: Identity) -> bytes:
    org, entity, name, labels, _ = identity
    return SeriesKey(metric_type, org, entity, name, labels_pairs(labels)).encode()


@lru_cache(maxsize=1)
def _worker_of(run_dir: str) -> TransferWorker:
    return TransferWorker(run_dir)
