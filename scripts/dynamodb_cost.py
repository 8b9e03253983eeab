"""What restoring costs in DynamoDB, by the arithmetic of `transforms.core.capacity` on items as they are packed: request units and dollars per million rollups.

    python scripts/dynamodb_cost.py          prints the table of docs/stores/dynamodb.md

The load: gauges of which every minute of a week has a value that is no whole number, with series names of a usual length, at all three granularities.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transforms.core.canonical import canonical
from transforms.core.capacity import item_bytes, item_read_units, read_units, write_units
from transforms.core.granularity import WIDTH_S
from transforms.core.model import ROLLUP_SCHEMA, Floats
from transforms.core.packed import pack
from transforms.core.units import Unit
from transforms.stores.dynamodb_items import FEW_ITEMS
from transforms.stores.dynamodb_keys import item_name, series_text
from transforms.stores.dynamodb_layout import Series, absent_image, cut, series_of

WEEK_S = 7 * 86_400
WINDOW_S = 1_761_782_400  # 2025-10-30, where a window begins
UNIT = Unit("host", "2025-10-30", 0)
NOW_MS = 1_764_000_000_000
EXPIRES = {"expires": {"N": str(NOW_MS // 1000)}}
"""Of before-images."""

DRAWN = "0123456789abcdef"

DOLLARS_PER_MILLION_WRITES = 0.625
DOLLARS_PER_MILLION_READS = 0.125
"""On-demand, us-east-1, as of November 2024 (https://aws.amazon.com/dynamodb/pricing/on-demand/)."""


@dataclass(frozen=True)
class Units:
    """Request units of restoring so many rollups."""

    rollups: int
    writes: int
    reads: int

    @property
    def dollars_per_million(self) -> float:
        """Of rollups, at the prices above."""
        dollars = (self.writes * DOLLARS_PER_MILLION_WRITES + self.reads * DOLLARS_PER_MILLION_READS) / 1e6
        return dollars / self.rollups * 1e6


def week_of(series: int, generation: int) -> dict[str, pa.Table]:
    """Rollups of so many gauges over a week, by granularity."""
    random = np.random.default_rng(generation)
    minutes = random.normal(50, 10, (series, WEEK_S // 60))
    return {name: _table(minutes.reshape(-1, width_s // 60), series, width_s, generation) for name, width_s in WIDTH_S.items()}


def _table(minutes: Floats, series: int, width_s: int, generation: int) -> pa.Table:
    rows, per_series = len(minutes), WEEK_S // width_s
    entities = pa.DictionaryArray.from_arrays(pa.array(np.repeat(np.arange(series, dtype=np.int32), per_series)), [f"4Hk{one:05d}" for one in range(series)])
    same = {name: _repeated(value, rows) for name, value in {"org": "acme", "name": "custom.cpu.user.percentage", "labels": "{}", "kind": "gauge"}.items()}
    times = (WINDOW_S + np.tile(np.arange(per_series) * width_s, series)) * 1000
    sums = minutes.sum(axis=1)
    columns = {
        **same,
        "entity": entities,
        "bucket_start": pa.array(times).view(ROLLUP_SCHEMA.field("bucket_start").type),
        "minutes": pa.array(np.full(rows, width_s // 60, np.int32)),
        "count": pa.array(np.full(rows, width_s // 60)),
        **{name: pa.array(values) for name, values in _aggregates(minutes, sums).items()},
        "generation": pa.array(np.full(rows, generation)),
    }
    return canonical(pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in ROLLUP_SCHEMA], schema=ROLLUP_SCHEMA))


def _aggregates(minutes: Floats, sums: Floats) -> dict[str, Floats]:
    return {"sum": sums, "min": minutes.min(axis=1), "max": minutes.max(axis=1), "avg": sums / minutes.shape[1], "last": minutes[:, -1].copy()}


def _repeated(value: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [value])


def restoring(rollups: Mapping[str, pa.Table], *, replaced: bool) -> Units:
    """Units of writing them where nothing was, or over others of the same size; without what a unit costs whatever its size (`FIXED_WRITES`)."""
    writes = reads = 0
    noted: set[Series] = set()
    for granularity, table in rollups.items():
        by_series: dict[Series, list[tuple[int, int, str]]] = {}
        for key, body in pack(table, granularity).items():
            series, name = series_of(series_text(UNIT.metric_type, key)), item_name(granularity, key.start_s)
            by_series.setdefault(series, []).append((*_sizes(series, name, body, f"before/run/{UNIT}/{granularity}"), name))
        sizes = {series: [size for size, _, _ in items] for series, items in by_series.items()}
        writes += sum(write_units(size) for some in sizes.values() for size in some)
        if replaced:
            writes += sum(write_units(image) for items in by_series.values() for _, image, _ in items)
            noted = set(by_series)
        else:
            place = f"before/run/{UNIT}/{granularity}"
            absent = (absent_image(place, series, [name for _, _, name in items], NOW_MS) | EXPIRES for series, items in by_series.items())
            writes += sum(write_units(item_bytes(one)) for one in absent)
        reads += sum(_reads(some, replaced=replaced) for some in sizes.values())
        reads += read_units(sum(item_bytes(one) for one in _roster(noted)))
        writes += sum(write_units(item_bytes(one)) for one in _roster(set(by_series) - noted))
        noted = set(by_series)
    return Units(sum(table.num_rows for table in rollups.values()), writes, reads)


FIXED_WRITES = 2 * len(WIDTH_S)
"""Index of before-images, by granularity; a new partition costs one more."""


def _sizes(series: Series, name: str, body: bytes, place: str) -> tuple[int, int]:
    """Bytes of an item and of its before-image."""
    version = {"version": {"N": str(NOW_MS)}}
    (item,) = cut({"series": {"S": series.key}, "item": {"S": name}, **series.attributes, **version}, body, DRAWN)
    image_name = f"{series.digest}/{name}/{NOW_MS:013d}"
    (image,) = cut({"series": {"S": place}, "item": {"S": image_name}, "text": {"S": series.text}, **version, **EXPIRES}, body, DRAWN)
    return item_bytes(item), item_bytes(image)


def _reads(sizes: list[int], *, replaced: bool) -> int:
    held = sizes if replaced else [0] * len(sizes)
    return item_read_units(held) if len(sizes) <= FEW_ITEMS else read_units(sum(held))


def _roster(series: set[Series]) -> Iterator[dict[str, dict[str, str]]]:
    return ({"series": {"S": f"roster/{UNIT}"}, "item": {"S": one.digest}, "text": {"S": one.text}} for one in series)


def lines() -> Iterator[str]:
    """The table of the documentation."""
    rollups = week_of(86, 1_762_000_000_000)
    yield "| restored | WRU per million rollups | RRU per million rollups | dollars per million rollups |"
    yield "|---|---|---|---|"
    for name, tables in {"1m, 5m and 1h": rollups, "5m and 1h": {one: rollups[one] for one in ("5m", "1h")}, "1m": {"1m": rollups["1m"]}}.items():
        for replaced in (False, True):
            units = restoring(tables, replaced=replaced)
            numbers = f"{units.writes / units.rollups * 1e6:,.0f} | {units.reads / units.rollups * 1e6:,.0f} | {units.dollars_per_million:.4f}"
            yield f"| {name}, {'in the place of others' if replaced else 'where nothing was'} | {numbers} |"


if __name__ == "__main__":
    print("\n".join(lines()))
