"""From decoded objects to the slices of a read group: which points count, whose series they are, which unit rolls them up.

Everything here works on whole columns; Python loops run over series, postings' distinct identities and metric types.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.arrivals import Arrivals, united
from transforms.core.counts import Counts, count, imbalances
from transforms.core.cutting import Cut, Shards, SliceIndex, cut
from transforms.core.errors import ConservationError
from transforms.core.granularity import MINUTE_S, Range, within
from transforms.core.histograms import take_points
from transforms.core.lateness import BINS, histogram
from transforms.core.lead_in import LeadIn
from transforms.core.model import HISTOGRAM, POINT_KINDS, Bools, DeadLetter, DecodedObject, Ints, Points, Postings
from transforms.core.point_columns import Numbers, PointColumns, concatenated
from transforms.core.roles import Membership, RoleCopies, role_copies
from transforms.core.selection import Reach, Selection
from transforms.core.series import Registry, SeriesTable
from transforms.core.windows import DAILY, Windows

_US: Final = 1_000_000


@dataclass(frozen=True)
class GroupSlices:
    """A read group ready to be staged: rows of SLICE_SCHEMA in unit order, where each unit's rows are, and what was counted.

    `lateness` is the histogram (transforms.core.lateness) of the decoded points that were not dropped and lie in the needed times; `arrivals` are of all
    records.
    """

    batch: pa.RecordBatch
    index: tuple[SliceIndex, ...]
    counts: Counts
    lateness: tuple[int, ...] = ()
    arrivals: Arrivals = field(default_factory=Arrivals)


@dataclass
class GroupColumns:
    """Gathers the decoded objects of one read group, in manifest order, then cuts them into slices.

    Per type: points + role copies + lead-in copies = dropped + outside + staged; `slices` raises ConservationError if not.
    """

    selection: Selection
    reach: Reach
    shards: Shards
    membership: Membership | None = None
    windows: Windows = DAILY
    counts: Counts = field(default_factory=dict)
    _registry: Registry = field(default_factory=Registry)
    _parts: list[PointColumns] = field(default_factory=list)
    _histograms: list[pa.StructArray] = field(default_factory=list)
    _lateness: Ints = field(default_factory=lambda: np.zeros(BINS, np.int64))
    _arrivals: list[Arrivals] = field(default_factory=list)

    def add(self, decoded: DecodedObject) -> tuple[DeadLetter, ...]:
        """Takes one object's points in, less what is dropped or outside; hands its dead letters on."""
        self._count_decoded(decoded)
        self._arrivals.append(decoded.arrivals)
        postings, points = decoded.postings, decoded.points
        of_posting = self._registry.numbers(postings.metric_type, postings.org, postings.entity)
        columns, posting = self._columns(of_posting, postings, points), points.posting
        lag_us = columns.arrival_us - points.time_s * _US
        is_late, is_early = lag_us > self.reach.late_s * _US, lag_us < -self.reach.early_s * _US
        if (is_dropped := is_late | is_early).any():
            self._count_types("dropped.late", columns.identity, is_late)
            self._count_types("dropped.early", columns.identity, is_early)
            columns, posting, lag_us = columns.take(~is_dropped), posting[~is_dropped], lag_us[~is_dropped]
        self._lateness += histogram(lag_us[within(columns.minute, self._needed_minutes)], self.reach.late_s)
        parts = [self._inside(columns)]
        if "role" in self.selection.metric_types and len((copies := role_copies(postings, self.membership)).posting):
            is_plain = points.labels is None and points.kind is None
            parts.append(self._inside(self._copied(copies, columns, posting, of_posting if is_plain else None)))
        self._parts += self._with_histograms(parts, points.histogram)
        return decoded.dead_letters

    def slices(self) -> GroupSlices:
        """All points that were kept, by unit and series, each series' points in the order of their position; lead-in of later windows comes last."""
        columns = concatenated(self._parts)
        series, table = self._registry.series(columns.identity, columns.name)
        columns, series = self._selected(columns, series, table)
        columns, series, window = self._spread(columns, series)
        self._count_types("staged", columns.identity, np.ones(len(series), bool))
        if found := imbalances(self.counts, ("dropped", "outside", "staged")):
            raise ConservationError("while staging a read group: " + "; ".join(found))
        histograms = pa.chunked_array(self._histograms, HISTOGRAM)
        self._histograms.clear()
        batch, index = cut(Cut(columns, series, window, table, histograms), self.windows, self.shards)
        return GroupSlices(batch, index, self.counts, tuple(self._lateness.tolist()), united(self._arrivals))

    @cached_property
    def _needed_minutes(self) -> tuple[Range, ...]:
        """As `Selection.needed`, in minutes: buckets begin and end with one."""
        return tuple((from_s // MINUTE_S, to_s // MINUTE_S) for from_s, to_s in self.selection.needed())

    @cached_property
    def _lead_in(self) -> LeadIn:
        return LeadIn(self._needed_minutes, self.reach.lead_in_s // MINUTE_S, self.windows.minutes)

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

    def _columns(self, of_posting: Numbers, postings: Postings, points: Points) -> PointColumns:
        return PointColumns(
            self._registry.refined(of_posting[points.posting], points.labels, points.kind, POINT_KINDS),
            self._registry.name_numbers(points.name),
            (points.time_s // MINUTE_S).astype(np.int32),
            postings.arrival_us[points.posting],
            points.value,
            *(() if points.kind is None or not points.kind.any() else _more(points)),
        )

    def _copied(self, copies: RoleCopies, columns: PointColumns, posting: npt.NDArray[np.int32], of_posting: Numbers | None) -> PointColumns:
        """The points of the copied postings as points of role series. A posting's points need not stand together.

        `of_posting`: the identity of each posting, if all of its points have it.
        """
        order = np.argsort(posting, kind="stable")
        starts, ends = (np.searchsorted(posting[order], copies.posting, side) for side in ("left", "right"))
        lengths = ends - starts
        offsets = np.cumsum(lengths) - lengths
        at = order[np.repeat(starts - offsets, lengths) + np.arange(lengths.sum())]
        count(self.counts, "role_copies", "role", int(lengths.sum()))
        copied, roles = columns.take(at), copies.role.dictionary_encode()
        role, names = roles.indices.to_numpy(), roles.dictionary.to_pylist()
        if of_posting is None:
            return replace(copied, identity=self._registry.in_roles(copied.identity, np.repeat(role, lengths), names))
        return replace(copied, identity=np.repeat(self._registry.in_roles(of_posting[copies.posting], role, names), lengths))

    def _inside(self, columns: PointColumns) -> PointColumns:
        wanted = np.array([one in self.selection.metric_types for one in self._registry.types()], bool)
        outside_type = ~wanted[columns.identity]
        if outside_type.any():
            self._count_types("outside.type", columns.identity, outside_type)
            columns = columns.take(~outside_type)
        outside_time = ~within(columns.minute, self._needed_minutes)
        if outside_time.any() and (accumulating := self._registry.accumulating()).any():
            candidates = np.flatnonzero(outside_time & accumulating[columns.identity])
            outside_time[candidates] = ~self._lead_in.reaches(columns.minute[candidates])
        if outside_time.any():
            self._count_types("outside.time", columns.identity, outside_time)
            columns = columns.take(~outside_time)
        return columns

    def _with_histograms(self, parts: list[PointColumns], histograms: pa.StructArray | None) -> list[PointColumns]:
        """The parts, with places in the group's histograms instead of the object's; of these, those that are left are kept."""
        if histograms is None or all(part.histogram is None for part in parts):
            return parts
        is_used = np.zeros(len(histograms) + 1, bool)  # the last place is that of -1: none
        for part in parts:
            if part.histogram is not None:
                is_used[part.histogram] = True
        is_used[-1] = False
        used = np.flatnonzero(is_used)
        place = np.where(is_used, np.cumsum(is_used) - 1 + sum(map(len, self._histograms)), -1)
        self._histograms.append(histograms if len(used) == len(histograms) else take_points(histograms, used))
        return [part if part.histogram is None else replace(part, histogram=place[part.histogram]) for part in parts]

    def _selected(self, columns: PointColumns, series: Numbers, table: SeriesTable) -> tuple[PointColumns, Numbers]:
        selected = table.selected(self.selection)
        if selected.all():
            return columns, series
        keep = selected[series]
        self._count_types("outside.series", columns.identity, ~keep)
        return columns.take(keep), series[keep]

    def _spread(self, columns: PointColumns, series: Numbers) -> tuple[PointColumns, Numbers, Numbers | None]:
        """Lead-in for the windows after its own is added, less what only these need; a point that is in several units is one of them and copies."""
        accumulating = self._registry.accumulating()
        if not accumulating.any():
            return columns, series, None
        at, window = self._lead_in.spread(columns.minute, accumulating[columns.identity])
        copies = np.bincount(at, minlength=len(series)) - 1
        for number in range(1, int(copies.max(initial=0)) + 1):
            self._count_types("lead_in_copies", columns.identity, copies >= number)
        return columns.take(at), series[at], window

    def _count_types(self, term: str, identity: Numbers, mask: Bools) -> None:
        by_identity = np.bincount(identity[mask], minlength=len(self._registry.identities))
        for one, number in zip(self._registry.types(), by_identity.tolist(), strict=True):
            count(self.counts, term, one, number)


def _more(points: Points) -> tuple[Ints, Ints, Ints | None]:
    """`start_us`, `time_us` and places of histograms of points that are not all gauges."""
    number = len(points.value)
    start_us = np.zeros(number, np.int64) if points.start_us is None else points.start_us
    time_us = points.time_s * _US if points.time_us is None else points.time_us
    if points.histogram is None:
        return start_us, time_us, None
    return start_us, time_us, np.where(points.histogram.is_valid().to_numpy(zero_copy_only=False), np.arange(number), -1)
