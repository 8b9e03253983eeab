"""The subcommands of `rollups`, one line each in the table that help, parsing and tests are made from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from configs import options as table, store_command_options as store_table
from configs.headroom import HEADROOM_OPTIONS, HeadroomJob
from configs.jobs import (
    BackfillJob,
    ControlJob,
    ExportJob,
    InspectJob,
    PlanJob,
    RunsJob,
    StatusJob,
    StoreCreateJob,
    ThrottleJob,
    UndoJob,
)
from configs.option import Option
from configs.store_jobs import CompareJob, CopyJob, RecalculateJob


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand: its module's `run(job, runtime)` does the work.

    `arguments` are its positionals, `beam` whether unknown options may be Beam's, `module` the module's name where that is not the command's.
    """

    name: str
    help: str
    options: tuple[Option, ...]
    job: Callable[..., Any]
    examples: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    beam: bool = False
    module: str = ""


COMMANDS: Final = (
    Command(
        name="backfill",
        help="recompute rollups of a period from the archive and upsert them",
        options=table.BACKFILL_OPTIONS,
        job=BackfillJob,
        beam=True,
        examples=(
            "rollups backfill --archive file:///data/archive --store parquet:///data/rollups --period 2025-10-30T00:00+09:00/2025-11-05T13:00+09:00",
            "rollups backfill --archive file:///data/archive --store parquet:///data/rollups --period -24h/now --metric-types service,host --dry-run",
            "rollups backfill --plan 20251109T124300-3f9a",
        ),
    ),
    Command(
        name="plan",
        help="show and store what a backfill would do",
        options=table.PLAN_OPTIONS,
        job=PlanJob,
        examples=("rollups plan --archive file:///data/archive --store parquet:///data/rollups --period 2025-11-01T00:00Z/PT6H",),
    ),
    Command(
        name="recalculate",
        help="make 5m and 1h rollups again from stored finer ones",
        options=store_table.RECALCULATE_OPTIONS,
        job=RecalculateJob,
        beam=True,
        examples=(
            "rollups recalculate --store parquet:///data/rollups --period 2025-11-01T00:00Z/P1D",
            "rollups recalculate --store parquet:///data/rollups --period 2025-11-01T00:00Z/P1D --finer 5m --metric-types host --dry-run",
        ),
    ),
    Command(
        name="export",
        help="write stored rollups as CSV, JSON or Parquet",
        options=table.EXPORT_OPTIONS,
        job=ExportJob,
        examples=("rollups export --store parquet:///data/rollups --period 2025-11-01T00:00Z/PT6H --granularity 5m --series 'host/acme/*/loadavg5'",),
    ),
    Command(
        name="copy",
        help="copy stored rollups to another store, once or as time goes on",
        options=store_table.COPY_OPTIONS,
        job=CopyJob,
        beam=True,
        module="copying",
        examples=(
            "rollups copy --from parquet:///data/rollups --store parquet:///data/copied --period 2025-11-01T00:00Z/P1D",
            "rollups copy --from parquet:///data/rollups --store parquet:///data/followed --follow --start 2025-11-01T00:00Z --end 2025-11-01T06:00Z",
        ),
    ),
    Command(
        name="compare",
        help="tell what two stores differ in: missing, extra and different rollups",
        options=store_table.COMPARE_OPTIONS,
        job=CompareJob,
        arguments=("left", "right"),
        examples=("rollups compare parquet:///data/rollups parquet:///data/rollups --period 2025-11-01T00:00Z/P1D --hash-key '{org}:{entity}:{name}'",),
    ),
    Command(
        name="inspect",
        help="tell what an archive or one object of it holds, and how to restore it (exit 5 if it finds no point)",
        options=table.INSPECT_OPTIONS,
        job=InspectJob,
        arguments=("object",),
        module="inspection",
        examples=("rollups inspect file:///data/archive", "rollups inspect /data/archive/2025/11 --objects 50"),
    ),
    Command(name="runs", help="list runs", options=table.RUNS_OPTIONS, job=RunsJob, examples=("rollups runs",)),
    Command(
        name="status",
        help="tell how far a run is",
        options=table.STATUS_OPTIONS,
        job=StatusJob,
        arguments=("run_id",),
        examples=("rollups status 20251109T124300-3f9a --watch", "rollups status 20251109T124300-3f9a --dead-letters"),
    ),
    Command(
        name="pause",
        help="let a run wait, all its workers within seconds",
        options=table.CONTROL_OPTIONS,
        job=ControlJob,
        arguments=("run_id",),
        examples=("rollups pause 20251109T124300-3f9a",),
    ),
    Command(
        name="resume",
        help="let a paused run go on",
        options=table.CONTROL_OPTIONS,
        job=ControlJob,
        arguments=("run_id",),
        examples=("rollups resume 20251109T124300-3f9a",),
    ),
    Command(
        name="throttle",
        help="give a run other limits while it runs",
        options=table.THROTTLE_OPTIONS,
        job=ThrottleJob,
        arguments=("run_id",),
        examples=("rollups throttle 20251109T124300-3f9a --s3-get-per-s 100 --dynamodb-wru-per-s 200",),
    ),
    Command(
        name="store",
        help="make what a store needs (store create)",
        options=table.STORE_CREATE_OPTIONS,
        job=StoreCreateJob,
        arguments=("action",),
        examples=("rollups store create --store dynamodb://rollups", "rollups store create --store dynamodb://rollups --print-cloudformation"),
    ),
    Command(
        name="headroom",
        help="tell what is left of the services' limits beside the live use",
        options=HEADROOM_OPTIONS,
        job=HeadroomJob,
        examples=("rollups headroom --store dynamodb://rollups", "rollups headroom --store dynamodb://rollups --reserve 30% --json"),
    ),
    Command(
        name="undo",
        help="bring back what a run replaced",
        options=table.UNDO_OPTIONS,
        job=UndoJob,
        arguments=("run_id",),
        examples=("rollups undo 20251109T124300-3f9a",),
    ),
)
