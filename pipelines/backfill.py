"""`rollups backfill`: the main job. `build` is its table of contents."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from configs.jobs import BackfillJob
from pipelines.asking import confirm
from pipelines.outcome import Outcome
from pipelines.planning import make_plan, resolve
from pipelines.progress import watching
from pipelines.publishing import shown
from pipelines.replaying import narrowed
from pipelines.report import Accepted, finish, report_text
from pipelines.run_guards import guarded
from pipelines.runners import check_runner
from pipelines.runtime import Runtime
from pipelines.submit import crew_of, get_ready, staging_begun, start_workers, submit
from transforms.core.errors import UsageError
from transforms.core.plan import Plan
from transforms.steps.ledger import Ledger
from transforms.steps.pool import end_processes

if TYPE_CHECKING:
    import apache_beam as beam

    from transforms.steps.pool import Crew


def run(job: BackfillJob, runtime: Runtime) -> Outcome:
    """Plans or resumes a run, executes what is missing of it, and reports from its ledger."""
    try:
        return _run(job, runtime)
    finally:
        end_processes()


def _run(job: BackfillJob, runtime: Runtime) -> Outcome:
    check_runner(job.runner, shared_folders=job.shared_folders)
    if job.dead_letters:
        job = narrowed(job, runtime)
    runtime = runtime.metered(job.budget)
    run_id = job.plan or job.run_id or runtime.new_run_id()
    ledger = runtime.ledger(job.work_dir, run_id)
    planned = None if job.plan or ledger.exists() else make_plan(job, runtime, run_id, dry_run=job.dry_run, meanwhile=partial(get_ready, job, runtime))
    start_workers(job, runtime, (planned.plan if planned else ledger.plan()).object_bytes)
    with ledger.lock():
        runtime = runtime.begun(ledger, job.rates, job.budget)
        if planned and not ledger.exists():
            ledger.create(planned.plan, planned.manifest, planned.membership)
        if not (ledger.staged() or ledger.recorded_units()):
            ledger.budget().check_planned(ledger.plan().expected - ledger.tally.used(), ledger.tally.used())
        plan = _stored(job, runtime, ledger)
        runtime.say(run_id)
        if not ledger.recorded_units():
            confirm(plan, runtime.store(plan.request.store, plan.request.settings), runtime, yes=job.yes)
        with shown(job.published, ledger, plan, runtime) as ending, guarded(job.guarded, (plan.request.archive, plan.request.store), ledger, runtime):
            report = _execute(job, runtime, ledger, plan)
            ending.exit_code = report["exit_code"]
    return Outcome(exit_code=report["exit_code"], data=report, text=report_text(report))


def _execute(job: BackfillJob, runtime: Runtime, ledger: Ledger, plan: Plan) -> dict[str, Any]:
    """Does what is missing of a stored plan. The report."""
    started = runtime.clock()
    if ledger.report() is None:
        with watching(ledger, plan, runtime):
            crew = crew_of(job, runtime, plan.object_bytes)
            fill = partial(_fill, plan, str(ledger.path), crew)
            submit(job, runtime, ledger, plan, fill, staging_begun(ledger, plan, crew))
    return finish(ledger, plan, runtime, accepted=Accepted(job.max_dead_letters, job.skip_live), duration_s=runtime.clock() - started)


def _fill(plan: Plan, run_dir: str, crew: "Crew", pipeline: "beam.Pipeline", batch: int) -> None:
    build(pipeline, plan, run_dir, batch=batch, crew=crew)


def build(pipeline: "beam.Pipeline", plan: Plan, run_dir: str, *, batch: int, crew: "Crew") -> None:
    """Stages the read groups, then rolls up type after type.

    An element is up to `batch` groups or units, worked on by a `crew`. What is finished by the ledger is passed over.
    """
    import apache_beam as beam

    from transforms.steps.pipeline import GroupByUnit, NameGroups, NameUnits, RollUpUnits, StageGroups

    groups = pipeline | "Name groups" >> NameGroups(len(plan.groups), batch)
    slices = groups | "Stage groups" >> StageGroups(run_dir, batch, crew)
    done: beam.PCollection[Any] | None = None
    for metric_type in plan.request.metric_types:
        asked = pipeline | f"Name {metric_type} units" >> NameUnits(metric_type, len(plan.units(metric_type)), batch)
        grouped = (asked, slices) | f"Group by {metric_type} unit" >> GroupByUnit(metric_type, after=done)
        done = grouped | f"Roll up {metric_type} units" >> RollUpUnits(run_dir, crew)


def _stored(job: BackfillJob, runtime: Runtime, ledger: Ledger) -> Plan:
    """The stored plan, checked to be what the job asks for, with the shards that the store really has."""
    plan = ledger.plan()
    if ledger.is_undone():
        msg = f"the run {plan.run_id!r} was undone: leave its id out to restore the period again"
        raise UsageError(msg)
    if not job.plan:
        _check_same(job, runtime, plan)
    ledger.manifest(plan)
    return plan if plan.request.dry_run or ledger.staged() else _opened(plan, runtime, ledger)


def _check_same(job: BackfillJob, runtime: Runtime, plan: Plan) -> None:
    asked = resolve(job, runtime, dry_run=job.dry_run)[0]
    if asked != plan.request:
        names = asked.differences(plan.request)
        told = "; ".join(f"{name} was {getattr(plan.request, name)!r}, now {getattr(asked, name)!r}" for name in names)
        msg = f"the run {plan.run_id!r} was planned otherwise ({told}): repeat its command to resume it, or leave --run-id out for a new run"
        raise UsageError(msg)


def _opened(plan: Plan, runtime: Runtime, ledger: Ledger) -> Plan:
    store = runtime.store(plan.request.store, plan.request.settings)
    shards = {
        metric_type: {window: store.open_partition(metric_type, window, number) for window, number in by_window.items()}
        for metric_type, by_window in plan.shards.items()
    }
    if shards == plan.shards:
        return plan
    opened = replace(plan, shards=shards)
    ledger.update(opened)
    return opened


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("backfill")
