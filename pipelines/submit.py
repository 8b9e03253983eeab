"""Hand the missing work of a run to Beam, again if need be, until the ledger says that nothing is missing."""

import re
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from configs.jobs import BackfillJob
from pipelines.runtime import Runtime
from transforms.core import errors
from transforms.core.errors import IncompleteError, RollupsError, UsageError
from transforms.core.transfer import AnyPlan, command_of
from transforms.core.undelivered import Undelivered
from transforms.steps.completion import missing_of, undelivered, undelivered_text
from transforms.steps.ledger import Ledger
from transforms.steps.pool import Crew, end_processes, start_processes

if TYPE_CHECKING:
    import apache_beam as beam

LOCAL_RUNNERS: Final = ("FnApiRunner", "DirectRunner")
"""Both mean Beam's FnApiRunner in this process: the name DirectRunner would first look for, and download, another one."""

PROCESSES_FROM_BYTES: Final = 24 << 20
"""Of stored objects, about 3 million points and 2 s of work: from there on worker processes are faster than threads."""

_BEAM: Final = ("apache_beam", "apache_beam.runners.portability.fn_api_runner.fn_runner", "transforms.steps.pipeline")

_ALL: Final = 1 << 31

_WHERE: Final = re.compile(r" \[while running '.*'\]$")
"""What Beam adds to the message of an error."""

_NAMED: Final = re.compile(r"transforms\.core\.errors\.(\w+): (.*?)(?: \[while running|$)", re.MULTILINE)


def get_ready(job: BackfillJob, runtime: Runtime, object_bytes: int) -> None:
    """Begins beside what this thread does with what `submit` needs a second for: imports and worker processes."""
    if processes := crew_of(job, runtime, object_bytes).processes:
        start_processes(processes)
    threading.Thread(target=lambda: [import_module(name) for name in _BEAM]).start()


def crew_of(job: "Execution", runtime: Runtime, object_bytes: int = 0) -> Crew:
    """Threads where a runner has workers of its own, and where worker processes would not pay: for one worker, and for little to read."""
    number = runtime.workers(job.workers)
    return Crew(number, number if job.runner in LOCAL_RUNNERS and number > 1 and object_bytes >= PROCESSES_FROM_BYTES else 0)


class Execution(Protocol):
    """How a job says that its run is executed."""

    @property
    def max_attempts(self) -> int:
        """How often missing work is submitted."""

    @property
    def workers(self) -> int:
        """Elements worked on at once, 0 for the processors."""

    @property
    def work_dir(self) -> str:
        """Where runs are kept, empty for the usual place."""

    @property
    def runner(self) -> str:
        """The Beam runner."""

    @property
    def beam_options(self) -> tuple[str, ...]:
        """Further options of Beam."""


Build = Callable[["beam.Pipeline", int], None]
"""Fills a pipeline; an element is up to so many groups or units."""


def submit(job: Execution, runtime: Runtime, ledger: Ledger, plan: AnyPlan, build: Build) -> None:
    """Runs the pipeline that `build` fills until no group and no unit is missing.

    Raises IncompleteError after `max_attempts`, and at once what is not worth another attempt.
    """
    for attempt in range(1, job.max_attempts + 1):
        if not missing_of(plan, ledger):
            return
        try:
            _run_pipeline(job, build)
        except (RuntimeError, RollupsError, OSError) as error:
            cause = _cause(error)
            if not cause.retryable or attempt == job.max_attempts:
                raise cause from error
            runtime.say(f"attempt {attempt} of {job.max_attempts} ended early, going on with what is missing: {cause}")
        else:
            _check_delivered(job, runtime, ledger, plan)
        finally:
            end_processes()
    if found := missing_of(plan, ledger):
        what = f"{len(found.groups)} read groups and {len(found.units)} units are missing"
        msg = f"after {job.max_attempts} attempts {what}: go on with `{runtime.resume_command(job.work_dir, plan.run_id, command_of(plan))}`"
        raise IncompleteError(msg)


def _check_delivered(job: Execution, runtime: Runtime, ledger: Ledger, plan: AnyPlan) -> None:
    """Raises Undelivered if all that is missing after an attempt that went well is what a writer did not take: another attempt would hardly be luckier."""
    found = missing_of(plan, ledger)
    if found and not found.groups and ledger.undelivered_units() >= set(map(str, found.units)):
        again = f"all else is written; to send them again, `{runtime.resume_command(job.work_dir, plan.run_id, command_of(plan))}`"
        raise Undelivered(f"{undelivered_text(undelivered(ledger))}; {again}")


def check_runner(runner: str) -> None:
    """Raises UsageError for a runner that Beam does not know."""
    if runner in LOCAL_RUNNERS:
        return
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(runner)
    except (ValueError, ImportError) as error:
        msg = f"--runner {runner!r}: {' '.join(str(error).split())}"
        raise UsageError(msg) from None


def _run_pipeline(job: Execution, build: Build) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    local = job.runner in LOCAL_RUNNERS
    options = PipelineOptions(["--runner", "FnApiRunner" if local else job.runner, *job.beam_options])
    pipeline = beam.Pipeline(options=options)
    build(pipeline, _ALL if local else 1)
    pipeline.run().wait_until_finish()


def _cause(error: Exception) -> RollupsError:
    """The project's error that a runner wrapped, by the name in its text; anything else can be tried again."""
    if isinstance(error, RollupsError):
        return type(error)(_WHERE.sub("", str(error)))
    if found := _NAMED.findall(str(error)):
        name, message = found[-1]
        return getattr(errors, name, IncompleteError)(message)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return IncompleteError(lines[-1])
