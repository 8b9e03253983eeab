"""Progress from plan and ledger alone: counts, rate, ETA, the line, and who is told how often."""

import io
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import progress
from pipelines.outcome import human_bytes, human_duration, human_number, table
from pipelines.progress import Snapshot, Watch, progress_line, watching
from pipelines.runtime import Runtime
from tests.builders import plan_of
from transforms.core.accounts import UnitRecord
from transforms.core.manifest import Manifest
from transforms.core.model import SLICE_SCHEMA
from transforms.core.slices import GroupSlices
from transforms.core.units import Unit
from transforms.steps.ledger import Ledger
from transforms.steps.staging import read_footer, write_staging

WAIT_S = 10.0
"""What is not told by then is not told at all."""

TAKEN_S = 1_000.0

SERVICE, HOST_0, HOST_1 = Unit("service", "2025-11-01", 0), Unit("host", "2025-11-01", 0), Unit("host", "2025-11-01", 1)
NOTHING = pa.RecordBatch.from_pylist([], SLICE_SCHEMA)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(str(tmp_path / "r1"))
    ledger.create(plan_of(), Manifest(()), None)
    return ledger


def stage(ledger: Ledger, group: int, points: dict[str, int], at_s: float = TAKEN_S + 1) -> None:
    write_staging(ledger.staging_file(group), group, GroupSlices(NOTHING, (), {"points": points, "role_copies": {"role": 99}}), [])
    os.utime(ledger.staging_file(group), (at_s, at_s))


def record(ledger: Ledger, unit: Unit, at_s: float = TAKEN_S + 1) -> None:
    ledger.record(UnitRecord(unit=unit, counts={}, tallies={}))
    os.utime(ledger.record_file(str(unit)), (at_s, at_s))


def fraction_of(groups: int, units: int) -> float:
    """Staging two groups takes six tenths of the time, three units the rest."""
    return pytest.approx(0.6 * groups / 2 + 0.4 * units / 3)  # type: ignore[return-value]


def test_a_run_that_was_only_planned(ledger: Ledger) -> None:
    now = Watch(ledger, plan_of(), TAKEN_S).snapshot(TAKEN_S + 10)
    assert now == Snapshot(groups=(0, 2), units={"service": (0, 1), "host": (0, 2)}, points=0, new_points=0, fraction=0.0, new_fraction=0.0, elapsed_s=10.0)
    assert (now.points_per_s, now.eta_s) == (0.0, None)


def test_a_run_on_its_way(ledger: Ledger) -> None:
    watch = Watch(ledger, plan_of(), TAKEN_S)
    stage(ledger, 1, {"host": 600, "service": 400})
    now = watch.snapshot(TAKEN_S + 4)
    assert now == Snapshot(
        groups=(1, 2),
        units={"service": (0, 1), "host": (0, 2)},
        points=1_000,
        new_points=1_000,
        fraction=fraction_of(1, 0),
        new_fraction=fraction_of(1, 0),
        elapsed_s=4.0,
    )
    assert now.points_per_s == 250.0
    assert now.eta_s == pytest.approx(4 * 0.7 / 0.3)
    stage(ledger, 0, {"host": 1})
    record(ledger, SERVICE)
    record(ledger, HOST_1)
    now = watch.snapshot(TAKEN_S + 8)
    assert (now.groups, now.units, now.points, now.fraction) == ((2, 2), {"service": (1, 1), "host": (1, 2)}, 1_001, fraction_of(2, 2))


def test_a_finished_run_is_done_to_the_last_bit(ledger: Ledger) -> None:
    for group in (0, 1):
        stage(ledger, group, {"host": 1})
    for unit in (SERVICE, HOST_0, HOST_1):
        record(ledger, unit)
    now = Watch(ledger, plan_of(), TAKEN_S).snapshot(TAKEN_S + 10)
    assert (now.fraction, now.eta_s) == (1.0, 0.0)


def test_what_was_done_before_the_run_was_taken_up_again_counts_neither_for_rate_nor_eta(ledger: Ledger) -> None:
    stage(ledger, 0, {"host": 5_000}, at_s=TAKEN_S - 100)
    record(ledger, SERVICE, at_s=TAKEN_S - 100)
    now = Watch(ledger, plan_of(), TAKEN_S).snapshot(TAKEN_S + 10)
    assert (now.points, now.new_points, now.points_per_s, now.new_fraction, now.eta_s) == (5_000, 0, 0.0, 0.0, None)
    stage(ledger, 1, {"host": 700})
    now = Watch(ledger, plan_of(), TAKEN_S).snapshot(TAKEN_S + 10)
    assert (now.points, now.new_points, now.points_per_s, now.fraction, now.new_fraction) == (5_700, 700, 70.0, fraction_of(2, 1), fraction_of(1, 0))
    assert now.eta_s == pytest.approx(10 * (1 - (0.6 + 0.4 / 3)) / 0.3)


def test_a_run_of_nothing_is_done(tmp_path: Path) -> None:
    plan = plan_of(groups=(), request=replace(plan_of().request, metric_types=()))
    assert Watch(Ledger(str(tmp_path)), plan, TAKEN_S).snapshot(TAKEN_S).fraction == 1.0


def test_each_footer_is_read_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = read_footer

    def counted(path: Path) -> Any:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(progress, "read_footer", counted)
    watch = Watch(ledger, plan_of(), TAKEN_S)
    for _ in range(3):
        stage(ledger, 0, {"host": 1})
        watch.snapshot(TAKEN_S)
    stage(ledger, 1, {"host": 1})
    watch.snapshot(TAKEN_S)
    assert read == ["000000.arrow", "000001.arrow"]


def test_waiting_is_added_up_over_groups_and_units_once(ledger: Ledger) -> None:
    watch = Watch(ledger, plan_of(), TAKEN_S)
    for group, waited_ms in ((0, 1_500), (1, 250)):
        counts = {"points": {"host": 1}, "throttled_ms.s3.limit": {"records": waited_ms}}
        write_staging(ledger.staging_file(group), group, GroupSlices(NOTHING, (), counts), [])
    ledger.record(UnitRecord(unit=HOST_0, counts={"stored": {"host": 2}, "throttled_ms.dynamodb.refused": {"records": 40}}, tallies={}))
    expected = {"dynamodb": {"refused": 0.04}, "s3": {"limit": 1.75}}
    assert watch.snapshot(TAKEN_S).throttled_s == expected
    ledger.record(UnitRecord(unit=HOST_1, counts={"throttled_ms.s3.limit": {"records": 1_000}, "throttled_ms.s3.paused": {"records": 3}}, tallies={}))
    assert watch.snapshot(TAKEN_S).throttled_s == {"dynamodb": {"refused": 0.04}, "s3": {"limit": 2.75, "paused": 0.003}}
    assert watch.snapshot(TAKEN_S).to_data()["throttled_s"] == {"dynamodb": {"refused": 0.04}, "s3": {"limit": 2.75, "paused": 0.003}}


def test_as_data() -> None:
    now = Snapshot(groups=(1, 2), units={"host": (3, 4)}, points=1_000, new_points=500, fraction=0.123456, new_fraction=0.1, elapsed_s=3.0)
    assert now.to_data() == {
        "groups_staged": 1,
        "groups": 2,
        "units": {"host": {"recorded": 3, "planned": 4}},
        "points_decoded": 1_000,
        "fraction": 0.1235,
        "points_per_s": 167,
        "throttled_s": {},
        "eta_s": 26,
    }
    assert replace(now, new_fraction=0.02).to_data()["eta_s"] is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "[############            ]  50%  staged 12/30  service 0/14  host 3/7  1,300,000 points/s  ETA 1 min 40 s"),
        ({"fraction": 0.0, "new_points": 0, "new_fraction": 0.0}, "[                        ]   0%  staged 12/30  service 0/14  host 3/7"),
        ({"fraction": 1.0}, "[########################] 100%  staged 12/30  service 0/14  host 3/7  1,300,000 points/s  ETA 0 s"),
        (
            {"fraction": 0.0, "new_points": 0, "new_fraction": 0.0, "throttled_s": {"dynamodb": {"refused": 1_234.0}, "s3": {"limit": 10.2, "ramp": 2.0}}},
            "[                        ]   0%  staged 12/30  service 0/14  host 3/7  throttled dynamodb 1,234 s, s3 12 s",
        ),
        ({"new_fraction": 0.01}, "[############            ]  50%  staged 12/30  service 0/14  host 3/7  1,300,000 points/s"),
    ],
)
def test_the_line(changes: dict[str, Any], line: str) -> None:
    now = Snapshot(
        groups=(12, 30), units={"service": (0, 14), "host": (3, 7)}, points=1, new_points=130_000_000, fraction=0.5, new_fraction=0.5, elapsed_s=100.0
    )
    assert progress_line(replace(now, **changes)) == line


def runtime(*, terminal: bool, say: Callable[[str], None], show: Callable[[str], None]) -> Runtime:
    def never(*_: object) -> Any:
        raise AssertionError

    return Runtime(clock=lambda: TAKEN_S + 1, wait=never, say=say, show=show, ask=never, out=io.BytesIO(), terminal=terminal, environ={})


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_while_the_run_works(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """On a terminal as a line that the next one replaces, else as lines of their own."""
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S" if terminal else "LOG_EVERY_S", 0.001)
    monkeypatch.setattr(progress, "LOG_EVERY_S" if terminal else "TERMINAL_EVERY_S", 1_000.0)
    said, shown, enough = [], [], threading.Event()  # type: ignore[var-annotated]

    def tell(into: list[str]) -> Callable[[str], None]:
        def told(line: str) -> None:
            into.append(line)
            if len(into) == 3:
                enough.set()

        return told

    with watching(ledger, plan_of(), runtime(terminal=terminal, say=tell(said), show=tell(shown))):
        assert enough.wait(WAIT_S)
    lines = shown if terminal else said
    assert set(lines) - {""} == {"[                        ]   0%  staged 0/2  service 0/1  host 0/2"}
    assert len(lines) >= 3
    assert set(said if terminal else shown) <= {""}
    assert shown[-1:] in ([], [""]), "the line is taken away at the end"


def test_progress_ends_with_a_run_that_fails(ledger: Ledger) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), watching(ledger, plan_of(), runtime(terminal=False, say=pytest.fail, show=lambda _line: None)):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_a_line_every_half_second_on_a_terminal_and_every_30_s_in_a_log() -> None:
    assert (progress.TERMINAL_EVERY_S, progress.LOG_EVERY_S) == (0.5, 30.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (3_661, "1 h 1 min"),
        (187_200, "2 d 4 h"),
        (86_400, "1 d"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (152_400_000, "152.4 MB"), (1.5e9, "1.5 GB"), (2e12, "2.0 TB"), (3e15, "3000.0 TB")]
)
def test_bytes_for_people(number: float, text: str) -> None:
    assert human_bytes(number) == text


def test_numbers_and_tables_for_people() -> None:
    assert human_number(1_234_567.4) == "1,234,567"
    assert table(("what", "n"), [("a", "1"), ("longer", "1,000")]) == "what        n\na           1\nlonger  1,000"
