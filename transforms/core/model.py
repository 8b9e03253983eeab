"""The values that flow between the steps: series, postings, points, rollup rows, dead letters.

Everything that exists once per point is a NumPy or Arrow column; Python objects exist once per object, series or unit.
"""

import json
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.arrivals import Arrivals

METRIC_TYPES: Final = ("service", "labeled", "role", "host")
"""In the order in which they are restored unless the user names another."""

KINDS: Final = ("gauge", "counter", "delta", "histogram")

POINT_KINDS: Final = (*KINDS, "cumulative histogram")
"""What a decoded or staged point is. `histogram` is one of delta temporality here; rollups of both kinds of histogram are of kind `histogram`."""

HISTOGRAM: Final = pa.struct(
    [
        ("count", pa.int64()),
        ("sum", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("bounds", pa.list_view(pa.float64())),
        ("bucket_counts", pa.list_(pa.int64())),
    ]
)
"""What a histogram point holds. `sum`, `min`, `max` are null where unknown. `bounds` increase strictly; `bucket_counts` is one longer: bucket i counts the
observations in (bounds[i - 1], bounds[i]], the first from -inf, the last to inf. No bounds and one bucket: only count, sum, min and max are known.
Buckets of exponential histograms have their bounds 2^(index / 2^scale) written out. Bounds are views, so that histograms with the same ones can share them."""

SERIES_COLUMNS: Final = ("metric_type", "org", "entity", "name", "labels", "kind")
"""What identifies a row's series, in the order rows are sorted by."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class SeriesKey(NamedTuple):
    """Identity of a series; labels are pairs sorted by key."""

    metric_type: str
    org: str
    entity: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """UTF-8 of the compact JSON array `[type, org, entity, name, labels]`; equality of keys is equality of these bytes."""
        return json.dumps(self, ensure_ascii=False, separators=(",", ":")).encode()


def labels_text(labels: tuple[tuple[str, str], ...]) -> str:
    """Labels as stored and exported: a compact JSON object with sorted keys, `{}` if none."""
    pairs = [f"{encode_basestring(key)}:{encode_basestring(text)}" for key, text in dict(sorted(labels)).items()]
    return f"{{{','.join(pairs)}}}"


def labels_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Inverse of `labels_text`."""
    return tuple(sorted(json.loads(text).items()))


_TEXT = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ms", tz="UTC")

ROLLUP_SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, _TEXT, nullable=False) for name in SERIES_COLUMNS if name != "metric_type"),
        pa.field("bucket_start", _TIME, nullable=False),
        pa.field("minutes", pa.int32(), nullable=False),
        pa.field("count", pa.int64()),
        *(pa.field(name, pa.float64()) for name in ("sum", "min", "max", "avg", "last", "increase", "p50", "p90", "p95", "p99")),
        pa.field("generation", pa.int64()),
        # What a later recalculation needs and `export` leaves out.
        pa.field("first_value", pa.float64()),
        pa.field("last_value", pa.float64()),
        pa.field("start_time", _TIME),
        pa.field("bounds", pa.list_(pa.float64())),
        pa.field("bucket_counts", pa.list_(pa.int64())),
    ]
)
"""A stored rollup. Metric type and granularity are the table's, not the row's (a store keeps them as partition or key).

Rows are sorted by org, entity, name, labels, kind (by code point), bucket_start. `minutes` counts the 1m buckets present; `count` the values (gauge) or
observations (histogram). `first_value`, `last_value`, `start_time` belong to counters, `bounds` and `bucket_counts` (one longer) to histograms; null
elsewhere. A null `generation` counts as 0: a live writer's row.
"""

EXPORT_COLUMNS: Final = (
    "metric_type", "org", "entity", "name", "labels", "kind", "granularity", "bucket_start", "minutes",
    "count", "sum", "min", "max", "avg", "last", "increase", "p50", "p90", "p95", "p99", "generation",
)  # fmt: skip

SLICE_SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in SERIES_COLUMNS),
        pa.field("minute", pa.list_(pa.field("item", pa.int32(), nullable=False)), nullable=False),
        pa.field("arrival_us", pa.list_(pa.field("item", pa.int64(), nullable=False)), nullable=False),
        pa.field("value", pa.list_(pa.field("item", pa.float64(), nullable=False)), nullable=False),
        pa.field("start_us", pa.list_(pa.field("item", pa.int64(), nullable=False))),
        pa.field("time_us", pa.list_(pa.field("item", pa.int64(), nullable=False))),
        pa.field("histogram", pa.list_(pa.field("item", HISTOGRAM, nullable=False))),
    ]
)
"""One unit's part of a staged read group: a row per series, its points as parallel lists in (object, position) order.

`kind` is one of POINT_KINDS; `minute` counts minutes since the epoch. `start_us` and `time_us` are null for gauges, `histogram` for all but histograms. Series
appear once per slice and kind, in no promised order.
"""


class DeadLetter(NamedTuple):
    """Input that could not be processed.

    `offset` is in the decompressed object; `raw` the exact bytes of the record or, for a broken point, of the point.
    """

    object: str
    offset: int
    cause: str
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Postings:
    """Columns of postings, a row per (record, entity). `roles` is null where the posting did not say."""

    metric_type: pa.Array
    org: pa.Array
    entity: pa.Array
    roles: pa.ListArray
    arrival_us: Ints


@dataclass(frozen=True, slots=True)
class Points:
    """Columns of points in the order of their position in the object. Values are finite; times are whole seconds between the years 2000 and 2100.

    The columns that may be None are for points that are more than a gauge without labels: `labels` has the `labels_text` of each point (None: `{}`), `kind`
    an index into POINT_KINDS (None: gauge), `start_us` the stream's start or 0 where unknown (None: 0), `time_us` the exact time (None: `time_s`),
    `histogram` a HISTOGRAM, null where the point is none; the `value` of a histogram is 0.0.
    """

    posting: npt.NDArray[np.int32]
    name: pa.DictionaryArray
    time_s: Ints
    value: Floats
    labels: pa.DictionaryArray | None = None
    kind: npt.NDArray[np.int8] | None = None
    start_us: Ints | None = None
    time_us: Ints | None = None
    histogram: pa.StructArray | None = None


@dataclass(frozen=True, slots=True)
class DecodeTally:
    """What decoding one object counted. Keys are metric types; `dropped` has one dict per reason, of metric types.

    `records` were found in the object; `decoded_records` of them were processed and `dead_records` could not be, each counted when that happened. `points`
    counts kept and dropped points, not broken ones; `inexact` kept values of magnitude 2^53 and more.
    `error_output` counts the records that Firehose could not deliver, read or not.
    """

    records: int = 0
    decoded_records: int = 0
    dead_records: int = 0
    dead_points: int = 0
    points: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    inexact: dict[str, int] = field(default_factory=dict)
    error_output: int = 0


@dataclass(frozen=True, slots=True)
class DecodedObject:
    """All that one archive object holds, and when its records arrived: by what the envelope about them tells, else by the object's key."""

    postings: Postings
    points: Points
    tally: DecodeTally
    dead_letters: tuple[DeadLetter, ...]
    arrivals: Arrivals = field(default_factory=Arrivals)
