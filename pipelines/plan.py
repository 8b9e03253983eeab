"""`rollups plan`: everything a backfill will do, stored under the run id and shown."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from configs.jobs import PlanJob
from pipelines.costs import planned_data, planned_lines
from pipelines.coverage import coverage_data, coverage_lines
from pipelines.outcome import Outcome, human_bytes, human_duration, human_number
from pipelines.planning import make_plan
from pipelines.runtime import Runtime
from pipelines.sample_warnings import sample_warnings
from transforms.core.errors import UsageError
from transforms.core.plan import Estimate, Plan
from transforms.core.time import format_period, format_time
from transforms.core.transfer import AnyPlan


def run(job: PlanJob, runtime: Runtime) -> Outcome:
    """Makes, stores and shows a plan."""
    runtime = runtime.metered(job.budget)
    run_id = job.run_id or runtime.new_run_id()
    ledger = runtime.ledger(job.work_dir, run_id)
    taken = f"the run {run_id!r} exists already: choose another --run-id, or execute it with `{runtime.resume_command(job.work_dir, run_id)}`"
    if ledger.exists():
        raise UsageError(taken)
    planned = make_plan(job, runtime, run_id, dry_run=False)
    estimate = planned.plan.estimate
    unmatched = unmatched_warnings(planned.plan, "sampled", estimate.series, estimate.sampled_others)
    store_warnings = runtime.store(job.store, planned.plan.request.settings).warnings()
    warnings = [*store_warnings, *unmatched, *sample_warnings(planned.plan, planned.manifest.objects)]
    with ledger.lock():
        if ledger.exists():
            raise UsageError(taken)
        runtime.begun(ledger, job.rates, job.budget)
        ledger.create(planned.plan, planned.manifest, planned.membership)
    runtime.say(run_id)
    costs = planned_data(planned.plan.expected, ledger.budget(), ledger.wishes().rates, duration_s=estimate.duration_s, now_s=runtime.now_s())
    text = plan_text(planned.plan, runtime.resume_command(job.work_dir, run_id), warnings, planned_lines(costs))
    return Outcome(exit_code=0, data=plan_data(planned.plan) | costs | {"warnings": warnings}, text=text)


def plan_data(plan: Plan) -> dict[str, Any]:
    """The plan for `--json`."""
    request = plan.request
    return {
        "run_id": plan.run_id,
        "archive": request.archive,
        "store": request.store,
        "periods": [format_period(one) for one in plan.periods],
        "metric_types": list(request.metric_types),
        "orgs": list(request.orgs),
        "series": list(request.series),
        "series_file": request.series_file,
        "series_file_globs": len(request.file_globs),
        "hash_slots": request.hash_slots,
        "hash_key": request.hash_key,
        "computed": {name: [format_period(one) for one in ranges] for name, ranges in plan.selection.computed.items()},
        "edge": request.edge,
        "edge_buckets": {name: [format_period(one) for one in ranges] for name, ranges in plan.edges().items()},
        "generation": plan.generation,
        "objects": sum(number for _, number in plan.groups),
        "object_bytes": plan.object_bytes,
        "listed_objects": plan.listed_objects,
        "untimed_objects": plan.untimed_objects,
        "object_times": [format_period(one) for one in plan.object_times],
        "coverage": coverage_data(plan.coverage),
        "reach_s": {
            "late": request.reach.late_s,
            "early": request.reach.early_s,
            "lead_in": request.reach.lead_in_s,
            "object_span": request.reach.object_span_s,
        },
        "groups": len(plan.groups),
        "units": {metric_type: len(plan.units(metric_type)) for metric_type in request.metric_types},
        **_estimate_data(plan.estimate),
    }


def _estimate_data(estimate: Estimate) -> dict[str, Any]:
    return {
        "sampled_objects": estimate.sampled_objects,
        "sampled_records": estimate.sampled_records,
        "sampled_dead_records": estimate.sampled_dead_records,
        "sampled_shards": estimate.sampled_shards,
        "points_estimated": estimate.points,
        "series_estimated": estimate.series,
        "staging_bytes_estimated": estimate.staging_bytes,
        "free_bytes": estimate.free_bytes,
        "duration_s_estimated": round(estimate.duration_s, 1),
        "points_per_s_estimated": round(estimate.points_per_s),
    }


def plan_text(plan: Plan, execute: str, warnings: Sequence[str], costs: Iterable[str]) -> str:
    """The plan for people, with its warnings and the lines about what it costs."""
    request, estimate = plan.request, plan.estimate
    reach = request.reach
    objects = sum(number for _, number in plan.groups)
    units = ", ".join(f"{metric_type} {len(plan.units(metric_type))}" for metric_type in request.metric_types)
    lines = [
        f"run         {plan.run_id} (generation {plan.generation})",
        f"archive     {request.archive}",
        f"store       {request.store}",
        *(f"period      {format_period(one)}" for one in plan.periods),
        *(f"computed    {name}: {', '.join(map(format_period, ranges)) or 'nothing'}" for name, ranges in plan.selection.computed.items()),
        *(f"edges       {name}: {text}" for name, text in edge_texts(plan).items()),
        *(f"only        {one}" for one in _only(plan)),
        f"objects     {human_number(objects)} of {human_number(plan.listed_objects)}, {human_bytes(plan.object_bytes)}",
        f"named       {', '.join(map(format_period, plan.object_times))}",
        f"            = computed times, less {human_duration(reach.lead_in_s)} for lead-in, {human_duration(reach.early_s)} for early points",
        f"            and {human_duration(reach.object_span_s)} for the span of an object, plus {human_duration(reach.late_s)} for late points",
        f"groups      {human_number(len(plan.groups))} read groups",
        f"units       {units}",
        f"points      about {human_number(estimate.points)} in {human_number(estimate.series)} series (from {estimate.sampled_objects} objects decoded)",
        f"staging     about {human_bytes(estimate.staging_bytes)}; {human_bytes(estimate.free_bytes)} are free",
        f"duration    about {human_duration(estimate.duration_s)} ({human_number(estimate.points_per_s)} points/s)",
        *costs,
    ]
    lines += [*coverage_lines(coverage_data(plan.coverage)), f"            {_known_after_reading(estimate)}"]
    if plan.untimed_objects:
        lines.append(f"warning     {human_number(plan.untimed_objects)} objects show no time in their key and are read in any case")
    lines += [f"warning     {one}" for one in warnings]
    lines.append(f"\nexecute it  {execute}")
    return "\n".join(lines)


def _known_after_reading(estimate: Estimate) -> str:
    """What the names of objects can't tell, and what the sample hints at."""
    dead = f"{human_number(estimate.sampled_dead_records)} of {human_number(estimate.sampled_records)} records sampled are dead letters"
    shards = f", they name {human_number(estimate.sampled_shards)} shards" if estimate.sampled_shards else ""
    return f"shards that end early and records that can't be decoded are known only after reading ({dead}{shards})"


def unmatched_warnings(plan: Plan, which: str, matched: int, others: int) -> list[str]:
    """That nothing of what is there was asked for: of the points `which` (sampled, read) none `matched` the selection of series, and so many are `others`."""
    if matched or not others:
        return []
    hint = "; a glob matches all of TYPE/ORG/ENTITY/NAME" if plan.selection.series else ""
    return [f"of the {human_number(others)} points {which} in the computed times none is of a series asked for ({', '.join(_only(plan))}{hint})"]


def _only(plan: Plan) -> Iterator[str]:
    """What is selected of the metric types' series, if not all of them."""
    request = plan.request
    if request.orgs:
        yield f"of org {', '.join(request.orgs)}"
    if request.series:
        yield f"series that match {', '.join(request.series)}"
    if request.series_file:
        also = "or match" if request.series else "series that match"
        yield f"{also} one of {human_number(len(request.file_globs))} lines of {request.series_file}"
    if request.hash_slots:
        yield f"series whose key {request.hash_key} lies in the hash slots {request.hash_slots}"


def edge_texts(plan: AnyPlan) -> dict[str, str]:
    """What becomes of the buckets that lie partly inside the periods, by granularity; none, no entry."""
    fate = {
        "expand": "computed from all minutes, also those outside the period",
        "clip": "left out",
        "fail": "",
        "ended": "copied with the step in which they end",
    }[plan.request.edge]
    return {name: f"{', '.join(format_time(one[0]) for one in ranges)} {fate}" for name, ranges in plan.edges().items() if ranges}


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("plan")
