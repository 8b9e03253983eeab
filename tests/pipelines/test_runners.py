"""Which runners are taken, and what is sent along for their workers."""

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import DebugOptions, FlinkRunnerOptions, GoogleCloudOptions, PortableOptions, SetupOptions, StandardOptions

from pipelines.cli import main
from pipelines.runners import SETUP_FILE, check_runner, pipeline_options
from transforms.core.errors import UsageError

PROCESS = ("--environment_type=PROCESS", '--environment_config={"command":"/opt/boot"}')


@pytest.mark.parametrize("runner", ["FnApiRunner", "DirectRunner", "PrismRunner"])
def test_runners_of_this_machine_need_no_word_about_folders(runner: str) -> None:
    check_runner(runner, shared_folders=False)


@pytest.mark.parametrize("runner", ["FlinkRunner", "PortableRunner", "SparkRunner"])
def test_others_are_refused_unless_folders_are_shared(runner: str) -> None:
    with pytest.raises(UsageError, match=f"--runner '{runner}': its workers are on other machines.*say so with --shared-folders"):
        check_runner(runner, shared_folders=False)
    check_runner(runner, shared_folders=True)


def test_a_runner_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"'Flonk': Unexpected pipeline runner: Flonk\. Valid values are"):
        check_runner("Flonk", shared_folders=True)


@pytest.mark.parametrize(
    ("runner", "more", "sent"),
    [
        ("FnApiRunner", (), False),
        ("DirectRunner", ("--direct_num_workers=2", "--direct_running_mode=multi_processing"), False),
        ("PrismRunner", (), False),
        ("PrismRunner", ("--environment_type=LOOPBACK",), False),
        ("PrismRunner", PROCESS, True),
        ("FlinkRunner", (), True),
        ("FlinkRunner", PROCESS, True),
        ("FlinkRunner", ("--sdk_container_image=registry.example.com/rollups:1",), False),
        ("FlinkRunner", ("--environment_type=LOOPBACK",), False),
    ],
)
def test_workers_elsewhere_are_sent_this_distribution(runner: str, more: tuple[str, ...], sent: bool) -> None:
    options = pipeline_options(runner, more, "r1")
    assert options.view_as(SetupOptions).setup_file == (str(SETUP_FILE) if sent else None)
    assert not options.view_as(SetupOptions).save_main_session
    assert options.view_as(StandardOptions).runner == ("FnApiRunner" if runner == "DirectRunner" else runner)


def test_a_setup_file_that_is_named_is_sent_instead() -> None:
    assert pipeline_options("FlinkRunner", ("--setup_file=/opt/other/setup.py",), "r1").view_as(SetupOptions).setup_file == "/opt/other/setup.py"


def test_without_one_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there to make it of: run a checkout, or name --setup_file or an --sdk_container_image"):
        pipeline_options("FlinkRunner", (), "r1", tmp_path / "setup.py")


def test_a_work_dir_is_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--work-dir", "s3://bucket/runs"]) == 2
    assert "--work-dir: 's3://bucket/runs' is a URL: name a folder of this machine, or one that is mounted" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["1.19", "1.20", "2.0", "2.2"])
def test_options_of_flink_are_passed_on(version: str) -> None:
    more = (f"--flink_version={version}", "--flink_master=jobs.example.com:8081", "--parallelism=4", "--max_parallelism=64", "--experiments=some")
    options = pipeline_options("FlinkRunner", (*more, *PROCESS), "r1")
    flink = options.view_as(FlinkRunnerOptions)
    assert (flink.flink_version, flink.flink_master, flink.parallelism, flink.max_parallelism) == (version, "jobs.example.com:8081", 4, 64)
    assert options.view_as(DebugOptions).experiments == ["some"]
    assert options.view_as(PortableOptions).environment_type == "PROCESS"


@pytest.mark.parametrize(
    ("run_id", "name"), [("20251109T124300-3f9a", "rollups-20251109t124300-3f9a"), ("November.2_x", "rollups-november-2-x"), ("9" * 64, "rollups-" + "9" * 64)]
)
def test_a_job_of_dataflow_is_named_after_its_run(run_id: str, name: str) -> None:
    options = pipeline_options("DataflowRunner", ("--labels=team=sre",), run_id).view_as(GoogleCloudOptions)
    assert (options.job_name, options.labels) == (name, ["team=sre", f"rollups_run={name.removeprefix('rollups-')}"])
    assert pipeline_options("DataflowRunner", ("--job_name=mine",), run_id).view_as(GoogleCloudOptions).job_name == "mine"
