"""Which Beam runner executes a run, and what it is told so that its workers have all that they need."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from transforms.core.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

LOCAL_RUNNERS: Final = ("FnApiRunner", "DirectRunner")
"""Both mean Beam's FnApiRunner in this process: the name DirectRunner would first look for, and download, another one."""

ON_THIS_MACHINE: Final = (*LOCAL_RUNNERS, "PrismRunner")
"""Their workers see the files that this process sees."""

_JOB: Final = "rollups-"
_UNFIT: Final = re.compile(r"[^a-z0-9-]+")

SETUP_FILE: Final = Path(__file__).resolve().parents[1] / "setup.py"
"""Of this checkout; installed from a wheel there is none."""


def check_runner(runner: str, *, shared_folders: bool) -> None:
    """Raises UsageError for a runner that Beam does not know, and for one whose workers would not see the work dir."""
    if runner in LOCAL_RUNNERS:
        return
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(runner)
    except (ValueError, ImportError) as error:
        msg = f"--runner {runner!r}: {' '.join(str(error).split())}"
        raise UsageError(msg) from None
    if runner not in ON_THIS_MACHINE and not shared_folders:
        msg = (
            f"--runner {runner!r}: its workers are on other machines, and plan, staging and ledger are in a folder of this one; name a --work-dir that all of"
            " them have mounted at the same path, like every other folder that the command names, and say so with --shared-folders"
        )
        raise UsageError(msg)


def pipeline_options(runner: str, beam_options: Sequence[str], run_id: str, setup_file: Path = SETUP_FILE) -> "PipelineOptions":
    """Beam's options. Workers that are not of this process are sent this checkout's distribution, unless an image or another setup file brings it.

    On Dataflow the job is named after the run and labelled with its id, unless other names are given.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, PortableOptions, SetupOptions, WorkerOptions

    options = PipelineOptions(["--runner", "FnApiRunner" if runner in LOCAL_RUNNERS else runner, *beam_options])
    setup = options.view_as(SetupOptions)
    is_brought = setup.setup_file or options.view_as(WorkerOptions).sdk_container_image
    if not is_brought and not _works_in_this_process(runner, options.view_as(PortableOptions).environment_type):
        if not setup_file.exists():
            msg = (
                f"--runner {runner!r}: workers need this distribution, and {str(setup_file)!r} is not there to make it of: run a checkout,"
                " or name --setup_file or an --sdk_container_image that has it"
            )
            raise UsageError(msg)
        setup.setup_file = str(setup_file)
    if runner == "DataflowRunner":
        setup.save_main_session = "--save_main_session" in beam_options  # its default would pickle what the command happens to have imported
        of_cloud, name = options.view_as(GoogleCloudOptions), job_name(run_id)
        of_cloud.job_name = of_cloud.job_name or name
        of_cloud.labels = [*(of_cloud.labels or ()), f"rollups_run={name.removeprefix(_JOB)}"]
    return options


def job_name(run_id: str) -> str:
    """Of lower-case letters, digits and hyphens, as Dataflow wants it (https://cloud.google.com/dataflow/docs/reference/pipeline-options)."""
    return _JOB + _UNFIT.sub("-", run_id.lower()).strip("-")


def _works_in_this_process(runner: str, environment_type: str | None) -> bool:
    """The runners of this machine do so unless they are told otherwise; the multi-processing FnApiRunner starts the Python that it runs in."""
    return runner in LOCAL_RUNNERS or environment_type == "LOOPBACK" or (runner in ON_THIS_MACHINE and not environment_type)
