"""Rollups in Parquet objects in S3: the names and, for the same rows, the bytes of the local Parquet store (`layout`, `shard_files`).

An object holds one unit and granularity. It is replaced only while it still is what was read (If-Match, or If-None-Match for a new one); a writer that comes
second merges again with what the first one wrote. Nothing is deleted: an object without rows remains as a table without rows, because not every service that
knows conditional writes knows conditional deletes.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from transforms.calls.limits import Limits
from transforms.calls.repeats import at
from transforms.calls.s3_folder import S3Location, prefix_of
from transforms.core.errors import UsageError
from transforms.core.granularity import GRANULARITIES, WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.store_settings import StoreSettings
from transforms.core.units import Unit
from transforms.stores.adopting import shards_found
from transforms.stores.backend import Change, Traits
from transforms.stores.layout import Layout, first_image
from transforms.stores.protocol import Wanted
from transforms.stores.rollups import Rollups
from transforms.stores.s3_objects import ObjectFile, Objects, Stored, open_objects
from transforms.stores.scanning import Overlap, Source, keep_of, scan_sorted
from transforms.stores.shard_files import decode_table, encode_table
from transforms.stores.undoing import UNDO_KEYS, UNDO_PREFIX
from transforms.stores.url import StoreUrl

READING_THREADS: Final = 8

_KEYS: Final = Layout(Path())


class ParquetS3Store(Rollups):
    """A `RollupStore` in a folder of a bucket. Its window is one UTC day."""

    def __init__(self, objects: Objects) -> None:
        """Touches nothing."""
        super().__init__(ParquetObjects(objects))


def open_url(url: StoreUrl, _settings: StoreSettings, limits: Limits | None, *, writable: bool) -> ParquetS3Store:
    """The store at `parquet+s3://bucket/prefix?endpoint_url=…&region=…`. Raises UsageError for another form, or if there is nothing to read."""
    options = url.options(("endpoint_url", "region"))
    if not url.netloc:
        raise UsageError(f"the store URL {url.shown} names no bucket: write parquet+s3://bucket/prefix")
    objects = open_objects(S3Location(bucket=url.netloc, prefix=prefix_of(url.path), **options), limits or Limits())
    if not writable and objects.is_empty():
        raise UsageError(f"the store {url.shown} does not exist")
    return ParquetS3Store(objects)


@dataclass(frozen=True)
class ParquetObjects:
    """The folder as a `Backend`."""

    objects: Objects

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return Traits(is_local=False, limits=("s3-get", "s3-put"))

    @property
    def name(self) -> str:
        """As the protocol says."""
        return f"parquet+{self.objects.location.name}"

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says: bucket, prefix and where the client looks for them; calls nothing."""
        place = self.objects.location
        doing = f"opening {self.name}"
        region, endpoint = self.objects.calls.call(doing, lambda client: (str(client.meta.region_name), str(client.meta.endpoint_url)))
        return ("s3 bucket", place.bucket), ("prefix", place.prefix), ("region", region), ("endpoint", endpoint)

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says."""
        return at(self.name, self.objects.calls.repeats.taken())

    def text(self, key: str) -> str | None:
        """As the protocol says."""
        return _text(self.objects.get(str(_KEYS.text(key)), "text.get"))

    def change_text(self, key: str, make: Callable[[str | None], str]) -> str:
        """As the protocol says."""
        path = str(_KEYS.text(key))
        held = self.objects.get(path, "text.get")
        while True:
            text = make(before := _text(held))
            lost = self.objects.put(path, text.encode(), held, "text.write") if text != before else None
            if lost is None:
                return text
            held = lost

    def texts(self, prefix: str) -> list[str]:
        """As the protocol says; those of undos are the only ones that are looked for."""
        found = [UNDO_KEYS + name for name in self.objects.folders(f"_before/{UNDO_PREFIX}", "texts.list")]
        return [key for key in found if key.startswith(prefix) and self.text(key) is not None]

    def shards_found(self, metric_type: str, window: str) -> int | None:
        """As the protocol says; objects tell their shard by name."""
        keys = [key for granularity in GRANULARITIES for key in self._data(_folder(metric_type, granularity) + f"day={window}/")]
        known = self.objects.named(str(_KEYS.partition(metric_type, window)))
        return shards_found([ObjectFile(self.objects, key) for key in keys], metric_type, window, known)

    def read(self, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        """As the protocol says."""
        key = str(_KEYS.shard(unit, granularity))
        return self._table(key, self.objects.get(key, "object.read"), columns)

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """As the protocol says."""
        for granularity, change in changes.items():
            key = str(_KEYS.shard(unit, granularity))
            held: Stored | None = self.objects.get(key, "object.read")
            while held is not None:
                table = change.make(self._table(key, held))
                if table is None:
                    break
                self._keep(unit, granularity, run_id, held.body or b"")
                body = encode_table(table)
                lost = self.objects.put(key, body, held, "object.write")
                held = lost if lost and lost.body != body else None  # these bytes, with the run's generation, are the run's

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:  # noqa: ARG002 - an object is all of a unit
        """As the protocol says."""
        self.update(unit, {granularity: change}, run_id)

    def images(self, run_id: str, unit: Unit, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> Iterator[pa.Table]:
        """As the protocol says; where there was no object the table is empty."""
        for number in reversed(range(self._image_numbers(run_id, unit, granularity))):
            key = str(_KEYS.image(run_id, unit, granularity, number))
            yield self._table(key, self.objects.get(key, "image.get"), columns)

    def imaged(self, run_id: str) -> Iterator[tuple[Unit, str]]:
        """As the protocol says."""
        found = map(first_image, self.objects.keys(f"{_KEYS.before(run_id)}/", "images.list"))
        yield from sorted(one for one in found if one)

    def imaging_runs(self) -> list[str]:
        """As the protocol says."""
        return self.objects.folders("_before/", "images.list")

    def scan(
        self, granularity: str, *, metric_types: Sequence[str], periods: Sequence[Range] | None, wanted: Wanted | None, columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """As the protocol says. Memory is bounded as `scanning` tells, but for a few MB of each of the objects that are read at once."""
        overlap = Overlap(WIDTH_S[granularity], periods)
        for metric_type in metric_types:
            keys = self._days(metric_type, granularity, periods)
            sources = [Source(ObjectFile(self.objects, key), keep_of(metric_type, wanted), overlap) for key in keys]
            for table in scan_sorted(sources, columns, READING_THREADS):
                yield metric_type, table

    def _days(self, metric_type: str, granularity: str, periods: Sequence[Range] | None) -> list[str]:
        """Keys of the objects of the days that the periods touch."""
        folder = _folder(metric_type, granularity)
        days = self.objects.folders(f"{folder}day=", "objects.list")
        asked = days if periods is None else sorted({*days} & {*self.traits.windows.touched_by(periods)})
        return [key for day in asked for key in self._data(f"{folder}day={day}/")]

    def _data(self, folder: str) -> list[str]:
        """Keys of objects that readers of the folder see, sorted."""
        keys = self.objects.keys(folder, "objects.list")
        return [key for key in keys if re.fullmatch(r"[^_.][^/]*\.parquet", key.removeprefix(folder))]

    def _table(self, key: str, stored: Stored, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        return decode_table(stored.body, self.objects.named(key), columns) if stored.body else ROLLUP_SCHEMA.empty_table().select(list(columns))

    def _image_numbers(self, run_id: str, unit: Unit, granularity: str) -> int:
        """How many before-images of one object the run has."""
        first = str(_KEYS.image(run_id, unit, granularity, 0))
        return len(self.objects.keys(first.removesuffix("0.image"), "images.list"))

    def _keep(self, unit: Unit, granularity: str, run_id: str, body: bytes) -> None:
        """The next before-image, unless a run killed before its write left the very same one."""
        number = 0  # most often there is none
        while (there := self.objects.put(str(_KEYS.image(run_id, unit, granularity, number)), body, Stored(), "image.write")) is not None:
            number = max(number + 1, self._image_numbers(run_id, unit, granularity))
            newest = there if number == 1 else self.objects.get(str(_KEYS.image(run_id, unit, granularity, number - 1)), "image.get")
            if newest.body == body:
                return


def _text(stored: Stored) -> str | None:
    return None if stored.body is None else stored.body.decode()


def _folder(metric_type: str, granularity: str) -> str:
    return f"metric_type={metric_type}/granularity={granularity}/"
