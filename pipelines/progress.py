"""How far a run is, from its plan and ledger alone: whoever looks sees the same."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from pipelines.alarms import AlarmWatch
from pipelines.outcome import human_duration, human_number
from pipelines.runtime import Runtime, asked_to_end
from transforms.calls.control import Wishes
from transforms.core.counts import Counts, add_counts, throttled, throttled_short, total
from transforms.core.errors import IncompleteError
from transforms.core.transfer import AnyPlan
from transforms.steps.ledger import Ledger
from transforms.steps.staging import read_footer

STAGING_SHARE: Final = 0.6
"""Share of a run's time that staging takes, by `scripts/benchmark`; used for percentage and ETA only."""

LEAST_FRACTION: Final = 0.02
"""With less than this done, no ETA is told."""

BAR_CELLS: Final = 24
TERMINAL_EVERY_S: Final = 0.5
LOG_EVERY_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at one moment. `units` are (recorded, planned) by metric type; `points` were decoded so far, `new_points` of them since the run was last taken up.

    `fraction` of the run is done, `new_fraction` was done in the `elapsed_s` since it was last taken up. `throttled_s` are the seconds that its threads
    waited for limits, by service and cause, in the groups and units that are finished.
    """

    groups: tuple[int, int]
    units: dict[str, tuple[int, int]]
    points: int
    new_points: int
    fraction: float
    new_fraction: float
    elapsed_s: float
    throttled_s: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def points_per_s(self) -> float:
        """Rate of decoding since the run was taken up."""
        return self.new_points / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the end at the pace since the run was taken up, None while too little is done to tell."""
        return self.elapsed_s * (1 - self.fraction) / self.new_fraction if self.new_fraction > LEAST_FRACTION else None

    def to_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "groups_staged": self.groups[0],
            "groups": self.groups[1],
            "units": {name: {"recorded": done, "planned": planned} for name, (done, planned) in self.units.items()},
            "points_decoded": self.points,
            "fraction": round(self.fraction, 4),
            "points_per_s": round(self.points_per_s),
            "throttled_s": self.throttled_s,
            "eta_s": None if self.eta_s is None else round(self.eta_s),
        }


class Watch:
    """Takes snapshots of a run, reading each footer and record once. What is older than `taken_s` was done before the run was last taken up.

    With every snapshot `counts` and `buckets` (by metric type, granularity and what became of them) are the sums of what was read.
    """

    def __init__(self, ledger: Ledger, plan: AnyPlan, taken_s: float) -> None:
        """Remember what to look at."""
        self.ledger = ledger
        self._taken_s = taken_s
        self.groups = len(plan.groups)
        self._names = {metric_type: frozenset(map(str, plan.units(metric_type))) for metric_type in plan.request.metric_types}
        self._staged: dict[int, tuple[int, bool]] = {}
        self._recorded: dict[str, bool] = {}
        self.counts: Counts = {}
        self.buckets: dict[str, dict[str, dict[str, int]]] = {}

    def snapshot(self, now_s: float) -> Snapshot:
        """The run now."""
        self._look()
        new_groups = sum(is_new for _, is_new in self._staged.values())
        planned = sum(map(len, self._names.values()))
        return Snapshot(
            groups=(len(self._staged), self.groups),
            units={name: (len(self._recorded.keys() & units), len(units)) for name, units in self._names.items()},
            points=sum(points for points, _ in self._staged.values()),
            new_points=sum(points for points, is_new in self._staged.values() if is_new),
            fraction=_fraction(len(self._staged), self.groups, len(self._recorded), planned),
            new_fraction=_fraction(new_groups, self.groups, sum(self._recorded.values()), planned),
            elapsed_s=now_s - self._taken_s,
            throttled_s=throttled(self.counts),
        )

    def units(self) -> dict[str, int]:
        """How many are planned, by metric type."""
        return {name: len(units) for name, units in self._names.items()}

    def _look(self) -> None:
        """Reads what is new in the ledger."""
        for group in self.ledger.staged() - self._staged.keys():
            path = self.ledger.staging_file(group)
            with suppress(IncompleteError, FileNotFoundError):  # damaged: it will be staged again; gone: the run has just ended
                counts, is_new = read_footer(path).counts, self._is_new(path)
                self._staged[group] = total(counts, "points"), is_new
                self.counts = add_counts([self.counts, counts])
        for name in self.ledger.recorded_units() - self._recorded.keys():
            self._recorded[name] = self._is_new(self.ledger.record_file(name))
            self._add(*self.ledger.recorded_sums(name))

    def _add(self, counts: Counts, metric_type: str, tallies: Mapping[str, Mapping[str, int]]) -> None:
        self.counts = add_counts([self.counts, counts])
        of_type = self.buckets.setdefault(metric_type, {})
        for granularity, tally in tallies.items():
            before = of_type.get(granularity, {})
            of_type[granularity] = {verdict: before.get(verdict, 0) + number for verdict, number in tally.items()}

    def _is_new(self, path: Path) -> bool:
        return path.stat().st_mtime >= self._taken_s


def _fraction(staged: int, groups: int, recorded: int, units: int) -> float:
    rolled_up = recorded / units if units else 1.0
    return STAGING_SHARE * staged / groups + (1 - STAGING_SHARE) * rolled_up if groups else rolled_up


def progress_line(now: Snapshot) -> str:
    """`[######      ] 41 %  staged 12/30  service 0/14 …  1,300,000 points/s  ETA 12 s`."""
    filled = round(now.fraction * BAR_CELLS)
    units = "  ".join(f"{name} {done}/{planned}" for name, (done, planned) in now.units.items())
    rate = f"  {human_number(now.points_per_s)} points/s" if now.new_points else ""
    eta = f"  ETA {human_duration(now.eta_s)}" if now.eta_s is not None else ""
    staged = f"  staged {now.groups[0]}/{now.groups[1]}" if now.groups[1] else ""
    waited = f"  throttled {throttled_short(now.throttled_s)}" if now.throttled_s else ""
    return f"[{'#' * filled}{' ' * (BAR_CELLS - filled)}] {now.fraction:4.0%}{staged}  {units}{rate}{eta}{waited}"


@contextmanager
def watching(ledger: Ledger, plan: AnyPlan, runtime: Runtime) -> Iterator[None]:
    """Shows progress while the body works: a bar on a terminal, else a line every 30 s; a pause is told at once.

    Somebody who asks the process to end is obeyed in order: what was begun is finished, nothing new begins.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(Watch(ledger, plan, runtime.clock()), runtime, ended), daemon=True)
    thread.start()
    try:
        with asked_to_end(partial(_drain, ledger, runtime)) if threading.current_thread() is threading.main_thread() else nullcontext():
            yield
    finally:
        ended.set()
        thread.join()


def _drain(ledger: Ledger, runtime: Runtime) -> None:
    ledger.wish(lambda wishes: replace(wishes, stop=True))
    ledger.log(runtime.now_s(), "asked to end")
    runtime.say("ending: what was begun is finished, nothing new begins; ask again to stop at once")


def _watch(watch: Watch, runtime: Runtime, ended: threading.Event) -> None:
    tell, every_s = (runtime.show, TERMINAL_EVERY_S) if runtime.terminal else (runtime.say, LOG_EVERY_S)
    waited_s, paused, alarms = 0.0, "", AlarmWatch(watch.ledger, runtime)
    while not ended.wait(tick_s := min(TERMINAL_EVERY_S, every_s)):
        waited_s += tick_s
        alarms.look(watch.ledger.wishes())
        if paused != (why := pause_text(watch.ledger.wishes())):
            runtime.say(why or "going on")
            paused = why
        if waited_s >= every_s and not paused:
            waited_s = 0.0
            tell(progress_line(watch.snapshot(runtime.clock())))
    alarms.look(watch.ledger.wishes())
    runtime.show("")


def pause_text(wishes: Wishes) -> str:
    """By whom a run is paused and why; empty if nobody did."""
    return "paused " + "; ".join(wishes.pauses.values()) if wishes.pauses else ""
