"""How far a run is, from its plan and ledger alone: whoever looks sees the same."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pipelines.outcome import human_duration, human_number
from pipelines.runtime import Runtime
from transforms.core.counts import total
from transforms.core.plan import Plan
from transforms.steps.ledger import Ledger
from transforms.steps.staging import read_footer

STAGING_SHARE: Final = 0.6
"""Share of a run's time that staging takes, by `scripts/benchmark`; used for percentage and ETA only."""

BAR_CELLS: Final = 24
TERMINAL_EVERY_S: Final = 0.5
LOG_EVERY_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at one moment. `units` are (recorded, planned) by metric type; `points` were decoded so far."""

    groups: tuple[int, int]
    units: dict[str, tuple[int, int]]
    points: int
    fraction: float

    def to_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "groups_staged": self.groups[0],
            "groups": self.groups[1],
            "units": {name: {"recorded": done, "planned": planned} for name, (done, planned) in self.units.items()},
            "points_decoded": self.points,
            "fraction": round(self.fraction, 4),
        }


class Watch:
    """Takes snapshots, reading each footer once."""

    def __init__(self, ledger: Ledger, plan: Plan) -> None:
        """Remember what to look at."""
        self._ledger = ledger
        self._plan = plan
        self._points: dict[int, int] = {}
        self._names = {metric_type: frozenset(map(str, plan.units(metric_type))) for metric_type in plan.request.metric_types}

    def snapshot(self) -> Snapshot:
        """The run now."""
        staged = self._ledger.staged()
        for group in staged - self._points.keys():
            self._points[group] = total(read_footer(self._ledger.staging_file(group)).counts, "points")
        recorded = self._ledger.recorded_units()
        units = {name: (len(recorded & planned), len(planned)) for name, planned in self._names.items()}
        groups = len(staged), len(self._plan.groups)
        return Snapshot(groups=groups, units=units, points=sum(self._points.values()), fraction=_fraction(groups, units))


def _fraction(groups: tuple[int, int], units: dict[str, tuple[int, int]]) -> float:
    planned = sum(number for _, number in units.values())
    rolled_up = sum(number for number, _ in units.values()) / planned if planned else 1.0
    staged = groups[0] / groups[1] if groups[1] else 1.0
    return STAGING_SHARE * staged + (1 - STAGING_SHARE) * rolled_up


def progress_line(now: Snapshot, *, elapsed_s: float, gained: float) -> str:
    """`[######      ] 41 %  1.3 M points/s  staged 12/30  service 0/14 …  ETA 12 s`; `gained` is the fraction done in `elapsed_s`."""
    filled = round(now.fraction * BAR_CELLS)
    units = "  ".join(f"{name} {done}/{planned}" for name, (done, planned) in now.units.items())
    rate = f"{human_number(now.points / elapsed_s)} points/s" if elapsed_s > 1 else ""
    eta = f"ETA {human_duration(elapsed_s * (1 - now.fraction) / gained)}" if gained > 0.02 and elapsed_s > 1 else ""
    return f"[{'#' * filled}{' ' * (BAR_CELLS - filled)}] {now.fraction:4.0%}  staged {now.groups[0]}/{now.groups[1]}  {units}  {rate}  {eta}".rstrip()


@contextmanager
def watching(ledger: Ledger, plan: Plan, runtime: Runtime) -> Iterator[None]:
    """Shows progress while the body works: a bar on a terminal, else a line every 30 s."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(Watch(ledger, plan), runtime, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(watch: Watch, runtime: Runtime, ended: threading.Event) -> None:
    started = runtime.clock()
    first = watch.snapshot().fraction
    tell = runtime.show if runtime.terminal else runtime.say
    while not ended.wait(TERMINAL_EVERY_S if runtime.terminal else LOG_EVERY_S):
        now = watch.snapshot()
        tell(progress_line(now, elapsed_s=runtime.clock() - started, gained=now.fraction - first))
    if runtime.terminal:
        runtime.show("")
