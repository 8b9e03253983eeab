"""Hand the missing work of a run to Beam, again if need be, until the ledger says that nothing is missing."""

import gc
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from configs.jobs import BackfillJob
from pipelines.runners import LOCAL_RUNNERS, pipeline_options
from pipelines.runtime import Runtime
from transforms.core import errors
from transforms.core.errors import IncompleteError, RollupsError
from transforms.core.plan import Plan
from transforms.core.transfer import AnyPlan, command_of
from transforms.core.undelivered import Undelivered
from transforms.steps.completion import missing_of, undelivered, undelivered_text
from transforms.steps.ledger import Ledger
from transforms.steps.pool import Crew, begin, end_processes, start_processes
from transforms.steps.worker import Worker

if TYPE_CHECKING:
    import apache_beam as beam

PROCESSES_FROM_BYTES: Final = 24 << 20
"""Of stored objects, about 3 million points and 2 s of work: from there on worker processes are faster than threads."""

SAMPLED_EVERY_MS: Final = 5

BEGUN_GROUPS: Final = 16
"""So many read groups for each worker process, about 4 s of work, are begun before Beam is imported."""

_BEAM: Final = ("apache_beam", "apache_beam.runners.portability.fn_api_runner.fn_runner", "transforms.steps.pipeline")

_ALL: Final = 1 << 31

_WHERE: Final = re.compile(r" \[while running '.*'\]$")
"""What Beam adds to the message of an error."""

_NAMED: Final = re.compile(r"transforms\.core\.errors\.(\w+): (.*?)(?: \[while running|$)", re.MULTILINE)


def get_ready(job: BackfillJob, runtime: Runtime, object_bytes: int) -> None:
    """Begins beside what this thread does with the imports that `submit` needs half a second for, unless there will be processes to work meanwhile."""
    if not crew_of(job, runtime, object_bytes).processes:
        threading.Thread(target=lambda: [import_module(name) for name in _BEAM]).start()


def start_workers(job: BackfillJob, runtime: Runtime, object_bytes: int) -> None:
    """Starts the worker processes, if there will be any; not while the ledger's lock is held: they would hold it for a moment longer than this process."""
    start_processes(crew_of(job, runtime, object_bytes).processes)


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


def submit(job: Execution, runtime: Runtime, ledger: Ledger, plan: AnyPlan, build: Build, begin_work: Callable[[], None] = lambda: None) -> None:
    """Runs the pipeline that `build` fills until no group and no unit is missing; `begin_work` is called before Beam is imported, with every attempt.

    Raises IncompleteError after `max_attempts`, and at once what is not worth another attempt.
    """
    for attempt in range(1, job.max_attempts + 1):
        if not missing_of(plan, ledger):
            return
        try:
            begin_work()
            _run_pipeline(job, build, plan.run_id)
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


def staging_begun(ledger: Ledger, plan: Plan, crew: Crew) -> Callable[[], None]:
    """Gives the crew's processes, if there are any, the first read groups, so that they work while this one imports Beam and builds the pipeline."""
    return lambda: begin(crew, Worker(str(ledger.path)).stage, ((group,) for group in range(len(plan.groups))[: crew.processes * BEGUN_GROUPS]))


def _run_pipeline(job: Execution, build: Build, run_id: str) -> None:
    with _uncollected():
        import apache_beam as beam

    local = job.runner in LOCAL_RUNNERS
    pipeline = beam.Pipeline(options=pipeline_options(job.runner, job.beam_options, run_id))
    build(pipeline, _ALL if local else 1)
    with _sampled_often() if local else nullcontext():
        pipeline.run().wait_until_finish()


@contextmanager
def _uncollected() -> Iterator[None]:
    """While modules are imported next to nothing becomes garbage, and looking for it takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _sampled_often() -> Iterator[None]:
    """Beam looks every 200 ms which step a bundle of this process is in, and its end waits for the next look: once for every type, with idle workers."""
    from apache_beam.runners.worker import statesampler

    sampler = statesampler.StateSampler
    statesampler.StateSampler = partial(sampler, sampling_period_ms=SAMPLED_EVERY_MS)  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        statesampler.StateSampler = sampler  # type: ignore[misc]


def _cause(error: Exception) -> RollupsError:
    """The project's error that a runner wrapped, by the name in its text; anything else can be tried again."""
    if isinstance(error, RollupsError):
        return type(error)(_WHERE.sub("", str(error)))
    if found := _NAMED.findall(str(error)):
        name, message = found[-1]
        return getattr(errors, name, IncompleteError)(message)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return IncompleteError(lines[-1])
