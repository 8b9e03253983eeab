"""`rollups undo RUN_ID`: brings back what a run replaced, under a newer generation. Later repairs stay."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Final

from configs.jobs import UndoJob
from pipelines.outcome import Outcome, human_number, table
from pipelines.runtime import Runtime
from transforms.core.errors import RefusedError, UsageError
from transforms.core.transfer import AnyPlan, StorePlan, command_of
from transforms.core.units import Unit
from transforms.steps.completion import records
from transforms.steps.ledger import Ledger

SHOWN: Final = 10


def run(job: UndoJob, runtime: Runtime) -> Outcome:
    """Exit 0; killed and repeated it goes on, done twice the second time does nothing. Exit 5 if before-images are gone: what was replaced there stays so."""
    ledger = runtime.ledger(job.work_dir, job.run_id)
    plan = ledger.any_plan()
    if plan.request.dry_run:
        msg = f"the run {job.run_id!r} was a dry run: it wrote nothing that could be undone"
        raise UsageError(msg)
    if command_of(plan) == "copy":
        msg = f"the run {job.run_id!r} was a copy: what it wrote has the generations of the source, so that nobody can tell it from other rollups and undo it"
        raise UsageError(msg)
    with ledger.lock():
        store = runtime.beside(ledger).store(plan.request.store, plan.request.settings)
        ledger.mark_undone()
        now_generation = store.issue_generation(round(runtime.clock() * 1000))
        undone = store.undo(job.run_id, generation=plan.generation, now_generation=now_generation)
    gone = [f"{unit} {granularity}" for unit, granularity in _gone(plan, ledger, undone.units)]
    counts = asdict(undone)
    del counts["units"]
    generation = counts.pop("generation") or now_generation
    rows = [(name, *(human_number(counts[what].get(name, 0)) for what in ("restored", "removed", "left_alone"))) for name in plan.request.granularities]
    text = f"undid run {job.run_id} under generation {generation}\n\n" + table(("buckets", "restored", "removed", "left alone"), rows)
    data = {"run_id": job.run_id, "generation": generation, **counts, "gone": gone}
    return Outcome(exit_code=RefusedError.exit_code if gone else 0, data=data, text="\n".join([text, *_gone_lines(gone)]))


def _gone(plan: AnyPlan, ledger: Ledger, there: Collection[tuple[Unit, str]]) -> Iterator[tuple[Unit, str]]:
    """Units and granularities in which the run changed buckets, by its ledger, and of which the store has no before-images."""
    for record in records(plan, ledger):
        units = list(plan.targets(record.unit)) if isinstance(plan, StorePlan) else [record.unit]
        for name, tally in record.tallies.items():
            if tally.added + tally.changed and not any((unit, name) in there for unit in units):
                yield record.unit, name


def _gone_lines(gone: Sequence[str]) -> Iterator[str]:
    if gone:
        more = f" and {human_number(len(gone) - SHOWN)} more" if len(gone) > SHOWN else ""
        yield f"\ngone      before-images of {human_number(len(gone))} units have expired or were deleted: {', '.join(gone[:SHOWN])}{more}"
        yield "          what the run changed there stays as it is"


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("undo")
