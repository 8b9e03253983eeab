"""`rollups resume RUN_ID`: a paused run goes on."""

from dataclasses import replace

from configs.jobs import ControlJob
from pipelines.controlling import tell
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime


def run(job: ControlJob, runtime: Runtime) -> Outcome:
    """Exit 0; lifts the pauses of users and guards (a guard that is still red pauses again)."""
    return tell(
        job,
        runtime,
        "resumed",
        lambda wishes, _: replace(wishes, pauses={}),
        lambda _, state: f"run {job.run_id} goes on" + ("" if state == "running" else " when it is taken up again"),
    )


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("resume")
