"""Files that another writer put into a Parquet store without saying how many shards a partition has."""

from collections.abc import Sequence

from transforms.core.canonical import Identity
from transforms.core.errors import RefusedError
from transforms.core.model import SeriesKey, labels_pairs
from transforms.core.units import SHARD_HASH, shard_of
from transforms.stores.data_files import DataFile, using
from transforms.stores.layout import shard_number
from transforms.stores.partitions import FORMAT
from transforms.stores.shard_files import read_identities


def shards_found(files: Sequence[DataFile], metric_type: str, window: str, known: str) -> int | None:
    """The highest shard's number + 1, provided that every series lies in the shard that it then belongs to; None without files.

    `files` are all of the partition. Raises RefusedError for rollups that fit no number, which belongs into the file `known`.
    """
    shards = max((_number(file) for file in files), default=-1) + 1
    for file in files:
        if stranger := _stranger(file, metric_type, shards):
            msg = (
                f"finding the shards of {metric_type} {window}: {known} does not exist, and with {shards} shards, as the file names say, "
                f"series {'/'.join(stranger)} would not be in {file.name}; "
                f'write {{"format":{FORMAT},"shards":N,"hash":"{SHARD_HASH}"}} with the right N into {known}'
            )
            raise RefusedError(msg)
    return shards or None


def _number(file: DataFile) -> int:
    folder, _, name = file.name.rpartition("/")
    number = shard_number(name)
    if number is None:
        msg = f"finding the shards of {folder}: {name} is not named like shard-0003.parquet; move its rollups into the shards, or out"
        raise RefusedError(msg)
    return number


def _stranger(file: DataFile, metric_type: str, shards: int) -> Identity | None:
    """A series that the file of a shard should not hold, if there is one."""
    number = _number(file)
    keys = using(file, lambda opened: read_identities(file.name, opened.content).keys if opened else [])
    return next((identity for identity in keys if shard_of(_encoded(metric_type, identity, file.name), shards) != number), None)


def _encoded(metric_type: str, identity: Identity, path: str) -> bytes:
    org, entity, name, labels, _kind = identity
    try:
        return SeriesKey(metric_type, org, entity, name, labels_pairs(labels)).encode()
    except (ValueError, AttributeError) as error:
        msg = f"reading rollups from {path}: the labels {labels!r} of series {org}/{entity}/{name} are not a JSON object; without labels they are {{}}"
        raise RefusedError(msg) from error
