"""What one worker does with a unit of a run from store to store. No Beam here: `TransferUnits` calls this.

A unit is the source's. It is read once, its rows are spread over the units of the target that may hold them, and each of these is merged into the target. Two
units may meet in one of the target: the merge is atomic and a maximum, so that their order does not matter.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.accounts import UnitRecord
from transforms.core.canonical import bucket_ms, canonical, one_chunk, series_runs
from transforms.core.counts import Counts, add_counts, count, count_retries
from transforms.core.granularity import within
from transforms.core.model import Bools
from transforms.core.outcome import copied_record, joined_records, unit_record
from transforms.core.placing import chosen_rows, rows_of_unit
from transforms.core.recalculating import recalculate_in_passes
from transforms.core.restored import RESTORED, restored
from transforms.core.rollup import UnitRollups
from transforms.core.rows import joined
from transforms.core.selection import Selection
from transforms.core.stopwatch import Stopwatch
from transforms.core.transfer import StorePlan
from transforms.core.undelivered import Undelivered, WriteDeadLetter
from transforms.core.units import Unit
from transforms.core.versions import Merged
from transforms.steps.holding import Holding
from transforms.steps.ledger import Ledger
from transforms.steps.reading_back import read_again
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

    @cached_property
    def _kept_out(self) -> KeptOut:
        return KeptOut(left=self.plan.left)

    @cached_property
    def _verified(self) -> frozenset[Unit]:
        return self.plan.verified_units()

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
        parts: list[tuple[UnitRecord, pa.Table]] = []
        letters: list[WriteDeadLetter] = []
        for target, part in self._spread(unit, tables):
            try:
                parts.append(self._transferred(unit, target, self._made(unit, part, counts, watch), watch))
            except Undelivered as problem:
                letters += problem.letters
        if letters:
            self.ledger.keep_write_dead_letters(unit, letters)
            return None
        if not self.plan.request.dry_run:
            self.ledger.keep_restored(unit, pa.concat_tables([RESTORED.empty_table(), *(one for _, one in parts)]))
        record = joined_records(unit, [one for one, _ in parts])
        self._holding.count(counts)
        record = replace(record, counts=add_counts([counts, record.counts]), finished_s=time.time(), steps=watch.steps)
        for store in (self._source, self._target):
            count_retries(record.counts, store.repeated())
        self.ledger.record(record)
        return record

    def _asked(self, unit: Unit, granularity: str, counts: Counts) -> pa.Table:
        """The stored rows of the times and series that are asked for; others are counted as outside."""
        table = self._source.read_unit(unit, granularity, shards=self.plan.shards[unit.metric_type][unit.window])
        times = self._selection.needed() if self.plan.request.finer else self._selection.computed[granularity]
        in_time = chosen_rows(table, within(bucket_ms(table) // 1000, times))
        asked = in_time if self._selection.is_of_all_series else chosen_rows(in_time, self._selected(unit.metric_type, in_time))
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
        shards = self.plan.target_shards[target.metric_type][target.window]
        return rows_of_unit(table, target, shards, self.plan.target_windows.range_of(target.window))

    def _made(self, unit: Unit, tables: Tables, counts: Counts, watch: Stopwatch) -> "_Made":
        """What is written of these stored rows: they themselves, or what they are rolled up to."""
        request = self.plan.request
        if request.command == "copy":
            return _Made(tables, ())
        with watch.step("roll up"):
            passes = list(
                recalculate_in_passes(
                    tables[request.finer], request.finer, computed=self._selection.computed, average=request.average, generation=self.plan.generation
                )
            )
            count(counts, "refused.unusable", unit.metric_type, sum(one.unusable for one in passes))
            rollups = [one.rollups for one in passes]
            return _Made({name: joined([one.tables[name] for one in rollups]) for name in self._selection.computed}, rollups)

    def _transferred(self, unit: Unit, target: Unit, made: "_Made", watch: Stopwatch) -> tuple[UnitRecord, pa.Table]:
        """The record of what a target's unit got, and the buckets (RESTORED) that it then had."""
        with watch.step("upsert"):
            merged = self._merge(unit, target, made.tables)
        if self.plan.request.command == "copy":
            record = copied_record(target, made.tables, merged, self._selection)
        else:
            record = unit_record(target, made.rollups, made.tables, merged, self._selection)
        if unit in self._verified:
            with watch.step("read back"):
                number, different = read_again(self._target, target, made.tables, merged, partial(self._preview, target))
            record = replace(record, read_back=number, different=different)
        return record, restored(made.tables, merged, self.plan.windows.range_of(unit.window))

    def _merge(self, unit: Unit, target: Unit, tables: Tables) -> Mapping[str, Merged]:
        request = self.plan.request
        if request.dry_run:
            merged = self._preview(target, tables)
        else:
            merged = self._target.upsert(target, tables, run_id=self.plan.run_id, allow_fewer=request.allow_fewer, kept_out=self._kept_out)
        return {name: replace(one, alone=self._own(unit, one.alone)) for name, one in merged.items()}

    def _preview(self, target: Unit, tables: Mapping[str, pa.Table]) -> dict[str, Merged]:
        return self._target.preview(target, tables, allow_fewer=self.plan.request.allow_fewer, kept_out=self._kept_out)

    def _own(self, unit: Unit, alone: pa.Table) -> pa.Table:
        """Of the target's rows those that this unit of the source would hold: the others are met by other units."""
        return rows_of_unit(canonical(alone), unit, self.plan.shards[unit.metric_type][unit.window], self.plan.windows.range_of(unit.window))


class _Made(NamedTuple):
    """Tables by granularity to be written, and the rollups that they are joined of, none for rows that are copied."""

    tables: Tables
    rollups: Sequence[UnitRollups]


@lru_cache(maxsize=1)
def _worker_of(run_dir: str) -> TransferWorker:
    return TransferWorker(run_dir)
