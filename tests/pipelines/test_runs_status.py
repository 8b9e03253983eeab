"""`rollups runs` and `rollups status`: what of a run is done, whoever looks and whenever."""

import io
import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from configs.jobs import StatusJob
from pipelines import status
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime
from tests.builders import NOON_S, plan_of, request_of
from tests.pipelines.worlds import Result, World, call, gauge, key
from transforms.core.accounts import UnitRecord
from transforms.core.limits import Rates
from transforms.core.manifest import Manifest
from transforms.core.model import SLICE_SCHEMA, DeadLetter
from transforms.core.slices import GroupSlices
from transforms.core.units import Unit
from transforms.steps.ledger import Ledger
from transforms.steps.staging import write_staging

SERVICE = Unit("service", "2025-11-01", 0)
LETTER = DeadLetter("ünï", 7, "bad JSON", "detail é", b"\xff{")
NOTHING = pa.RecordBatch.from_pylist([], SLICE_SCHEMA)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def planned(work: Path, run_id: str = "r1", **changes: Any) -> Ledger:
    ledger = Ledger(str(work / "runs" / run_id))
    with ledger.lock():
        ledger.create(plan_of(run_id=run_id, **changes), Manifest(()), None)
    return ledger


def stage(ledger: Ledger, group: int, points: int = 500) -> None:
    write_staging(ledger.staging_file(group), group, GroupSlices(NOTHING, (), {"points": {"host": points}}), [LETTER])


def ask(work: Path, command: str, *more: str, now_s: float | None = None) -> Result:
    return call([command, *more, "--work-dir", str(work)], now_s=now_s)


def state(work: Path, run_id: str = "r1") -> tuple[str, str, int]:
    """What `runs` says, what `status` says, and its exit code."""
    (row,) = [one for one in json.loads(ask(work, "runs", "--json").out) if one["run_id"] == run_id]
    result = ask(work, "status", run_id, "--json")
    return row["state"], json.loads(result.out)["state"], result.code


def test_the_states_of_a_run_that_has_not_ended(work: Path) -> None:
    ledger = planned(work)
    assert state(work) == ("planned", "planned", 3)
    with ledger.lock():
        assert state(work) == ("running", "running", 3)
        stage(ledger, 0)
        assert state(work) == ("running", "running", 3)
    assert state(work) == ("interrupted", "interrupted", 3)


def test_a_run_whose_units_are_left_is_interrupted_too(work: Path) -> None:
    ledger = planned(work)
    ledger.record(UnitRecord(unit=SERVICE, counts={}, tallies={}))
    assert state(work) == ("interrupted", "interrupted", 3)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", [1.0, 2.0], at=61))
    return world


def test_the_states_of_runs_that_have_ended(world: World) -> None:
    assert world.backfill("--run-id", "r1").code == 0
    assert state(world.work) == ("done", "done", 0)
    world.put(key(NOON_S + 1), b"{broken\n")
    assert world.backfill("--run-id", "r2").code == 3
    assert state(world.work, "r2") == ("dead letters", "dead letters", 0)
    (world.archive / key(NOON_S)).write_bytes(gauge("cpu", [1.0], at=61))
    (world.archive / key(NOON_S + 1)).unlink()
    assert world.backfill("--run-id", "r3").code == 5
    assert state(world.work, "r3") == ("refused by a guard", "refused by a guard", 0)
    ended = json.loads(ask(world.work, "status", "r3", "--json").out)
    assert ended["report"]["exit_code"] == 5
    assert ask(world.work, "status", "r3").out.startswith("run r3: refused by a guard in ")


def test_the_states_of_a_run_whose_dead_letters_are_accepted_later(world: World) -> None:
    world.put(key(NOON_S + 1), b"{broken\n")
    assert world.backfill("--run-id", "r2").code == 3
    assert world.execute("r2", "--max-dead-letters", "1").code == 0
    assert state(world.work, "r2") == ("done", "done", 0)


def test_the_states_of_a_dry_run_and_of_one_that_was_undone(world: World) -> None:
    assert world.backfill("--run-id", "r1", "--dry-run").code == 0
    assert state(world.work) == ("done (dry run)", "done (dry run)", 0)
    assert world.backfill("--run-id", "r2").code == 0
    assert world.command("undo", "r2", "--yes").code == 0
    assert state(world.work, "r2") == ("undone", "undone", 0)
    assert state(world.work) == ("done (dry run)", "done (dry run)", 0)


def test_runs_lists_the_latest_first(work: Path) -> None:
    planned(work, "a", created_s=NOON_S)
    planned(work, "c", created_s=NOON_S + 1, request=request_of(metric_types=("host",)), shards={"host": {"2025-11-01": 1}})
    planned(work, "b", created_s=NOON_S)
    (work / "runs" / "not-planned").mkdir()
    (work / "runs" / "stray-file").write_text("x")
    stage(Ledger(str(work / "runs" / "a")), 0)
    assert ask(work, "runs").out == (
        "run  planned               state        done  metric types  period\n"
        "c    2025-11-01T12:00:01Z  planned        0%  host          2025-11-01T00:00:00Z/2025-11-01T06:00:00Z\n"
        "b    2025-11-01T12:00:00Z  planned        0%  service,host  2025-11-01T00:00:00Z/2025-11-01T06:00:00Z\n"
        "a    2025-11-01T12:00:00Z  interrupted   30%  service,host  2025-11-01T00:00:00Z/2025-11-01T06:00:00Z\n"
    )
    assert json.loads(ask(work, "runs", "--json").out)[2] == {
        "run_id": "a",
        "planned": "2025-11-01T12:00:00Z",
        "state": "interrupted",
        "done": 0.3,
        "periods": ["2025-11-01T00:00:00Z/2025-11-01T06:00:00Z"],
        "metric_types": ["service", "host"],
        "store": "parquet:///store",
    }


def test_there_may_be_no_runs(work: Path) -> None:
    assert ask(work, "runs").out == f"no runs in {work}/runs\n"
    assert json.loads(ask(work, "runs", "--json").out) == []
    assert not work.exists()


def test_status_counts_what_is_staged_and_written_per_type(work: Path) -> None:
    ledger = planned(work)
    for group in (0, 1):
        stage(ledger, group)
    ledger.record(UnitRecord(unit=SERVICE, counts={}, tallies={}))
    result = ask(work, "status", "r1")
    assert result.out == (
        "run r1: interrupted, 73% done, 1,000 points decoded\n"
        "\n"
        "                       done  planned\n"
        "read groups staged        2        2\n"
        "service units written     1        1\n"
        "host units written        0        2\n"
        "\n"
        f"go on with  rollups backfill --plan r1 --work-dir {work}\n"
    )
    assert result.code == 3
    data = json.loads(ask(work, "status", "r1", "--json").out)
    assert data.pop("points_per_s") >= 0
    data.pop("eta_s")
    calls = data.pop("calls")
    assert (calls["expected"], calls["budget"]) == (calls["used"], {})
    assert data.pop("throttled_s") == {}
    assert data == {
        "run_id": "r1",
        "state": "interrupted",
        "planned": "2025-11-01T12:00:00Z",
        "groups_staged": 2,
        "groups": 2,
        "units": {"service": {"recorded": 1, "planned": 1}, "host": {"recorded": 0, "planned": 2}},
        "points_decoded": 1_000,
        "fraction": 0.7333,
        "pauses": {},
        "limits": Rates().named(),
        "log": [],
        "write_dead_letters": {},
    }


def test_a_running_run_tells_rate_and_eta(work: Path) -> None:
    ledger = planned(work)
    with ledger.lock():
        os.utime(ledger.path / "lock", (NOON_S, NOON_S))
        stage(ledger, 0)
        os.utime(ledger.staging_file(0), (NOON_S + 9, NOON_S + 9))
        result = ask(work, "status", "r1", now_s=NOON_S + 10)
        assert result.out.splitlines()[0] == "run r1: running, 30% done, 500 points decoded, 50 points/s, ETA 23 s"
        assert "go on with" not in result.out
        data = json.loads(ask(work, "status", "r1", "--json", now_s=NOON_S + 10).out)
        assert (data["points_per_s"], data["eta_s"]) == (50, 23)


def test_dead_letters_of_a_run_on_its_way_are_those_of_its_staged_groups(work: Path) -> None:
    ledger = planned(work)
    stage(ledger, 1)
    result = ask(work, "status", "r1", "--dead-letters")
    assert result.out == '{"object": "ünï", "offset": 7, "cause": "bad JSON", "detail": "detail é", "raw": "/3s="}\n'
    assert result.code == 0


# --- watching ---------------------------------------------------------------------------------------------------------


def watch(work: Path, wait: Callable[[float], None], show: Callable[[str], None]) -> Outcome:
    def never(*_: object) -> Any:
        raise AssertionError

    runtime = Runtime(clock=lambda: NOON_S + 10.0, wait=wait, say=never, show=show, ask=never, out=io.BytesIO(), terminal=True, environ={})
    return status.run(StatusJob(run_id="r1", watch=True, dead_letters=False, recheck=False, work_dir=str(work), json=True), runtime)


def test_watching_goes_on_until_the_run_is_no_longer_worked_on(work: Path) -> None:
    ledger = planned(work)
    waited: list[float] = []
    shown: list[str] = []
    with ExitStack() as held:
        held.enter_context(ledger.lock())

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                stage(ledger, 0)
            if len(waited) == 3:
                held.close()
            assert len(waited) < 10, "nobody works on the run any more"

        outcome = watch(work, wait, shown.append)
    assert waited == [2.0] * 3
    assert ["staged 0/2" in shown[0], "staged 1/2" in shown[1], "staged 1/2" in shown[2], len(shown)] == [True, True, True, 3]
    assert (outcome.exit_code, outcome.data["state"]) == (3, "interrupted")


def test_a_run_that_nobody_works_on_is_not_waited_for(work: Path) -> None:
    planned(work)

    def never(_seconds: object) -> None:
        raise AssertionError

    outcome = watch(work, never, never)
    assert (outcome.exit_code, outcome.data["state"]) == (3, "planned")


def test_a_run_that_ends_while_it_is_looked_at_is_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its staging files go between the listing and the reading."""
    assert world.backfill("--run-id", "r1").code == 0
    ledger = Ledger(str(world.run_dir("r1")))
    report = ledger.report()
    assert report
    (ledger.path / "report.json").unlink()
    stage(ledger, 0)

    def staged(self: Ledger) -> frozenset[int]:
        ledger.store_report(report)
        ledger.remove_staging()
        return frozenset({0})

    monkeypatch.setattr(Ledger, "staged", staged)
    result = ask(world.work, "status", "r1", "--json")
    assert (result.code, json.loads(result.out)["state"]) == (0, "done")


def test_a_run_of_another_version_is_listed_and_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", [1.0]))
    for run_id in ("old", "new"):
        assert world.plan("--run-id", run_id).code == 0
    path = world.run_dir("old") / "plan.json"
    path.write_text(path.read_text().replace('"format": ', '"format": 1000'))
    listed = {one["run_id"]: one["state"] for one in world.command("runs").data}
    assert listed == {"new": "planned", "old": "planned, by another version"}
    assert call(["runs", "--work-dir", str(world.work)]).code == 0
    result = world.command("status", "old")
    assert (result.code, "finish the run with the version that planned it" in result.err) == (2, True)
