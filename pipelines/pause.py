"""`rollups pause RUN_ID`: all workers of the run wait."""

from dataclasses import replace

from configs.jobs import ControlJob
from pipelines.controlling import USER, tell
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime


def run(job: ControlJob, runtime: Runtime) -> Outcome:
    """Exit 0; the pause outlives the processes that work on the run."""
    return tell(
        job,
        runtime,
        "paused",
        lambda wishes, who: replace(wishes, pauses={**wishes.pauses, USER: f"by {who}"}),
        lambda _, state: (
            f"run {job.run_id} is paused: "
            + ("its workers stop within seconds" if state == "running" else "it is not running; when it is taken up again it waits")
            + f". Go on with  {runtime.command('resume', job.run_id, job.work_dir)}"
        ),
    )


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("pause")
