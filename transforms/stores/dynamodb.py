"""`dynamodb://TABLE`: packed items in a DynamoDB table (`dynamodb_layout` tells where everything lies).

Reads are consistent. An item is replaced under the condition that it is still the version that was merged; the answer to a lost race holds the winner's item,
with which it is merged again. What an item was is kept before. Limits are kept in request units a second by each worker process.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from transforms.calls.aws import AwsCalls
from transforms.calls.limits import Limits
from transforms.calls.repeats import at
from transforms.core.granularity import DAY_S, Range
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.packed import SPAN_S, ItemKey, item_keys, unpack
from transforms.core.store_settings import StoreSettings
from transforms.core.units import Unit
from transforms.core.windows import Windows
from transforms.stores.backend import Change, Traits
from transforms.stores.dynamodb_calls import ABSENT, Condition, Pace, TableCalls
from transforms.stores.dynamodb_images import Image, Images, Roster, imaged, imaging_runs
from transforms.stores.dynamodb_items import Items
from transforms.stores.dynamodb_keys import item_key, item_name, keyed
from transforms.stores.dynamodb_layout import AFTER, TEXT
from transforms.stores.dynamodb_place import Place, place_of
from transforms.stores.dynamodb_reading import assembled, in_threads
from transforms.stores.dynamodb_scan import scan_table
from transforms.stores.dynamodb_table import stream_warnings, table_facts
from transforms.stores.dynamodb_writing import DirectWriter, Rules, Writer
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.items import change_items
from transforms.stores.protocol import Wanted
from transforms.stores.rollups import Rollups
from transforms.stores.url import StoreUrl

TRAITS: Final = Traits(windows=Windows(7), is_local=False, live="settled", limits=("dynamodb reads", "dynamodb writes"))


class TableStore(Rollups):
    """A `RollupStore` in a table. Its window is 7 days."""

    def __init__(self, table: "DynamoTable") -> None:
        """Touches nothing."""
        self._table = table
        super().__init__(table)

    def stored_near(self, unit: Unit, granularity: str, buckets: pa.Table) -> pa.Table:
        """As the protocol says: of a series that another writer wrote, too."""
        return self._table.read_near(unit, granularity, buckets)

    def lapsed(self, granularity: str) -> Sequence[Range]:
        """As the class above says."""
        return self._table.lapsed(granularity)

    def warnings(self) -> list[str]:
        """As the protocol says: functions that the table's stream would start."""
        return stream_warnings(self._table.place)


class DynamoStore(TableStore):
    """A `RollupStore` in a table that is there (`rollups store create`), written directly."""

    def __init__(
        self,
        place: Place,
        settings: StoreSettings | None = None,
        *,
        limits: Limits | None = None,
        failpoint: Failpoint = no_failpoint,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Touches nothing. `failpoint` is called around every call."""
        super().__init__(DynamoTable(place, settings or StoreSettings(), limits or Limits(), failpoint, clock=clock))


def open_url(url: StoreUrl, settings: StoreSettings, limits: Limits | None, *, writable: bool) -> DynamoStore:  # noqa: ARG001 - a table must be there in either case
    """The store of `dynamodb://table`. Raises UsageError for another form."""
    return DynamoStore(place_of(url), settings, limits=limits)


class DynamoTable:
    """The table as a `Backend`."""

    def __init__(self, place: Place, settings: StoreSettings, limits: Limits, failpoint: Failpoint, *, clock: Callable[[], float]) -> None:
        """Touches nothing."""
        self.place = place
        self.calls = TableCalls(place, AwsCalls(place.client, limits.waiting, limits.meter), Pace.of(limits, place.name), failpoint, limits.waiting)
        self._rules = Rules(
            dict(settings.dynamodb_ttl),
            settings.dynamodb_fresh,
            settings.dynamodb_undo_days * DAY_S,
            lambda: round(clock() * 1000),
            lambda: secrets.token_hex(8),
        )

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return TRAITS

    @property
    def name(self) -> str:
        """As the protocol says."""
        return self.place.name

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says."""
        return table_facts(self.place)

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says."""
        return at(self.place.name, self.calls.repeats.taken())

    def text(self, key: str) -> str | None:
        """As the protocol says."""
        item = self.calls.get("text", (TEXT, key))
        return str(item["text"]["S"]) if item else None

    def change_text(self, key: str, make: Callable[[str | None], str]) -> str:
        """As the protocol says."""
        while True:
            before = self.text(key)
            text = make(before)
            if text == before:
                return text
            condition = ABSENT if before is None else Condition("#text = :before", {":before": {"S": before}}, {"#text": "text"})
            if self.calls.put("text", {"series": {"S": TEXT}, "item": {"S": key}, "text": {"S": text}}, condition) == "written":
                return text

    def texts(self, prefix: str) -> list[str]:
        """As the protocol says."""
        return [str(item["item"]["S"]) for item in self.calls.query("text", TEXT, prefix or " ", prefix + AFTER)]

    def shards_found(self, metric_type: str, window: str) -> int | None:  # noqa: ARG002 - items are not written shard by shard
        """As the protocol says: items fit any number of shards."""
        return None

    def read(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        """As the protocol says, of the series that this software wrote (`dynamodb_images.Roster`)."""
        from_s, to_s = self.traits.windows.range_of(unit.window)
        low, high = item_name(granularity, from_s // SPAN_S[granularity] * SPAN_S[granularity]), item_name(granularity, to_s - 1)
        series = Roster(self.calls, unit).series()
        read = in_threads(lambda one: self.calls.query("item", one.key, low, high + AFTER), series)
        found = [(keyed(item)[1], item.body or b"") for some in read for item in assembled(self.calls, some)]
        return unpack(found, granularity).select(list(columns))

    def read_near(self, unit: Unit, granularity: str, near: pa.Table) -> pa.Table:
        """Stored rows, as `read`, all of the items in which these buckets lie, whoever wrote them."""
        items = self._items(unit, granularity, self.writer(unit, granularity, ""))
        return items.decode(items.read(item_keys(near, granularity)))

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """As the protocol says."""
        for granularity, change in changes.items():
            self.apply(unit, granularity, change, self.writer(unit, granularity, run_id))

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:
        """As the protocol says."""
        self.apply(unit, granularity, change, self.writer(unit, granularity, run_id), of_run)

    def apply(self, unit: Unit, granularity: str, change: Change, writer: Writer, of_run: str = "") -> None:
        """Apply a change near its rows and, if a run is named, near its before-images."""
        also = {_key(one) for one in self._images(of_run, unit, granularity).all()} if of_run else ()
        change_items(self._items(unit, granularity, writer), change, also)

    def writer(self, unit: Unit, granularity: str, run_id: str) -> Writer:
        """Writes the items for a run."""
        return DirectWriter(self.calls, self._rules, self._images(run_id, unit, granularity))

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """As the protocol says."""
        of_item: dict[ItemKey, list[Image]] = {}
        for image in self._images(run_id, unit, granularity).all():
            of_item.setdefault(_key(image), []).append(image)
        newest_first = {key: sorted(some, key=lambda one: one.number, reverse=True) for key, some in of_item.items()}
        for number in range(max(map(len, newest_first.values()), default=0)):
            held = [(key, some[number].body) for key, some in newest_first.items() if len(some) > number]
            yield unpack([(key, body) for key, body in held if body is not None], granularity).select(list(columns))

    def lapsed(self, granularity: str) -> Sequence[Range]:
        """Times of which items would expire at once, by rule, counted from the end of their span."""
        if granularity not in self._rules.ttl_s:
            return ()
        span_s = SPAN_S[granularity]
        over_s = (self._rules.now_ms() // 1000 - self._rules.ttl_s[granularity]) // span_s * span_s
        return ((0, over_s),) if over_s > 0 else ()

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """As the protocol says."""
        return imaged(self.calls, run_id, self._rules.now_ms())

    def imaging_runs(self) -> list[str]:
        """As the protocol says."""
        return imaging_runs(self.calls)

    def scan(
        self, granularity: str, *, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says: the whole table is read, and sorted on disk (`spooling`)."""
        return scan_table(self.calls, granularity, metric_types, periods, wanted, columns)

    def _items(self, unit: Unit, granularity: str, writer: Writer) -> Items:
        return Items(self.calls, unit, granularity, self._rules, writer)

    def _images(self, run_id: str, unit: Unit, granularity: str) -> Images:
        return Images(self.calls, run_id, unit, granularity, self._rules)


def _key(image: Image) -> ItemKey:
    return item_key(image.text, image.name)[1]
