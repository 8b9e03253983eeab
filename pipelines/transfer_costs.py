"""What a run from store to store will use of services, cost and take: reckoned from one unit of each metric type, which is read while it is planned."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from pipelines.costs import planned_data
from pipelines.outcome import human_number
from pipelines.runtime import Runtime
from transforms.core.canonical import bucket_ms, canonical, series_runs
from transforms.core.forecast import Load
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.limits import Rates
from transforms.core.transfer import Reckoned, StorePlan
from transforms.core.united import IDENTITY
from transforms.core.units import Unit
from transforms.core.usage import Budget, Usage
from transforms.stores.expected import expected_of_reading, expected_of_store
from transforms.stores.protocol import RollupStore

START_S: Final = 2.0
"""Until the first unit is worked on."""

WORK_PER_READ: Final = 4.0
"""Times that reading a unit takes, of reading, rolling up, merging and writing it: of files, by `scripts/benchmark`. Services bind by their limits."""

_SAMPLED: Final = (*IDENTITY, "bucket_start")


def reckoned(plan: StorePlan, new: int, runtime: Runtime, workers: int) -> StorePlan:
    """The plan, so many of whose target's partitions are new, with what it will take. Raises RefusedError if the budget does not allow that."""
    source = runtime.store(plan.request.source, plan.request.settings, writable=False)
    estimate, share = _estimate(plan, source, runtime, workers)
    to_come = _usage(plan, new, estimate.series, share, runtime.limits.control.wishes().rates, workers)
    if meter := runtime.limits.meter:
        meter.budget.check_planned(to_come, runtime.used())
    return replace(plan, reckoned=estimate, expected=to_come + runtime.used())


def _estimate(plan: StorePlan, source: RollupStore, runtime: Runtime, workers: int) -> tuple[Reckoned, float]:
    """And the share of the buckets that the series have, of those that are read."""
    finest = min(plan.request.read(), key=WIDTH_S.__getitem__)
    series, rows, buckets, read_s, sampled_rows = 0, 0, 0, 0.0, 0
    for metric_type in plan.request.metric_types:
        units = plan.units(metric_type)
        if not units:
            continue
        began_s = runtime.clock()
        of_unit, rows_of_unit = _sample(source, units[0], finest, plan)
        read_s += runtime.clock() - began_s
        windows = len({unit.window for unit in units})
        series += round(of_unit * len(units) / windows)
        rows += rows_of_unit * len(units)
        buckets += of_unit * len(units) * _buckets(plan, units[0], finest)
        sampled_rows += rows_of_unit
    share = min(1.0, rows / buckets) if buckets else 1.0
    seconds = START_S + (rows * read_s / sampled_rows * WORK_PER_READ / workers if sampled_rows else 0.0)
    return Reckoned(series=series, rows=rows, seconds=seconds), share


def _sample(source: RollupStore, unit: Unit, granularity: str, plan: StorePlan) -> tuple[int, int]:
    """Series of a unit, and its rows in the needed times, all orgs and series taken for asked for."""
    table = canonical(source.read_unit(unit, granularity, _SAMPLED, shards=plan.shards[unit.metric_type][unit.window]))
    starts_s = bucket_ms(table) // 1000
    inside = sum(np.count_nonzero((starts_s >= from_s) & (starts_s < to_s)) for from_s, to_s in plan.selection.needed())
    return len(series_runs(table).keys), int(inside)


def _buckets(plan: StorePlan, unit: Unit, granularity: str) -> int:
    """Of a series in the unit's window, in the needed times."""
    return max(1, sum(to_s - from_s for from_s, to_s in _within(plan.selection.needed(), plan.windows.range_of(unit.window))) // WIDTH_S[granularity])


def _within(ranges: tuple[Range, ...], window: Range) -> Iterator[Range]:
    for from_s, to_s in ranges:
        if max(from_s, window[0]) < min(to_s, window[1]):
            yield max(from_s, window[0]), min(to_s, window[1])


def _usage(plan: StorePlan, new: int, series: int, share: float, rates: Rates, workers: int) -> Usage:
    request, needed = plan.request, plan.selection.needed()
    given = Load(
        partitions=sum(map(len, plan.target_shards.values())),
        new=new,
        units=sum(sum(by_window.values()) for by_window in plan.target_shards.values()),
        verified=len(plan.verified_units()),
        series=max(1, series),
        computed=plan.selection.computed,
        share=share,
        dry_run=request.dry_run,
    )
    read = replace(
        given,
        partitions=sum(map(len, plan.shards.values())),
        units=len(plan.all_units()),
        computed=dict.fromkeys(request.read(), needed),
    )
    return expected_of_reading(request.source, read) + expected_of_store(request.store, given, rates, workers)


def reckoned_data(plan: StorePlan, budget: Budget, rates: Rates, now_s: int) -> dict[str, Any]:
    """For `--json`; empty for a plan that was not reckoned, as of a copy that follows."""
    if not plan.reckoned.seconds:
        return {}
    about = {"series": plan.reckoned.series, "rows": plan.reckoned.rows, "duration_s": round(plan.reckoned.seconds, 1)}
    return {"estimate": about} | planned_data(plan.expected, budget, rates, duration_s=plan.reckoned.seconds, now_s=now_s)


def reckoned_line(plan: StorePlan) -> str:
    """For people."""
    return f"reads       about {human_number(plan.reckoned.rows)} rollups of {human_number(plan.reckoned.series)} series"
