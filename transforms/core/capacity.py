"""What DynamoDB charges: bytes of an item, and request units of reading and writing it.

From "Item sizes and formats", "Read operations" and "Write operations" of the developer guide
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html): a write takes a unit for each KB of the larger of what is
replaced and what replaces it, also where its condition fails; a consistent read one for each 4 KB, of each item (GetItem, BatchGetItem) or of all items of a
page together (Query, Scan).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

ITEM_LIMIT_BYTES: Final = 400 * 1024
"""Names and values of the attributes of one item."""

WRITE_UNIT_BYTES: Final = 1024
READ_UNIT_BYTES: Final = 4096

NEW_TABLE_WRITES: Final = 4_000
NEW_TABLE_READS: Final = 12_000
"""Units a second that a new on-demand table takes."""

DOUBLING_S: Final = 1_800.0
"""On-demand tables take up to twice their former peak at once; more than that within half an hour may be throttled
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html)."""

Attributes = Mapping[str, Mapping[str, Any]]
"""An item as the service's own interface has it: `{"series": {"S": "…"}, "version": {"N": "7"}, "body": {"B": b"…"}}`."""


def item_bytes(item: Attributes) -> int:
    """Size of an item of texts, numbers and bytes. A number takes a byte, and one for every two digits."""
    return sum(len(name.encode()) + sum(map(_value_bytes, value, value.values())) for name, value in item.items())


def _value_bytes(kind: str, value: str | bytes) -> int:
    if kind == "N":
        return 1 + (len(value) + 1) // 2
    return len(value.encode()) if isinstance(value, str) else len(value)


def write_units(*versions_bytes: int) -> int:
    """Units of a write, from the sizes of what is there before and after."""
    return max(1, -(-max(versions_bytes) // WRITE_UNIT_BYTES))


def read_units(size_bytes: int) -> int:
    """Units of a consistent read of one item or page."""
    return max(1, -(-size_bytes // READ_UNIT_BYTES))


def item_read_units(sizes_bytes: Iterable[int]) -> int:
    """Units of a consistent read of items one by one."""
    return sum(map(read_units, sizes_bytes))


def first_share(limit_per_s: float, new_table_per_s: int) -> float:
    """With which share of its limit a run may begin: it may be the first load of a new table, which a live writer loads as well."""
    return min(1.0, new_table_per_s / 2 / limit_per_s)
