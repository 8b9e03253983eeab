"""Changing the items of a store that knows compare-and-set: merge, write what changed, merge again where another writer was first."""

from collections.abc import Collection, Hashable, Mapping
from typing import NamedTuple, Protocol, TypeVar

import pyarrow as pa

from transforms.stores.backend import Change

Key = TypeVar("Key", bound=Hashable)
Body = TypeVar("Body")


class Held(NamedTuple):
    """What an item holds, None if it is not there, and what tells this version of it from others, as the service knows it."""

    body: object
    version: object = None


class ItemStore(Protocol[Key, Body]):
    """How a store keeps the rows of one unit and granularity in items. Bodies compare as equal if they hold the same rows."""

    def encode(self, table: pa.Table) -> Mapping[Key, Body]:
        """The items that hold these rows; columns at once, nothing per row."""

    def decode(self, held: Mapping[Key, Held]) -> pa.Table:
        """All rows of the items, canonical and in order."""

    def read(self, keys: Collection[Key]) -> Mapping[Key, Held]:
        """The items, also those that are not there."""

    def write(self, changes: Mapping[Key, tuple[Held, Body | None]]) -> Mapping[Key, Held]:
        """Keep what each item holds as a before-image, then replace it (None: remove it), unless it is another version by now.

        Answers what those that were not replaced hold.
        """


def change_items(store: ItemStore[Key, Body], change: Change, also: Collection[Key] = ()) -> None:
    """Apply a change to the items near its rows, and to those also named, each atomically.

    `change.make` is called with the rows of all these items: of those already written as they were before, of others as they were read last.
    """
    items = dict(store.read({*store.encode(change.near), *also}))
    pending = set(items)
    while pending:
        stored = store.decode(items)
        table = change.make(stored)
        if table is None:
            return
        before, after = store.encode(stored), store.encode(table)
        changed = {key: (items[key], after.get(key)) for key in pending if before.get(key) != after.get(key)}
        lost = store.write(changed) if changed else {}
        items.update(lost)
        pending = set(lost)
