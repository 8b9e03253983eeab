"""The run directory: whole files or none, whoever stops where; one process at a time."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.builders import plan_of, request_of
from tests.failpoints import steps_of, stop_at
from transforms.core.accounts import Tally, UnitRecord
from transforms.core.errors import IncompleteError, UsageError
from transforms.core.manifest import ArchiveObject, Manifest
from transforms.core.plan import FORMAT, Plan
from transforms.core.units import Unit
from transforms.steps.ledger import Ledger

MANIFEST = Manifest((ArchiveObject("a", 1, "e", 5), ArchiveObject("é", 2, "f", 6)))
MEMBERS = pa.table({"org": ["acme"], "host": ["h1"], "role": ["web:app"], "from_us": [0], "to_us": [2**63 - 1]})
UNIT = Unit("host", "2025-11-01", 1)
RECORD = UnitRecord(unit=UNIT, counts={"stored": {"host": 1}}, tallies={"1m": Tally(added=1)}, finished_s=1.5)


def planned(**changes: object) -> Plan:
    return plan_of(manifest_digest=MANIFEST.digest(), **changes)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "runs" / "r1"))


def files_of(ledger: Ledger) -> dict[str, bytes]:
    return {str(path.relative_to(ledger.path)): path.read_bytes() for path in sorted(ledger.path.rglob("*")) if path.is_file()}


def test_what_was_planned_is_found_again(ledger: Ledger) -> None:
    assert not ledger.exists()
    ledger.create(planned(), MANIFEST, MEMBERS)
    assert ledger.exists()
    assert ledger.plan() == planned()
    assert ledger.manifest(planned()) == MANIFEST
    membership = ledger.membership()
    assert membership is not None
    assert (membership.org.to_pylist(), membership.host.to_pylist(), membership.role.to_pylist()) == (["acme"], ["h1"], ["web:app"])
    assert (membership.from_us.tolist(), membership.to_us.tolist()) == ([0], [2**63 - 1])
    assert sorted(files_of(ledger)) == ["manifest.arrow", "membership.arrow", "plan.json"]


def test_a_run_without_membership_has_none(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    assert ledger.membership() is None


def test_a_run_that_is_not_there_is_told(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match=r"there is no run 'r1' in '.*/runs': `rollups runs` lists those there are"):
        ledger.plan()
    assert (ledger.staged(), ledger.recorded_units(), ledger.report(), ledger.is_undone(), ledger.is_locked()) == (frozenset(), frozenset(), None, False, False)
    assert ledger.recorded(UNIT) is None
    assert not ledger.path.exists(), "looking makes nothing"


def test_a_manifest_that_is_not_the_planned_one_is_refused(ledger: Ledger) -> None:
    ledger.create(planned(), Manifest(()), None)
    with pytest.raises(UsageError, match="the run directory was changed"):
        ledger.manifest(planned())


def test_a_damaged_manifest_is_told(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    path = ledger.path / "manifest.arrow"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IncompleteError, match=r"manifest.arrow' is missing or damaged .*: plan the run again under another id"):
        ledger.manifest(planned())


def test_a_staging_file_is_its_ledger_entry(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    for group in (0, 17, 1_000_000):
        ledger.staging_file(group).write_bytes(b"")
    assert ledger.staging_file(17) == ledger.path / "staging" / "000017.arrow"
    (ledger.path / "staging" / "_000003.arrow.tmp").write_bytes(b"half")
    assert ledger.staged() == {0, 17, 1_000_000}


def test_a_record_is_a_units_ledger_entry(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    ledger.record(RECORD)
    (ledger.path / "units" / "_host-2025-11-01-0000.json.tmp").write_bytes(b"{")
    assert ledger.recorded_units() == {"host-2025-11-01-0001"}
    assert ledger.recorded(UNIT) == RECORD
    assert ledger.recorded(UNIT._replace(shard=0)) is None
    assert ledger.record_file(str(UNIT)) == ledger.path / "units" / "host-2025-11-01-0001.json"


def test_what_a_killed_process_left_half_written_is_written_over(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    for half in ("_plan.json.tmp", "_manifest.arrow.tmp", "units/_host-2025-11-01-0001.json.tmp"):
        (ledger.path / half).write_bytes(b"x" * 100_000)
    ledger.create(planned(), MANIFEST, None)
    ledger.record(RECORD)
    assert ledger.plan() == planned()
    assert ledger.manifest(planned()) == MANIFEST
    assert ledger.recorded(UNIT) == RECORD
    assert sorted(files_of(ledger)) == ["manifest.arrow", "plan.json", "units/host-2025-11-01-0001.json"]


def test_a_run_is_planned_with_all_that_belongs_to_it_or_not_planned(tmp_path: Path) -> None:
    moments = steps_of(lambda: Ledger(str(tmp_path / "whole")).create(planned(), MANIFEST, MEMBERS))
    assert len(moments) == 3 * 8, "three files: write, fsync, rename, settle"
    expected = files_of(Ledger(str(tmp_path / "whole")))
    found = []
    for number, moment in enumerate(moments):
        ledger = Ledger(str(tmp_path / str(number)))
        stop_at(moment, lambda ledger=ledger: ledger.create(planned(), MANIFEST, MEMBERS))  # type: ignore[misc]
        if ledger.exists():
            found.append(moment)
            assert (ledger.plan(), ledger.manifest(planned())) == (planned(), MANIFEST)
            assert ledger.membership() is not None
        ledger.create(planned(), MANIFEST, MEMBERS)
        assert files_of(ledger) == expected
    assert found == ["after plan.rename #0", "before plan.settle #0", "after plan.settle #0"], "the plan is renamed last"


def test_planning_again_without_membership_does_not_keep_that_of_a_plan_that_was_stopped(ledger: Ledger) -> None:
    stop_at("before plan.write #0", lambda: ledger.create(planned(), MANIFEST, MEMBERS))
    ledger.create(planned(), MANIFEST, None)
    assert ledger.membership() is None


Write = Callable[[Ledger], object]

WRITES: dict[str, tuple[Write, Write, Write]] = {
    "update": (lambda _: None, lambda one: one.update(planned(generation=8)), lambda one: one.plan().generation),
    "record": (lambda one: one.record(RECORD), lambda one: one.record(UnitRecord(unit=UNIT, counts={}, tallies={})), lambda one: one.recorded(UNIT)),
    "lines": (
        lambda one: one.write_lines("x.jsonl", [b"1"]),
        lambda one: one.write_lines("x.jsonl", [b"2", b"3"]),
        lambda one: (one.path / "x.jsonl").read_bytes(),
    ),
    "report": (lambda one: one.store_report({"state": "a"}), lambda one: one.store_report({"state": "b"}), lambda one: one.report()),
}


@pytest.mark.parametrize("what", sorted(WRITES))
def test_a_file_is_replaced_whole_or_stays(tmp_path: Path, what: str) -> None:
    before, write, read = WRITES[what]

    def fresh(name: str) -> Ledger:
        ledger = Ledger(str(tmp_path / name))
        ledger.create(planned(), MANIFEST, None)
        before(ledger)
        return ledger

    whole = fresh("whole")
    old = read(whole)
    moments = steps_of(lambda: write(whole))
    new = read(whole)
    assert old != new
    assert len(moments) == 8
    for number, moment in enumerate(moments):
        ledger = fresh(str(number))
        stop_at(moment, lambda ledger=ledger: write(ledger))  # type: ignore[misc]
        assert read(ledger) == (old if number < 5 else new), f"{moment}: before, after write; before, after fsync; before, after rename; …"
        write(ledger)
        assert read(ledger) == new


def test_a_report_ends_the_run_and_staging_is_freed_apart(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    ledger.staging_file(0).write_bytes(b"data")
    report = {"state": "done", "text": "é", "number": 0.1}
    ledger.store_report(report)
    assert ledger.report() == report
    assert ledger.staged() == {0}
    ledger.remove_staging()
    assert ledger.staged() == frozenset()
    ledger.remove_staging()


def test_lines_are_made_beside_the_plan(ledger: Ledger) -> None:
    ledger.write_lines("dead_letters.jsonl", iter([b'{"a":1}', "é".encode()]))
    assert (ledger.path / "dead_letters.jsonl").read_bytes() == '{"a":1}\né\n'.encode()


def test_an_undone_run_says_so(ledger: Ledger) -> None:
    ledger.create(planned(), MANIFEST, None)
    ledger.mark_undone()
    assert ledger.is_undone()


HOLD = "import sys; from transforms.steps.ledger import Ledger\nwith Ledger(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()"


def holder(ledger: Ledger) -> "subprocess.Popen[str]":
    """Another process that holds the run until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(ledger.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_two_processes_never_hold_a_run_at_once(ledger: Ledger) -> None:
    with holder(ledger) as other:
        assert ledger.is_locked()
        with pytest.raises(UsageError) as caught, ledger.lock():
            pass
        assert str(caught.value) == f"run 'r1' is being worked on by process {other.pid}: wait for it, or watch it with `rollups status r1 --watch`"
        assert ledger.is_locked(), "a refused one takes nothing away"
    assert not ledger.is_locked()
    with ledger.lock():
        assert ledger.is_locked()
        assert (ledger.path / "lock").read_text() == str(os.getpid())


def test_a_run_whose_holder_was_killed_is_free(ledger: Ledger) -> None:
    with holder(ledger) as other:
        os.kill(other.pid, signal.SIGKILL)
    assert not ledger.is_locked()
    with ledger.lock():
        pass
    assert not ledger.is_locked()


def test_two_holders_in_one_process_exclude_each_other_too(ledger: Ledger) -> None:
    with ledger.lock(), pytest.raises(UsageError, match=f"worked on by process {os.getpid()}:"), Ledger(str(ledger.path)).lock():
        pass


def test_an_error_while_holding_frees_the_run(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.lock():
        raise ZeroDivisionError
    assert not ledger.is_locked()


def test_a_run_is_taken_up_when_it_is_locked(ledger: Ledger) -> None:
    with ledger.lock():
        os.utime(ledger.path / "lock", (0, 0))
    with ledger.lock():
        assert ledger.taken_s() > 1_700_000_000
    assert ledger.taken_s() > 1_700_000_000


def test_the_plan_is_readable_json(ledger: Ledger) -> None:
    ledger.create(planned(request=request_of(orgs=("é",))), MANIFEST, None)
    stored = json.loads((ledger.path / "plan.json").read_bytes())
    assert (stored["run_id"], stored["format"], stored["request"]["orgs"], stored["groups"]) == ("r1", FORMAT, ["é"], [[0, 2], [2, 1]])
