"""Files that another writer put into a Parquet store without saying how many shards a partition has."""

from pathlib import Path

from transforms.core.canonical import Identity
from transforms.core.errors import RefusedError
from transforms.core.granularity import GRANULARITIES
from transforms.core.model import SeriesKey, labels_pairs
from transforms.core.units import SHARD_HASH, shard_of
from transforms.stores.layout import Layout, shard_number
from transforms.stores.partitions import FORMAT
from transforms.stores.shard_files import read_identities


def shards_found(layout: Layout, metric_type: str, window: str) -> int | None:
    """The highest shard's number + 1, provided that every series lies in the shard that it then belongs to; None without files.

    Raises RefusedError for rollups that fit no number.
    """
    paths = [path for granularity in GRANULARITIES for path in layout.data_files(metric_type, granularity, window)]
    shards = max((_number(path) for path in paths), default=-1) + 1
    for path in paths:
        if stranger := _stranger(path, metric_type, shards):
            known = layout.partition(metric_type, window)
            msg = (
                f"finding the shards of {metric_type} {window}: {known} does not exist, and with {shards} shards, as the file names say, "
                f"series {'/'.join(stranger)} would not be in {path}; "
                f'write {{"format":{FORMAT},"shards":N,"hash":"{SHARD_HASH}"}} with the right N into {known}'
            )
            raise RefusedError(msg)
    return shards or None


def _number(path: Path) -> int:
    number = shard_number(path)
    if number is None:
        msg = f"finding the shards of {path.parent}: {path.name} is not named like shard-0003.parquet; move its rollups into the shards, or out"
        raise RefusedError(msg)
    return number


def _stranger(path: Path, metric_type: str, shards: int) -> Identity | None:
    """A series that the file of a shard should not hold, if there is one."""
    number = shard_number(path)
    return next((identity for identity in read_identities(path).keys if shard_of(_encoded(metric_type, identity, path), shards) != number), None)


def _encoded(metric_type: str, identity: Identity, path: Path) -> bytes:
    org, entity, name, labels, _kind = identity
    try:
        return SeriesKey(metric_type, org, entity, name, labels_pairs(labels)).encode()
    except (ValueError, AttributeError) as error:
        msg = f"reading rollups from {path}: the labels {labels!r} of series {org}/{entity}/{name} are not a JSON object; without labels they are {{}}"
        raise RefusedError(msg) from error
