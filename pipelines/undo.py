"""`rollups undo RUN_ID`: brings back what a run replaced, under a newer generation. Later repairs stay."""

from dataclasses import asdict

from configs.jobs import UndoJob
from pipelines.outcome import Outcome, human_number, table
from pipelines.runtime import Runtime
from transforms.core.errors import UsageError
from transforms.core.transfer import command_of


def run(job: UndoJob, runtime: Runtime) -> Outcome:
    """Exit 0; killed and repeated it goes on, done twice the second time does nothing."""
    ledger = runtime.ledger(job.work_dir, job.run_id)
    plan = ledger.any_plan()
    if plan.request.dry_run:
        msg = f"the run {job.run_id!r} was a dry run: it wrote nothing that could be undone"
        raise UsageError(msg)
    if command_of(plan) == "copy":
        msg = f"the run {job.run_id!r} was a copy: what it wrote has the generations of the source, so that nobody can tell it from other rollups and undo it"
        raise UsageError(msg)
    with ledger.lock():
        store = runtime.of_run(ledger, {}).store(plan.request.store, plan.request.settings)
        ledger.mark_undone()
        now_generation = store.issue_generation(round(runtime.clock() * 1000))
        counts = asdict(store.undo(job.run_id, generation=plan.generation, now_generation=now_generation))
    generation = counts.pop("generation") or now_generation
    rows = [(name, *(human_number(counts[what].get(name, 0)) for what in ("restored", "removed", "left_alone"))) for name in plan.request.granularities]
    text = f"undid run {job.run_id} under generation {generation}\n\n" + table(("buckets", "restored", "removed", "left alone"), rows)
    return Outcome(exit_code=0, data={"run_id": job.run_id, "generation": generation, **counts}, text=text)


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("undo")
