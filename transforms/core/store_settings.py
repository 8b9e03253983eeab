"""What a store is told beside its URL. Every field is an option of the commands that open a store (`configs.store_options`).

No NumPy and no Arrow here: the writer function (`stores.lambda_writer`) does without them.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

DEFAULT_TEMPLATE: Final = "metric:{{{type}|{org}|{entity}|{name}|{labels}}}:{kind}:{span}"
"""Of `core.item_keys`. Series between a hash tag's braces: all items of a series, and what lies beside them, are in one slot."""


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Settings of all kinds of stores; each looks at its own."""

    dynamodb_fresh: bool = False
    dynamodb_ttl: tuple[tuple[str, int], ...] = ()
    dynamodb_undo_days: int = 30
    sqlite_wait_s: int = 60
    valkey_expire_s: int = 25 * 3600
    valkey_key: str = DEFAULT_TEMPLATE
    valkey_span_s: int = 3600


def settings_of(values: object) -> StoreSettings:
    """The settings among the fields of a job."""
    return StoreSettings(**{one.name: getattr(values, one.name) for one in fields(StoreSettings)})


def settings_from_json(data: dict[str, Any]) -> StoreSettings:
    """Inverse of `dataclasses.asdict` after a way through JSON: lists are tuples again."""
    return StoreSettings(**{name: _tuples(value) for name, value in data.items()})


def _tuples(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
