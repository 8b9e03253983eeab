"""What a command is told: frozen, validated values, one class per command. Fields are the keys of `configs.options`."""

import re
from dataclasses import dataclass
from typing import Final

from transforms.core.errors import UsageError
from transforms.core.granularity import WIDTH_S
from transforms.core.keys import KeyLayout
from transforms.core.plan import Average, Request
from transforms.core.selection import Edge, Reach

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class PlanJob:
    """What to compute from where, and under which name."""

    archive: str
    store: str
    period: tuple[str, ...]
    metric_types: tuple[str, ...]
    granularities: tuple[str, ...]
    org: tuple[str, ...]
    series: tuple[str, ...]
    edge: Edge
    average: Average
    role_membership: str
    default_org: str
    late_s: int
    early_s: int
    lead_in_s: int
    object_span_s: int
    max_object_bytes: int
    key_pattern: str
    key_time_zone: str
    allow_fewer: bool
    allow_empty: bool
    run_id: str
    workers: int
    work_dir: str
    json: bool

    def __post_init__(self) -> None:
        """Check the run id: it becomes a folder name; and how keys are said to show times."""
        check_run_id(self.run_id)
        KeyLayout(self.key_pattern, self.key_time_zone)

    def request(self, *, membership_digest: str, dry_run: bool) -> Request:
        """The part of the job that decides what is computed."""
        return Request(
            archive=self.archive,
            store=self.store,
            periods=self.period,
            metric_types=self.metric_types,
            granularities=tuple(sorted(self.granularities, key=WIDTH_S.__getitem__)),
            orgs=self.org,
            series=self.series,
            edge=self.edge,
            average=self.average,
            allow_fewer=self.allow_fewer,
            dry_run=dry_run,
            default_org=self.default_org,
            role_membership=self.role_membership,
            role_membership_digest=membership_digest,
            max_object_bytes=self.max_object_bytes,
            reach=Reach(late_s=self.late_s, early_s=self.early_s, lead_in_s=self.lead_in_s, object_span_s=self.object_span_s),
            key_pattern=self.key_pattern,
            key_time_zone=self.key_time_zone,
        )


@dataclass(frozen=True, kw_only=True)
class BackfillJob(PlanJob):
    """A plan to be made, or to be taken from `plan`, and how to execute it."""

    plan: str
    dry_run: bool
    yes: bool
    max_dead_letters: int
    max_attempts: int
    runner: str
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ids."""
        super().__post_init__()
        check_run_id(self.plan)
        if self.plan and self.run_id not in ("", self.plan):
            msg = f"--run-id {self.run_id} and --plan {self.plan} differ: a plan is executed under its own id, leave --run-id out"
            raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """Which stored rollups to write, and how."""

    store: str
    period: tuple[str, ...]
    granularity: str
    metric_types: tuple[str, ...]
    org: tuple[str, ...]
    series: tuple[str, ...]
    format: str
    output: str
    json: bool

    def __post_init__(self) -> None:
        """`--json` asks for JSON rows."""
        if self.json and self.format == "parquet":
            msg = "--json and --format parquet differ: leave one of them out"
            raise UsageError(msg)


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
    work_dir: str
    json: bool

    def __post_init__(self) -> None:
        """Check the run id."""
        check_run_id(self.run_id)


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


def check_run_id(run_id: str) -> None:
    """Raises UsageError unless the id is empty or fit for a folder name."""
    if run_id.startswith("undo-"):
        msg = f"the run id {run_id!r} begins with undo-, which names the undoing of runs: choose another"
        raise UsageError(msg)
    if run_id and not _RUN_ID.fullmatch(run_id):
        msg = f"the run id {run_id!r} is not of letters, digits, '.', '_' and '-' (64 at most, the first a letter or digit)"
        raise UsageError(msg)
