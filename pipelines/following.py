"""A copy that follows time: step after step, each a run of its own that is added to what has been copied and then forgotten.

A step [from, to) copies the buckets that end in (from, to], `lag_s` after its end. What is behind is caught up by whole windows of the source. Killed anywhere
it goes on where it was: a step that had begun keeps its times, and copying a bucket twice changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

from configs.store_jobs import CopyJob
from pipelines.figures import Figures
from pipelines.outcome import Outcome, human_number, table
from pipelines.publishing import publishing
from pipelines.run_guards import guarded
from pipelines.runners import check_runner
from pipelines.runtime import Runtime, asked_to_end
from pipelines.transfer_plan import make_transfer_plan, resolve
from pipelines.transferring import confirm_transfer, execute, stored_plan
from transforms.core.counts import throttled_text
from transforms.core.errors import IncompleteError, UsageError
from transforms.core.granularity import MINUTE_S, Range
from transforms.core.time import LAST_S, format_time, parse_time
from transforms.core.transfer import Following, StorePlan
from transforms.steps.ledger import Ledger

POLL_S: Final = 1.0
"""How often it is looked whether the next step is due or somebody asked to end."""

VERIFIED: Final = ("buckets", "different", "rechecked", "changed_since")

SHOWN: Final = ("added", "changed", "equal", "newer", "refused", "left")

_Number = TypeVar("_Number", int, float)


@dataclass
class Followed:
    """What has been copied so far, up to `until_s`: rows by metric type and term, buckets by metric type, granularity and what became of them."""

    until_s: int
    steps: int = 0
    read: dict[str, dict[str, int]] = field(default_factory=dict)
    buckets: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    imbalances: list[str] = field(default_factory=list)
    verification: dict[str, int] = field(default_factory=dict)
    throttled_s: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, to_s: int, report: dict[str, Any]) -> None:
        """Add the report of a step that ends then."""
        self.until_s, self.steps = to_s, self.steps + 1
        for name, terms in report["read"].items():
            _add(self.read.setdefault(name, {}), terms)
        for name, of_type in report["buckets"].items():
            for granularity, tally in of_type.items():
                _add(self.buckets.setdefault(name, {}).setdefault(granularity, {}), tally)
        self.imbalances += report["imbalances"]
        for service, causes in report["throttled_s"].items():
            _add(self.throttled_s.setdefault(service, {}), causes)
        _add(self.verification, {name: report["verification"][name] for name in VERIFIED})


def _add(sums: dict[str, _Number], numbers: Mapping[str, _Number]) -> None:
    for name, number in numbers.items():
        sums[name] = sums[name] + number if name in sums else number


def follow(job: CopyJob, runtime: Runtime) -> Outcome:
    """Copies step after step until the end or until it is asked to end; with the id of a run that exists it goes on."""
    check_runner(job.runner, shared_folders=job.shared_folders)
    runtime = runtime.metered(job.budget)
    run_id = job.plan or job.run_id or runtime.new_run_id()
    ledger = runtime.ledger(job.work_dir, run_id)
    planned = None if ledger.exists() else _planned(job, runtime, run_id)
    with ledger.lock():
        runtime = runtime.begun(ledger, job.rates, job.budget)
        if planned and not ledger.exists():
            ledger.create_from_store(planned)
        plan = stored_plan(job, runtime, ledger, "copy")
        runtime.say(run_id)
        if not ledger.followed():
            confirm_transfer(job, runtime, ledger, plan)
        with publishing(job.published, ledger, runtime, lambda: _figures(_noted(ledger, plan))) as ending:
            with guarded(job.guarded, (plan.request.source, plan.request.store), ledger, runtime), asked_to_end() as asked:
                followed = _follow(job, runtime, ledger, plan, asked)
            ending.exit_code = _exit_code(job, plan, followed)
        is_over = followed.until_s >= plan.periods[0][1]
        report = _data(plan, followed, state="done" if is_over else "stopped")
        report["exit_code"] = ending.exit_code
        if is_over and not followed.imbalances:
            ledger.store_report(report | {"dry_run": False})
    return Outcome(exit_code=report["exit_code"], data=report, text=_text(report))


def _planned(job: CopyJob, runtime: Runtime, run_id: str) -> StorePlan:
    """The plan of the whole: its period goes to the end or, without one, to the last time there is; partitions are looked up step by step."""
    request, _ = resolve(job, runtime)
    now_s = runtime.now_s()
    from_s = parse_time(job.start, now_s) // MINUTE_S * MINUTE_S
    to_s = parse_time(job.end, now_s) if job.end else LAST_S
    if from_s >= to_s:
        msg = f"--start {job.start} is not before --end {job.end}: {format_time(from_s)} and {format_time(to_s)}"
        raise UsageError(msg)
    first, _ = make_transfer_plan(request, ((from_s, from_s + MINUTE_S),), runtime, run_id, allow_empty=True)
    return StorePlan(
        run_id=run_id,
        created_s=now_s,
        request=request,
        periods=((from_s, to_s),),
        generation=0,
        shards={},
        target_shards={},
        window_days=first.window_days,
        target_window_days=first.target_window_days,
    )


def _follow(job: CopyJob, runtime: Runtime, ledger: Ledger, plan: StorePlan, asked: Callable[[], bool]) -> Followed:
    (_, end_s), how = plan.periods[0], _how(plan)
    followed = _noted(ledger, plan)
    for begun in ledger.steps():
        _end_step(job, runtime, ledger, begun, followed)
    while followed.until_s < end_s and not followed.imbalances and not asked():
        step = next_step(followed.until_s, end_s, runtime.now_s(), how, plan.windows.width_s)
        if step is None:
            runtime.wait(POLL_S)
            continue
        begun = ledger.step(step[0])
        begun.create_from_store(make_transfer_plan(plan.request, (step,), runtime, plan.run_id, allow_empty=True)[0])
        _end_step(job, runtime, ledger, begun, followed)
    return followed


def _noted(ledger: Ledger, plan: StorePlan) -> Followed:
    """What was copied, as far as it was noted."""
    noted = ledger.followed()
    return Followed(**noted) if noted else Followed(plan.periods[0][0])


def _figures(followed: Followed) -> Figures:
    """For dashboards: after each step there are new ones."""
    return Figures(points=_rows(followed.read, "read"), buckets=followed.buckets, throttled_s=followed.throttled_s, until_s=followed.until_s)


def next_step(until_s: int, end_s: int, now_s: int, how: Following, window_s: int) -> Range | None:
    """What to copy next: steps that are over since `lag_s`, at most to the end of the source's window; None if the next one is not yet due."""
    over_s = now_s - how.lag_s
    due_s = end_s if over_s >= end_s else over_s // how.step_s * how.step_s
    to_s = min(due_s, (until_s // window_s + 1) * window_s)
    return (until_s, to_s) if to_s > until_s else None


def _end_step(job: CopyJob, runtime: Runtime, ledger: Ledger, step: Ledger, followed: Followed) -> None:
    """Copies what is missing of a step, adds it to what has been copied and forgets it."""
    if step.exists():
        plan = step.store_plan("copy")
        to_s = plan.periods[0][1]
        if to_s > followed.until_s:
            report = execute(job, runtime, step, plan)
            followed.add(to_s, report)
            ledger.append_lines("refused.jsonl", step.path / "refused.jsonl")
            ledger.note_followed(asdict(followed))
            runtime.say(f"copied {format_time(plan.periods[0][0])}/{format_time(to_s)}: {human_number(_rows(report['read'], 'stored'))} rows")
    step.remove()


def _how(plan: StorePlan) -> Following:
    if plan.request.follow is None:
        msg = f"the run {plan.run_id!r} is a copy of a period: go on with `rollups copy --plan {plan.run_id}`"
        raise UsageError(msg)
    return plan.request.follow


def _rows(read: dict[str, dict[str, int]], term: str) -> int:
    return sum(terms.get(term, 0) for terms in read.values())


def _exit_code(job: CopyJob, plan: StorePlan, followed: Followed) -> int:
    """The first that applies (DESIGN §4.9); what has no end is never incomplete."""
    if followed.imbalances:
        return 1
    if followed.until_s < plan.periods[0][1] < LAST_S:
        return IncompleteError.exit_code
    kept = ("refused",) if job.skip_live else ("refused", "left")
    if any(tally.get(name) for of_type in followed.buckets.values() for tally in of_type.values() for name in kept):
        return 5
    return 4 if followed.verification.get("different") or followed.verification.get("changed_since") else 0


def _data(plan: StorePlan, followed: Followed, *, state: str) -> dict[str, Any]:
    from_s, to_s = plan.periods[0]
    return {
        "run_id": plan.run_id,
        "command": "copy",
        "state": state,
        "from": plan.request.source,
        "store": plan.request.store,
        "start": format_time(from_s),
        "copied_until": format_time(followed.until_s),
        "end": format_time(to_s) if to_s < LAST_S else None,
        "steps": followed.steps,
        "read": followed.read,
        "buckets": followed.buckets,
        "imbalances": followed.imbalances,
        "throttled_s": followed.throttled_s,
        "verification": followed.verification,
    }


def followed_outcome(ledger: Ledger, plan: StorePlan, state: str) -> Outcome:
    """For `rollups status`: exit 0 if the end was reached, 3 while it follows or could go on."""
    data = _data(plan, _noted(ledger, plan), state=state)
    go_on = "" if state in ("running", "done") else f"\ngo on with  rollups copy --plan {plan.run_id}"
    return Outcome(exit_code=0 if ledger.report() else IncompleteError.exit_code, data=data, text=_text(data) + go_on)


def _text(data: dict[str, Any]) -> str:
    rows = [
        (f"{name} {granularity}", *(human_number(tally.get(what, 0)) for what in SHOWN))
        for name, of_type in data["buckets"].items()
        for granularity, tally in of_type.items()
        if any(tally.values())
    ]
    lines = [
        f"copy run {data['run_id']}: {data['state']}, copied {data['start']}/{data['copied_until']} in {human_number(data['steps'])} steps",
        f"from      {data['from']}",
        f"store     {data['store']}",
        "",
        table(("buckets", *SHOWN), rows),
        *([f"throttled {throttled_text(data['throttled_s'])}"] if data["throttled_s"] else []),
        *_verified_lines(data["verification"]),
        *(f"SUMS DIFFER  {sentence}" for sentence in data["imbalances"]),
    ]
    return "\n".join(lines)


def _verified_lines(sums: dict[str, int]) -> Iterator[str]:
    if sums.get("buckets"):
        buckets, different, changed = (human_number(sums[name]) for name in ("buckets", "different", "changed_since"))
        yield f"verified  {buckets} buckets read back, {different} different, {changed} changed since"
