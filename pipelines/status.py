"""`rollups status`: what of a run is staged, rolled up and written, from its plan and ledger."""

from contextlib import suppress
from typing import Any, Final

from configs.jobs import StatusJob
from pipelines.costs import used_data
from pipelines.following import followed_outcome
from pipelines.outcome import Outcome, human_duration, human_number, table
from pipelines.progress import Snapshot, Watch, pause_text, progress_line
from pipelines.report import letter_line, report_text
from pipelines.runs import state_of
from pipelines.runtime import Runtime
from pipelines.transfer_report import transfer_report_text
from pipelines.verification import recheck, recheck_lines
from transforms.core.counts import throttled_text
from transforms.core.errors import IncompleteError, UsageError
from transforms.core.plan import Plan
from transforms.core.time import format_time
from transforms.core.transfer import AnyPlan, StorePlan, command_of
from transforms.steps.completion import dead_letters, records, undelivered, undelivered_text
from transforms.steps.ledger import Ledger

WATCH_EVERY_S: Final = 2.0


def run(job: StatusJob, runtime: Runtime) -> Outcome:
    """Exit 0 if the run has ended, 3 while something of it is missing."""
    ledger = runtime.ledger(job.work_dir, job.run_id)
    plan = ledger.any_plan()
    if job.dead_letters:
        return _dead_letters(ledger, ledger.plan(), runtime)
    if job.recheck:
        return _recheck(ledger, plan, runtime.beside(ledger))
    if isinstance(plan, StorePlan) and plan.request.follow:
        return followed_outcome(ledger, plan, state_of(ledger))
    watch = Watch(ledger, plan, ledger.taken_s())
    while job.watch and state_of(ledger) == "running":
        runtime.show(pause_text(ledger.wishes()) or progress_line(watch.snapshot(runtime.clock())))
        runtime.wait(WATCH_EVERY_S)
    now = watch.snapshot(runtime.clock())
    if report := ledger.report():
        told = transfer_report_text(report) if isinstance(plan, StorePlan) else report_text(report)
        text = told + ("\nundone    its buckets were brought back to what they were before" if ledger.is_undone() else "")
        return Outcome(exit_code=0, data={"run_id": plan.run_id, "state": state_of(ledger), "report": report}, text=text)
    data = {
        "run_id": plan.run_id,
        "state": state_of(ledger),
        "planned": format_time(plan.created_s),
        **now.to_data(),
        "pauses": dict(ledger.wishes().pauses),
        "limits": ledger.wishes().rates.named(),
        "log": ledger.logged(),
        "calls": used_data(ledger.tally.used(), ledger.budget(), None if isinstance(plan, StorePlan) and not plan.reckoned.seconds else plan.expected),
        "write_dead_letters": undelivered(ledger),
    }
    return Outcome(exit_code=IncompleteError.exit_code, data=data, text=_text(data, now, runtime.resume_command(job.work_dir, job.run_id, command_of(plan))))


def _text(data: dict[str, Any], now: Snapshot, go_on: str) -> str:
    rows = [("read groups staged", human_number(now.groups[0]), human_number(now.groups[1]))]
    rows += [(f"{metric_type} units written", human_number(done), human_number(planned)) for metric_type, (done, planned) in now.units.items()]
    head = f"run {data['run_id']}: {data['state']}, {now.fraction:.0%} done, {human_number(now.points)} points decoded"
    if data["state"] == "running" and now.eta_s is not None:
        head += f", {human_number(now.points_per_s)} points/s, ETA {human_duration(now.eta_s)}"
    head += f"\nthrottled {throttled_text(now.throttled_s)}" if now.throttled_s else ""
    head += "".join(f"\npaused {why}" for why in data["pauses"].values())
    head += "".join(f"\n{format_time(one['at'])} {one['told']}" for one in data["log"])
    closing = "" if data["state"] == "running" else f"\ngo on with  {go_on}"
    letters = f"\nundelivered {undelivered_text(data['write_dead_letters'])}" if data["write_dead_letters"] else ""
    return f"{head}\n\n{table(('', 'done', 'planned'), rows)}\n{letters}{closing}"


def _recheck(ledger: Ledger, plan: AnyPlan, runtime: Runtime) -> Outcome:
    """Exit 4 if a bucket that the run wrote was changed since by a writer that does not follow the rule."""
    if isinstance(plan, StorePlan) and plan.request.follow:
        msg = f"the run {plan.run_id!r} follows time and keeps no list of what it wrote: `rollups compare` tells whether both stores hold the same"
        raise UsageError(msg)
    if plan.request.dry_run or ledger.is_undone():
        msg = f"the run {plan.run_id!r} was {'undone' if ledger.is_undone() else 'a dry run'}: nothing of it is in the store to be checked"
        raise UsageError(msg)
    found = recheck(plan, ledger, [one.unit for one in records(plan, ledger)], runtime)
    head = f"run {plan.run_id}: {human_number(found['rechecked'])} restored buckets read, {human_number(found['changed_since'])} changed since"
    return Outcome(exit_code=4 if found["changed_since"] else 0, data={"run_id": plan.run_id, **found}, text="\n".join([head, *recheck_lines(found)]))


def _dead_letters(ledger: Ledger, plan: Plan, runtime: Runtime) -> Outcome:
    """JSON lines to standard output, as far as someone reads them: object, offset, cause, detail, raw bytes in base64."""
    stored = ledger.path / "dead_letters.jsonl"
    with suppress(BrokenPipeError):
        if stored.exists():
            runtime.out.write(stored.read_bytes())
        else:
            runtime.out.writelines(letter_line(one) + b"\n" for one in dead_letters(plan, ledger))
    return Outcome(exit_code=0, text="")


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("status")
