"""`rollups runs`: the runs of a work dir."""

from pathlib import Path
from typing import Any

from configs.jobs import RunsJob
from pipelines.outcome import Outcome, table
from pipelines.progress import Watch
from pipelines.runtime import Runtime
from transforms.core.errors import UsageError
from transforms.core.time import format_period, format_time
from transforms.core.transfer import StorePlan
from transforms.steps.ledger import Ledger


def run(job: RunsJob, runtime: Runtime) -> Outcome:
    """All planned, running, interrupted and finished runs, the latest first."""
    runs_dir = runtime.runs_dir(job.work_dir)
    ledgers = [Ledger(str(path)) for path in (runs_dir.iterdir() if runs_dir.is_dir() else ()) if (path / "plan.json").exists()]
    runs = sorted((_run(one) for one in ledgers), key=lambda one: (one["planned"], one["run_id"]), reverse=True)
    return Outcome(exit_code=0, data=runs, text=_text(runs, runs_dir))


def _run(ledger: Ledger) -> dict[str, Any]:
    try:
        plan = ledger.any_plan()
    except UsageError:  # a plan of another version: the others are listed all the same
        unknown = {"planned": "", "state": f"{state_of(ledger)}, by another version", "done": float(ledger.report() is not None)}
        return {"run_id": ledger.path.name, **unknown, "periods": [], "metric_types": [], "store": ""}
    return {
        "run_id": plan.run_id,
        "planned": format_time(plan.created_s),
        "state": state_of(ledger),
        "done": _done(ledger),
        "periods": [format_period(one) for one in plan.periods],
        "metric_types": list(plan.request.metric_types),
        "store": plan.request.store,
    }


def _done(ledger: Ledger) -> float:
    plan = ledger.any_plan()
    if isinstance(plan, StorePlan) and plan.request.follow:
        return float(ledger.report() is not None)
    return 1.0 if ledger.report() else Watch(ledger, plan, 0.0).snapshot(0.0).fraction


def state_of(ledger: Ledger) -> str:
    """`planned`, `running`, `interrupted`, `undone`, or what the report says."""
    if ledger.is_undone():
        return "undone"
    if report := ledger.report():
        return str(report["state"]) + (" (dry run)" if report["dry_run"] else "")
    if ledger.is_locked():
        return "running"
    return "interrupted" if ledger.staged() or ledger.recorded_units() or ledger.followed() else "planned"


def _text(runs: list[dict[str, Any]], runs_dir: Path) -> str:
    if not runs:
        return f"no runs in {runs_dir}"
    rows = [(one["run_id"], one["planned"], one["state"], f"{one['done']:.0%}", ",".join(one["metric_types"]), " ".join(one["periods"])) for one in runs]
    return table(("run", "planned", "state", "done", "metric types", "period"), rows)


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("runs")
