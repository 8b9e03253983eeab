"""The question before a run writes to a store that is not local (DESIGN §6)."""

from collections.abc import Iterable, Iterator

from pipelines.costs import planned_data, planned_lines
from pipelines.outcome import human_duration, human_number
from pipelines.runtime import Runtime
from transforms.core.errors import RefusedError
from transforms.core.granularity import WIDTH_S
from transforms.core.live import left_text
from transforms.core.plan import Plan
from transforms.core.time import format_period
from transforms.core.transfer import AnyPlan
from transforms.stores.protocol import RollupStore


def confirm(plan: Plan, store: RollupStore, runtime: Runtime, *, yes: bool) -> None:
    """Shows what the run will do and asks, unless the answer is `yes` already. Raises RefusedError unless it is yes."""
    if not (yes or plan.request.dry_run):
        confirm_shown(plan, store, runtime, [*_shown(plan, store), *_costs(plan, runtime)])


def confirm_shown(plan: AnyPlan, store: RollupStore, runtime: Runtime, lines: Iterable[str]) -> None:
    """Shows these lines and asks, unless the store is local. Raises RefusedError unless the answer is yes."""
    if store.traits.is_local:
        return
    for line in lines:
        runtime.say(line)
    if not runtime.terminal:
        msg = f"writing to {plan.request.store}, which is not local, needs a yes and there is no terminal to ask at: repeat the command with --yes"
        raise RefusedError(msg)
    if not runtime.ask("write these rollups?"):
        msg = f"run {plan.run_id}: nothing was written to {plan.request.store}"
        raise RefusedError(msg)


def _shown(plan: Plan, store: RollupStore) -> Iterator[str]:
    estimate = plan.estimate
    yield f"store       {plan.request.store}"
    yield from (f"{name:11} {value}" for name, value in store.facts())
    yield from (f"warning     {one}" for one in store.warnings())
    yield from (f"period      {format_period(one)}" for one in plan.periods)
    buckets = ", ".join(f"{name} {human_number(_buckets(plan, name))}" for name in plan.request.granularities)
    yield f"buckets     at most {buckets} in about {human_number(estimate.series)} series"
    if left := left_text(plan.left):
        yield f"left        to the live writer: {left}"
    yield f"duration    about {human_duration(estimate.duration_s)}, longer where the store takes fewer writes"


def _costs(plan: Plan, runtime: Runtime) -> Iterator[str]:
    """Of runs whose calls are counted."""
    if meter := runtime.limits.meter:
        rates, estimate = runtime.limits.control.wishes().rates, plan.estimate
        yield from planned_lines(planned_data(plan.expected, meter.budget, rates, duration_s=estimate.duration_s, now_s=runtime.now_s()))


def _buckets(plan: Plan, granularity: str) -> int:
    times_s = sum(to_s - from_s for from_s, to_s in plan.selection.computed[granularity])
    return plan.estimate.series * times_s // WIDTH_S[granularity]
