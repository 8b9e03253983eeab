"""The incident: a hot tier that loses points, and what its live writer then leaves in the store.

Series live on three shards of the hot tier. Shard 0 is down from `start_s` to `restart_s`: its series lose every minute. From then to `end_s` shards 0 and 1
keep one minute in three. Rollups are what the live writer makes of the minutes that are left: none where there is no minute, and elsewhere one that looks fine
and is wrong.
"""

import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from scripts import oracle

Fate = oracle.Rollup | bool
"""What becomes of a stored rollup: it stays (True), goes (False), or is replaced."""

_SHARDS: Final = 3
_KEPT_ONE_IN: Final = 3
_SERIES: Final = ("org", "entity", "name", "labels")


@dataclass(frozen=True)
class Incident:
    """When it happened, in seconds since the epoch."""

    start_s: int
    restart_s: int
    end_s: int

    @classmethod
    def on(cls, day_s: int) -> "Incident":
        """On the day that begins then: no edge is a bucket's."""
        return cls(day_s + 37_320, day_s + 49_080, day_s + 60_660)  # 10:22, 13:38, 16:51

    def loses(self, series: oracle.Series, minute_s: int) -> bool:
        """Whether the hot tier lost this minute of the series."""
        shard = _hash(series) % _SHARDS
        if self.start_s <= minute_s < self.restart_s:
            return shard == 0
        return self.restart_s <= minute_s < self.end_s and shard < 2 and _hash((*series, str(minute_s))) % _KEPT_ONE_IN > 0


def _hash(texts: tuple[str, ...]) -> int:
    return zlib.crc32("\0".join(texts).encode())


def play(store: Path, incident: Incident) -> dict[str, int]:
    """Rewrite the Parquet files of the incident's day as the live writer would have left them: no generation, no order.

    Returns how many buckets were `removed` and how many `falsified`.
    """
    damage: Counter[str] = Counter()
    day = oracle.row_of(("", "", "", "", ""), "1m", incident.start_s, oracle.rollup_1m(0.0))["bucket_start"]
    for path in sorted(store.glob(f"metric_type=*/granularity=1m/day={str(day)[:10]}/*.parquet")):
        metric_type = path.parts[-4].removeprefix("metric_type=")
        before, after = _rolled_up(path, metric_type, incident)
        for granularity in oracle.WIDTH_S:
            file = path.parents[2] / f"granularity={granularity}" / path.parent.name / path.name
            damage.update(_rewrite(file, _fates(metric_type, granularity, before, after)))
    return damage


Rolled = dict[oracle.Series, dict[str, dict[int, oracle.Rollup]]]


def _rolled_up(path: Path, metric_type: str, incident: Incident) -> tuple[Rolled, Rolled]:
    """Of a file of 1m rollups: all three granularities from all minutes, and from those that the hot tier still had."""
    minutes: dict[oracle.Series, dict[int, float]] = {}
    table = _read(path)
    for *series, start_s, value in _cells(table, "last"):
        minutes.setdefault((metric_type, *series), {})[start_s] = value
    left = {series: {at: value for at, value in values.items() if not incident.loses(series, at)} for series, values in minutes.items()}
    before, after = ({series: oracle.roll_up(values, "cascade") for series, values in those.items()} for those in (minutes, left))
    return before, after


def _fates(metric_type: str, granularity: str, before: Rolled, after: Rolled) -> Callable[[pa.Table], list[Fate]]:
    def fate(series: oracle.Series, start_s: int) -> Fate:
        was, now = (rolled[series][granularity].get(start_s) for rolled in (before, after))
        return now is not None and (now == was or now)

    return lambda table: [fate((metric_type, *series), start_s) for *series, start_s in _cells(table)]


def _rewrite(path: Path, fates_of: Callable[[pa.Table], list[Fate]]) -> dict[str, int]:
    """Replace the file; says how many rows it lost and how many are others now."""
    table = _read(path)
    fates = fates_of(table)
    wrong = [(row, fate) for row, fate in enumerate(fates) if isinstance(fate, oracle.Rollup)]
    rows = table.take(pa.array([row for row, _ in wrong], pa.int64())).to_pylist()
    falsified = [row | asdict(fate) | {"generation": None} for row, (_, fate) in zip(rows, wrong, strict=True)]
    kept = table.filter(pa.array([fate is True for fate in fates], pa.bool_()))
    temporary = path.with_suffix(".tmp")
    pq.write_table(pa.concat_tables([kept, pa.Table.from_pylist(falsified, schema=table.schema)]), temporary)
    os.replace(temporary, path)
    return {"removed": fates.count(False), "falsified": len(wrong)}


def _read(path: Path) -> pa.Table:
    """The file's own columns, texts as plain text."""
    table = pq.ParquetFile(path).read()
    return table.cast(pa.schema([field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in table.schema]))


def _cells(table: pa.Table, *more: str) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Org, entity, name, labels, start in seconds, and more columns of every row."""
    starts_s = (start_ms // 1000 for start_ms in table["bucket_start"].cast(pa.int64()).to_pylist())
    return zip(*(table[name].to_pylist() for name in _SERIES), starts_s, *(table[name].to_pylist() for name in more), strict=True)
