"""Whether a run's buckets are still in the store as the run left them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from pipelines.outcome import human_number
from pipelines.runtime import Runtime
from transforms.core.accounts import BucketChange, UnitRecord
from transforms.core.canonical import bucket_ms, canonical
from transforms.core.granularity import within
from transforms.core.model import ROLLUP_SCHEMA, SERIES_COLUMNS
from transforms.core.placing import chosen_rows, rows_of_unit
from transforms.core.restored import COMPARED, changed_since, restored_buckets
from transforms.core.time import format_time
from transforms.core.transfer import AnyPlan, StorePlan
from transforms.core.units import Unit
from transforms.steps.ledger import Ledger
from transforms.stores.protocol import RollupStore

READERS: Final = 4
"""Units read at once; each is held as a whole."""

LISTED: Final = 1000
SHOWN: Final = 10


def verification(plan: AnyPlan, ledger: Ledger, done: Sequence[UnitRecord], runtime: Runtime) -> dict[str, Any]:
    """What reading units back found: just after each was written, and now, when all are."""
    units = [one for one in done if one.read_back is not None]
    different = [(one.unit, change) for one in units for change in one.different]
    again = recheck(plan, ledger, [one.unit for one in units], runtime)
    return {
        "mode": plan.request.verify,
        "units": len(units),
        "of_units": len(done),
        "buckets": sum(one.read_back or 0 for one in units),
        "different": len(different),
        "differences": [_data(*one) for one in different[:LISTED]],
        **again,
    }


def add_verification(report: dict[str, Any], found: dict[str, Any]) -> None:
    """Puts it into the report of its run, and calls that were repeated for it with the others."""
    retries: dict[str, int] = report["retries"]
    for reason, times in found.pop("retries").items():
        retries[reason] = retries.get(reason, 0) + times
    report["verification"] = found


def recheck(plan: AnyPlan, ledger: Ledger, units: Sequence[Unit], runtime: Runtime) -> dict[str, Any]:
    """How many restored buckets of these units are in the store, and those that somebody changed since."""
    if not units:
        return {"rechecked": 0, "changed_since": 0, "changes_since": [], "retries": {}}
    store = runtime.store(plan.request.store, plan.request.settings, writable=False)
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(partial(_unit, plan, ledger, store), units))
    changes = ((unit, change) for unit, (_, some) in zip(units, found, strict=True) for change in some)
    return {
        "rechecked": sum(number for number, _ in found),
        "changed_since": sum(len(some) for _, some in found),
        "changes_since": [_data(*one) for one in islice(changes, LISTED)],
        "retries": dict(store.repeated()),
    }


def _unit(plan: AnyPlan, ledger: Ledger, store: RollupStore, unit: Unit) -> tuple[int, list[BucketChange]]:
    expected, window = ledger.restored(unit), plan.windows.range_of(unit.window)
    found = []
    for name in plan.request.granularities:
        if store.traits.is_local and not isinstance(plan, StorePlan):
            stored = store.read_unit(unit, name, COMPARED)
        else:
            parts = [store.stored_near(of, name, some) for of, some in _places(plan, unit, restored_buckets(expected, name, window)) if some.num_rows]
            read = canonical(pa.concat_tables([ROLLUP_SCHEMA.empty_table(), *parts]))
            stored = chosen_rows(read, within(bucket_ms(read) // 1000, (window,)))
        found.append(changed_since(expected, stored, name, window))
    return sum(number for number, _ in found), [one for _, changes in found for one in changes]


def _places(plan: AnyPlan, unit: Unit, buckets: pa.Table) -> Iterator[tuple[Unit, pa.Table]]:
    """The units of the store in which buckets of a unit of the run lie."""
    if not isinstance(plan, StorePlan):
        yield unit, buckets
        return
    for target in plan.targets(unit):
        shards = plan.target_shards[target.metric_type][target.window]
        yield target, rows_of_unit(buckets, target, shards, plan.target_windows.range_of(target.window))


def _data(unit: Unit, change: BucketChange) -> dict[str, Any]:
    series = dict(zip(SERIES_COLUMNS, (unit.metric_type, *change.series), strict=True))
    start = format_time(change.bucket_start_s)
    return series | {"granularity": change.granularity, "bucket_start": start, "stored_minutes": change.stored_minutes, "stored_avg": change.stored_avg}


def differs(found: dict[str, Any]) -> bool:
    """Whether anything was not as it should be."""
    return bool(found["different"] or found["changed_since"])


def verification_lines(found: dict[str, Any]) -> Iterator[str]:
    """For people: what was read back, and what differs."""
    if found["units"]:
        buckets, units, all_units = (human_number(found[name]) for name in ("buckets", "units", "of_units"))
        yield f"verified  {buckets} buckets of {units} of {all_units} units read back, {human_number(found['different'])} different"
    yield from changed_lines("differs", found["differences"], found["different"])
    yield from recheck_lines(found)


def recheck_lines(found: dict[str, Any]) -> Iterator[str]:
    """For people: what somebody changed since."""
    if found["changed_since"]:
        number, of = (human_number(found[name]) for name in ("changed_since", "rechecked"))
        yield f"changed   {number} of {of} restored buckets were changed since, by a writer that does not follow the rule"
    yield from changed_lines("since", found["changes_since"], found["changed_since"])


def changed_lines(what: str, changes: Sequence[dict[str, Any]], number: int) -> Iterator[str]:
    """A line for each of the first changes of so many."""
    for one in changes[:SHOWN]:
        series = "/".join(one[name] for name in ("metric_type", "org", "entity", "name")) + (one["labels"] if one["labels"] != "{}" else "")
        now = f"avg {one['stored_avg']} of {one['stored_minutes']} min" if one["stored_minutes"] else "nothing"
        yield f"{what:9} {series} {one['granularity']} {one['bucket_start']}: stored is {now}"
    if number > SHOWN:
        yield f"          and {human_number(number - SHOWN)} more"
