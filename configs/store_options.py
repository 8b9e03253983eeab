"""Options about stores: the fields of `StoreSettings`, for every command that opens a store."""

from typing import Final

from configs.option import Option, durations, whole_number
from transforms.core.granularity import GRANULARITIES
from transforms.core.item_keys import check_item_template, check_span
from transforms.core.store_settings import StoreSettings
from transforms.stores import KINDS

STORE_FORMS: Final = ", ".join(form for _, form in KINDS.values())
"""How URLs of stores are written."""

_DEFAULT: Final = StoreSettings()

STORE_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        name="dynamodb-fresh",
        flag=True,
        default=False,
        help="the table is new and nobody else writes into it: new items are written in batches, unconditionally",
    ),
    Option(
        name="dynamodb-ttl",
        parse=durations("granularity", GRANULARITIES),
        default=(),
        metavar="LIST",
        help="when items in DynamoDB expire, counted from the end of their span, such as 1m=15d,5m=90d; what would have expired is refused; without it, never",
    ),
    Option(
        name="dynamodb-undo-days",
        parse=whole_number(0),
        default=30,
        metavar="DAYS",
        help="before-images in DynamoDB expire so long after a run has begun to write a unit, and with them goes its undo; 0: never (default: 30)",
    ),
    Option(
        name="sqlite-wait-s",
        parse=whole_number(0),
        default=60,
        metavar="SECONDS",
        help="sqlite:// how long a write waits for other writers before the run ends incomplete (default: 60)",
    ),
    Option(
        name="valkey-expire-s",
        metavar="SECONDS",
        parse=whole_number(0),
        default=_DEFAULT.valkey_expire_s,
        help="valkey: how long past the end of its span an item that is written lives at least (default: 90000, 25 hours)",
    ),
    Option(
        name="valkey-key",
        metavar="TEMPLATE",
        parse=check_item_template,
        default=_DEFAULT.valkey_key,
        help="valkey: how the key of a series' item is written: as --hash-key, and with {span} (its start in seconds) and {kind} "
        f"(default: {_DEFAULT.valkey_key})",
    ),
    Option(
        name="valkey-span-s",
        metavar="SECONDS",
        parse=lambda text: check_span(whole_number(60)(text)),
        default=_DEFAULT.valkey_span_s,
        help="valkey: seconds that one item holds (default: 3600)",
    ),
)
