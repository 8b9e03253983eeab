"""Items of one unit and granularity in a DynamoDB table, changed by compare-and-set (`items.change_items`)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa

from transforms.core.capacity import Attributes, item_bytes
from transforms.core.errors import ServiceUnavailable
from transforms.core.packed import SPAN_S, ItemKey, pack, unpack
from transforms.core.units import Unit
from transforms.stores.dynamodb_calls import ABSENT, BATCH_GET, HOT, Condition, ItemAt, Lost, TableCalls, Written, at_of
from transforms.stores.dynamodb_images import Images
from transforms.stores.dynamodb_layout import (
    AFTER,
    Found,
    Series,
    cut,
    found,
    is_part,
    item_key,
    item_name,
    part_names,
    series_of,
    series_text,
    text_of,
)
from transforms.stores.dynamodb_place import THREADS
from transforms.stores.items import Held

A = TypeVar("A")
B = TypeVar("B")

FEW_ITEMS: Final = 2
"""Up to so many items of a series are read by their keys, more by a query: that charges their sizes together."""

READS_OF_ONE: Final = 5
"""How often an item whose further parts are gone, because it was just replaced, is read again."""


class Version(NamedTuple):
    """Which version of an item was read. `of` is the item itself."""

    number: int | None
    expires_s: int | None
    of: Found


@dataclass(frozen=True)
class Rules:
    """How items are written: `ttl_s` by granularity; into a `fresh` table without conditions. `now_ms` is the clock, `token` gives another text each time."""

    ttl_s: Mapping[str, int]
    fresh: bool
    now_ms: Callable[[], int]
    token: Callable[[], str]


def in_threads(work: Callable[[A], B], given: Sequence[A]) -> list[B]:
    """What the work answers for each, done by a few threads at once."""
    if len(given) < 2:
        return [work(one) for one in given]
    with ThreadPoolExecutor(min(THREADS, len(given))) as pool:
        return list(pool.map(work, given))


class Items:
    """An `ItemStore`: keys are those of packed items, bodies their bytes."""

    def __init__(self, calls: TableCalls, unit: Unit, granularity: str, rules: Rules, images: Images) -> None:
        """Touches nothing."""
        self._calls, self._unit, self._granularity, self._rules, self._images = calls, unit, granularity, rules, images
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
        read = {**self._by_keys(few)} if few else {}
        for items in in_threads(self._of_series, [ats for ats in by_series.values() if len(ats) > FEW_ITEMS]):
            read |= items
        return {key: held(read.get(self.at(key))) for key in keys}

    def _by_keys(self, ats: Sequence[ItemAt]) -> dict[ItemAt, Found]:
        slices = [ats[at : at + BATCH_GET] for at in range(0, len(ats), BATCH_GET)]
        items = {at: item for part in in_threads(lambda some: self._calls.get_many("item", some), slices) for at, item in part.items()}
        return {at: self.whole(found(item)) for at, item in items.items()}

    def _of_series(self, ats: Sequence[ItemAt]) -> dict[ItemAt, Found]:
        names = sorted(name for _, name in ats)
        items = self._calls.query("item", ats[0][0], names[0], names[-1] + "#" + AFTER)
        return {at_of(one.item): one for one in assembled(items, self.whole)}

    def whole(self, one: Found) -> Found:
        """The item with its further parts, read until they are of one version."""
        for _ in range(READS_OF_ONE):
            if one.body is not None:
                return one
            series = one.item["series"]["S"]
            one = found(one.item, self._calls.get_many("part", [(series, name) for name in one.part_names]))
            if one.body is not None:
                return one
            now = self._calls.get("item", at_of(one.item))
            if now is None:
                return one._replace(body=None)
            one = found(now)
        raise ServiceUnavailable(
            f"reading {at_of(one.item)} of {self._calls.place.name}: its further parts are gone, in {READS_OF_ONE} versions one after another"
        )

    def write(self, changes: Mapping[ItemKey, tuple[Held, bytes | None]]) -> Mapping[ItemKey, Held]:
        """As the protocol says."""
        self._images.keep([(self.series(key), self.at(key)[1], _version(one)) for key, (one, _) in changes.items()])
        fresh = {key for key, (one, body) in changes.items() if self._rules.fresh and one.version is None and body is not None}
        self._calls.put_cut("item", [self._items(key, changes[key][1] or b"", None) for key in fresh])
        return self._by_condition({key: change for key, change in changes.items() if key not in fresh})

    def _by_condition(self, changes: Mapping[ItemKey, tuple[Held, bytes | None]]) -> dict[ItemKey, Held]:
        """Those that were lost; what is hot waits for the others."""
        lost: dict[ItemKey, Held] = {}
        pending, tries = list(changes), 0
        while pending:
            answers = dict(zip(pending, in_threads(lambda key: self._replace(key, *changes[key]), pending), strict=True))
            lost |= {key: held(self.whole(found(one.item)) if one.item else None) for key, one in answers.items() if isinstance(one, Lost)}
            hot = [key for key, one in answers.items() if one == HOT]
            tries = self._calls.put_back(tries) if hot and len(hot) == len(pending) else 0
            pending = hot
        return lost

    def _replace(self, key: ItemKey, before: Held, body: bytes | None) -> Written:
        version = _version(before)
        condition, size = _unchanged(version), item_bytes(version.of.item) if version else 0
        if body is None:
            written = self._calls.delete("item", self.at(key), condition, size)
        else:
            *parts, item = self._items(key, body, version)
            self._calls.put_all("part", parts)
            written = self._calls.put("item", item, condition, size)
            if isinstance(written, Lost) and (written.item is None or part_names(written.item) != part_names(item)):  # or it is this very write, made before
                self._calls.delete_all("part", [at_of(one) for one in parts], item_bytes(item))
        if written == "written" and version and version.of.part_names:
            self._calls.delete_all("part", [(self.series(key).key, name) for name in version.of.part_names], size)
        return written

    def _items(self, key: ItemKey, body: bytes, before: Version | None) -> list[dict[str, Any]]:
        """The item to write, after its further parts."""
        series, name = self.at(key)
        number = max(self._rules.now_ms(), (before.number or 0) + 1 if before else 0)
        expires_s = self._expires_s(key, before)
        item = {
            "series": {"S": series},
            "item": {"S": name},
            **self.series(key).attributes,
            "version": {"N": str(number)},
            **({} if expires_s is None else {"expires": {"N": str(expires_s)}}),
        }
        return cut(item, body, self._rules.token())

    def _expires_s(self, key: ItemKey, before: Version | None) -> int | None:
        """By rule; without one as it was, unless that has passed: the service would remove what is written."""
        if self._granularity in self._rules.ttl_s:
            return key.start_s + SPAN_S[self._granularity] + self._rules.ttl_s[self._granularity]
        stays = before and before.expires_s is not None and before.expires_s * 1000 > self._rules.now_ms()
        return before.expires_s if before and stays else None


def held(item: Found | None) -> Held:
    """What `change_items` needs of an item."""
    if item is None or item.body is None:
        return Held(None)
    return Held(item.body, Version(item.version, item.expires_s, item))


def _version(one: Held) -> Version | None:
    return one.version if isinstance(one.version, Version) else None


def _unchanged(version: Version | None) -> Condition:
    """Holds while the item is that version; where its writer does not count versions, while it has the same bytes."""
    if version is None:
        return ABSENT
    if version.number is None:
        return Condition("attribute_not_exists(version) AND body = :body", {":body": version.of.item["body"]})
    return Condition("version = :version", {":version": {"N": str(version.number)}})


def assembled(items: Iterable[Attributes], whole: Callable[[Found], Found]) -> Iterator[Found]:
    """The items of a query or a page of a scan, with the further parts found beside them, or else by `whole`."""
    listed = list(items)
    parts = {at_of(one): one for one in listed if is_part(one["item"]["S"])}
    for one in listed:
        if at_of(one) not in parts:
            item = found(one, parts)
            yield whole(found(one)) if item.body is None else item


def keyed(item: Found) -> tuple[str, ItemKey]:
    """Metric type and key of an item of rollups."""
    return item_key(text_of(item.item), item.item["item"]["S"])
