"""Making what a store needs before it can be written; most need nothing."""

from collections.abc import Callable
from typing import Any

from transforms.core.errors import UsageError
from transforms.stores.dynamodb_place import Place, place_of
from transforms.stores.dynamodb_table import cloudformation, create_table
from transforms.stores.url import split_url


def create_store(url: str, wait_s: Callable[[float], None]) -> list[str]:
    """Make it unless it is there; what was done. Raises UsageError for a store that is not made."""
    return create_table(_place(url), wait_s)


def store_template(url: str) -> dict[str, Any]:
    """The CloudFormation template that makes it. Raises UsageError for a store that is not made."""
    return cloudformation(_place(url))


def _place(url: str) -> Place:
    parts = split_url(url)
    if parts.scheme != "dynamodb":
        raise UsageError(f"the store {parts.shown} is made at the first write, or is no store: `rollups store create` makes dynamodb://table")
    return place_of(parts)
