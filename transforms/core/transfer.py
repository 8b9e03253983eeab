"""The plan of a run from store to store: what is recalculated or copied, as pure data made before it starts and followed exactly.

Its units are those of the source: each is read once. What is made of it goes to the units of the target that may hold its series in its time.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import gcd
from typing import Any, Final, Literal

from transforms.core.errors import UsageError
from transforms.core.fold import Average
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.plan import Plan, Verify, sampled
from transforms.core.selection import Edge, Selection, Series, computed_for, edge_buckets
from transforms.core.store_settings import StoreSettings, settings_from_json
from transforms.core.units import Unit
from transforms.core.usage import Usage
from transforms.core.windows import Windows

FORMAT: Final = 2

Transfer = Literal["recalculate", "copy"]

Shards = dict[str, dict[str, int]]
"""Numbers of shards by metric type and window."""


@dataclass(frozen=True, kw_only=True)
class Following:
    """How a copy follows time: from `start` to `end` (as typed, empty: for ever), in steps of so many seconds, each so long after its end."""

    start: str
    end: str
    lag_s: int
    step_s: int


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """What the user asked for: the part of a command that decides what is written. A run id stands for one request.

    `granularities` are written, those of a recalculation made from `finer`. `edge` is `ended` where a copy follows time: each bucket belongs to the period in
    which it ends. The other fields are as those of `plan.Request`.
    """

    command: Transfer
    source: str
    store: str
    periods: tuple[str, ...]
    metric_types: tuple[str, ...]
    granularities: tuple[str, ...]
    finer: str = ""
    orgs: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    series_file: str = ""
    series_file_digest: str = ""
    file_globs: tuple[str, ...] = field(default=(), compare=False)
    hash_slots: str = ""
    hash_key: str = ""
    edge: Edge | Literal["ended"] = "expand"
    average: Average = "cascade"
    allow_fewer: bool = False
    follow: Following | None = None
    include_live: bool = False
    verify: Verify = field(default="sample", compare=False)
    dry_run: bool = False
    settings: StoreSettings = field(default_factory=StoreSettings)

    def selection(self, periods: tuple[Range, ...]) -> Selection:
        """The buckets and series of this request when its periods mean these times. Raises UsageError if no bucket is left."""
        if self.edge == "ended":
            computed = {name: tuple(one for period in periods for one in ended_in(period, name)) for name in self.granularities}
        else:
            computed = computed_for(periods, self.granularities, self.edge)
        globs = self.series + self.file_globs
        series = Series(metric_types=self.metric_types, orgs=self.orgs, globs=globs, hash_slots=self.hash_slots, hash_key=self.hash_key)
        return series.within(computed)

    def read(self) -> tuple[str, ...]:
        """The granularities that are read."""
        return (self.finer,) if self.finer else self.granularities

    def differences(self, other: "StoreRequest") -> tuple[str, ...]:
        """Names of the fields in which another request asks for something else."""
        return tuple(one.name for one in dataclasses.fields(self) if one.compare and getattr(self, one.name) != getattr(other, one.name))


def ended_in(period: Range, granularity: str) -> tuple[Range, ...]:
    """The range of the buckets that end in (from, to]: periods side by side have each bucket once."""
    width = WIDTH_S[granularity]
    from_s, to_s = (edge // width * width for edge in period)
    return ((from_s, to_s),) if from_s < to_s else ()


@dataclass(frozen=True, kw_only=True)
class Reckoned:
    """What a run is expected to read, from one unit of each type: series and rows, and how long its processors take, 0 where that was not asked."""

    series: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StorePlan:
    """One planned execution.

    `shards` are the partitions of the source that exist and may hold what is read, `target_shards` those of the target that may be written, each with windows
    of so many days. `generation` is 0 for a copy, whose rows keep theirs. Buckets that overlap `left` are the target's live writer's.
    `expected` is all that the run will use of services, with what planning it has used.
    """

    run_id: str
    created_s: int
    request: StoreRequest
    periods: tuple[Range, ...]
    generation: int
    shards: Shards
    target_shards: Shards
    window_days: int = 1
    target_window_days: int = 1
    left: tuple[Range, ...] = ()
    reckoned: Reckoned = field(default_factory=Reckoned)
    expected: Usage = field(default_factory=Usage)

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Read groups: nothing is staged."""
        return ()

    @property
    def selection(self) -> Selection:
        """Buckets and series to write."""
        return self.request.selection(self.periods)

    @property
    def windows(self) -> Windows:
        """The source's windows."""
        return Windows(self.window_days)

    @property
    def target_windows(self) -> Windows:
        """The target's windows."""
        return Windows(self.target_window_days)

    def units(self, metric_type: str) -> tuple[Unit, ...]:
        """The source's units of a metric type in order."""
        return tuple(Unit(metric_type, window, shard) for window, shards in sorted(self.shards.get(metric_type, {}).items()) for shard in range(shards))

    def all_units(self) -> tuple[Unit, ...]:
        """Units of all types in the order in which they are worked on."""
        return tuple(unit for metric_type in self.request.metric_types for unit in self.units(metric_type))

    def verified_units(self) -> frozenset[Unit]:
        """The source's units of which what was written is read back."""
        return sampled("none" if self.request.dry_run else self.request.verify, map(self.units, self.request.metric_types))

    def targets(self, unit: Unit) -> Iterator[Unit]:
        """The target's units that may hold series of this unit in its window: shards are the same hash by different numbers."""
        of_type = self.target_shards.get(unit.metric_type, {})
        shards = self.shards[unit.metric_type][unit.window]
        for window in self.target_windows.touched_by([self.windows.range_of(unit.window)]):
            if window in of_type:
                step = gcd(shards, of_type[window])
                yield from (Unit(unit.metric_type, window, shard) for shard in range(unit.shard % step, of_type[window], step))

    def edges(self) -> dict[str, tuple[Range, ...]]:
        """Buckets partly inside the periods, by granularity."""
        return {one: edge_buckets(self.periods, one) for one in self.request.granularities}

    def to_json(self) -> str:
        """One JSON document; `store_plan_from_data` reads it."""
        return json.dumps({"format": FORMAT} | dataclasses.asdict(self), indent=1, sort_keys=True)


AnyPlan = Plan | StorePlan


def command_of(plan: AnyPlan) -> str:
    """The command that executes a plan."""
    return plan.request.command if isinstance(plan, StorePlan) else "backfill"


def is_store_plan(data: dict[str, Any]) -> bool:
    """Whether a plan's document is one of these."""
    return "command" in data.get("request", {})


def store_plan_from_data(data: dict[str, Any]) -> StorePlan:
    """Inverse of `StorePlan.to_json`, of the parsed document. Raises UsageError for one of another format."""
    if data["format"] != FORMAT:
        msg = f"the plan has format {data['format']!r}, this version reads {FORMAT}: finish the run with the version that planned it"
        raise UsageError(msg)
    request: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data["request"].items()}
    request["follow"] = Following(**request["follow"]) if request["follow"] else None
    request["settings"] = settings_from_json(data["request"]["settings"])
    kept: dict[str, Any] = {name: value for name, value in data.items() if name != "format"}
    ranges = {name: tuple((a, b) for a, b in data[name]) for name in ("periods", "left")}
    said = {"reckoned": Reckoned(**data.get("reckoned", {})), "expected": Usage(**data.get("expected", {}))}
    return StorePlan(**kept | ranges | said | {"request": StoreRequest(**request)})
