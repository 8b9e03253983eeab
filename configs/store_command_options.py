"""Options of the commands that read one store and write or compare another."""

from collections.abc import Iterable
from typing import Final

from configs.budget_options import BUDGET_OPTIONS
from configs.guarding import GUARD_OPTIONS
from configs.limit_options import LIMIT_OPTIONS
from configs.option import Option, list_of, one_of, whole_number
from configs.options import BACKFILL_OPTIONS
from configs.publishing import PUBLISH_OPTIONS
from configs.store_options import STORE_FORMS, STORE_OPTIONS
from transforms.core.errors import UsageError
from transforms.core.granularity import GRANULARITIES, MINUTE_S
from transforms.core.model import METRIC_TYPES


def _as_in_backfill(names: Iterable[str]) -> tuple[Option, ...]:
    known = {one.name: one for one in BACKFILL_OPTIONS}
    return tuple(known[name] for name in names)


def whole_minutes(text: str) -> int:
    """Accepts a number of seconds that is a whole number of minutes, at least one."""
    seconds = whole_number(1)(text)
    if seconds % MINUTE_S:
        msg = f"{text!r} is no whole number of minutes in seconds, such as 300 or 3600"
        raise UsageError(msg)
    return seconds


_SERIES: Final = _as_in_backfill(("metric-types", "org", "series", "series-file", "hash-slots", "hash-key"))
_RUN: Final = (
    *STORE_OPTIONS,
    *LIMIT_OPTIONS,
    *BUDGET_OPTIONS,
    *GUARD_OPTIONS,
    *PUBLISH_OPTIONS,
    *_as_in_backfill(("run-id",)),
    Option(name="plan", metavar="ID", default="", help="execute exactly the plan that was stored under this id, or go on with it"),
    Option(name="plan-only", flag=True, default=False, help="store and show the plan and end; --plan ID executes it"),
    Option(name="dry-run", flag=True, default=False, help="show what would change, write nothing to the store"),
    *_as_in_backfill(("include-live", "verify", "skip-live", "yes", "max-attempts")),
    Option(name="allow-empty", flag=True, default=False, help="a source that holds nothing of the period is no error"),
    *_as_in_backfill(("workers", "runner", "shared-folders", "work-dir", "json", "config")),
)

RECALCULATE_OPTIONS: Final = (
    Option(
        name="from",
        metavar="URL",
        default="",
        job_field="source",
        help=f"the store that holds the finer rollups, if it is another one than --store: {STORE_FORMS}",
    ),
    *_as_in_backfill(("store", "period")),
    *_SERIES,
    Option(
        name="finer",
        metavar="1m|5m",
        parse=one_of("granularity to recalculate from", ("1m", "5m")),
        default="1m",
        help="the stored rollups that are rolled up (default: 1m)",
    ),
    Option(
        name="granularities",
        metavar="LIST",
        parse=list_of("granularity", GRANULARITIES),
        default=(),
        help="bucket widths to make; if not given, all that are wider than --finer",
    ),
    *_as_in_backfill(("edge", "average", "allow-fewer")),
    *_RUN,
)

COPY_OPTIONS: Final = (
    Option(name="from", metavar="URL", required=True, job_field="source", help=f"the store to read: {STORE_FORMS}"),
    Option(name="store", metavar="URL", required=True, help=f"the store to write to: {STORE_FORMS}"),
    Option(name="period", metavar="FROM/TO", many=True, help="buckets that overlap it are copied; may be given several times; needed without --follow"),
    *_SERIES,
    Option(
        name="granularities",
        metavar="LIST",
        parse=list_of("granularity", GRANULARITIES),
        default=GRANULARITIES,
        help="bucket widths to copy (default: 1m,5m,1h)",
    ),
    Option(name="follow", flag=True, default=False, help="go on as time does, until --end or until interrupted; with --run-id it goes on where it was"),
    Option(name="start", metavar="TIME", default="", help="where following begins: a time with an offset or Z, or a relative one such as -24h or now"),
    Option(name="end", metavar="TIME", default="", help="where following ends (default: when it is interrupted)"),
    Option(
        name="lag-s",
        parse=whole_number(0),
        default=600,
        metavar="SECONDS",
        help="a step is copied so long after its end; what changes in it later is not copied (default: 600)",
    ),
    Option(name="step-s", parse=whole_minutes, default=3600, metavar="SECONDS", help="seconds of a step, whole minutes (default: 3600)"),
    *_RUN,
)

COMPARE_OPTIONS: Final = (
    *_as_in_backfill(("period",)),
    Option(name="metric-types", metavar="LIST", parse=list_of("metric type", METRIC_TYPES), default=METRIC_TYPES, help="(default: all)"),
    Option(
        name="granularities",
        metavar="LIST",
        parse=list_of("granularity", GRANULARITIES),
        default=(),
        help="bucket widths to compare; if not given, all that both stores can hold",
    ),
    *_as_in_backfill(("org", "series", "series-file", "hash-key")),
    Option(name="include-generation", flag=True, default=False, help="buckets of another generation differ; without it only their values are compared"),
    Option(name="allow-empty", flag=True, default=False, help="that neither store holds anything of the period is no error"),
    *STORE_OPTIONS,
    *LIMIT_OPTIONS,
    *_as_in_backfill(("work-dir", "json", "config")),
)

STORE_COMMAND_OPTIONS: Final = (*RECALCULATE_OPTIONS, *COPY_OPTIONS, *COMPARE_OPTIONS)
"""Options of all these commands."""
