"""`rollups throttle RUN_ID --s3-get-per-s N …`: other limits for a run while it runs."""

from dataclasses import replace

from configs.jobs import ThrottleJob
from pipelines.controlling import tell
from pipelines.outcome import Outcome, table
from pipelines.runtime import Runtime
from transforms.calls.control import Wishes
from transforms.core.limits import LIMITS, changed


def run(job: ThrottleJob, runtime: Runtime) -> Outcome:
    """Exit 0; what is not named stays as it is."""
    asked = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in job.rates.items())
    return tell(job, runtime, f"throttled to {asked}", lambda wishes, _: replace(wishes, rates=changed(wishes.rates, job.rates)), _text)


def _text(wishes: Wishes, _state: str) -> str:
    limits = wishes.rates.named()
    rows = [(one.name, str(limits[one.name]), one.counts) for one in LIMITS]
    return f"these limits hold for the run, together with all others of its work dir\n\n{table(('limit', 'now', 'of'), rows)}"


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("throttle")
