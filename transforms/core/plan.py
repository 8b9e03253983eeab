"""The plan of a run: everything it will do, as pure data made before it starts and followed exactly."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from transforms.core.coverage import HourCoverage
from transforms.core.errors import UsageError
from transforms.core.flat import FlatMapping, flat_mapping
from transforms.core.granularity import Range
from transforms.core.keys import PATTERN, KeyLayout
from transforms.core.manifest import Manifest
from transforms.core.selection import Edge, Reach, Selection, Series, computed_for, edge_buckets
from transforms.core.store_settings import StoreSettings, settings_from_json
from transforms.core.time import unite
from transforms.core.units import Unit
from transforms.core.usage import Usage
from transforms.core.windows import Windows

FORMAT: Final = 4

SAMPLED_UNITS: Final = 100
"""Of so many units of a type, the first and then every one that is this many later is read back as a sample."""

Average = Literal["cascade", "flat"]

Verify = Literal["none", "sample", "full"]
"""Units read back after they were written: none, one in a hundred and the first of each type, all."""


def sampled(verify: Verify, units: Iterable[Sequence[Unit]]) -> frozenset[Unit]:
    """Those of the units, type by type, that are read back."""
    every = {"none": 0, "sample": SAMPLED_UNITS, "full": 1}[verify]
    return frozenset(unit for of_type in units for unit in of_type[::every]) if every else frozenset()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for: the part of a command that decides what is computed. A run id stands for one request.

    `periods` are as typed, `archive` and `store` URLs without secrets. `file_globs` are what the series file holds; in comparisons its digest stands for them.
    `hash_slots` are written as by `format_slots`.
    """

    archive: str
    store: str
    periods: tuple[str, ...]
    metric_types: tuple[str, ...]
    granularities: tuple[str, ...]
    orgs: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    series_file: str = ""
    series_file_digest: str = ""
    file_globs: tuple[str, ...] = field(default=(), compare=False)
    hash_slots: str = ""
    hash_key: str = ""
    edge: Edge = "expand"
    average: Average = "cascade"
    allow_fewer: bool = False
    dry_run: bool = False
    default_org: str = ""
    flat: FlatMapping | None = None
    role_membership: str = ""
    role_membership_digest: str = ""
    max_object_bytes: int = 1 << 30
    include_live: bool = False
    verify: Verify = field(default="sample", compare=False)
    min_coverage: float = 0.0
    read_firehose_errors: bool = False
    reach: Reach = field(default_factory=Reach)
    key_pattern: str = PATTERN
    key_time_zone: str = "UTC"
    settings: StoreSettings = field(default_factory=StoreSettings)

    @property
    def keys(self) -> KeyLayout:
        """How the archive's keys show times."""
        return KeyLayout(self.key_pattern, self.key_time_zone)

    def selection(self, periods: tuple[Range, ...]) -> Selection:
        """The buckets and series of this request when its periods mean these times. Raises UsageError if no bucket is left."""
        computed = computed_for(periods, self.granularities, self.edge)
        globs = self.series + self.file_globs
        return Series(metric_types=self.metric_types, orgs=self.orgs, globs=globs, hash_slots=self.hash_slots, hash_key=self.hash_key).within(computed)

    def differences(self, other: "Request") -> tuple[str, ...]:
        """Names of the fields in which another request asks for something else."""
        return tuple(one.name for one in dataclasses.fields(self) if one.compare and getattr(self, one.name) != getattr(other, one.name))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the run is expected to take, from a sample of decoded objects. `sampled_objects` says how many; rates are of this machine.

    The sample had so many records, dead ones among them, of so many shards of a Kinesis stream (none if its records don't tell theirs), so many points, late
    and early ones among them, and so many of the computed times that are of series which were not asked for.
    """

    sampled_objects: int
    points: int
    series: int
    staging_bytes: int
    free_bytes: int
    duration_s: float
    points_per_s: float
    sampled_records: int = 0
    sampled_dead_records: int = 0
    sampled_shards: int = 0
    sampled_others: int = 0
    sampled_points: int = 0
    sampled_late: int = 0
    sampled_early: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One planned execution. `groups` are `(first ordinal, count)` into the manifest, `shards` numbers by metric type and window of `window_days`.

    Buckets that overlap `left` are the live writer's. `expected` is all that the run will use of services, with what planning it has used. `coverage` has
    the hours of the computed times that are over, or none if no key shows a time.
    """

    run_id: str
    created_s: int
    request: Request
    periods: tuple[Range, ...]
    generation: int
    manifest_digest: str
    object_bytes: int
    listed_objects: int
    untimed_objects: int
    object_times: tuple[Range, ...]
    groups: tuple[tuple[int, int], ...]
    shards: dict[str, dict[str, int]]
    estimate: Estimate
    coverage: tuple[HourCoverage, ...] = ()
    window_days: int = 1
    left: tuple[Range, ...] = ()
    expected: Usage = field(default_factory=Usage)

    @property
    def selection(self) -> Selection:
        """Buckets and series to compute."""
        return self.request.selection(self.periods)

    @property
    def windows(self) -> Windows:
        """The store's windows."""
        return Windows(self.window_days)

    def touched_windows(self) -> tuple[str, ...]:
        """Store windows with computed buckets, sorted."""
        return self.windows.touched_by(self.selection.needed())

    def shard_count(self, metric_type: str, window: str) -> int:
        """Shards of a store partition; 1 for those the run does not touch."""
        return self.shards.get(metric_type, {}).get(window, 1)

    def units(self, metric_type: str) -> tuple[Unit, ...]:
        """All units of a metric type in order, whether the archive has points for them or not."""
        return tuple(Unit(metric_type, window, shard) for window in self.touched_windows() for shard in range(self.shard_count(metric_type, window)))

    def verified_units(self) -> frozenset[Unit]:
        """The units that are read back."""
        return sampled("none" if self.request.dry_run else self.request.verify, map(self.units, self.request.metric_types))

    def all_units(self) -> tuple[Unit, ...]:
        """Units of all types in the order in which they are restored."""
        return tuple(unit for metric_type in self.request.metric_types for unit in self.units(metric_type))

    def edges(self) -> dict[str, tuple[Range, ...]]:
        """Buckets partly inside the periods, by granularity."""
        return {one: edge_buckets(self.periods, one) for one in self.request.granularities}

    def to_json(self) -> str:
        """One JSON document; `plan_from_json` reads it."""
        return json.dumps({"format": FORMAT} | dataclasses.asdict(self), indent=1, sort_keys=True)


def plan_from_json(text: str) -> Plan:
    """Inverse of `Plan.to_json`. Raises UsageError for a document of another format."""
    data: dict[str, Any] = json.loads(text)
    if (found := data.pop("format", None)) != FORMAT:
        msg = f"the plan has format {found!r}, this version reads {FORMAT}: finish the run with the version that planned it"
        raise UsageError(msg)
    request = _tuples(data["request"]) | {"reach": Reach(**data["request"]["reach"]), "flat": _flat(data["request"].get("flat"))}
    request["settings"] = settings_from_json(data["request"]["settings"])
    pairs = {name: tuple((a, b) for a, b in data[name]) for name in ("periods", "object_times", "groups", "left")}
    coverage = tuple(HourCoverage(**one) for one in data["coverage"])
    expected = Usage(**data.get("expected", {}))
    return Plan(**data | pairs | {"request": Request(**request), "estimate": Estimate(**data["estimate"]), "coverage": coverage, "expected": expected})


def _flat(written: dict[str, Any] | None) -> FlatMapping | None:
    return flat_mapping({key: value for key, value in written.items() if value}) if written else None


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def object_times(selection: Selection, reach: Reach) -> tuple[Range, ...]:
    """Prefix times of the objects to read for the selection's buckets."""
    return unite(reach.object_times(one) for one in selection.needed())


def request_digest(request: Request) -> str:
    """Tells requests apart; shown where a run id is asked to mean two things."""
    return hashlib.sha256(json.dumps(dataclasses.asdict(request), sort_keys=True).encode()).hexdigest()[:12]


def check_manifest(plan: Plan, manifest: Manifest) -> None:
    """Raises UsageError unless this is the manifest that was planned."""
    if manifest.digest() != plan.manifest_digest:
        msg = f"the manifest of run {plan.run_id} has digest {manifest.digest()}, planned was {plan.manifest_digest}: the run directory was changed"
        raise UsageError(msg)
