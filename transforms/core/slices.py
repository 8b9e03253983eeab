"""From decoded objects to the slices of a read group: which points count, whose series they are, which unit rolls them up.

Everything here works on whole columns; Python loops run over series, postings' distinct identities and metric types.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.counts import Counts, count, imbalances
from transforms.core.crc import crc32_of_joined
from transforms.core.errors import ConservationError
from transforms.core.granularity import DAY_S, MINUTE_S, Range, within
from transforms.core.model import METRIC_TYPES, SLICE_SCHEMA, Bools, DeadLetter, DecodedObject, Floats, Ints, Points, Postings, labels_text
from transforms.core.roles import Membership, RoleCopies, role_copies
from transforms.core.selection import Reach, Selection
from transforms.core.time import format_time
from transforms.core.units import Unit

_US: Final = 1_000_000
_LUT_LIMIT: Final = 1 << 24
_DAY_MINUTES: Final = DAY_S // MINUTE_S

Shards = Callable[[str, str], int]
"""Number of shards of a store partition by metric type and window."""


class Identity(NamedTuple):
    """A series without its name; `host` is the value of the label `host`, empty where there are no labels."""

    metric_type: str
    org: str
    entity: str
    host: str = ""

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Sorted pairs."""
        return (("host", self.host),) if self.metric_type == "role" else ()


class SliceIndex(NamedTuple):
    """Where a unit's part of the group lies: rows `[first_row, first_row + rows)` of the batch, holding `points` points."""

    unit: Unit
    first_row: int
    rows: int
    points: int


@dataclass(frozen=True)
class GroupSlices:
    """A read group ready to be staged: rows of SLICE_SCHEMA in unit order, where each unit's rows are, and what was counted."""

    batch: pa.RecordBatch
    index: tuple[SliceIndex, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Columns:
    """Points by (identity, name), both numbers of the group's registries, in the order of their position; `minute` counts from the epoch."""

    identity: npt.NDArray[np.int32]
    name: npt.NDArray[np.int32]
    minute: npt.NDArray[np.int32]
    arrival_us: Ints
    value: Floats

    def take(self, at: npt.NDArray[np.generic]) -> "_Columns":
        """The points at these positions or under this mask."""
        return _Columns(self.identity[at], self.name[at], self.minute[at], self.arrival_us[at], self.value[at])


_NO_POINTS: Final = _Columns(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float64))


@dataclass
class GroupColumns:
    """Gathers the decoded objects of one read group, in manifest order, then cuts them into slices.

    Per type: points + role copies = dropped + outside + staged; `slices` raises ConservationError if not.
    """

    selection: Selection
    reach: Reach
    shards: Shards
    membership: Membership | None = None
    counts: Counts = field(default_factory=dict)
    _identities: dict[Identity, int] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)
    _parts: list[_Columns] = field(default_factory=list)

    def add(self, decoded: DecodedObject) -> tuple[DeadLetter, ...]:
        """Takes one object's points in, less what is dropped or outside; hands its dead letters on."""
        self._count_decoded(decoded)
        columns, posting = self._columns(decoded.postings, decoded.points), decoded.points.posting
        lag_us = columns.arrival_us - decoded.points.time_s * _US
        is_late, is_early = lag_us > self.reach.late_s * _US, lag_us < -self.reach.early_s * _US
        if (is_dropped := is_late | is_early).any():
            self._count_types("dropped.late", columns.identity, is_late)
            self._count_types("dropped.early", columns.identity, is_early)
            columns, posting = columns.take(~is_dropped), posting[~is_dropped]
        self._parts.append(self._inside(columns))
        if "role" in self.selection.metric_types and len((copies := role_copies(decoded.postings, self.membership)).posting):
            self._parts.append(self._inside(self._copied(decoded.postings, copies, columns, posting)))
        return decoded.dead_letters

    @cached_property
    def _needed_minutes(self) -> tuple[Range, ...]:
        """As `Selection.needed`, in minutes: buckets begin and end with one."""
        return tuple((from_s // MINUTE_S, to_s // MINUTE_S) for from_s, to_s in self.selection.needed())

    def slices(self) -> GroupSlices:
        """All points that were kept, by unit and series, each series' points in the order of their position."""
        columns = _concatenated(self._parts)
        series, identity, name = _dense(columns, len(self._identities), max(1, len(self._names)))
        table = _SeriesTable(identity, name, tuple(self._identities), tuple(self._names))
        selected = table.selected(self.selection)
        if not selected.all():
            self._count_types("outside.series", columns.identity, ~selected[series])
            keep = selected[series]
            columns, series = columns.take(keep), series[keep]
        self._count_types("staged", columns.identity, np.ones(len(series), bool))
        if found := imbalances(self.counts, ("dropped", "outside", "staged")):
            raise ConservationError("while staging a read group: " + "; ".join(found))
        return GroupSlices(*_cut(columns, series, table, self.shards), self.counts)

    def _count_decoded(self, decoded: DecodedObject) -> None:
        tally = decoded.tally
        count(self.counts, "records", "records", tally.records)
        count(self.counts, "decoded_records", "records", tally.decoded_records)
        count(self.counts, "dead_records", "records", tally.dead_records)
        count(self.counts, "dead_points", "records", tally.dead_points)
        count(self.counts, "error_output", "records", tally.error_output)
        for letter in decoded.dead_letters:
            count(self.counts, f"cause.{letter.cause}", "records", 1)
        named = {"points": tally.points, "inexact": tally.inexact} | {f"dropped.{reason}": by_type for reason, by_type in tally.dropped.items()}
        for term, by_type in named.items():
            for metric_type, number in by_type.items():
                count(self.counts, term, metric_type, number)

    def _columns(self, postings: Postings, points: Points) -> _Columns:
        identity = self._identity_numbers(postings.metric_type, postings.org, postings.entity)
        names = points.name.dictionary.to_pylist()
        name = np.array([self._names.setdefault(one, len(self._names)) for one in names], np.int32)
        codes = points.name.indices.to_numpy()
        minute = (points.time_s // MINUTE_S).astype(np.int32)
        return _Columns(identity[points.posting], name[codes], minute, postings.arrival_us[points.posting], points.value)

    def _identity_numbers(self, *parts: pa.Array) -> npt.NDArray[np.int32]:
        """The registry's numbers of identities whose fields are these parallel columns."""
        combined = np.zeros(len(parts[0]), np.int64)
        for part in parts:
            encoded = part.dictionary_encode()
            combined = combined * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
        _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
        rows = zip(*(part.take(pa.array(first)).to_pylist() for part in parts), strict=True)
        numbers = [self._identities.setdefault(Identity(*row), len(self._identities)) for row in rows]
        return np.array(numbers, np.int32)[inverse]

    def _copied(self, postings: Postings, copies: RoleCopies, columns: _Columns, posting: npt.NDArray[np.int32]) -> _Columns:
        """The points of the copied postings as points of role series. A posting's points need not stand together."""
        rows = pa.array(copies.posting)
        types = pa.array(["role"] * len(rows), pa.string())
        identity = self._identity_numbers(types, postings.org.take(rows), copies.role, postings.entity.take(rows))
        order = np.argsort(posting, kind="stable")
        starts, ends = (np.searchsorted(posting[order], copies.posting, side) for side in ("left", "right"))
        lengths = ends - starts
        offsets = np.cumsum(lengths) - lengths
        at = order[np.repeat(starts - offsets, lengths) + np.arange(lengths.sum())]
        count(self.counts, "role_copies", "role", int(lengths.sum()))
        copied = columns.take(at)
        return _Columns(np.repeat(identity, lengths), copied.name, copied.minute, copied.arrival_us, copied.value)

    def _inside(self, columns: _Columns) -> _Columns:
        wanted = np.array([one.metric_type in self.selection.metric_types for one in self._identities], bool)
        outside_type = ~wanted[columns.identity]
        if outside_type.any():
            self._count_types("outside.type", columns.identity, outside_type)
            columns = columns.take(~outside_type)
        outside_time = ~within(columns.minute, self._needed_minutes)
        if outside_time.any():
            self._count_types("outside.time", columns.identity, outside_time)
            columns = columns.take(~outside_time)
        return columns

    def _count_types(self, term: str, identity: npt.NDArray[np.int32], mask: Bools) -> None:
        by_identity = np.bincount(identity[mask], minlength=len(self._identities))
        for one, number in zip(self._identities, by_identity.tolist(), strict=True):
            count(self.counts, term, one.metric_type, number)


@dataclass(frozen=True)
class _SeriesTable:
    """The distinct series of a group: parallel columns, one row per series."""

    identity: npt.NDArray[np.int32]
    name: npt.NDArray[np.int32]
    identities: tuple[Identity, ...]
    names: tuple[str, ...]

    def selected(self, selection: Selection) -> Bools:
        if not selection.orgs and not selection.series:
            return np.ones(len(self.identity), bool)
        return np.array([selection.selects(*_path(self.identities[i], self.names[n])) for i, n in zip(self.identity, self.name, strict=True)], np.bool_)

    def key_hashes(self) -> Ints:
        """CRC-32 of each series' `SeriesKey` bytes, put together from those of what precedes the name, the name, and the labels."""
        heads, _ = _crcs([_json(list(one[:3]))[:-1] + b"," for one in self.identities])
        names, name_bytes = _crcs([_json(one) for one in self.names])
        tails, tail_bytes = _crcs([b"," + _json(one.labels) + b"]" for one in self.identities])
        begun = crc32_of_joined(heads[self.identity], names[self.name], name_bytes[self.name])
        return crc32_of_joined(begun, tails[self.identity], tail_bytes[self.identity]).astype(np.int64)

    def columns(self, rows: npt.NDArray[np.intp]) -> dict[str, pa.Array]:
        """SLICE_SCHEMA's series columns of these series."""
        fields = {
            "metric_type": [one.metric_type for one in self.identities],
            "org": [one.org for one in self.identities],
            "entity": [one.entity for one in self.identities],
            "labels": [labels_text(one.labels) for one in self.identities],
            "kind": ["gauge"] * len(self.identities),
        }
        at = pa.array(self.identity[rows])
        columns = {name: pa.array(values, pa.string()).take(at) for name, values in fields.items()}
        return columns | {"name": pa.array(self.names, pa.string()).take(pa.array(self.name[rows]))}


def _path(identity: Identity, name: str) -> tuple[str, str, str, str]:
    return identity.metric_type, identity.org, identity.entity, name


def _crcs(texts: list[bytes]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """CRC-32 and length of each text."""
    return np.array([zlib.crc32(one) for one in texts], np.uint32), np.array([len(one) for one in texts], np.int64)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _concatenated(parts: list[_Columns]) -> _Columns:
    """All parts as one, taken out of the list. Column after column: what is done is freed, so that not everything is there twice."""
    filled = [part for part in parts if len(part.value)] or [_NO_POINTS]
    parts.clear()
    columns = [[getattr(part, name) for part in filled] for name in _Columns.__slots__]
    filled.clear()
    return _Columns(*(np.concatenate(columns.pop(0)) for _ in _Columns.__slots__))


def _dense(columns: _Columns, identities: int, names: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Numbers the (identity, name) pairs that occur: each point's number, and each number's identity and name."""
    pairs = columns.identity.astype(np.int64) * names + columns.name
    if identities * names <= _LUT_LIMIT:
        seen = np.zeros(identities * names, bool)
        seen[pairs] = True
        present = np.flatnonzero(seen)
        number = np.zeros(identities * names, np.int32)
        number[present] = np.arange(len(present), dtype=np.int32)
        series = number[pairs]
    else:
        present, inverse = np.unique(pairs, return_inverse=True)
        series = inverse.astype(np.int32)
    identity, name = np.divmod(present, names)
    return series, identity.astype(np.int32), name.astype(np.int32)


def _cut(columns: _Columns, series: npt.NDArray[np.int32], table: _SeriesTable, shards: Shards) -> tuple[pa.RecordBatch, tuple[SliceIndex, ...]]:
    """Sorts points by (unit, series, position) and makes one row of lists per (unit, series)."""
    first_day, last_day = (int(end(columns.minute)) // _DAY_MINUTES if len(series) else 0 for end in (np.min, np.max))
    days = last_day - first_day + 1
    cell = series if days == 1 else series * np.int64(days) + (columns.minute // np.int32(_DAY_MINUTES) - np.int32(first_day))
    unit_of, units = _units(table, first_day, days, shards)
    by_unit = np.argsort(unit_of.ravel(), kind="stable")
    rank = np.empty(len(by_unit), np.int32)
    rank[by_unit] = np.arange(len(by_unit), dtype=np.int32)
    ranks = rank[cell]
    sizes = np.bincount(ranks, minlength=len(by_unit))
    filled = np.flatnonzero(sizes)
    cells, offsets = by_unit[filled], np.append(0, np.cumsum(sizes[filled]))
    position = _sorting(ranks, len(by_unit))
    lists = {"minute": columns.minute[position], "arrival_us": columns.arrival_us[position], "value": columns.value[position]}
    starts = pa.array(offsets.astype(np.int32))
    arrays = table.columns(cells // days) | {
        name: pa.ListArray.from_arrays(starts, pa.array(values), type=SLICE_SCHEMA.field(name).type) for name, values in lists.items()
    }
    batch = pa.RecordBatch.from_arrays([arrays[name] for name in SLICE_SCHEMA.names], schema=SLICE_SCHEMA)
    return batch, _index(unit_of.ravel()[cells], offsets, units)


def _sorting(ranks: npt.NDArray[np.int32], end: int) -> npt.NDArray[np.intp]:
    """Positions in the order of their ranks, all below `end`; equal ones as they stand. NumPy sorts 16-bit digits by radix, in a third of the time."""
    position = np.argsort(ranks.astype(np.uint16), kind="stable")
    for digit in range(16, (end - 1).bit_length(), 16):
        position = position[np.argsort((ranks >> digit).astype(np.uint16)[position], kind="stable")]
    return position


def _units(table: _SeriesTable, first_day: int, days: int, shards: Shards) -> tuple[npt.NDArray[np.int32], tuple[Unit, ...]]:
    """The unit of every (series, day), as an array of that shape of numbers into the sorted units."""
    hashes = table.key_hashes()
    types = np.array([METRIC_TYPES.index(one.metric_type) for one in table.identities], np.int64)[table.identity] if len(hashes) else np.zeros(0, np.int64)
    windows = [format_time((first_day + day) * DAY_S)[:10] for day in range(days)]
    count_of = np.array([[shards(name, window) for window in windows] for name in METRIC_TYPES], np.int64)
    shard = hashes[:, None] % count_of[types]
    width = int(count_of.max()) + 1
    code = (types[:, None] * days + np.arange(days)) * width + shard
    present, inverse = np.unique(code, return_inverse=True)
    units = tuple(Unit(METRIC_TYPES[one // width // days], windows[one // width % days], one % width) for one in present.tolist())
    return inverse.reshape(code.shape).astype(np.int32), units


def _index(units_of_rows: npt.NDArray[np.int32], offsets: npt.NDArray[np.intp], units: tuple[Unit, ...]) -> tuple[SliceIndex, ...]:
    firsts = np.flatnonzero(np.diff(units_of_rows, prepend=-1)).tolist()
    ends = [*firsts[1:], len(units_of_rows)][: len(firsts)]
    return tuple(
        SliceIndex(units[units_of_rows[first]], first, end - first, int(offsets[end] - offsets[first])) for first, end in zip(firsts, ends, strict=True)
    )
