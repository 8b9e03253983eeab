"""What stores are given to write: rollups of gauges of a day, four times: where nothing is, again, by a newer run, and with other values."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.canonical import canonical
from transforms.core.granularity import DAY_S, WIDTH_S
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.united import IDENTITY

DAY: Final = "2025-11-01"
FROM_S: Final = 1_761_955_200
"""When it begins."""


class Pass(NamedTuple):
    """Rollups of a generation, with so much added to their values."""

    generation: int
    more: float


PASSES: Final[Mapping[str, Pass]] = {"fresh": Pass(1, 0.0), "again": Pass(1, 0.0), "newer run": Pass(2, 0.0), "other values": Pass(3, 1.0)}


def load(shard: int, series: int, of: Pass, granularities: Sequence[str]) -> dict[str, pa.Table]:
    """A unit's rollups by granularity."""
    return {name: _table(shard, series, of, WIDTH_S[name]) for name in granularities}


def load_rows(series: int, granularities: Sequence[str]) -> int:
    """Rollups of such a load."""
    return series * sum(DAY_S // WIDTH_S[name] for name in granularities)


def _table(shard: int, series: int, of: Pass, width_s: int) -> pa.Table:
    buckets = DAY_S // width_s
    rows = series * buckets
    values = (np.random.default_rng(shard).normal(100, 30, rows) + of.more).round(3)
    names = {"entity": [f"host-{shard:03d}-{number // 6:05d}" for number in range(series)], "name": [f"metric.{number % 6}" for number in range(series)]}
    texts = names | {"org": ["acme"] * series, "labels": ["{}"] * series, "kind": ["gauge"] * series}
    columns = {name: pa.array(np.repeat(texts[name], buckets)).dictionary_encode() for name in IDENTITY}
    columns["bucket_start"] = pa.array(np.tile((FROM_S + np.arange(buckets) * width_s) * 1000, series)).view(ROLLUP_SCHEMA.field("bucket_start").type)
    columns["minutes"] = pa.array(np.full(rows, width_s // 60, np.int32))
    columns["count"], columns["generation"] = pa.array(np.full(rows, width_s // 60)), pa.array(np.full(rows, of.generation))
    columns |= {name: pa.array(_aggregate(values, width_s, place)) for place, name in enumerate(("sum", "min", "max", "avg", "last"))}
    return canonical(pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in ROLLUP_SCHEMA], schema=ROLLUP_SCHEMA))


def _aggregate(values: npt.NDArray[np.float64], width_s: int, place: int) -> npt.NDArray[np.float64]:
    """All alike in a minute, all different in what is coarser."""
    return values if width_s == WIDTH_S["1m"] else values * (1 + place)
