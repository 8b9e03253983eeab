"""What became of a unit's rollups in the store, as counts, tallies and lists for its record."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.accounts import BucketChange, Tally, UnitRecord
from transforms.core.canonical import canonical, keys_of
from transforms.core.counts import Counts, add_counts, count
from transforms.core.errors import ConservationError
from transforms.core.granularity import WIDTH_S, within
from transforms.core.model import ROLLUP_SCHEMA, SERIES_COLUMNS, Floats, Ints
from transforms.core.rollup import UnitRollups
from transforms.core.selection import Selection
from transforms.core.units import Unit
from transforms.core.versions import Merged, Verdict

LARGEST_CHANGES: Final = 10

LAPSED: Final = "its time to live has passed"
"""Cause of a refused bucket: the store would remove it at once."""

_NAMES: Final = SERIES_COLUMNS[1:]


def unit_record(unit: Unit, rollups: Sequence[UnitRollups], tables: Mapping[str, pa.Table], merged: Mapping[str, Merged], selection: Selection) -> UnitRecord:
    """The record of a unit whose `tables` were merged into the store as `merged` says.

    `stored` counts points by the finest asked granularity that has their bucket; `refused` those whose bucket there was kept by a guard.
    Raises ConservationError when the rows do not hold exactly the points that survived.
    """
    _check_survivors(unit, rollups, tables, merged)
    counts: Counts = {}
    kept = sum(one.kept for one in rollups)
    refused = _refused_points({name: (table, _row_points(name, table, rollups)) for name, table in tables.items()}, merged)
    for term, number in {
        "superseded": sum(one.superseded for one in rollups),
        "outside.lead-in": sum(one.lead_in for one in rollups),
        "dropped.no predecessor": sum(one.no_predecessor for one in rollups),
        "refused": refused,
        "stored": kept - refused,
        "overflows": sum(one.overflows for one in rollups),
        "rebinned": sum(one.rebinned for one in rollups),
    }.items():
        count(counts, term, unit.metric_type, number)
    lists = {name: _changes(name, tables[name], merged[name]) for name in tables}
    return UnitRecord(
        unit=unit,
        counts=counts,
        tallies={name: _tally(name, merged[name], selection, unit.metric_type) for name in tables},
        changes=tuple(one for changed, _ in lists.values() for one in changed),
        refused=tuple(one for _, kept_back in lists.values() for one in kept_back),
    )


def _check_survivors(unit: Unit, rollups: Sequence[UnitRollups], tables: Mapping[str, pa.Table], merged: Mapping[str, Merged]) -> None:
    for granularity, table in tables.items():
        survivors = sum(one.survivors[granularity] for one in rollups)
        minutes = pc.sum(table["minutes"]).as_py() or 0
        verdicts = len(merged[granularity].verdicts)
        if survivors != minutes or verdicts != table.num_rows:
            msg = (
                f"unit {unit}, {granularity}: {survivors} minutes have points, the rollups hold {minutes}; "
                f"{table.num_rows} rollups went to the store, it answered for {verdicts}"
            )
            raise ConservationError(msg)


def _row_points(granularity: str, table: pa.Table, rollups: Sequence[UnitRollups]) -> Ints:
    """Points that went into each row of a unit's table, the tables of all passes joined."""
    if not any(granularity in one.row_points for one in rollups):
        minutes: Ints = table["minutes"].to_numpy().astype(np.int64)
        return minutes
    return np.concatenate([one.row_points.get(granularity, one.tables[granularity]["minutes"].to_numpy()) for one in rollups])


def _refused_points(given: Mapping[str, tuple[pa.Table, Ints]], merged: Mapping[str, Merged]) -> int:
    """Points of refused rows, each counted at the finest granularity that has its bucket. Tables come with the points of each row.

    Of a refused row that are its points less those which rows of a finer granularity hold: ranges of granularities lie within each other, whatever the edges.
    """
    number = 0
    finer: list[tuple[pa.Table, Ints]] = []
    for granularity in sorted(given, key=WIDTH_S.__getitem__):
        table, points = given[granularity]
        is_refused = np.isin(merged[granularity].verdicts, (Verdict.REFUSED, Verdict.LEFT))
        if is_refused.any():
            refused = table.filter(pa.array(is_refused))
            held = [_points_within(refused, *other, WIDTH_S[granularity]) for other in finer]
            number += int((points[is_refused] - np.max([np.zeros(refused.num_rows, np.int64), *held], axis=0)).sum())
        finer.append((table, points))
    return number


def _points_within(rows: pa.Table, finer: pa.Table, points: Ints, width_s: int) -> Ints:
    """How many points the finer rows of the same series hold in the bucket of each row."""
    field = ROLLUP_SCHEMA.field("bucket_start")
    starts = pa.array(_starts_s(finer) // width_s * width_s * 1000).cast(field.type)
    floored = finer.set_column(finer.schema.get_field_index(field.name), field, starts)
    rows_keys, finer_keys = keys_of([canonical(rows), canonical(floored)])
    sums = np.concatenate([[0], np.cumsum(points, dtype=np.int64)])
    first, last = (np.searchsorted(finer_keys, rows_keys, side) for side in ("left", "right"))
    held: Ints = sums[last] - sums[first]
    return held


def _tally(granularity: str, merged: Merged, selection: Selection, metric_type: str) -> Tally:
    numbers = np.bincount(merged.verdicts, minlength=len(Verdict)).tolist()
    return Tally(
        added=numbers[Verdict.ADDED],
        changed=numbers[Verdict.CHANGED],
        equal=numbers[Verdict.EQUAL],
        newer=numbers[Verdict.NEWER],
        refused=numbers[Verdict.REFUSED],
        left=numbers[Verdict.LEFT],
        absent=_absent(merged.alone, selection, granularity, metric_type),
    )


def _absent(alone: pa.Table, selection: Selection, granularity: str, metric_type: str) -> int:
    """Stored rows without a new one that the run was asked to compute."""
    inside: pa.Table = alone.filter(pa.array(within(_starts_s(alone), selection.computed[granularity])))
    if selection.is_of_all_series:
        return int(inside.num_rows)
    names = ["org", "entity", "name", "labels"]
    series = inside.select(names).group_by(names).aggregate([([], "count_all")])
    rows = zip(*(series[name].to_pylist() for name in (*names, "count_all")), strict=True)
    return sum(number for *one, number in rows if selection.selects(metric_type, *one))


def _changes(granularity: str, new: pa.Table, merged: Merged) -> tuple[list[BucketChange], list[BucketChange]]:
    """The largest changes of `avg`, relative to both versions, and every refused bucket."""
    verdicts = merged.verdicts[merged.met]
    changed = np.flatnonzero(verdicts == Verdict.CHANGED)
    relative, difference = _change_sizes(_floats(merged.stored, changed), _floats(new, merged.met[changed]))
    largest = changed[np.lexsort((-difference, -relative))]
    refused = np.flatnonzero(verdicts == Verdict.REFUSED)
    alone = np.setdiff1d(np.flatnonzero(merged.verdicts == Verdict.REFUSED), merged.met)
    kept = beside_stored(granularity, new, merged, refused) + beside_nothing(granularity, new, merged, alone)
    return beside_stored(granularity, new, merged, largest[:LARGEST_CHANGES]), kept


def beside_stored(granularity: str, new: pa.Table, merged: Merged, at: Ints) -> list[BucketChange]:
    """New rows beside the stored ones that they met."""
    return _beside(granularity, new, merged, merged.met[at], merged.stored.select(["minutes", "avg"]).take(pa.array(at)).to_pylist())


def beside_nothing(granularity: str, new: pa.Table, merged: Merged, at: Ints) -> list[BucketChange]:
    """New rows where nothing is stored."""
    return _beside(granularity, new, merged, at, [{"minutes": 0, "avg": None}] * len(at))


def _beside(granularity: str, new: pa.Table, merged: Merged, at: Ints, theirs: list[dict[str, Any]]) -> list[BucketChange]:
    ours = new.select([*_NAMES, "bucket_start", "minutes", "avg"]).take(pa.array(at)).to_pylist()
    lapsed = np.zeros(len(at), bool) if merged.lapsed is None else merged.lapsed[at]
    return [
        BucketChange(
            granularity=granularity,
            series=tuple(one[name] for name in _NAMES),
            bucket_start_s=int(one["bucket_start"].timestamp()),
            stored_minutes=stored["minutes"],
            minutes=one["minutes"],
            stored_avg=stored["avg"],
            avg=one["avg"],
            cause=LAPSED if has_lapsed else "",
        )
        for one, stored, has_lapsed in zip(ours, theirs, lapsed.tolist(), strict=True)
    ]


def _change_sizes(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """As `BucketChange.size`, of whole columns; NaN stands for null."""
    with np.errstate(all="ignore"):
        difference: Floats = np.nan_to_num(np.abs(after - before), nan=np.inf, posinf=np.inf)
        relative: Floats = np.nan_to_num(difference / (np.abs(before) + np.abs(after)), nan=1.0, posinf=1.0)
    relative[difference == 0] = 0.0
    return relative, difference


def _starts_s(table: pa.Table) -> Ints:
    starts: Ints = table["bucket_start"].cast(pa.int64()).to_numpy() // 1000
    return starts


def _floats(table: pa.Table, at: Ints) -> Floats:
    values: Floats = table["avg"].to_numpy()[at]
    return values


def copied_record(unit: Unit, tables: Mapping[str, pa.Table], merged: Mapping[str, Merged], selection: Selection) -> UnitRecord:
    """The record of stored rows that were copied into a unit: as `unit_record`, but counting rows, each at its own granularity."""
    counts: Counts = {}
    refused = sum(int(np.count_nonzero(np.isin(one.verdicts, (Verdict.REFUSED, Verdict.LEFT)))) for one in merged.values())
    count(counts, "refused", unit.metric_type, refused)
    count(counts, "stored", unit.metric_type, sum(len(one.verdicts) for one in merged.values()) - refused)
    lists = [_changes(name, table, merged[name]) for name, table in tables.items()]
    return UnitRecord(
        unit=unit,
        counts=counts,
        tallies={name: _tally(name, merged[name], selection, unit.metric_type) for name in tables},
        changes=tuple(one for changed, _ in lists for one in changed),
        refused=tuple(one for _, kept_back in lists for one in kept_back),
    )


def joined_records(unit: Unit, parts: Sequence[UnitRecord]) -> UnitRecord:
    """What was done for one unit in parts."""
    tallies: dict[str, Tally] = {}
    for part in parts:
        tallies |= {name: tallies.get(name, Tally()) + tally for name, tally in part.tallies.items()}
    return UnitRecord(
        unit=unit,
        counts=add_counts(part.counts for part in parts),
        tallies=tallies,
        changes=tuple(one for part in parts for one in part.changes),
        refused=tuple(one for part in parts for one in part.refused),
        read_back=sum(read) if (read := [part.read_back for part in parts if part.read_back is not None]) else None,
        different=tuple(one for part in parts for one in part.different),
    )
