"""Rollups in the hot tier of a live writer: a Redis or Valkey server or cluster, 1m values only.

    KEY (--valkey-key)               the live writer's: a hash of texts by minute (`valkey_values`) for each series and span of time
    KEY#rollups                      generations of the values that are not the live writer's (`valkey_items`)
    KEY#rollups:before:RUN           list of before-images, oldest first: JSON [[field, text, …] of the item, the same of what lies beside it]
    rollups:{own}:texts              hash of partitions, the last generation, and what undos have begun
    rollups:{own}:runs, …:units:RUN  runs that may have before-images, and their units
    rollups:{UNIT}:series:RUN        the series of that unit of which there may be before-images

What lies beside an item is in its hash slot and expires with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa

from transforms.calls.limits import Limits
from transforms.calls.repeats import at
from transforms.calls.valkey import Server, ValkeyCalls
from transforms.core.errors import UsageError
from transforms.core.granularity import Range
from transforms.core.item_keys import Item, ItemKeys, check_span
from transforms.core.model import ROLLUP_SCHEMA, SeriesKey, labels_pairs
from transforms.core.store_settings import StoreSettings
from transforms.core.units import Unit, shard_of
from transforms.stores.backend import Change, Traits
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.items import Held, change_items
from transforms.stores.partitions import Partitions
from transforms.stores.protocol import Wanted
from transforms.stores.rollups import Rollups
from transforms.stores.spooling import sorted_scan
from transforms.stores.url import StoreUrl
from transforms.stores.valkey_images import Expiry, Images
from transforms.stores.valkey_items import ItemForm
from transforms.stores.valkey_listing import Listing
from transforms.stores.valkey_memory import memory_texts
from transforms.stores.valkey_texts import Texts
from transforms.stores.valkey_writing import UnitItems, read_items, rows_of

PORT: Final = 6379
TLS: Final = ("rediss", "valkeys")
"""Schemes of encrypted connections."""

GRANULARITY: Final = "1m"

READ_SERIES: Final = 600
"""About so many series a unit is read where a live writer's items are in no partition."""


class ValkeyStore(Rollups):
    """A `RollupStore` of 1m values."""

    backend: "ValkeyTier"

    def shards_to_read(self, metric_type: str, window: str) -> int | None:
        """As the protocol says: what only a live writer wrote has none, and fits any number."""
        return self.shard_count(metric_type, window) or self.backend.shards_to_read(metric_type, window)

    def read_unit(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names, *, shards: int | None = None) -> pa.Table:
        """As the protocol says."""
        return self.backend.read(unit, granularity, columns, shards=shards)

    def stored_near(self, unit: Unit, granularity: str, buckets: pa.Table) -> pa.Table:
        """As the protocol says. Only the items in which the buckets lie: to find all of a unit, all keys of the server would have to be looked at."""
        return self.backend.near(unit, granularity, buckets)


def open_url(url: StoreUrl, settings: StoreSettings, limits: Limits | None, *, writable: bool) -> ValkeyStore:  # noqa: ARG001 - a hot tier that is empty is there all the same
    """The store at `valkey://host:port/db`. Raises UsageError for another form of URL or settings that can't be."""
    keys = ItemKeys(settings.valkey_key, check_span(settings.valkey_span_s))
    server = server_of(url)
    pacer = (limits or Limits()).pacer("valkey-ops-per-s", str(server))
    return ValkeyStore(ValkeyTier(ValkeyCalls(server, pacer), keys, Expiry(settings.valkey_expire_s)))


def server_of(url: StoreUrl) -> Server:
    """Host, port and database that a URL names. Raises UsageError if it names anything else."""
    url.options(())
    parts, db = urlsplit("//" + url.netloc), url.path.removeprefix("/") or "0"
    try:
        port = parts.port or PORT
    except ValueError:
        port = 0
    if not parts.hostname or not port or not db.isdecimal() or not db.isascii():
        msg = f"the store URL {url.shown} names no server and database: write {url.scheme}://HOST:PORT/DB, such as {url.scheme}://cache.internal:{PORT}/0"
        raise UsageError(msg)
    return Server(parts.hostname, port, int(db), tls=url.scheme in TLS)


@dataclass(frozen=True)
class ValkeyTier:
    """The server or cluster as a `Backend`. `own` begins the keys that belong to no item, `batch` is how many items go out at once."""

    calls: ValkeyCalls
    keys: ItemKeys = field(default_factory=ItemKeys)
    expiry: Expiry = field(default_factory=Expiry)
    own: str = "rollups"
    batch: int = 50
    failpoint: Failpoint = no_failpoint

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return Traits(granularities=(GRANULARITY,), is_local=False, live="recent", limits=("valkey",))

    @property
    def name(self) -> str:
        """As the protocol says."""
        return f"{'valkeys' if self.calls.server.tls else 'valkey'}://{self.calls}"

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says: each server with the memory it has left."""
        return tuple(("server", told) for told in memory_texts(self.calls))

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says."""
        return at(self.name, self.calls.repeats.taken())

    def text(self, key: str) -> str | None:
        """As the protocol says."""
        return self._texts.read(key)

    def change_text(self, key: str, make: Callable[[str | None], str]) -> str:
        """As the protocol says."""
        return self._texts.change(key, make)

    def texts(self, prefix: str) -> list[str]:
        """As the protocol says."""
        return self._texts.keys(prefix)

    def shards_found(self, metric_type: str, window: str) -> int | None:  # noqa: ARG002 - keys tell series, not shards
        """None: a live writer's items fit any number of shards."""
        return None

    def shards_to_read(self, metric_type: str, window: str) -> int | None:
        """As many as suit the series that have items in the window, None if there are none. All keys of the server are looked at."""
        listed = self._listing.items(metric_type, [self.traits.windows.range_of(window)])
        return -(-len({item.series for some in listed for item in some}) // READ_SERIES) or None

    def read(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names, *, shards: int | None = None) -> pa.Table:
        """As the protocol says. All keys of the server are looked at."""
        shards = shards or Partitions(self).shards(unit.metric_type, unit.window)
        items = self._unit(unit, "")
        if granularity != GRANULARITY or shards is None:
            return items.decode({}).select(list(columns))
        found: dict[Item, Held] = {}
        for some in self._listing.items(unit.metric_type, [self.traits.windows.range_of(unit.window)]):
            found.update(items.read([item for item in some if _shard_of(item, shards) == unit.shard]))
        return items.decode(found).select(list(columns))

    def near(self, unit: Unit, granularity: str, buckets: pa.Table) -> pa.Table:
        """The stored rows of the items in which the buckets lie."""
        self._check(granularity)
        items = self._unit(unit, "")
        return items.decode(items.read(items.form.near(buckets)))

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """As the protocol says. Raises StoreFull before a server has no room left."""
        for granularity in changes:
            self._check(granularity)
        for change in changes.values():
            change_items(self._unit(unit, run_id), change)

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:
        """As the protocol says."""
        self._check(granularity)
        items = self._unit(unit, run_id)
        change_items(items, change, self._images.items(of_run, unit))

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """As the protocol says."""
        if granularity == GRANULARITY:
            for table in self._images.tables(run_id, unit):
                yield table.select(list(columns))

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """As the protocol says."""
        return ((unit, GRANULARITY) for unit in self._images.units(run_id))

    def imaging_runs(self) -> list[str]:
        """As the protocol says."""
        return self._images.runs()

    def scan(
        self, granularity: str, *, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says. All keys of the server are looked at, the rows that are asked for lie in a temporary folder meanwhile."""
        if granularity != GRANULARITY:
            return iter(())
        return sorted_scan(self._unsorted(metric_types, periods, wanted), granularity, periods=periods, wanted=wanted, columns=columns)

    def _unsorted(self, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None) -> Iterator[tuple[str, pa.Table]]:
        for metric_type in metric_types:
            form = ItemForm(self.keys, metric_type)
            for items in self._listing.items(metric_type, periods):
                asked = [item for item in items if wanted is None or wanted(metric_type, *item.series)]
                yield metric_type, rows_of(form, read_items(self.calls, self.step, asked, self.batch))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Failpoints around one call."""
        self.failpoint(f"before {name}")
        yield
        self.failpoint(f"after {name}")

    @property
    def _texts(self) -> Texts:
        return Texts(self.calls, self.own, self.step)

    @property
    def _images(self) -> Images:
        return Images(self.calls, self.keys, self.own, self.step, self.expiry)

    @property
    def _listing(self) -> Listing:
        return Listing(self.calls, self.keys, self.step)

    def _unit(self, unit: Unit, run_id: str) -> UnitItems:
        return UnitItems(self.calls, self._images, self.step, self.batch, unit, run_id)

    def _check(self, granularity: str) -> None:
        if granularity != GRANULARITY:
            msg = f"{self.name} holds {GRANULARITY} values, no {granularity} rollups: ask for --granularities {GRANULARITY}, its live writer rolls them up"
            raise UsageError(msg)


def _shard_of(item: Item, shards: int) -> int:
    org, entity, name, labels = item.series
    return shard_of(SeriesKey(item.metric_type, org, entity, name, labels_pairs(labels)).encode(), shards)
