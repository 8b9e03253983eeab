"""Items of one unit and granularity in a DynamoDB table, changed by compare-and-set (`items.change_items`)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import pyarrow as pa

from transforms.core.packed import SPAN_S, ItemKey, pack, unpack
from transforms.core.units import Unit
from transforms.stores.dynamodb_calls import ItemAt, TableCalls, at_of
from transforms.stores.dynamodb_keys import item_name, series_text
from transforms.stores.dynamodb_layout import AFTER, Found, Series, series_of
from transforms.stores.dynamodb_reading import assembled, in_threads, read_items
from transforms.stores.dynamodb_writing import ItemChange, Rules, Writer
from transforms.stores.items import Held

FEW_ITEMS: Final = 2
"""Up to so many items of a series are read by their keys, more by a query: that charges their sizes together."""


class Items:
    """An `ItemStore`: keys are those of packed items, bodies their bytes, versions the items as they were read. The `writer` does the writing."""

    def __init__(self, calls: TableCalls, unit: Unit, granularity: str, rules: Rules, writer: Writer) -> None:
        """Touches nothing."""
        self._calls, self._unit, self._granularity, self._rules, self._writer = calls, unit, granularity, rules, writer
        self._series: dict[ItemKey, Series] = {}

    def encode(self, table: pa.Table) -> Mapping[ItemKey, bytes]:
        """As the protocol says."""
        return pack(table, self._granularity)

    def decode(self, held: Mapping[ItemKey, Held]) -> pa.Table:
        """As the protocol says."""
        return unpack([(key, bytes(one.body)) for key, one in held.items() if isinstance(one.body, bytes)], self._granularity)

    def series(self, key: ItemKey) -> Series:
        """The series of an item."""
        whose = key._replace(start_s=0)
        if whose not in self._series:
            self._series[whose] = series_of(series_text(self._unit.metric_type, key))
        return self._series[whose]

    def at(self, key: ItemKey) -> ItemAt:
        """Where an item lies."""
        return self.series(key).key, item_name(self._granularity, key.start_s)

    def read(self, keys: Collection[ItemKey]) -> Mapping[ItemKey, Held]:
        """As the protocol says."""
        by_series: dict[str, list[ItemAt]] = {}
        for key in keys:
            by_series.setdefault(self.series(key).key, []).append(self.at(key))
        few = [at for ats in by_series.values() if len(ats) <= FEW_ITEMS for at in ats]
        read = read_items(self._calls, few) if few else {}
        for items in in_threads(self._of_series, [ats for ats in by_series.values() if len(ats) > FEW_ITEMS]):
            read |= items
        return {key: _held(read.get(self.at(key))) for key in keys}

    def _of_series(self, ats: Sequence[ItemAt]) -> dict[ItemAt, Found]:
        names = sorted(name for _, name in ats)
        items = self._calls.query("item", ats[0][0], names[0], names[-1] + "#" + AFTER)
        return {at_of(one.item): one for one in assembled(self._calls, items)}

    def write(self, changes: Mapping[ItemKey, tuple[Held, bytes | None]]) -> Mapping[ItemKey, Held]:
        """As the protocol says."""
        keys = {self.at(key): key for key in changes}
        lost = self._writer.write([self._change(key, one, body) for key, (one, body) in changes.items()])
        return {keys[at]: _held(one) for at, one in lost.items()}

    def _change(self, key: ItemKey, before: Held, body: bytes | None) -> ItemChange:
        was = before.version if isinstance(before.version, Found) else None
        return ItemChange(self.series(key), self.at(key)[1], was, body, self._expires_s(key, was))

    def _expires_s(self, key: ItemKey, before: Found | None) -> int | None:
        """By rule; without one as it was, unless that has passed: the service would remove what is written."""
        if self._granularity in self._rules.ttl_s:
            return key.start_s + SPAN_S[self._granularity] + self._rules.ttl_s[self._granularity]
        stays = before and before.expires_s is not None and before.expires_s * 1000 > self._rules.now_ms()
        return before.expires_s if before and stays else None


def _held(item: Found | None) -> Held:
    """What `change_items` needs of an item."""
    return Held(None) if item is None or item.body is None else Held(item.body, item)
