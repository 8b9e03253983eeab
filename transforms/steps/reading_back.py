"""Reading back what was just written into a unit."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from transforms.core.accounts import BucketChange
from transforms.core.restored import read_back
from transforms.core.units import Unit
from transforms.core.versions import Merged
from transforms.stores.protocol import RollupStore

Preview = Callable[[Mapping[str, pa.Table]], Mapping[str, Merged]]
"""What merging tables by granularity would find now."""


def read_again(
    store: RollupStore, unit: Unit, tables: Mapping[str, pa.Table], merged: Mapping[str, Merged], preview: Preview
) -> tuple[int, tuple[BucketChange, ...]]:
    """How many buckets of the tables were left in the store when they were `merged`, and those that are not there now.

    They are merged once more, without being written, but for those whose unit, read from a local store, is the very table that was written.
    """
    is_local = store.traits.is_local
    left = {name: one for name, one in tables.items() if not is_local or not store.read_unit(unit, name).equals(merged[name].table)}
    return read_back(tables, merged, preview(left))
