"""Options about stores: the fields of `StoreSettings`, for every command that opens a store."""

from typing import Final

from configs.option import Option

STORE_OPTIONS: Final[tuple[Option, ...]] = ()
