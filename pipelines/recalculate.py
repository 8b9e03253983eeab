"""`rollups recalculate`: coarser rollups from stored finer ones, where only they were lost. `transferring.build` is its table of contents."""

from configs.store_jobs import RecalculateJob
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime
from pipelines.transferring import run_transfer


def run(job: RecalculateJob, runtime: Runtime) -> Outcome:
    """Plans or resumes a run, recalculates what is missing of it, and reports from its ledger."""
    return run_transfer(job, runtime, "recalculate")


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("recalculate")
