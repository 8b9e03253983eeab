"""Places to measure stores in: new ones on servers of this machine, gone with the measurement."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from scripts.benchmarking.unsafe_stores import PUTTER, PUTTER_HANDLER, putter_zip
from scripts.local_servers import REGION, WRITER, client_of, deploy, deploy_writer, ministack, valkey
from scripts.s3_gateway import gateway
from transforms.core.granularity import GRANULARITIES

_TABLE: Final = "rollups-benchmark"
_BUCKET: Final = "rollups"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of store: where it is, processes that write at once, and the shares of the series that it and the unsafe loop get: slow ones take no longer."""

    place: Callable[[Path], Iterator[str]]
    share: float = 1.0
    unsafe_share: float = 1.0
    granularities: Sequence[str] = GRANULARITIES
    processes: Sequence[int] = (1,)


@contextmanager
def place(name: str, work: Path) -> Iterator[str]:
    """The URL of a new store of that kind."""
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=work))
    try:
        yield from KINDS[name].place(folder)
    finally:
        shutil.rmtree(folder)


def _parquet(folder: Path) -> Iterator[str]:
    yield f"parquet://{folder}/rollups"


def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite://{folder}/rollups.db"


def _parquet_s3(folder: Path) -> Iterator[str]:
    with gateway(folder / "buckets") as url:
        (folder / "buckets" / _BUCKET).mkdir()
        yield f"parquet+s3://{_BUCKET}/benchmark?endpoint_url={url}&region={REGION}"


def _dynamodb(_folder: Path) -> Iterator[str]:
    with ministack() as url:
        yield _table(url)


def _lambda(_folder: Path) -> Iterator[str]:
    with ministack() as url:
        deploy_writer(url)
        deploy(url, PUTTER, putter_zip(), PUTTER_HANDLER, {"PUTTER_TABLE": _TABLE, "PUTTER_ENDPOINT": url})
        yield f"lambda://{WRITER}?endpoint_url={url}&region={REGION}&read={quote(_table(url), safe='')}"


def _table(url: str) -> str:
    """Makes the table as `rollups store create` does."""
    keys = ("series", "HASH"), ("item", "RANGE")
    client_of(url, "dynamodb").create_table(
        TableName=_TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    return f"dynamodb://{_TABLE}?endpoint_url={url}&region={REGION}"


def _valkey(folder: Path) -> Iterator[str]:
    with valkey(folder) as server:
        yield f"valkey://127.0.0.1:{server.port}/0"


KINDS: Final[Mapping[str, Kind]] = {
    "parquet": Kind(place=_parquet, processes=(1, 2)),
    "sqlite": Kind(place=_sqlite, unsafe_share=0.1, processes=(1, 2)),
    "parquet+s3": Kind(place=_parquet_s3),
    "dynamodb": Kind(place=_dynamodb, share=0.1, unsafe_share=0.5),
    "lambda": Kind(place=_lambda, share=0.1, unsafe_share=0.2),
    "valkey": Kind(place=_valkey, share=0.1, unsafe_share=0.5, granularities=("1m",)),
}
"""A new store gets a line here, and one in `unsafe_stores`."""
