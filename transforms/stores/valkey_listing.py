"""Finding the items of a hot tier: its keys, node by node, read back by their template."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from transforms.calls.valkey import Command, ValkeyCalls
from transforms.core.errors import RefusedError
from transforms.core.granularity import Range
from transforms.core.item_keys import Item, ItemKeys, Series, beside
from transforms.stores.valkey_items import SERIES
from transforms.stores.valkey_texts import Step

SCAN_KEYS: Final = 1000
"""Keys that a server looks at in one call: Valkey 9 took 0.2 to 0.6 ms for so many, in which it answers nobody else."""


@dataclass(frozen=True)
class Listing:
    """The items of a server or cluster."""

    calls: ValkeyCalls
    keys: ItemKeys
    step: Step

    def items(self, metric_type: str, periods: Sequence[Range] | None) -> Iterator[list[Item]]:
        """The items whose span overlaps one of the periods, in no order; what is moved meanwhile may be told twice."""
        for node in self.calls.nodes("listing nodes"):
            cursor = -1
            while cursor:
                with self.step("keys.read"):
                    words = ("SCAN", max(0, cursor), "MATCH", self.keys.glob(metric_type), "COUNT", SCAN_KEYS, "TYPE", "hash")
                    cursor, found = self.calls.at("listing keys", node, *words)
                if items := [item for item in self._told(found, periods) if item.metric_type == metric_type]:
                    yield items

    def _told(self, found: Sequence[bytes], periods: Sequence[Range] | None) -> Iterator[Item]:
        unclear = []
        for key in found:
            told = self.keys.told(key)
            if told is None or not self._overlaps(told.span_s, periods):
                continue
            if told.item:
                yield told.item
            else:
                unclear.append((key, told.span_s))
        if unclear:
            yield from self._noted(unclear)

    def _overlaps(self, span_s: int, periods: Sequence[Range] | None) -> bool:
        return periods is None or any(span_s < to_s and from_s < span_s + self.keys.span_s for from_s, to_s in periods)

    def _noted(self, unclear: Sequence[tuple[bytes, int]]) -> Iterator[Item]:
        """The items of keys that alone do not tell their series, by what lies beside them."""
        commands = [Command(("HGET", other, SERIES), other) for key, _ in unclear for other in [beside(key)]]
        with self.step("keys.read"):
            noted = self.calls.each("reading whose items are", commands)
        for (key, span_s), series in zip(unclear, noted, strict=True):
            if series is None:
                msg = (
                    f"reading the key {key.decode()!r}: {self.keys.template!r} does not tell its series, or in several ways; "
                    "name all parts of a series in --valkey-key, between characters that are in none of them"
                )
                raise RefusedError(msg)
            metric_type, *parts, kind = json.loads(series)
            item = self.keys.item(metric_type, Series(*parts), kind, span_s)
            if item.key == key:
                yield item
