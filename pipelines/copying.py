"""`rollups copy`: stored rollups to another store, for periods or following time. `transferring.build` is its table of contents."""

from configs.store_jobs import CopyJob
from pipelines.following import follow
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime
from pipelines.transferring import run_transfer


def run(job: CopyJob, runtime: Runtime) -> Outcome:
    """Plans or resumes a run, copies what is missing of it, and reports from its ledger."""
    planned = runtime.ledger(job.work_dir, job.plan).store_plan("copy") if job.plan else None
    follows = planned.request.follow is not None if planned else job.follow
    return follow(job, runtime) if follows else run_transfer(job, runtime, "copy")


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("copy")
