"""Runs from store to store: planned or resumed, executed, and reported from their ledger."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from configs.store_jobs import TransferJob
from pipelines.asking import confirm_shown
from pipelines.costs import planned_lines, planning_within_budget
from pipelines.outcome import Outcome
from pipelines.progress import watching
from pipelines.publishing import shown
from pipelines.run_guards import guarded
from pipelines.runners import check_runner
from pipelines.runtime import Runtime
from pipelines.submit import crew_of, submit
from pipelines.transfer_costs import reckoned, reckoned_data, reckoned_line
from pipelines.transfer_plan import make_transfer_plan, resolve, transfer_plan_data, transfer_plan_lines, transfer_plan_text
from pipelines.transfer_report import finish_transfer, transfer_report_text
from transforms.core.errors import UsageError
from transforms.core.transfer import StorePlan, Transfer
from transforms.steps.ledger import Ledger
from transforms.stores.protocol import RollupStore

if TYPE_CHECKING:
    import apache_beam as beam

    from transforms.steps.pool import Crew


def run_transfer(job: TransferJob, runtime: Runtime, command: Transfer) -> Outcome:
    """Plans or resumes a run, executes what is missing of it, and reports."""
    check_runner(job.runner, shared_folders=job.shared_folders)
    runtime = runtime.metered(job.budget)
    run_id = job.plan or job.run_id or runtime.new_run_id()
    ledger = runtime.ledger(job.work_dir, run_id)
    with planning_within_budget():
        planned = None if job.plan or ledger.exists() else _planned(job, runtime, run_id)
    if planned is None:
        ledger.store_plan(command)
    with ledger.lock():
        runtime = runtime.begun(ledger, job.rates, job.budget)
        if planned and not ledger.exists():
            ledger.create_from_store(planned)
        plan = stored_plan(job, runtime, ledger, command)
        runtime.say(run_id)
        if job.plan_only:
            costs = reckoned_data(plan, ledger.budget(), ledger.wishes().rates, runtime.now_s())
            text = transfer_plan_text(plan, _cost_lines(plan, costs), runtime.resume_command(job.work_dir, run_id, command))
            return Outcome(exit_code=0, data=transfer_plan_data(plan) | costs, text=text)
        confirm_transfer(job, runtime, ledger, plan)
        with shown(job.published, ledger, plan, runtime) as ending, guarded(job.guarded, (plan.request.source, plan.request.store), ledger, runtime):
            report = execute(job, runtime, ledger, plan)
            ending.exit_code = report["exit_code"]
    return Outcome(exit_code=report["exit_code"], data=report, text=transfer_report_text(report))


def _planned(job: TransferJob, runtime: Runtime, run_id: str) -> StorePlan:
    plan, new = make_transfer_plan(*resolve(job, runtime), runtime, run_id, allow_empty=job.allow_empty)
    return reckoned(plan, new, runtime, runtime.workers(job.workers))


def _cost_lines(plan: StorePlan, costs: dict[str, Any]) -> Iterator[str]:
    if costs:
        yield reckoned_line(plan)
        yield from planned_lines(costs)


def execute(job: TransferJob, runtime: Runtime, ledger: Ledger, plan: StorePlan) -> dict[str, Any]:
    """Does what is missing of a stored plan. The report."""
    started = runtime.clock()
    if ledger.report() is None:
        plan = _opened(plan, runtime, ledger)
        crew = crew_of(job, runtime)
        with watching(ledger, plan, runtime):
            submit(job, runtime, ledger, plan, lambda pipeline, batch: build(pipeline, plan, str(ledger.path), batch=batch, crew=crew))
    return finish_transfer(ledger, plan, runtime, skip_live=job.skip_live, duration_s=runtime.clock() - started)


def confirm_transfer(job: TransferJob, runtime: Runtime, ledger: Ledger, plan: StorePlan) -> None:
    """Asks before a run begins to write to a store that is not local. Raises RefusedError unless the answer is yes."""
    if job.yes or plan.request.dry_run or ledger.recorded_units():
        return
    store = runtime.store(plan.request.store, plan.request.settings)
    confirm_shown(plan, store, runtime, _shown(plan, store, reckoned_data(plan, ledger.budget(), ledger.wishes().rates, runtime.now_s())))


def _shown(plan: StorePlan, store: RollupStore, costs: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name:11} {value}" for name, value in store.facts())
    yield from transfer_plan_lines(plan)
    yield from _cost_lines(plan, costs)


def build(pipeline: "beam.Pipeline", plan: StorePlan, run_dir: str, *, batch: int, crew: "Crew") -> None:
    """Recalculates or copies the units of type after type.

    An element is up to `batch` units, worked on by a `crew`. What is finished by the ledger is passed over.
    """
    import apache_beam as beam

    from transforms.steps.pipeline import NameUnits
    from transforms.steps.transfer_pipeline import TransferUnits

    done: beam.PCollection[Any] | None = None
    for metric_type in plan.request.metric_types:
        asked = pipeline | f"Name {metric_type} units" >> NameUnits(metric_type, len(plan.units(metric_type)), batch)
        named = asked | f"Pick {metric_type} units" >> beam.Keys()
        done = named | f"{plan.request.command.capitalize()} {metric_type} units" >> TransferUnits(run_dir, crew, after=done)


def stored_plan(job: TransferJob, runtime: Runtime, ledger: Ledger, command: Transfer) -> StorePlan:
    """The stored plan, checked to be what the job asks for."""
    plan = ledger.store_plan(command)
    if ledger.is_undone():
        msg = f"the run {plan.run_id!r} was undone: leave its id out to {command} the period again"
        raise UsageError(msg)
    if not job.plan:
        _check_same(job, runtime, plan)
    return plan


def _check_same(job: TransferJob, runtime: Runtime, plan: StorePlan) -> None:
    asked, _ = resolve(job, runtime)
    if asked != plan.request:
        told = "; ".join(f"{name} was {getattr(plan.request, name)!r}, now {getattr(asked, name)!r}" for name in asked.differences(plan.request))
        msg = f"the run {plan.run_id!r} was planned otherwise ({told}): repeat its command to resume it, or leave --run-id out for a new run"
        raise UsageError(msg)


def _opened(plan: StorePlan, runtime: Runtime, ledger: Ledger) -> StorePlan:
    """The plan with the shards that the target really has, whose partitions are made unless they exist."""
    if plan.request.dry_run or ledger.recorded_units():
        return plan
    store = runtime.store(plan.request.store, plan.request.settings)
    shards = {
        metric_type: {window: store.open_partition(metric_type, window, number) for window, number in by_window.items()}
        for metric_type, by_window in plan.target_shards.items()
    }
    opened = replace(plan, target_shards=shards)
    if opened != plan:
        ledger.update(opened)
    return opened
