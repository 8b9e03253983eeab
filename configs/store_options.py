"""Options about stores: the fields of `StoreSettings`, for every command that opens a store."""

from typing import Final

from configs.option import Option, whole_number

STORE_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        name="s3-put-per-s",
        parse=whole_number(1),
        default=875,
        metavar="N",
        help="parquet+s3:// writes a second of one process at most (default: 875, a quarter of what S3 takes for a prefix)",
    ),
    Option(
        name="sqlite-wait-s",
        parse=whole_number(0),
        default=60,
        metavar="SECONDS",
        help="sqlite:// how long a write waits for other writers before the run ends incomplete (default: 60)",
    ),
)
