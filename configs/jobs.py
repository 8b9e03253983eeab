"""What a command is told: frozen, validated values, one class per command. Fields are the keys of `configs.options`.

`rates` are the limits that are asked for, by their keys (`configs.limit_options`); the others are as usual or as the run has them. `budget`
are the fields of `Budget` that are asked for (`configs.budget_options`), likewise.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from configs.guarding import Guarded
from configs.publishing import Published
from transforms.core.errors import UsageError
from transforms.core.flat import FlatMapping
from transforms.core.granularity import WIDTH_S
from transforms.core.hash_slots import SlotRange, format_slots, parse_slots
from transforms.core.keys import KeyLayout
from transforms.core.plan import Average, Request, Verify
from transforms.core.selection import Edge, Reach
from transforms.core.store_settings import StoreSettings, settings_of

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class PlanJob(StoreSettings):
    """What to compute from where, and under which name."""

    archive: str
    store: str
    period: tuple[str, ...]
    metric_types: tuple[str, ...]
    granularities: tuple[str, ...]
    org: tuple[str, ...]
    series: tuple[str, ...]
    series_file: str
    hash_slots: tuple[SlotRange, ...]
    hash_key: str
    edge: Edge
    average: Average
    role_membership: str
    default_org: str
    flat: FlatMapping | None
    late_s: int
    early_s: int
    lead_in_s: int
    object_span_s: int
    max_object_bytes: int
    read_firehose_errors: bool
    key_pattern: str
    key_time_zone: str
    allow_fewer: bool
    include_live: bool
    verify: Verify
    min_coverage: float
    allow_empty: bool
    run_id: str
    workers: int
    work_dir: str
    json: bool
    rates: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the run id, which becomes a folder name, and that hash slots and key come together; and how keys are said to show times."""
        check_run_id(self.run_id)
        check_hash_slots(self.hash_slots, self.hash_key)
        KeyLayout(self.key_pattern, self.key_time_zone)

    def request(self, *, membership_digest: str, dry_run: bool, series_file_digest: str = "", file_globs: tuple[str, ...] = ()) -> Request:
        """The part of the job that decides what is computed."""
        return Request(
            archive=self.archive,
            store=self.store,
            periods=self.period,
            metric_types=self.metric_types,
            granularities=tuple(sorted(self.granularities, key=WIDTH_S.__getitem__)),
            orgs=self.org,
            series=self.series,
            series_file=self.series_file,
            series_file_digest=series_file_digest,
            file_globs=file_globs,
            hash_slots=format_slots(self.hash_slots),
            hash_key=self.hash_key,
            edge=self.edge,
            average=self.average,
            allow_fewer=self.allow_fewer,
            include_live=self.include_live,
            verify=self.verify,
            min_coverage=self.min_coverage,
            dry_run=dry_run,
            default_org=self.default_org,
            flat=self.flat,
            role_membership=self.role_membership,
            role_membership_digest=membership_digest,
            max_object_bytes=self.max_object_bytes,
            read_firehose_errors=self.read_firehose_errors,
            reach=Reach(late_s=self.late_s, early_s=self.early_s, lead_in_s=self.lead_in_s, object_span_s=self.object_span_s),
            key_pattern=self.key_pattern,
            key_time_zone=self.key_time_zone,
            settings=settings_of(self),
        )


@dataclass(frozen=True, kw_only=True)
class BackfillJob(PlanJob):
    """A plan to be made, or to be taken from `plan`, and how to execute it."""

    plan: str
    dead_letters: str
    dry_run: bool
    yes: bool
    skip_live: bool
    max_dead_letters: int
    max_attempts: int
    runner: str
    shared_folders: bool
    guarded: Guarded = field(default_factory=Guarded)
    published: Published = field(default_factory=Published)
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ids."""
        super().__post_init__()
        check_run_id(self.plan)
        check_run_id(self.dead_letters)
        if self.plan and self.run_id not in ("", self.plan):
            msg = f"--run-id {self.run_id} and --plan {self.plan} differ: a plan is executed under its own id, leave --run-id out"
            raise UsageError(msg)


def values_of(request: Request) -> dict[str, Any]:
    """The values of a job's fields that ask for this request, so that another job can begin with them."""
    same = {field.name: getattr(request, field.name) for field in fields(request) if field.name in {one.name for one in fields(PlanJob)}}
    slots = parse_slots(request.hash_slots) if request.hash_slots else ()
    return same | asdict(request.reach) | asdict(request.settings) | {"period": request.periods, "org": request.orgs, "hash_slots": slots}


@dataclass(frozen=True, kw_only=True)
class ExportJob(StoreSettings):
    """Which stored rollups to write, and how."""

    store: str
    period: tuple[str, ...]
    granularity: str
    metric_types: tuple[str, ...]
    org: tuple[str, ...]
    series: tuple[str, ...]
    series_file: str
    hash_slots: tuple[SlotRange, ...]
    hash_key: str
    format: str
    output: str
    work_dir: str
    json: bool
    rates: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """`--json` asks for JSON rows; hash slots and key come together."""
        check_hash_slots(self.hash_slots, self.hash_key)
        if self.json and self.format == "parquet":
            msg = "--json and --format parquet differ: leave one of them out"
            raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class InspectJob:
    """Which object, folder or archive to look at, and as what: the decoding options are those of a run."""

    object: str
    objects: int
    default_org: str
    flat: FlatMapping | None
    late_s: int
    early_s: int
    max_object_bytes: int
    read_firehose_errors: bool
    key_pattern: str
    key_time_zone: str
    work_dir: str
    json: bool
    rates: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check how keys are said to show times."""
        KeyLayout(self.key_pattern, self.key_time_zone)

    @property
    def keys(self) -> KeyLayout:
        """How object keys show times."""
        return KeyLayout(self.key_pattern, self.key_time_zone)


@dataclass(frozen=True, kw_only=True)
class RunsJob:
    """Where runs are kept."""

    work_dir: str
    json: bool


@dataclass(frozen=True, kw_only=True)
class StatusJob:
    """Which run to look at."""

    run_id: str
    watch: bool
    dead_letters: bool
    recheck: bool
    work_dir: str
    json: bool

    def __post_init__(self) -> None:
        """Check the run id."""
        check_run_id(self.run_id)


@dataclass(frozen=True, kw_only=True)
class ControlJob:
    """Which run to tell something while it runs."""

    run_id: str
    work_dir: str
    json: bool

    def __post_init__(self) -> None:
        """Check the run id."""
        check_run_id(self.run_id)


@dataclass(frozen=True, kw_only=True)
class ThrottleJob(ControlJob):
    """Other limits."""

    rates: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """There is at least one."""
        super().__post_init__()
        if not self.rates:
            msg = f"rollups throttle {self.run_id}: name a limit, such as --s3-get-per-s 100"
            raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class StoreCreateJob:
    """Which store to make; `action` is the word after `store`."""

    action: str
    store: str
    print_cloudformation: bool
    json: bool

    def __post_init__(self) -> None:
        """There is one action."""
        if self.action != "create":
            msg = f"rollups store {self.action!r}: the only thing to do is `rollups store create --store URL`"
            raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class UndoJob:
    """Which run to undo."""

    run_id: str
    yes: bool
    work_dir: str
    json: bool

    def __post_init__(self) -> None:
        """Check the run id."""
        check_run_id(self.run_id)


def check_hash_slots(slots: tuple[SlotRange, ...], key: str) -> None:
    """Raises UsageError unless hash slots and the key that they are of come together."""
    if bool(slots) != bool(key):
        given, missing = ("--hash-slots", "--hash-key") if slots else ("--hash-key", "--hash-slots")
        msg = f"{given} without {missing}: slots say which series lost data, the key how the hot tier names a series, such as metric:{{org}}:{{name}}"
        raise UsageError(msg)


def check_run_id(run_id: str) -> None:
    """Raises UsageError unless the id is empty or fit for a folder name."""
    if run_id.startswith("undo-"):
        msg = f"the run id {run_id!r} begins with undo-, which names the undoing of runs: choose another"
        raise UsageError(msg)
    if run_id and not _RUN_ID.fullmatch(run_id):
        msg = f"the run id {run_id!r} is not of letters, digits, '.', '_' and '-' (64 at most, the first a letter or digit)"
        raise UsageError(msg)
