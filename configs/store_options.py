"""Options about stores: the fields of `StoreSettings`, for every command that opens a store."""

from typing import Final

from configs.option import Option, whole_number

STORE_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        name="sqlite-wait-s",
        parse=whole_number(0),
        default=60,
        metavar="SECONDS",
        help="sqlite:// how long a write waits for other writers before the run ends incomplete (default: 60)",
    ),
)
