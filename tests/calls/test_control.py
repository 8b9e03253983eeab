"""Wishes in a file, and what they become when a service says that the whole account is at its limit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from transforms.calls.control import ACCOUNT, ALARM_EVERY_S, FileControl, Wishes, wishes_from_json
from transforms.core.limits import Rates
from transforms.steps.ledger import Ledger

FULL = "Lambda says so"
AT_S = 1_762_000_000.0


def test_wishes_outlive_the_file() -> None:
    wishes = Wishes(rates=Rates(s3_get_per_s=7), pauses={"user": "lunch"}, stop=True, why="so", on_full="slow", hold_s=9, alarm=FULL, alarmed_s=AT_S)
    assert wishes_from_json(wishes.to_json()) == wishes


def test_a_file_of_another_version_is_read_as_far_as_it_is_known() -> None:
    old = {"rates": {"s3_get_per_s": 7, "unknown": 1}, "pauses": {}, "stop": False, "later": "?"}
    assert wishes_from_json(json.dumps(old).encode()) == Wishes(rates=Rates(s3_get_per_s=7))


@pytest.mark.parametrize(
    ("on_full", "pauses", "stop", "why"),
    [("pause", {"user": "lunch", ACCOUNT: FULL}, False, ""), ("slow", {"user": "lunch"}, False, ""), ("stop", {"user": "lunch"}, True, FULL)],
)
def test_what_a_full_account_makes_of_them(on_full: str, pauses: dict[str, str], stop: bool, why: str) -> None:
    wishes = Wishes(on_full=on_full, pauses={"user": "lunch"}).on_account_full(FULL, AT_S)
    assert (wishes.pauses, wishes.stop, wishes.why, wishes.alarm, wishes.alarmed_s) == (pauses, stop, why, FULL, AT_S)


def test_what_many_hear_at_once_is_one_alarm() -> None:
    wishes = Wishes(on_full="slow").on_account_full(FULL, AT_S)
    assert wishes.on_account_full("again", AT_S + ALARM_EVERY_S - 1) == wishes
    assert wishes.on_account_full("again", AT_S + ALARM_EVERY_S).alarm == "again"


def test_a_pause_or_stop_that_is_over_is_wanted_again() -> None:
    paused = Wishes(hold_s=5).on_account_full(FULL, AT_S)
    assert paused.on_account_full("again", AT_S + 1) == paused
    over = replace(paused, pauses={})
    assert over.on_account_full("again", AT_S + 6) == replace(over, pauses={ACCOUNT: "again"}, alarm="again", alarmed_s=AT_S + 6)
    stopped = Wishes(on_full="stop").on_account_full(FULL, AT_S)
    assert stopped.on_account_full("again", AT_S + 1) == stopped
    assert replace(stopped, stop=False).on_account_full("again", AT_S + 2).stop


def test_who_may_change_the_file_does_so_once(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "work" / "runs" / "r"))
    ledger.path.mkdir(parents=True)
    ledger.wish(lambda wishes: wishes)
    changed: list[Wishes] = []

    def change(how: object) -> Wishes:
        changed.append(ledger.wish(how))  # type: ignore[arg-type]
        return changed[-1]

    times = iter([AT_S, AT_S + 1])
    clock = iter(range(0, 100, 10))
    control = FileControl(ledger.path / "control.json", lambda: float(next(clock)), change, lambda: next(times))
    control.account_full(FULL)
    control.account_full("again")
    assert [one.alarm for one in changed] == [FULL]
    assert ledger.wishes().pauses == {ACCOUNT: FULL}
    FileControl(ledger.path / "control.json").account_full("of nobody who may change it")
    assert ledger.wishes().alarm == FULL
