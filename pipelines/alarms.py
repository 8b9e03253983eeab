"""What services said about the whole account while a run worked: told at once, kept in the run's log, and part of its report."""

from dataclasses import replace
from typing import Any, Final

from pipelines.outcome import human_duration
from pipelines.runtime import Runtime
from transforms.calls.control import ACCOUNT, PAUSE, SLOW, STOP, Wishes
from transforms.core.time import format_time
from transforms.steps.ledger import Ledger

ALARM: Final = "ALARM "
"""How these lines of a run's log begin."""


class AlarmWatch:
    """The driver's part in it: tells each alarm once, and ends the pause for it when its time is over."""

    def __init__(self, ledger: Ledger, runtime: Runtime) -> None:
        """What is in the log already is not told again."""
        self._ledger, self._runtime = ledger, runtime
        self._told_s = max((one["at"] for one in _logged(ledger)), default=-1)

    def look(self, wishes: Wishes) -> None:
        """At what is wanted of the run now."""
        if wishes.alarm and int(wishes.alarmed_s) > self._told_s:
            self._told_s = int(wishes.alarmed_s)
            self._runtime.tell(self._ledger, f"{ALARM} {wishes.alarm}: others are hurt. {_done(wishes)}")
        if ACCOUNT in wishes.pauses and self._runtime.clock() >= wishes.alarmed_s + wishes.hold_s:
            self._ledger.wish(_over)
            self._runtime.tell(self._ledger, f"going on slowly, {human_duration(wishes.hold_s)} after the account was at its limit")


def _done(wishes: Wishes) -> str:
    return {
        PAUSE: f"The run pauses for {human_duration(wishes.hold_s)}, or until `rollups resume`",
        SLOW: "The run goes on with the least that there is, and takes more slowly",
        STOP: "The run ends what was begun",
    }[wishes.on_full]


def _over(wishes: Wishes) -> Wishes:
    return replace(wishes, pauses={who: why for who, why in wishes.pauses.items() if who != ACCOUNT})


def alarms(ledger: Ledger) -> list[str]:
    """All of a run, with their times."""
    return [f"{format_time(one['at'])} {one['told'].removeprefix(ALARM).strip()}" for one in _logged(ledger)]


def _logged(ledger: Ledger) -> list[dict[str, Any]]:
    return [one for one in ledger.logged() if one["told"].startswith(ALARM)]
