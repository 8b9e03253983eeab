"""What the commands from store to store are told. Fields are those of `configs.store_command_options`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.guarding import Guarded
from configs.jobs import check_hash_slots, check_run_id
from configs.publishing import Published
from transforms.core.errors import UsageError
from transforms.core.fold import Average
from transforms.core.granularity import WIDTH_S
from transforms.core.hash_slots import SlotRange, format_slots
from transforms.core.plan import Verify
from transforms.core.recalculating import SOURCES
from transforms.core.selection import Edge
from transforms.core.store_settings import StoreSettings, settings_of
from transforms.core.transfer import Following, StoreRequest


@dataclass(frozen=True, kw_only=True)
class TransferJob(StoreSettings, ABC):
    """What both kinds of runs from store to store are told: which series, and how the run is executed."""

    source: str
    store: str
    period: tuple[str, ...]
    metric_types: tuple[str, ...]
    granularities: tuple[str, ...]
    org: tuple[str, ...]
    series: tuple[str, ...]
    series_file: str
    hash_slots: tuple[SlotRange, ...]
    hash_key: str
    run_id: str
    plan: str
    plan_only: bool
    include_live: bool
    verify: Verify
    skip_live: bool
    dry_run: bool
    yes: bool
    max_attempts: int
    allow_empty: bool
    workers: int
    runner: str
    shared_folders: bool
    work_dir: str
    json: bool
    rates: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    guarded: Guarded = field(default_factory=Guarded)
    published: Published = field(default_factory=Published)
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ids, and that hash slots and key come together."""
        check_run_id(self.run_id)
        check_run_id(self.plan)
        if self.plan and self.run_id not in ("", self.plan):
            msg = f"--run-id {self.run_id} and --plan {self.plan} differ: a plan is executed under its own id, leave --run-id out"
            raise UsageError(msg)
        check_hash_slots(self.hash_slots, self.hash_key)

    @abstractmethod
    def request(self, *, series_file_digest: str = "", file_globs: tuple[str, ...] = ()) -> StoreRequest:
        """The part of the job that decides what is written."""

    def _asked(self) -> dict[str, Any]:
        """The fields of a request that are the same for both."""
        return {
            "store": self.store,
            "periods": self.period,
            "metric_types": self.metric_types,
            "orgs": self.org,
            "series": self.series,
            "series_file": self.series_file,
            "hash_slots": format_slots(self.hash_slots),
            "hash_key": self.hash_key,
            "include_live": self.include_live,
            "verify": self.verify,
            "dry_run": self.dry_run,
            "settings": settings_of(self),
        }


@dataclass(frozen=True, kw_only=True)
class RecalculateJob(TransferJob):
    """Which coarser rollups to make from stored finer ones."""

    finer: str
    edge: Edge
    average: Average
    allow_fewer: bool

    def __post_init__(self) -> None:
        """Check that the finer rollups can be made into those asked for."""
        super().__post_init__()
        if cannot := [one for one in self.granularities if one not in SOURCES[self.finer]]:
            source = (
                "1m rollups come from the archive (rollups backfill)" if cannot[0] == "1m" else f"from {self.finer} ones come {', '.join(SOURCES[self.finer])}"
            )
            msg = f"{cannot[0]} rollups can't be recalculated from {self.finer} rollups: {source}"
            raise UsageError(msg)

    def request(self, *, series_file_digest: str = "", file_globs: tuple[str, ...] = ()) -> StoreRequest:
        """The part of the job that decides what is written."""
        return StoreRequest(
            command="recalculate",
            source=self.source or self.store,
            granularities=tuple(sorted(self.granularities or SOURCES[self.finer], key=WIDTH_S.__getitem__)),
            finer=self.finer,
            series_file_digest=series_file_digest,
            file_globs=file_globs,
            edge=self.edge,
            average=self.average,
            allow_fewer=self.allow_fewer,
            **self._asked(),
        )


@dataclass(frozen=True, kw_only=True)
class CopyJob(TransferJob):
    """What to copy from which store to which, once for periods or following time."""

    follow: bool
    start: str
    end: str
    lag_s: int
    step_s: int

    def __post_init__(self) -> None:
        """Check that the stores are two, and that there are either periods or a start to follow from."""
        super().__post_init__()
        if self.plan:
            return
        if self.source == self.store:
            msg = f"--from and --store are both {self.store}: a copy goes to another store"
            raise UsageError(msg)
        if self.follow != bool(self.start) or (self.end and not self.follow):
            msg = "--follow, --start and --end belong together: --follow --start TIME [--end TIME], or --period FROM/TO without them"
            raise UsageError(msg)
        if self.follow == bool(self.period):
            msg = "give either --period FROM/TO, to copy that, or --follow --start TIME, to copy from there on"
            raise UsageError(msg)
        if self.follow and (self.plan_only or self.dry_run):
            msg = "--follow goes on with time: --plan-only and --dry-run are for a --period"
            raise UsageError(msg)

    def request(self, *, series_file_digest: str = "", file_globs: tuple[str, ...] = ()) -> StoreRequest:
        """The part of the job that decides what is written."""
        return StoreRequest(
            command="copy",
            source=self.source,
            granularities=tuple(sorted(self.granularities, key=WIDTH_S.__getitem__)),
            series_file_digest=series_file_digest,
            file_globs=file_globs,
            edge="ended" if self.follow else "expand",
            follow=Following(start=self.start, end=self.end, lag_s=self.lag_s, step_s=self.step_s) if self.follow else None,
            **self._asked(),
        )


@dataclass(frozen=True, kw_only=True)
class CompareJob(StoreSettings):
    """Which rollups of two stores to compare. With a `hash_key` differences are also told by hash slot."""

    left: str
    right: str
    period: tuple[str, ...]
    metric_types: tuple[str, ...]
    granularities: tuple[str, ...]
    org: tuple[str, ...]
    series: tuple[str, ...]
    series_file: str
    hash_key: str
    include_generation: bool
    allow_empty: bool
    work_dir: str
    json: bool
    rates: Mapping[str, Any] = field(default_factory=dict)
