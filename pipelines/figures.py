"""What of a run is shown to others while it works and when it has ended: the numbers of its progress, and then those of its report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.progress import Watch
from transforms.core.counts import by_cause, total
from transforms.core.usage import Usage
from transforms.steps.ledger import Ledger

ByVerdict = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Numbers of buckets by metric type, granularity and what became of them."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A run at one moment. `groups` are (staged, planned) and `units` (written, planned) by metric type; `points` were decoded, or of stored rollups read.

    None is what can't be told: `fraction` done and `eta_s` where there is no end, `until_s`, before which all is copied, where there is one.
    """

    points: int
    buckets: ByVerdict
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    throttled_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    groups: tuple[int, int] = (0, 0)
    units: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fraction: float | None = None
    eta_s: float | None = None
    until_s: int | None = None


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a run has used of services, that in dollars, the limits that it keeps now by their names, and whether it is paused."""

    used: Usage
    dollars: float
    limits: Mapping[str, int]
    is_paused: bool


def figures_of(watch: Watch, now_s: float) -> Figures:
    """By the ledger while something of the run is missing, by its report from then on."""
    if report := watch.ledger.report():
        return _reported(watch, report)
    now = watch.snapshot(now_s)
    return Figures(
        points=total(watch.counts, "points"),
        buckets=watch.buckets,
        dead_letters=by_cause(watch.counts),
        throttled_s=now.throttled_s,
        groups=now.groups,
        units=now.units,
        fraction=now.fraction,
        eta_s=now.eta_s,
    )


def _reported(watch: Watch, report: Mapping[str, Any]) -> Figures:
    """Of a run of which nothing is missing. A copy has no dead letters, and what it read is not called points."""
    read = report["points"] if "points" in report else report["read"]
    return Figures(
        points=sum(terms.get("points", terms.get("read", 0)) for terms in read.values()),
        buckets=report["buckets"],
        dead_letters=report.get("dead_letters", {}).get("by_cause", {}),
        throttled_s=report["throttled_s"],
        groups=(watch.groups, watch.groups),
        units={name: (number, number) for name, number in watch.units().items()},
        fraction=1.0,
        eta_s=0.0,
    )


def use_of(ledger: Ledger) -> Use:
    """By the run's control file and tally."""
    used, wishes = ledger.tally.used(), ledger.wishes()
    dollars = sum(ledger.budget().prices.dollars_by_service(used).values())
    return Use(used=used, dollars=dollars, limits=wishes.rates.named(), is_paused=bool(wishes.pauses))
