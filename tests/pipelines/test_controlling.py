"""Limits, `rollups pause`, `resume` and `throttle`, and an end in good order: what real processes ask of a server, by the server's own record."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from scripts.local_servers import valkey
from tests.archive import s3_servers
from tests.archive.s3_servers import Recorder
from tests.builders import NOON_S
from tests.pipelines.worlds import World, gauge, key
from transforms.steps.ledger import Ledger

OBJECTS = 120
MINDED_S = 5.0
"""Within which every worker minds a wish."""


class Run:
    """A backfill of an archive in S3, in a process of its own with two worker processes."""

    def __init__(self, folder: Path, recorder: Recorder, *more: str) -> None:
        self.recorder, self.work = recorder, folder / "work"
        self.store = folder / "store"
        url = f"s3://archive/m?endpoint_url={recorder.url}&region=us-east-1"
        self.options = [
            "--archive",
            url,
            "--store",
            f"parquet://{self.store}",
            "--period",
            "2025-11-01T12:00Z/PT3H",
            "--metric-types",
            "host",
            "--ramp-double-s",
            "1",
        ]
        self.run_id = "r"
        self.process = self.start(*self.options, "--run-id", self.run_id, *more)

    def start(self, *options: str) -> subprocess.Popen[str]:
        code = "import sys; import pipelines.submit as one; one.PROCESSES_FROM_BYTES = 0; from pipelines.cli import run; run(sys.argv[1:])"
        words = [sys.executable, "-c", code, "backfill", "--work-dir", str(self.work), "--workers", "2", "--json", *options]
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONPATH": "."}
        )

    def command(self, name: str, *more: str) -> None:
        assert main([name, self.run_id, "--work-dir", str(self.work), *more]) == 0

    def got(self) -> list[float]:
        """When objects were asked for."""
        return [at for at, (operation, _, _) in zip(self.recorder.times, self.recorder.requests, strict=False) if operation == "GetObject"]

    def whole(self) -> list[str]:
        """Keys of objects that were asked for, but for the parts that the plan looks at."""
        return [key for operation, key, headers in self.recorder.requests if operation == "GetObject" and "Range" not in headers]

    def until_got(self, number: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.got()) < number:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ended(self) -> tuple[int, dict[str, Any], str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, json.loads(out) if out.strip() else {}, err


def most_in_a_second(moments: list[float]) -> int:
    return max(sum(begin <= moment < begin + 1 for moment in moments) for begin in moments)


@contextmanager
def archive_of_objects(tmp_path: Path) -> Iterator[Recorder]:
    """OBJECTS small objects in the bucket `archive` of a server that notes what it is asked for."""
    with s3_servers.aws_environment(), s3_servers.served("versitygw", tmp_path) as url, s3_servers.recorded(url) as recorder:
        client = s3_servers.client(url)
        client.create_bucket(Bucket="archive")
        world = World(tmp_path / "files", types="host")
        for number in range(OBJECTS):
            at = number * 90
            world.put(key(NOON_S + at, f"{number:04d}"), gauge("cpu", {at - at % 60: float(number)}, at=at + 1))
        for path in sorted(world.archive.rglob("*")):
            if path.is_file():
                client.put_object(Bucket="archive", Key=f"m/{path.relative_to(world.archive)}", Body=path.read_bytes())
        yield recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with archive_of_objects(tmp_path) as made:
        yield made


@pytest.mark.slow
class TestRuns:
    def test_all_workers_together_keep_the_limit_and_use_it(self, tmp_path: Path, recorder: Recorder) -> None:
        run = Run(tmp_path, recorder, "--s3-get-per-s", "20")
        code, report, err = run.ended()
        assert code == 0, err
        got = run.got()
        assert len(got) >= OBJECTS
        assert most_in_a_second(got) <= 20
        middle = [one for one in got if got[10] <= one < got[-10]]
        assert len(middle) / (middle[-1] - middle[0]) >= 0.85 * 20
        assert report["throttled_s"]["s3"]["limit"] > 1

    def test_a_second_run_on_the_work_dir_shares_the_limit(self, tmp_path: Path, recorder: Recorder) -> None:
        first = Run(tmp_path, recorder, "--s3-get-per-s", "20")
        first.until_got(5)
        second = first.start(*[one.replace("/store", "/other") for one in first.options], "--run-id", "other", "--s3-get-per-s", "20")
        assert first.ended()[0] == 0
        second.communicate(timeout=120)
        assert second.returncode == 0
        assert len(first.got()) >= 2 * OBJECTS
        assert most_in_a_second(first.got()) <= 20

    def test_a_paused_run_asks_for_nothing_until_it_is_resumed(self, tmp_path: Path, recorder: Recorder) -> None:
        run = Run(tmp_path, recorder, "--s3-get-per-s", "20")
        run.until_got(10)
        run.command("pause")
        paused = time.monotonic()
        time.sleep(MINDED_S + 2)
        assert run.process.poll() is None
        assert [one for one in run.got() if one > paused + MINDED_S] == []
        run.command("resume")
        resumed = time.monotonic()
        code, report, err = run.ended()
        assert code == 0, err
        assert min(one for one in run.got() if one > resumed) < resumed + MINDED_S
        assert report["throttled_s"]["s3"]["paused"] > MINDED_S
        assert "paused by" in err
        logged = [one["told"].split(" by ")[0] for one in map(json.loads, (run.work / "runs" / "r" / "log.jsonl").read_text().splitlines())]
        assert logged == ["paused", "resumed"]

    def test_a_throttled_run_goes_at_its_new_rate_within_seconds(self, tmp_path: Path, recorder: Recorder) -> None:
        run = Run(tmp_path, recorder, "--s3-get-per-s", "10")
        run.until_got(10)
        run.command("throttle", "--s3-get-per-s", "40")
        changed = time.monotonic()
        code, _, err = run.ended()
        assert code == 0, err
        assert most_in_a_second([one for one in run.got() if one < changed]) <= 10
        after = [one for one in run.got() if one > changed + MINDED_S]
        assert most_in_a_second(run.got()) <= 40
        assert len(after) < 2 or len(after) / (after[-1] - after[0] + 1) > 20

    def test_who_is_asked_to_end_finishes_what_was_begun_and_goes_on_later(self, tmp_path: Path, recorder: Recorder) -> None:
        run = Run(tmp_path, recorder, "--s3-get-per-s", "15")
        run.until_got(10)
        run.process.send_signal(signal.SIGINT)
        code, _, err = run.ended()
        assert (code, "nothing new begins" in err) == (3, True), err
        before = run.whole()
        assert 0 < len(before) < OBJECTS
        run.process = run.start("--plan", "r", "--s3-get-per-s", "1000")
        code, report, err = run.ended()
        assert code == 0, err
        sampled = json.loads((run.work / "runs" / "r" / "plan.json").read_text())["estimate"]["sampled_objects"]
        assert len({*run.whole()}) == report["objects"]
        assert len(run.whole()) == report["objects"] + sampled


def test_wishes_outlive_those_who_work_on_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, types="host")
    world.put(key(NOON_S), gauge("cpu", {0: 1.0}, at=1))
    assert world.plan("--run-id", "r").code == 0
    for words in (["pause", "r"], ["throttle", "r", "--s3-get-per-s", "7"]):
        assert main([*words, "--work-dir", str(world.work)]) == 0
    capsys.readouterr()
    assert main(["status", "r", "--json", "--work-dir", str(world.work)]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["limits"]["s3-get-per-s"] == 7
    assert [*told["pauses"]] == ["user"]
    assert [one["told"].split(" by ")[0] for one in told["log"]] == ["paused", "throttled to s3-get-per-s 7"]
    assert main(["status", "r", "--work-dir", str(world.work)]) == 3
    assert "\npaused by " in capsys.readouterr().out


def test_a_limit_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["throttle", "r"]) == 2
    assert "name a limit, such as --s3-get-per-s 100" in capsys.readouterr().err


def test_a_run_that_was_killed_while_it_was_planned_has_its_limits_before_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, types="host")
    world.put(key(NOON_S), gauge("cpu", {0: 1.0}, at=1))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "create", killed)
        assert world.plan("--run-id", "r", "--s3-get-per-s", "7").code == 3
    ledger = Ledger(str(world.run_dir("r")))
    assert not ledger.exists()
    assert ledger.wishes().rates.s3_get_per_s == 7


def test_looking_at_a_run_changes_nothing_that_is_wanted_of_it(tmp_path: Path) -> None:
    world = World(tmp_path, types="host")
    world.put(key(NOON_S), gauge("cpu", {0: 1.0}, at=1))
    assert world.backfill("--run-id", "r").code == 0
    ledger = Ledger(str(world.run_dir("r")))
    wishes = ledger.wish(lambda wishes: replace(wishes, stop=True, pauses={"user": "by me"}))
    (world.run_dir("r") / "report.json").unlink()
    for more in ([], ["--recheck"]):
        assert world.command("status", "r", *more).code in (0, 3)
        assert ledger.wishes() == wishes


@pytest.mark.slow
def test_runs_of_two_work_dirs_share_a_limiter_and_end_without_it(tmp_path: Path, recorder: Recorder) -> None:
    """By the server's record: no second has more than the limit, and both together use it; when the limiter is killed both go on by their work dirs' limits."""
    with valkey(tmp_path / "limiter") as server:
        shared = ("--s3-get-per-s", "20", "--limiter", f"valkey://127.0.0.1:{server.port}/0")
        (tmp_path / "other").mkdir()
        one, other = Run(tmp_path, recorder, *shared), Run(tmp_path / "other", recorder, *shared)
        one.until_got(100)
        got = one.got()
        assert most_in_a_second(got) <= 20
        middle = [moment for moment in got if moment >= got[30]]
        assert len(middle) / (middle[-1] - middle[0]) >= 0.85 * 20
    for run in (one, other):
        code, report, err = run.ended()
        assert code == 0, err
        assert "the limiter is gone, the limits of the work dir hold alone" in err
        assert report["throttled_s"]["s3"]["limiter"] > 0
    assert most_in_a_second(one.got()) <= 40
