"""Guards of a run, step by step on times that are given, and once on threads of their own."""

import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from configs.guarding import GUARD_OPTIONS, Guarded
from pipelines.guarding import HeadroomGuard, HealthGuard, guarding, guards_of
from tests.archive.s3_servers import aws_environment
from transforms.core.errors import UsageError
from transforms.core.headroom import LimitAt, Reading, Reserve

WRU = "dynamodb-wru-per-s"


class Noted:
    """Caps of a run that uses what it is told to have used, and notes what is asked of it; caps that are only confirmed are not noted."""

    def __init__(self, used: float = 0.0) -> None:
        self.used_now = used
        self.asked: list[tuple[object, ...]] = []
        self.caps: dict[LimitAt, int] = {}
        self.confirmed = 0

    def set(self, limit: LimitAt, units: int, reason: str) -> None:
        if self.caps.get(limit) == units:
            self.confirmed += 1
        else:
            self.caps[limit] = units
            self.asked.append((limit[0], units, reason))

    def lift(self, limit: LimitAt) -> None:
        del self.caps[limit]

    def used(self, limits: Iterable[LimitAt]) -> Mapping[LimitAt, float]:
        return dict.fromkeys(limits, self.used_now)

    def pause(self, reason: str) -> None:
        self.asked.append(("pause", reason))

    def resume(self, reason: str) -> None:
        self.asked.append(("resume", reason))


class Table:
    """Reads what a test says others and we use."""

    def __init__(self, used: float | None, names: tuple[str, ...] = (WRU,), place: str = "a table") -> None:
        self.used, self.names = used, names
        self.limits = [(name, place) for name in names]

    def read(self, now_s: float) -> Sequence[Reading]:
        if self.used is None:
            return [Reading(names=self.names, what="a table", missing=("late",))]
        return [Reading(names=self.names, what="a table", limit=1000, used=self.used, begin_s=now_s - 120, end_s=now_s - 60)]


def guard(watched: Sequence[Table], caps: Noted, said: list[str]) -> HeadroomGuard:
    return HeadroomGuard(watched, lambda: {WRU: 500, "s3-put-per-s": 875}, Reserve(share=0.2), caps, said.append)


def test_the_cap_follows_what_others_use() -> None:
    caps, said, table = Noted(), list[str](), Table(100)
    one = guard([table], caps, said)
    for minute, used in enumerate((100, 100, 500, 900, 700, 0, 0, 0)):
        table.used = used
        one.step(minute * 60.0)
    of = "of 1,000 (a table) others use {} and 200 are reserved"
    wanted = [
        (500, of.format(100)),
        (300, of.format(500)),
        (0, of.format(900)),
        (62, of.format(700)),
        (124, of.format(0)),
        (248, of.format(0)),
        (496, of.format(0)),
    ]
    assert caps.asked == [(WRU, units, reason) for units, reason in wanted]
    assert said == [f"--{WRU} is {units} of 500 for now: {reason}" for units, reason in wanted[1:]]
    assert caps.confirmed == 1
    one.end()
    assert caps.caps == {}


def test_what_we_use_ourselves_is_not_by_others() -> None:
    caps, table = Noted(used=400), Table(700)
    one = guard([table], caps, [])
    for minute in range(4):
        one.step(minute * 60.0)
    assert [units for _, units, _ in caps.asked] == [100, 200, 400, 500]  # the first reading is of minutes in which we did not look


def test_what_we_began_to_use_after_the_reading_is_not_taken_off_it() -> None:
    caps, table = Noted(used=0), Table(700)
    one = guard([table], caps, [])
    for minute in range(5):
        one.step(minute * 60.0)
    caps.used_now = 400
    one.step(300.0)
    assert [units for _, units, _ in caps.asked] == [100]


def test_without_readings_the_cap_comes_down_and_with_the_first_it_rises_again() -> None:
    caps, said, table = Noted(), list[str](), Table(None)
    one = guard([table], caps, said)
    for minute in range(6):
        one.step(minute * 60.0)
    table.used = 0
    one.step(360.0)
    assert [units for _, units, _ in caps.asked] == [250, 125, 62, 124]
    assert said[0] == f"--{WRU} is 250 of 500 for now: no reading of a table: late"


def test_of_two_readings_about_one_limit_the_lower_cap_holds() -> None:
    caps = Noted()
    guard([Table(350), Table(650), Table(0, ("unlimited-here",))], caps, []).step(0.0)
    assert [(name, units) for name, units, _ in caps.asked] == [(WRU, 150)]


def test_two_tables_have_caps_of_their_own() -> None:
    caps = Noted()
    guard([Table(350), Table(650, place="another")], caps, []).step(0.0)
    assert caps.caps == {(WRU, "a table"): 450, (WRU, "another"): 150}


def test_red_pauses_and_green_resumes() -> None:
    answers, caps, said = ["", "red 1", "red 2", "", "", "red 3"], Noted(), list[str]()
    one = HealthGuard([lambda: "", lambda: answers.pop(0)], caps, said.append)
    for _ in range(6):
        one.step(0.0)
    one.end()
    one.end()
    green, nobody = "the health check is green again", "nobody asks the health check any more"
    assert caps.asked == [("pause", "red 1"), ("pause", "red 2"), ("resume", green), ("pause", "red 3"), ("resume", nobody)]
    assert said == [
        "paused: red 1; goes on when it is green again",
        f"goes on: {green}",
        "paused: red 3; goes on when it is green again",
        f"goes on: {nobody}",
    ]


def test_what_is_found_after_the_end_changes_nothing() -> None:
    caps, said, ended = Noted(), list[str](), list[HealthGuard | HeadroomGuard]()

    def check() -> str:
        ended[0].end()
        return "red"

    class Slow(Table):
        def read(self, now_s: float) -> Sequence[Reading]:
            ended[0].end()
            return super().read(now_s)

    for one in (HealthGuard([check], caps, said.append), guard([Slow(900)], caps, said)):
        ended[:] = [one]
        one.step(0.0)
    assert (caps.asked, said) == ([], [])


class Steps:
    """A guard that notes when it looked."""

    def __init__(self, every_s: float, defect_at: float | None = None) -> None:
        self.every_s, self.defect_at = every_s, defect_at
        self.looked: list[float] = []
        self.ended = 0
        self.defect = threading.Event()

    def step(self, now_s: float) -> None:
        self.looked.append(now_s)
        if now_s == self.defect_at:
            self.defect.set()
            msg = "a defect"
            raise ZeroDivisionError(msg)

    def end(self) -> None:
        self.ended += 1


class Turns(threading.Event):
    """Waits of guards end as often as a test says, at once; then until it is set."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns, self.waits = turns, list[float | None]()
        self.idle = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) <= self.turns:
            return False
        self.idle.set()
        return super().wait()


def test_a_guard_looks_before_the_run_begins_and_again_until_it_ends() -> None:
    one, turns, times = Steps(60.0), Turns(3), iter([1.0, 2.0, 3.0, 4.0])
    with guarding([one], lambda: next(times), lambda: turns):
        assert one.looked[:1] == [1.0]
        assert turns.idle.wait(30)
        assert one.ended == 0
    assert (one.looked, one.ended, turns.waits) == ([1.0, 2.0, 3.0, 4.0], 1, [60.0] * 4)


def test_a_defect_of_a_guard_does_not_stay_silent() -> None:
    one, turns, times = Steps(60.0, defect_at=2.0), Turns(1), iter([1.0, 2.0])
    with pytest.raises(ZeroDivisionError), guarding([one], lambda: next(times), lambda: turns):
        assert one.defect.wait(30)
    assert one.ended == 1


def test_the_error_of_the_run_itself_comes_out_and_its_pause_ends() -> None:
    caps = Noted()
    with pytest.raises(KeyboardInterrupt), guarding([HealthGuard([lambda: "red"], caps, [].append)], lambda: 0.0):
        raise KeyboardInterrupt
    assert [one[0] for one in caps.asked] == ["pause", "resume"]


def test_a_run_has_the_guards_that_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    local, remote = ("file:///data/archive", "parquet:///data/rollups"), ("s3://archive/x", "dynamodb://rollups")
    asked, by_health = Guarded(reserve=("30%",)), Guarded(guard_url="http://127.0.0.1:9/", guard_command="check")

    def kinds(guarded: Guarded, places: tuple[str, str]) -> list[type]:
        return [type(one) for one in guards_of(guarded, places, lambda: {WRU: 500}, Noted(), [].append)]

    with aws_environment():
        assert [kinds(asked, local), kinds(by_health, local), kinds(by_health, remote)] == [[], [HealthGuard], [HeadroomGuard, HealthGuard]]
        assert [kinds(Guarded(unguarded=True), remote), kinds(asked, ("", ""))] == [[], []]


def test_a_local_run_does_not_wait_for_boto3() -> None:
    code = "import sys; from pipelines.guarding import *; from configs.guarding import Guarded; "
    code += "guards_of(Guarded(), ('file:///a', 'parquet:///b'), {}, None, None); sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


@pytest.mark.parametrize(
    ("option", "written", "told"),
    [
        ("guard-url", "status.example.com", "'status.example.com' is no URL such as https://status.example.com/health"),
        ("guard-url", "https://me:secret@status.example.com/", "the URL of status.example.com holds a user name or password"),
        ("guard-command", "check 'now", "\"check 'now\" can't be taken apart into words: No closing quotation"),
        ("guard-command", " ", "' ' names no program"),
    ],
)
def test_guards_that_can_not_be_asked(option: str, written: str, told: str) -> None:
    (found,) = [one for one in GUARD_OPTIONS if one.name == option]
    with pytest.raises(UsageError) as raised:
        found.parse(written)
    assert str(raised.value).startswith(told)
