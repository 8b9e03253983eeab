"""Every option of every command, once: the command line, the YAML file and the help are made from this table."""

from typing import Final

from configs.budget_options import BUDGET_OPTIONS
from configs.guarding import GUARD_OPTIONS
from configs.limit_options import LIMIT_OPTIONS
from configs.option import Option, folder, list_of, one_of, share, whole_number
from configs.publishing import PUBLISH_OPTIONS
from configs.store_options import STORE_FORMS, STORE_OPTIONS
from transforms.core.flat import flat_mapping, flat_text
from transforms.core.granularity import GRANULARITIES
from transforms.core.hash_slots import check_template, parse_slots
from transforms.core.keys import PATTERN
from transforms.core.model import METRIC_TYPES

_SOURCE: Final = (
    Option(name="archive", metavar="URL", help="where the archived records are: file:///abs/path or s3://bucket/prefix", required=True),
    Option(
        name="store",
        metavar="URL",
        help=f"where the rollups live: {STORE_FORMS}",
        required=True,
    ),
    Option(
        name="period",
        metavar="FROM/TO",
        many=True,
        required=True,
        help="affected period, TO exclusive; times carry an offset or Z, or are relative; may be given several times",
    ),
)
_KEYS: Final = (
    Option(
        name="key-pattern",
        metavar="PATTERN",
        default=PATTERN,
        help="folders of the archive by arrival, with YYYY, MM, dd and perhaps HH, such as dt=YYYY-MM-dd/hour=HH (default: YYYY/MM/dd/HH)",
    ),
    Option(name="key-time-zone", metavar="NAME", default="UTC", help="time zone of folders and file names, such as Asia/Tokyo (default: UTC)"),
)
_SERIES: Final = (
    Option(name="org", many=True, metavar="NAME", help="only this organisation; may be given several times"),
    Option(name="series", many=True, metavar="GLOB", help="only series whose type/org/entity/name matches; may be given several times"),
    Option(name="series-file", metavar="FILE", default="", help="and those that match a line of this file: a glob as of --series on each, # for comments"),
    Option(
        name="hash-slots",
        metavar="LIST",
        parse=parse_slots,
        default=(),
        help="only series whose key in the hot tier, a Redis or Valkey cluster, lies in these slots, such as 0-5460,10923-16383; needs --hash-key",
    ),
    Option(
        name="hash-key",
        metavar="TEMPLATE",
        parse=check_template,
        default="",
        help="how the hot tier's key of a series is written: text with {type}, {org}, {entity}, {name}, {labels} (compact JSON), {host} (the label), "
        "and {{ }} for braces, such as metric:{{{org}}}:{entity}:{name} for a key with the hash tag {acme}",
    ),
)
_WHAT: Final = (
    Option(
        name="metric-types",
        metavar="LIST",
        parse=list_of("metric type", METRIC_TYPES),
        default=METRIC_TYPES,
        help="restored one after the other in this order (default: service,labeled,role,host)",
    ),
    Option(
        name="granularities",
        metavar="LIST",
        parse=list_of("granularity", GRANULARITIES),
        default=GRANULARITIES,
        help="bucket widths to restore (default: 1m,5m,1h)",
    ),
    *_SERIES,
    Option(
        name="edge",
        parse=one_of("edge policy", ("expand", "clip", "fail")),
        default="expand",
        metavar="expand|clip|fail",
        help="a bucket partly inside a period is computed whole, left out, or the run refuses (default: expand)",
    ),
    Option(
        name="average",
        parse=one_of("average policy", ("cascade", "flat")),
        default="cascade",
        metavar="cascade|flat",
        help="1h avg is the mean of 5m averages, or sum / count (default: cascade)",
    ),
    Option(
        name="role-membership",
        metavar="FILE",
        default="",
        help="CSV or Parquet with org, host, role, valid_from, valid_to: roles of hosts whose postings name none",
    ),
    Option(name="default-org", metavar="NAME", default="", help="organisation of records that name none (default: empty)"),
    Option(
        name="flat",
        metavar="PART=FIELD,…",
        parse=flat_text,
        mapping=flat_mapping,
        help="what the fields of flat rows are: time=FIELD,value=FIELD,name=FIELD and perhaps time_unit=s|ms|us|ns, labels=FIELD (an object of labels) or "
        "labels=FIELD+FIELD (labels=FIELD+ for one), entity=FIELD, type=FIELD, org=FIELD; =TEXT instead of FIELD is the same in every row",
    ),
    Option(
        name="late-s",
        parse=whole_number(0),
        default=86_400,
        metavar="SECONDS",
        help="a point that arrives longer than this after its time is dropped (default: 86400)",
    ),
    Option(
        name="early-s",
        parse=whole_number(0),
        default=86_400,
        metavar="SECONDS",
        help="a point that arrives longer than this before its time is dropped (default: 86400)",
    ),
    Option(name="lead-in-s", parse=whole_number(0), default=600, metavar="SECONDS", help="how far back a counter's predecessor is sought (default: 600)"),
    Option(
        name="object-span-s",
        parse=whole_number(0),
        default=7_200,
        metavar="SECONDS",
        help="an archive object may hold records that arrived this long after its first (default: 7200)",
    ),
    Option(
        name="max-object-bytes",
        parse=whole_number(1),
        default=1 << 30,
        metavar="BYTES",
        help="a larger object, decompressed, is a dead letter (default: 1073741824)",
    ),
    Option(
        name="read-firehose-errors",
        flag=True,
        default=False,
        help="read what Firehose could not deliver (its error output) as well; without it, such a record is a dead letter",
    ),
    *_KEYS,
)
_HOW: Final = (
    Option(name="allow-fewer", flag=True, default=False, help="let a rollup of fewer minutes replace one of more"),
    Option(
        name="min-coverage",
        parse=share,
        default=0.0,
        metavar="SHARE",
        help="buckets in hours for which less of the archive seems to be there are refused, 0 to 1 (default: 0, report only)",
    ),
    Option(
        name="include-live",
        flag=True,
        default=False,
        help="also write buckets that a live writer may still write (in DynamoDB those that ended less than 25 h ago, in a hot tier those that ended before)",
    ),
    Option(
        name="verify",
        parse=one_of("way to verify", ("none", "sample", "full")),
        default="sample",
        metavar="none|sample|full",
        help="units read back after they were written, and once more at the end: none, one in a hundred and the first of each type, or all (default: sample)",
    ),
    Option(name="allow-empty", flag=True, default=False, help="an archive or period without any object is no error"),
)
_WORK_DIR: Final = Option(
    name="work-dir",
    metavar="DIR",
    parse=folder,
    default="",
    help="where runs keep plan, staging and ledger (default: $XDG_STATE_HOME/metric-rollups or ~/.local/state/metric-rollups)",
)
_JSON: Final = Option(name="json", flag=True, default=False, help="print the result as one JSON document")
_CONFIG: Final = Option(name="config", metavar="FILE.yaml", default="", help="defaults for the options of this command; the command line wins")
_RUN_ID: Final = Option(name="run-id", metavar="ID", default="", help="name of the run; a name that exists resumes that run (default: made from the time)")
_YES: Final = Option(name="yes", flag=True, default=False, help="do not ask before writing")
_WORKERS: Final = Option(name="workers", parse=whole_number(1), default=0, metavar="N", help="read groups and units worked on at once (default: the cores)")
_SKIP_LIVE: Final = Option(
    name="skip-live", flag=True, default=False, help="that buckets are left to the live writer is no reason for exit code 5; they are listed all the same"
)
_MAX_DEAD_LETTERS: Final = Option(
    name="max-dead-letters", parse=whole_number(0), default=0, metavar="N", help="more dead letters than this make the exit code 3 (default: 0)"
)
_MAX_ATTEMPTS: Final = Option(
    name="max-attempts", parse=whole_number(1), default=3, metavar="N", help="how often missing work is submitted before the run ends incomplete (default: 3)"
)

PLAN_OPTIONS: Final = (*_SOURCE, *_WHAT, *_HOW, *STORE_OPTIONS, *LIMIT_OPTIONS, *BUDGET_OPTIONS, _RUN_ID, _WORKERS, _WORK_DIR, _JSON, _CONFIG)

BACKFILL_OPTIONS: Final = (
    *_SOURCE,
    *_WHAT,
    *_HOW,
    *STORE_OPTIONS,
    *LIMIT_OPTIONS,
    *BUDGET_OPTIONS,
    *GUARD_OPTIONS,
    *PUBLISH_OPTIONS,
    _RUN_ID,
    Option(name="plan", metavar="ID", default="", help="execute exactly the plan that `rollups plan` stored under this id"),
    Option(
        name="dead-letters",
        metavar="RUN_ID",
        default="",
        help="compute again, from the whole archive, the buckets that this run's dead letters touch; what isn't given is as in that run",
    ),
    Option(name="dry-run", flag=True, default=False, help="decode and roll up, show what would change, write nothing to the store"),
    _YES,
    _SKIP_LIVE,
    _MAX_DEAD_LETTERS,
    _MAX_ATTEMPTS,
    _WORKERS,
    Option(
        name="runner", metavar="NAME", default="FnApiRunner", help="Beam runner (default: FnApiRunner, in this process); further options of Beam are passed on"
    ),
    Option(
        name="shared-folders",
        flag=True,
        default=False,
        help="the work dir, and every other folder that is named, is mounted at the same path on all machines of the runner",
    ),
    _WORK_DIR,
    _JSON,
    _CONFIG,
)

EXPORT_OPTIONS: Final = (
    Option(
        name="store",
        metavar="URL",
        help=f"where the rollups live: {STORE_FORMS}",
        required=True,
    ),
    Option(name="period", metavar="FROM/TO", many=True, required=True, help="buckets that overlap it are listed; may be given several times"),
    Option(name="granularity", metavar="1m|5m|1h", parse=one_of("granularity", GRANULARITIES), required=True, help="bucket width"),
    Option(name="metric-types", metavar="LIST", parse=list_of("metric type", METRIC_TYPES), default=METRIC_TYPES, help="(default: all)"),
    *_SERIES,
    Option(name="format", parse=one_of("format", ("csv", "json", "parquet")), default="csv", metavar="csv|json|parquet", help="(default: csv)"),
    Option(name="output", metavar="FILE", default="", help="written whole or not at all (default: standard output)"),
    *STORE_OPTIONS,
    *LIMIT_OPTIONS,
    _WORK_DIR,
    _JSON,
    _CONFIG,
)

INSPECT_OPTIONS: Final = (
    Option(name="objects", parse=whole_number(1), default=10, metavar="N", help="at most so many objects of a folder or archive are decoded (default: 10)"),
    *(one for one in _WHAT if one.name in ("default-org", "flat", "late-s", "early-s", "max-object-bytes", "read-firehose-errors")),
    *_KEYS,
    *LIMIT_OPTIONS,
    _WORK_DIR,
    _JSON,
    _CONFIG,
)

RUNS_OPTIONS: Final = (_WORK_DIR, _JSON, _CONFIG)

STATUS_OPTIONS: Final = (
    Option(name="watch", flag=True, default=False, help="go on until the run has ended"),
    Option(name="dead-letters", flag=True, default=False, help="print the run's dead letters as JSON lines instead"),
    Option(name="recheck", flag=True, default=False, help="read every restored bucket again and list those that somebody changed since (exit 4)"),
    _WORK_DIR,
    _JSON,
    _CONFIG,
)

STORE_CREATE_OPTIONS: Final = (
    Option(name="store", metavar="URL", help="the store to make: dynamodb://table", required=True),
    Option(name="print-cloudformation", flag=True, default=False, help="print the template that makes it, and make nothing"),
    _JSON,
    _CONFIG,
)

CONTROL_OPTIONS: Final = (_WORK_DIR, _JSON, _CONFIG)

THROTTLE_OPTIONS: Final = (*LIMIT_OPTIONS, *CONTROL_OPTIONS)

UNDO_OPTIONS: Final = (_YES, _WORK_DIR, _JSON, _CONFIG)


EVERY_OPTION: Final = (
    *PLAN_OPTIONS,
    *BACKFILL_OPTIONS,
    *EXPORT_OPTIONS,
    *INSPECT_OPTIONS,
    *RUNS_OPTIONS,
    *STATUS_OPTIONS,
    *STORE_CREATE_OPTIONS,
    *THROTTLE_OPTIONS,
    *UNDO_OPTIONS,
)
"""Options of all commands."""
