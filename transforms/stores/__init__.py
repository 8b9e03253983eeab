"""Rollup stores, opened by URL. Each kind is a module with an `open_url`, which is imported when its scheme is asked for."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from transforms.core.errors import UsageError
from transforms.core.store_settings import StoreSettings
from transforms.stores.url import split_url

if TYPE_CHECKING:
    from transforms.calls.limits import Limits
    from transforms.stores.protocol import RollupStore

KINDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "dynamodb": ("transforms.stores.dynamodb", "dynamodb://table"),
        "lambda": ("transforms.stores.lambda_store", "lambda://function?read=dynamodb://table"),
        "parquet": ("transforms.stores.parquet", "parquet:///absolute/path"),
        "parquet+s3": ("transforms.stores.parquet_s3", "parquet+s3://bucket/prefix"),
        "redis": ("transforms.stores.valkey", "redis://host:port/db"),
        "rediss": ("transforms.stores.valkey", "rediss://host:port/db"),
        "sqlite": ("transforms.stores.sqlite", "sqlite:///absolute/path.db"),
        "valkey": ("transforms.stores.valkey", "valkey://host:port/db"),
        "valkeys": ("transforms.stores.valkey", "valkeys://host:port/db"),
    }
)
"""Module and form of the URL by scheme."""


def open_store(url: str, *, writable: bool = True, settings: StoreSettings | None = None, limits: "Limits | None" = None) -> "RollupStore":
    """The store of a URL; nothing is made before the first write.

    Raises UsageError, without showing secrets, for another scheme or what is wrong with the URL. Unless it is to be `writable` it must be there.
    """
    parts = split_url(url)
    if parts.scheme not in KINDS:
        forms = ", ".join(form for _, form in KINDS.values())
        msg = f"the store URL {url!r} has no known scheme; write {forms}"
        raise UsageError(msg)
    store: RollupStore = import_module(KINDS[parts.scheme][0]).open_url(parts, settings or StoreSettings(), limits, writable=writable)
    return store
