"""How runs from store to store are planned, and how a plan is shown."""

import hashlib
from collections.abc import Iterable
from typing import Any

from configs.store_jobs import TransferJob
from pipelines.outcome import human_number
from pipelines.plan import edge_texts
from pipelines.runtime import Runtime, check_granularities
from transforms.core.errors import RefusedError, UsageError
from transforms.core.globs import read_series_file
from transforms.core.granularity import Range
from transforms.core.live import left_text, left_to_live_writer
from transforms.core.time import format_period, parse_period, unite
from transforms.core.transfer import Shards, StorePlan, StoreRequest
from transforms.core.windows import Windows
from transforms.stores.protocol import RollupStore


def resolve(job: TransferJob, runtime: Runtime) -> tuple[StoreRequest, tuple[Range, ...]]:
    """What the job asks for, with its periods as times, checked without looking at the stores."""
    periods = unite(parse_period(text, runtime.now_s()) for text in job.period)
    listed = runtime.read_file(job.series_file, "series file") if job.series_file else b""
    request = job.request(
        series_file_digest=hashlib.sha256(listed).hexdigest()[:16] if job.series_file else "",
        file_globs=read_series_file(listed, job.series_file) if job.series_file else (),
    )
    request.selection(periods)
    return request, periods


def make_transfer_plan(request: StoreRequest, periods: tuple[Range, ...], runtime: Runtime, run_id: str, *, allow_empty: bool) -> tuple[StorePlan, int]:
    """The plan of a request as the stores are now, and how many of the target's partitions are not there.

    Nothing is written but the target's last issued generation, and in a dry run or for a copy not even that.

    Raises UsageError for granularities that a store can't hold, RefusedError if the source has nothing of the period.
    """
    source = runtime.store(request.source, request.settings, writable=False)
    target = runtime.store(request.store, request.settings)
    check_granularities(request.read(), source, request.source)
    check_granularities(request.granularities, target, request.store)
    _check_fresh(request, source.traits.windows, target.traits.windows)
    needed = request.selection(periods).needed()
    shards = _source_shards(request, source, needed)
    if not any(shards.values()) and not allow_empty:
        raise RefusedError(_nothing_there(request, needed))
    target_shards, new = _target_shards(shards, source.traits.windows, target, needed)
    plan = StorePlan(
        run_id=run_id,
        created_s=runtime.now_s(),
        request=request,
        periods=periods,
        generation=_generation(request, target, runtime),
        shards=shards,
        target_shards=target_shards,
        window_days=source.traits.windows.days,
        target_window_days=target.traits.windows.days,
        left=() if request.include_live else left_to_live_writer(target.traits.live, runtime.now_s()),
    )
    return plan, new


def _check_fresh(request: StoreRequest, windows: Windows, target_windows: Windows) -> None:
    """Units of narrower windows meet in one item of the target, where writes without conditions would lose what the other one wrote."""
    if request.settings.dynamodb_fresh and windows.days < target_windows.days:
        msg = (
            f"--dynamodb-fresh writes without conditions, and {target_windows.days // windows.days} windows of {request.source} "
            f"go into one of {request.store}: leave it out"
        )
        raise UsageError(msg)


def _source_shards(request: StoreRequest, source: RollupStore, needed: tuple[Range, ...]) -> Shards:
    windows = source.traits.windows.touched_by(needed)
    found = {name: {window: source.shards_to_read(name, window) for window in windows} for name in request.metric_types}
    return {name: {window: shards for window, shards in of_type.items() if shards} for name, of_type in found.items()}


def _target_shards(shards: Shards, windows: Windows, target: RollupStore, needed: tuple[Range, ...]) -> tuple[Shards, int]:
    """What the target has, or else the most that the source has of that time; and how many partitions it has not."""
    wanted: Shards = {name: {} for name in shards}
    for name, of_type in shards.items():
        for window, number in of_type.items():
            from_s, to_s = windows.range_of(window)
            times = [(max(from_s, low), min(to_s, high)) for low, high in needed if low < to_s and high > from_s]
            for one in target.traits.windows.touched_by(times):
                wanted[name][one] = max(number, wanted[name].get(one, 0))
    there = {name: {window: target.shard_count(name, window) for window in of_type} for name, of_type in wanted.items()}
    new = sum(not number for of_type in there.values() for number in of_type.values())
    return {name: {window: there[name][window] or number for window, number in of_type.items()} for name, of_type in wanted.items()}, new


def _generation(request: StoreRequest, target: RollupStore, runtime: Runtime) -> int:
    if request.command == "copy":
        return 0
    now_ms = round(runtime.clock() * 1000)
    return max(now_ms, target.last_generation() + 1) if request.dry_run else target.issue_generation(now_ms)


def _nothing_there(request: StoreRequest, needed: tuple[Range, ...]) -> str:
    return (
        f"the store {request.source} has no rollups of {', '.join(request.metric_types)} in {', '.join(map(format_period, needed))}: "
        "ask for another period or other types, or --allow-empty if that is expected"
    )


def transfer_plan_data(plan: StorePlan) -> dict[str, Any]:
    """The plan for `--json`."""
    request = plan.request
    return {
        "run_id": plan.run_id,
        "command": request.command,
        "from": request.source,
        "store": request.store,
        "periods": [format_period(one) for one in plan.periods],
        "metric_types": list(request.metric_types),
        "read": list(request.read()),
        "computed": {name: [format_period(one) for one in ranges] for name, ranges in plan.selection.computed.items()},
        "orgs": list(request.orgs),
        "series": list(request.series),
        "series_file": request.series_file,
        "series_file_globs": len(request.file_globs),
        "hash_slots": request.hash_slots,
        "hash_key": request.hash_key,
        "generation": plan.generation,
        "units": {name: len(plan.units(name)) for name in request.metric_types},
        "target_units": {name: sum(plan.target_shards.get(name, {}).values()) for name in request.metric_types},
    }


def transfer_plan_text(plan: StorePlan, costs: Iterable[str], execute: str) -> str:
    """The plan for people."""
    return "\n".join([*transfer_plan_lines(plan), *costs, f"\nexecute it  {execute}"])


def transfer_plan_lines(plan: StorePlan) -> list[str]:
    """What the run will do."""
    data = transfer_plan_data(plan)
    counted = {key: ", ".join(f"{name} {human_number(number)}" for name, number in data[key].items()) for key in ("units", "target_units")}
    return [
        f"run         {plan.run_id}" + (f" (generation {plan.generation})" if plan.generation else " (rows keep their generations)"),
        f"from        {plan.request.source}: {', '.join(data['read'])}",
        f"store       {plan.request.store}",
        *(f"period      {one}" for one in data["periods"]),
        *(f"written     {name}: {', '.join(ranges) or 'nothing'}" for name, ranges in data["computed"].items()),
        *(f"edges       {name}: {text}" for name, text in edge_texts(plan).items()),
        f"units       {counted['units']}",
        f"            of the source, written to units of the target: {counted['target_units']}",
        *([f"left        to the live writer: {left_text(plan.left)}"] if plan.left else []),
    ]
