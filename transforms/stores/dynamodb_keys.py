"""Keys of packed items in a table: from series and time to partition and sort key, and back."""

import json
from datetime import UTC, datetime

from transforms.core.errors import RefusedError
from transforms.core.model import SeriesKey, labels_pairs, labels_text
from transforms.core.packed import ItemKey
from transforms.core.time import format_time
from transforms.stores.dynamodb_layout import Found, text_of


def series_text(metric_type: str, key: ItemKey) -> str:
    """The SeriesKey of an item as text."""
    return SeriesKey(metric_type, key.org, key.entity, key.name, labels_pairs(key.labels)).encode().decode()


def item_key(text: str, name: str) -> tuple[str, ItemKey]:
    """Metric type and key of the item of a series that has that sort key. Raises RefusedError for a text that is no SeriesKey or a name that is none."""
    try:
        metric_type, org, entity, metric, pairs = json.loads(text)
        return metric_type, ItemKey(org, entity, metric, labels_text(tuple((key, value) for key, value in pairs)), _start_s(name))
    except (ValueError, TypeError) as error:
        raise RefusedError(f"reading items of the series {text[:200]!r}: that is no SeriesKey as [type,org,entity,name,[[label,value]]] ({error})") from error


def _start_s(name: str) -> int:
    """Start of the item with that sort key. Raises RefusedError for another form."""
    try:
        return int(datetime.fromisoformat(name.split("#")[1]).replace(tzinfo=UTC).timestamp())
    except (ValueError, IndexError) as error:
        raise RefusedError(f"reading the item {name!r}: its sort key is not of the form 1m#2025-11-01T04:00") from error


def item_name(granularity: str, start_s: int) -> str:
    """Sort key of an item."""
    return f"{granularity}#{format_time(start_s)[:16]}"


def keyed(item: Found) -> tuple[str, ItemKey]:
    """Metric type and key of an item of rollups."""
    return item_key(text_of(item.item), item.item["item"]["S"])
