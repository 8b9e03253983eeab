"""Every command and every Python line that the README and the help show is run here, on a small archive in the place of /data."""

import gzip
import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.commands import COMMANDS
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.calls.cloudwatch_stand_in import cloudwatch

README = Path(__file__).parents[2] / "README.md"
RUN_ID = "20251109T124300-3f9a"
HOUR_S = 3600


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def shown_commands() -> list[str]:
    """Commands of the README, without the two that set up the machine: they are run by their own tests and by CI."""
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines() if line.startswith("scripts/")]
    return [line for line in lines if line not in ("scripts/run demo", "scripts/check")]


def write_object(archive: Path, time_s: int) -> None:
    at = datetime.fromtimestamp(time_s, UTC)
    points = [{"name": "loadavg5", "time": time_s + minute * 60, "value": minute / 4} for minute in range(0, 60, 5)]
    host = {"type": "host", "org": "acme", "hostId": "4Hk", "roles": ["web:app"], "receivedAt": time_s + HOUR_S, "metrics": points}
    service = {"type": "service", "org": "acme", "service": "shop", "receivedAt": time_s + HOUR_S, "metrics": points}
    path = archive / at.strftime("%Y/%m/%d/%H") / at.strftime("metrics-1-%Y-%m-%d-%H-%M-%S-0000.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, (host, service))).encode()))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What /data stands for: an archive of some hours of autumn 2025 and of the last hours."""
    now_s = int(time.time()) // HOUR_S * HOUR_S
    autumn_s = int(datetime(2025, 10, 31, tzinfo=UTC).timestamp())
    for time_s in (*range(autumn_s, autumn_s + 48 * HOUR_S, 4 * HOUR_S), now_s - 3 * HOUR_S):
        write_object(tmp_path / "archive", time_s)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def run(command: str, data: Path) -> None:
    words = [word.replace("/data", str(data)) for word in shlex.split(command)]
    assert main(words[1:]) == 0, command


def test_the_commands_of_the_readme_work(data: Path) -> None:
    commands = shown_commands()
    assert {shlex.split(command)[1] for command in commands} == {"plan", "backfill", "status", "export", "undo", "recalculate", "copy", "compare"}
    for command in commands:
        run(command, data)


def test_the_python_of_the_readme_works(data: Path) -> None:
    run("rollups backfill --archive file:///data/archive --store parquet:///data/rollups --period 2025-11-01T00:00Z/P1D", data)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(block.replace("/data", str(data)), names)  # noqa: S102 - the README's own lines
        assert len(names["frame"])
    assert len(names["rows"]) == 5


def test_the_postings_of_the_readme_are_decoded(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("json")
    folder = data / "shown" / "2025" / "11" / "01" / "12"
    folder.mkdir(parents=True)
    (folder / "metrics-1-2025-11-01-12-26-40-0000").write_text(block, "utf-8")
    assert (
        main(["backfill", "--archive", f"file://{data}/shown", "--store", f"parquet://{data}/shown-rollups", "--period", "2025-11-01T00:00Z/P1D", "--json"])
        == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["records"] == {"read": 3, "decoded": 3, "dead_letters": 0}
    assert {name: terms["stored"] for name, terms in report["points"].items() if terms} == {"host": 2, "role": 1, "service": 1}


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[str]:
    """The service that `dynamodb://` means; what is used of the table stands in for CloudWatch."""
    minutes = dict.fromkeys(range(int(time.time()) // 60 * 60 - 900, int(time.time()) + 900, 60), 600)
    metrics = {("AWS/DynamoDB", f"Consumed{kind}CapacityUnits", "Sum", "TableName=rollups"): minutes for kind in ("Read", "Write")}
    with aws_environment(), ministack() as url, cloudwatch() as stand_in, pytest.MonkeyPatch.context() as patch:
        stand_in.minutes.update(metrics)
        patch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", stand_in.url)
        yield url


def test_the_examples_of_the_help_work(data: Path, dynamodb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
    planned = f"rollups plan --archive file:///data/archive --store parquet:///data/rollups --period 2025-11-01T00:00Z/P1D --run-id {RUN_ID}"
    run(planned, data)
    for command in COMMANDS:
        assert command.examples, command.name
        for example in command.examples:
            run(example, data)


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_the_help_shows_every_option_and_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    command = next(one for one in COMMANDS if one.name == name)
    assert all(f"--{option.name}" in shown for option in command.options)
    assert all(example in shown for example in command.examples)
