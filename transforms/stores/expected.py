"""What a store will be asked for when a load is written to it, by the kind of store. Tests compare it with what servers were asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final, cast

from transforms.core.forecast import Load
from transforms.core.granularity import GRANULARITIES
from transforms.core.limits import Rates
from transforms.core.usage import NOTHING, Usage
from transforms.stores.url import split_url


def expected_of_store(url: str, load: Load, rates: Rates, processes: int) -> Usage:
    """What writing the load takes, with reading back as planned; nothing for stores that nobody charges for."""
    module, name = _KINDS.get(split_url(url).scheme, ("", ""))
    return cast("Usage", getattr(import_module(module), name)(load, rates, processes)) if module else NOTHING


def expected_of_reading(url: str, load: Load) -> Usage:
    """What reading the load as it is stored takes; nothing for stores that nobody charges for."""
    module, name = _READ.get(split_url(url).scheme, ("", ""))
    return cast("Usage", getattr(import_module(module), name)(load)) if module else NOTHING


def read_from_bucket(load: Load) -> Usage:
    """An object of each unit and granularity; before that it is asked how many shards the partition has."""
    return Usage(s3_get=load.units * len(load.computed) + load.partitions)


def expected_of_bucket(load: Load, _rates: Rates, _processes: int) -> Usage:
    """An object of each unit and granularity is read, its before-image is put, then it is; before that it is asked how many shards the partition has."""
    objects = load.units * len(load.computed)
    if load.dry_run:
        return Usage(s3_get=objects)
    opened = Usage(s3_get=load.partitions, s3_list=load.new * len(GRANULARITIES), s3_put=load.new)
    written = Usage(s3_get=load.units + objects, s3_put=2 * objects)
    verified = Usage(s3_get=2 * load.verified * len(load.computed), s3_list=1 if load.verified else 0)
    return opened + written + verified


_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "parquet+s3": (__name__, "expected_of_bucket"),
    "dynamodb": ("transforms.stores.expected_items", "expected_of_dynamodb"),
    "lambda": ("transforms.stores.expected_items", "expected_of_lambda"),
}
"""Module and function by scheme; what needs boto3 is imported for those alone who write there."""

_READ: Final[Mapping[str, tuple[str, str]]] = {
    "parquet+s3": (__name__, "read_from_bucket"),
    "dynamodb": ("transforms.stores.expected_items", "read_from_dynamodb"),
    "lambda": ("transforms.stores.expected_items", "read_from_dynamodb"),
}
