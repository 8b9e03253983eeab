"""Defaults from a YAML file: what is taken, and what each mistake is answered with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.loader import load_config
from configs.options import BACKFILL_OPTIONS, EXPORT_OPTIONS
from pipelines.cli import main
from transforms.core.errors import UsageError

Write = Callable[[str | bytes], str]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes a configuration and returns its path."""

    def write(text: str | bytes) -> str:
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def message(path: str) -> str:
    with pytest.raises(UsageError) as raised:
        load_config(path, BACKFILL_OPTIONS)
    assert raised.value.exit_code == 2
    text = str(raised.value)
    assert "\n" not in text
    assert path in text
    return text


def test_values_are_parsed_as_on_the_command_line(written: Write) -> None:
    path = written(
        """
        archive: file:///data/archive
        period: [2025-11-01T00:00Z/PT6H, -24h/now]
        org: acme
        metric_types: host,service
        granularities: [1h, 5m]
        workers: 3
        allow_fewer: true
        default_org: "007"
        """
    )
    assert load_config(path, BACKFILL_OPTIONS) == {
        "archive": "file:///data/archive",
        "period": ("2025-11-01T00:00Z/PT6H", "-24h/now"),
        "org": ("acme",),
        "metric_types": ("host", "service"),
        "granularities": ("1h", "5m"),
        "workers": 3,
        "allow_fewer": True,
        "default_org": "007",
    }


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file_gives_nothing(written: Write, text: str) -> None:
    assert load_config(written(text), BACKFILL_OPTIONS) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("perod: -24h/now", "unknown key 'perod'; did you mean period?"),
        ("metric-types: host", "unknown key 'metric-types'; did you mean metric_types?"),
        ("zzz: 1", "unknown key 'zzz'"),
        ("config: other.yaml", "unknown key 'config'"),
        ("12: 1", "unknown key"),
        ("workers: many", "workers: 'many' is no whole number of at least 1"),
        ("workers: 0", "workers: '0' is no whole number of at least 1"),
        ("workers: 1.5", "workers: '1.5' is no whole number of at least 1"),
        ("workers: [1, 2]", "workers: '1,2' is no whole number of at least 1"),
        ("late_s: -1", "late_s: '-1' is no whole number of at least 0"),
        ("edge: {a: 1}", "edge: {'a': '1'} is not a value for expand|clip|fail"),
        ("edge: widen", "edge: 'widen' is no edge policy: choose expand, clip, fail"),
        ("metric_types: [host, hots]", "metric_types: 'hots' is no metric type: choose service, labeled, role, host"),
        ("granularities: [5m, 5m]", "granularities: '5m,5m' names a granularity twice"),
        ("allow_fewer: 1", "allow_fewer: '1' is neither true nor false"),
        ("allow_fewer: yes", "allow_fewer: 'yes' is neither true nor false"),
        ("late_s: 0x10", "late_s: '0x10' is no whole number of at least 0"),
        ("workers: 1\nworkers: 2", "the key 'workers' stands there twice"),
        ("org: [[acme]]", "org: ['acme'] is not a value for NAME"),
        ("period: {from: now}", "period: {'from': 'now'} is not a value for FROM/TO"),
        ("- period", "is a list: it must be a mapping of option names to values"),
        ("archive", "is a str: it must be a mapping of option names to values"),
        ("period: [", "is no YAML"),
        (b"archive: \xff", "is no YAML"),
    ],
)
def test_mistakes_are_answered_with_file_and_key(written: Write, text: str | bytes, told: str) -> None:
    assert told in message(written(text))


def test_one_file_may_serve_several_commands(written: Write) -> None:
    assert load_config(written("workers: 2\nstore: parquet:///data/rollups"), EXPORT_OPTIONS) == {"store": "parquet:///data/rollups"}


def test_texts_are_taken_as_they_stand(written: Write) -> None:
    """YAML would make booleans, octal numbers and others of these."""
    assert load_config(written("yes: true\ndefault_org: 0123\nrun_id: 2025_11_09\norg: [no, 1e3]"), BACKFILL_OPTIONS) == {
        "yes": True,
        "default_org": "0123",
        "run_id": "2025_11_09",
        "org": ("no", "1e3"),
    }


def test_tags_run_nothing(written: Write, tmp_path: Path) -> None:
    target = tmp_path / "made"
    load_config(written(f"org: !!python/object/apply:os.mkdir [{target}]"), BACKFILL_OPTIONS)
    assert not target.exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert message(str(tmp_path / "none.yaml")).endswith("No such file or directory")
    assert "Is a directory" in message(str(tmp_path))


def test_the_file_gives_defaults_and_the_command_line_wins(written: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(f"work_dir: {tmp_path / 'of-the-file'}")
    assert main(["runs", "--config", path]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path / 'of-the-file' / 'runs'}\n"
    assert main(["runs", "--config", path, "--work-dir", str(tmp_path / "typed")]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path / 'typed' / 'runs'}\n"
    assert main(["runs", "--work-dir", str(tmp_path / "typed"), "--config", path]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path / 'typed' / 'runs'}\n"


def test_several_values_of_the_command_line_replace_those_of_the_file(written: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(f"store: parquet://{tmp_path}/store\ngranularity: 1h\nperiod: not-a-period")
    (tmp_path / "store").mkdir()
    assert main(["export", "--config", path, "--period", "2025-11-01T00:00Z/PT1H"]) == 0
    assert main(["export", "--config", path]) == 2
    assert capsys.readouterr().err.startswith("rollups: the period 'not-a-period' is not FROM/TO")


def test_a_flag_of_the_file_counts(written: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--config", written(f"json: true\nwork_dir: {tmp_path}")]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_a_required_option_may_come_from_the_file(written: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = written("granularity: 5m\nperiod: -1h/now")
    assert main(["export", "--config", path]) == 2
    assert capsys.readouterr().err.startswith("rollups: --store is missing")


def test_mistakes_in_the_file_end_the_command_with_2(written: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = written("wrk_dir: x")
    assert main(["runs", "--config", path]) == 2
    assert capsys.readouterr().err == f"rollups: {path}: unknown key 'wrk_dir'; did you mean work_dir?\n"
