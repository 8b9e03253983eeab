"""What `rollups headroom` is told."""

from dataclasses import dataclass
from typing import Final

from configs.guarding import WATCHING_OPTIONS, Watching
from configs.option import Option
from configs.options import RUNS_OPTIONS

HEADROOM_OPTIONS: Final = (
    Option(name="archive", metavar="URL", default="", help="an archive whose bucket is looked at: s3://bucket/prefix"),
    Option(
        name="store",
        metavar="URL",
        default="",
        help="a store whose services are looked at: dynamodb://table, lambda://function?read=dynamodb://table, parquet+s3://bucket/prefix; "
        "without store and archive it is the account's Lambda",
    ),
    *WATCHING_OPTIONS,
    *(one for one in RUNS_OPTIONS if one.name in ("json", "config")),
)


@dataclass(frozen=True, kw_only=True)
class HeadroomJob(Watching):
    """Whose live use to show."""

    archive: str
    store: str
    json: bool
