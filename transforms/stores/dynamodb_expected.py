"""What restoring takes in DynamoDB, by the arithmetic of `core.capacity` on packed items: calls, request units and, through a function, invocations.

What is packed are gauges with names of a usual length whose values are no whole numbers: others take less, histograms more.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.canonical import canonical
from transforms.core.capacity import item_bytes, item_read_units, read_units, write_units
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA, Floats, Ints
from transforms.core.packed import pack
from transforms.core.units import Unit
from transforms.stores.dynamodb_calls import BATCH_GET, BATCH_WRITE
from transforms.stores.dynamodb_items import FEW_ITEMS
from transforms.stores.dynamodb_keys import item_name, series_text
from transforms.stores.dynamodb_layout import Series, absent_image, cut, series_of
from transforms.stores.dynamodb_writing import ItemChange
from transforms.stores.lambda_batch import item_text

TYPICAL_UNIT: Final = Unit("host", "2025-10-30", 0)

FIXED_WRITES: Final = 2
"""Of a unit and granularity, whatever their size: the index of before-images; a new partition costs one more."""

_NOW_MS: Final = 1_764_000_000_000
_DRAWN: Final = "0123456789abcdef"
_EXPIRES: Final = {"expires": {"N": str(_NOW_MS // 1000)}}
"""Of before-images."""


class Units(NamedTuple):
    """Request units of restoring so many rollups, and the calls that are made for them."""

    rollups: int
    writes: int
    reads: int
    write_calls: float = 0.0
    read_calls: float = 0.0


@dataclass(frozen=True)
class _Item:
    """One item: bytes of it, of its before-image, and as a function is sent it."""

    name: str
    size: int
    image: int
    text: int


def gauges(starts_s: Ints, minutes: Floats, series: int, generation: int) -> pa.Table:
    """Rollups of so many gauges in buckets that start then, one row of `minutes` for each bucket of each series."""
    rows, width = minutes.shape
    entities = pa.DictionaryArray.from_arrays(pa.array(np.repeat(np.arange(series, dtype=np.int32), len(starts_s))), [f"4Hk{one:05d}" for one in range(series)])
    same = {name: _repeated(value, rows) for name, value in {"org": "acme", "name": "custom.cpu.user.percentage", "labels": "{}", "kind": "gauge"}.items()}
    sums = minutes.sum(axis=1)
    columns = {
        **same,
        "entity": entities,
        "bucket_start": pa.array(np.tile(starts_s, series) * 1000).view(ROLLUP_SCHEMA.field("bucket_start").type),
        "minutes": pa.array(np.full(rows, width, np.int32)),
        "count": pa.array(np.full(rows, width)),
        **{name: pa.array(values) for name, values in _aggregates(minutes, sums).items()},
        "generation": pa.array(np.full(rows, generation)),
    }
    return canonical(pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in ROLLUP_SCHEMA], schema=ROLLUP_SCHEMA))


def _aggregates(minutes: Floats, sums: Floats) -> dict[str, Floats]:
    return {"sum": sums, "min": minutes.min(axis=1), "max": minutes.max(axis=1), "avg": sums / minutes.shape[1], "last": minutes[:, -1].copy()}


def _repeated(value: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [value])


def typical_series(computed: Mapping[str, Sequence[Range]], share: float) -> dict[str, pa.Table]:
    """Rollups of one gauge in the computed ranges, of which the series has that share of the minutes, evenly spread."""
    random = np.random.default_rng(1)
    found = {}
    for name, ranges in computed.items():
        width_s = WIDTH_S[name]
        starts = np.concatenate([np.arange(from_s, to_s, width_s) for from_s, to_s in ranges] or [np.zeros(0, np.int64)])
        kept = starts if width_s > WIDTH_S["1m"] else starts[np.unique(np.linspace(0, len(starts) - 1, max(1, round(share * len(starts))), dtype=np.int64))]
        found[name] = gauges(kept, random.normal(50, 10, (len(kept), width_s // 60)), 1, _NOW_MS)
    return found


def restoring(rollups: Mapping[str, pa.Table], *, replaced: bool) -> Units:
    """Units of writing them where nothing was, or over others of the same size; without `FIXED_WRITES`."""
    writes = reads = 0
    write_calls = read_calls = 0.0
    noted: set[Series] = set()
    for granularity, table in rollups.items():
        items = _items(table, granularity)
        sizes = {series: [one.size for one in some] for series, some in items.items()}
        images = [write_units(one.image) for some in items.values() for one in some] if replaced else _absent(items, granularity)
        new = set() if replaced else set(items) - noted
        writes += sum(write_units(size) for some in sizes.values() for size in some) + sum(images) + sum(write_units(item_bytes(one)) for one in _roster(new))
        noted = set(items) if replaced else noted
        reads += sum(_reads(some, replaced=replaced) for some in sizes.values()) + read_units(sum(item_bytes(one) for one in _roster(noted)))
        noted = set(items)
        write_calls += sum(map(len, sizes.values())) + (len(images) + len(new)) / BATCH_WRITE
        read_calls += sum(len(some) / BATCH_GET if len(some) <= FEW_ITEMS else 1 for some in sizes.values())
    return Units(sum(table.num_rows for table in rollups.values()), writes, reads, write_calls, read_calls)


def reading(rollups: Mapping[str, pa.Table]) -> Units:
    """Units of reading them back: of items by their keys and, at the end, of whole series."""
    reads, calls = 0, 0.0
    for granularity, table in rollups.items():
        for some in _items(table, granularity).values():
            sizes = [one.size for one in some]
            reads += _reads(sizes, replaced=True) + read_units(sum(sizes))
            calls += (len(sizes) / BATCH_GET if len(sizes) <= FEW_ITEMS else 1) + 1
    return Units(0, 0, reads, 0, calls)


def queried(rollups: Mapping[str, pa.Table]) -> Units:
    """Units of reading whole series."""
    sizes = [sum(one.size for one in some) for granularity, table in rollups.items() for some in _items(table, granularity).values()]
    return Units(0, 0, sum(map(read_units, sizes)), 0, len(sizes))


def sent(rollups: Mapping[str, pa.Table]) -> dict[str, tuple[int, int]]:
    """Items and bytes that go through a function, by granularity."""
    return {
        granularity: (sum(map(len, items.values())), sum(one.text for some in items.values() for one in some))
        for granularity, items in ((name, _items(table, name)) for name, table in rollups.items())
    }


def _items(table: pa.Table, granularity: str) -> dict[Series, list[_Item]]:
    found: dict[Series, list[_Item]] = {}
    place = f"before/run/{TYPICAL_UNIT}/{granularity}"
    for key, body in pack(table, granularity).items():
        series, name = series_of(series_text(TYPICAL_UNIT.metric_type, key)), item_name(granularity, key.start_s)
        text = item_text(ItemChange(series, name, None, body, None))
        found.setdefault(series, []).append(_Item(name, *_sizes(series, name, body, place), len(text) + 1))
    return found


def _absent(items: Mapping[Series, Sequence[_Item]], granularity: str) -> list[int]:
    place = f"before/run/{TYPICAL_UNIT}/{granularity}"
    return [write_units(item_bytes(absent_image(place, series, [one.name for one in some], _NOW_MS) | _EXPIRES)) for series, some in items.items()]


def _sizes(series: Series, name: str, body: bytes, place: str) -> tuple[int, int]:
    """Bytes of an item and of its before-image."""
    version = {"version": {"N": str(_NOW_MS)}}
    (item,) = cut({"series": {"S": series.key}, "item": {"S": name}, **series.attributes, **version}, body, _DRAWN)
    image_name = f"{series.digest}/{name}/{_NOW_MS:013d}"
    (image,) = cut({"series": {"S": place}, "item": {"S": image_name}, "text": {"S": series.text}, **version, **_EXPIRES}, body, _DRAWN)
    return item_bytes(item), item_bytes(image)


def _reads(sizes: Sequence[int], *, replaced: bool) -> int:
    held = list(sizes) if replaced else [0] * len(sizes)
    return item_read_units(held) if len(sizes) <= FEW_ITEMS else read_units(sum(held))


def _roster(series: set[Series]) -> Iterator[dict[str, dict[str, str]]]:
    return ({"series": {"S": f"roster/{TYPICAL_UNIT}"}, "item": {"S": one.digest}, "text": {"S": one.text}} for one in series)


def batches_of(items: float, text_bytes: float, most_items: int, most_bytes: int) -> int:
    """Invocations of a unit and granularity, at least one if there is anything."""
    return math.ceil(max(items / most_items, text_bytes / most_bytes)) if items else 0
