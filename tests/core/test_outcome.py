"""A unit's record: points that were stored or refused, buckets by verdict, the lists of changes."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from tests.core.rollup_tables import DAY_S, Row, row, table
from transforms.core.accounts import BucketChange, Tally, UnitRecord
from transforms.core.errors import ConservationError
from transforms.core.outcome import LARGEST_CHANGES, unit_record
from transforms.core.rollup import UnitRollups
from transforms.core.selection import Selection
from transforms.core.units import Unit
from transforms.core.versions import Merged, merge

UNIT = Unit("host", "2025-11-01", 0)
DAY = ((DAY_S, DAY_S + 86_400),)
Tables = dict[str, pa.Table]


def selection(**computed: tuple[tuple[int, int], ...]) -> Selection:
    return Selection(metric_types=("host",), computed=computed)


ALL = selection(**{"1m": DAY, "5m": DAY, "1h": DAY})


def rollups_of(tables: Tables, *, kept: int | None = None, superseded: int = 0, overflows: int = 0) -> UnitRollups:
    """Rollups whose counts fit the tables."""
    survivors = {name: sum(one["minutes"].to_pylist()) for name, one in tables.items()}
    return UnitRollups(
        tables=tables, points=0, superseded=superseded, survivors=survivors, kept=max(survivors.values()) if kept is None else kept, overflows=overflows
    )


def merged_of(stored: Tables, new: Tables) -> dict[str, Merged]:
    return {name: merge(stored.get(name, table([])), one, allow_fewer=False) for name, one in new.items()}


def record_of(stored: Tables, new: Tables, asked: Selection = ALL, **counts: int) -> UnitRecord:
    return unit_record(UNIT, [rollups_of(new, **counts)], new, merged_of(stored, new), asked)


def rows(*given: Row) -> pa.Table:
    return table(given)


def change(**values: Any) -> BucketChange:
    known: dict[str, Any] = {"granularity": "1m", "series": ("acme", "h1", "cpu", "{}", "gauge"), "bucket_start_s": DAY_S, "stored_minutes": 1, "minutes": 1}
    return BucketChange(**known | values)


def test_a_fresh_unit_stores_all_that_survived() -> None:
    record = record_of({}, {"1m": rows(row(bucket_s=0), row(bucket_s=60)), "5m": rows(row(minutes=2))}, superseded=3, overflows=1)
    assert record == UnitRecord(
        unit=UNIT, counts={"stored": {"host": 2}, "superseded": {"host": 3}, "overflows": {"host": 1}}, tallies={"1m": Tally(added=2), "5m": Tally(added=1)}
    )


def test_several_passes_are_added() -> None:
    parts = [{"1m": rows(row("h1"))}, {"1m": rows(row("h2"), row("h3"))}]
    new = {"1m": rows(row("h1"), row("h2"), row("h3"))}
    record = unit_record(UNIT, [rollups_of(one, superseded=1) for one in parts], new, merged_of({}, new), selection(**{"1m": DAY}))
    assert record.counts == {"stored": {"host": 3}, "superseded": {"host": 2}}


def test_a_unit_without_points_counts_what_is_absent_from_the_archive() -> None:
    stored, nothing = {"1m": rows(row(), row(bucket_s=60))}, {"1m": rows(), "5m": rows(), "1h": rows()}
    record = unit_record(UNIT, [], nothing, merged_of(stored, nothing), ALL)
    assert record.counts == {}
    assert record.tallies == {"1m": Tally(absent=2), "5m": Tally(), "1h": Tally()}


def test_verdicts_are_tallied() -> None:
    stored = {"1m": rows(row(bucket_s=0), row(bucket_s=60, value=2.0), row(bucket_s=120, generation=9), row(bucket_s=180, minutes=2), row(bucket_s=300))}
    new = {"1m": rows(row(bucket_s=0, generation=5), row(bucket_s=60, generation=5), row(bucket_s=120, value=3.0), row(bucket_s=180), row(bucket_s=240))}
    record = record_of(stored, new, selection(**{"1m": DAY}))
    assert record.tallies == {"1m": Tally(added=1, changed=1, equal=1, newer=1, refused=1, absent=1)}
    assert record.counts == {"stored": {"host": 4}, "refused": {"host": 1}}
    assert record.changes == (change(bucket_start_s=DAY_S + 60, stored_avg=2.0, avg=1.0),)
    assert record.refused == (change(bucket_start_s=DAY_S + 180, stored_minutes=2, stored_avg=1.0, avg=1.0),)


def test_a_refused_point_counts_at_the_finest_granularity_that_has_its_bucket() -> None:
    """5m refuses 3 of 4 minutes: where 1m is computed too, its points went into 1m buckets and are stored."""
    stored = {"5m": rows(row(minutes=5), row(bucket_s=300, minutes=5))}
    minutes = [row(bucket_s=at) for at in (0, 60, 120, 300, 360)]
    new = {"1m": rows(*minutes), "5m": rows(row(minutes=3, generation=2), row(bucket_s=300, minutes=2, generation=2))}
    assert record_of(stored, new).counts == {"stored": {"host": 5}}
    first_only = {"1m": rows(*minutes[:3]), "5m": new["5m"]}
    asked = selection(**{"1m": ((DAY_S, DAY_S + 300),), "5m": DAY})
    assert record_of(stored, first_only, asked, kept=5).counts == {"stored": {"host": 3}, "refused": {"host": 2}}
    five_only = {"5m": new["5m"]}
    assert record_of(stored, five_only, selection(**{"5m": DAY})).counts == {"refused": {"host": 5}}


@pytest.mark.parametrize("minute", [0, 2, 4])
def test_of_a_refused_bucket_that_expand_completed_the_minutes_asked_for_are_stored(minute: int) -> None:
    """One minute was asked for; its 5m bucket is computed from all five, and kept back."""
    stored = {"5m": rows(row(minutes=5, value=9.0), row("h2", minutes=5))}
    new = {"1m": rows(row(bucket_s=60 * minute)), "5m": rows(row(minutes=4, generation=2), row("h2", minutes=3, generation=2))}
    asked = selection(**{"1m": ((DAY_S + 60 * minute, DAY_S + 60 * minute + 60),), "5m": ((DAY_S, DAY_S + 300),)})
    assert record_of(stored, new, asked, kept=7).counts == {"stored": {"host": 1}, "refused": {"host": 6}}


def test_refused_deltas_count_as_many_points_as_went_into_them() -> None:
    """Two minutes of 6 and 5 points and a 5m bucket that was kept back; the first minute alone is computed at 1m."""
    stored = {"5m": rows(row(minutes=5))}
    new = {"1m": rows(row()), "5m": rows(row(minutes=2, generation=2))}
    of_rows = {"1m": np.array([6]), "5m": np.array([11])}
    rolled_up = replace(rollups_of(new, kept=11), row_points=of_rows, lead_in=4, no_predecessor=3, rebinned=2)
    counts = unit_record(UNIT, [rolled_up], new, merged_of(stored, new), ALL).counts
    assert {term: by_type["host"] for term, by_type in counts.items()} == {
        "outside.lead-in": 4, "dropped.no predecessor": 3, "refused": 5, "stored": 6, "rebinned": 2,
    }  # fmt: skip


def test_only_what_was_asked_for_is_absent() -> None:
    here, next_hour = [row(entity, at) for entity in ("h1", "h2") for at in (0, 60)], [row("h1", 3_600), row("h2", 3_600)]
    stored, nothing = {"1m": rows(*here, *next_hour)}, {"1m": rows()}
    asked = selection(**{"1m": ((DAY_S, DAY_S + 3_600),)})
    merged = merged_of(stored, nothing)

    def absent(what: Selection) -> int:
        return unit_record(UNIT, [], nothing, merged, what).tallies["1m"].absent

    assert absent(asked) == 4
    assert absent(replace(asked, series=("host/acme/h1/*",))) == 2
    assert absent(replace(asked, orgs=("acme",))) == 4
    assert absent(replace(asked, orgs=("other",))) == 0
    assert absent(replace(asked, orgs=("acme",), series=("*/nothing",))) == 0


def test_the_largest_changes_are_listed_and_every_refused_bucket() -> None:
    stored = {"1m": rows(*(row(bucket_s=60 * at, value=float(at)) for at in range(20)), *(row(bucket_s=3_600 + 60 * at, minutes=2) for at in range(15)))}
    new = {"1m": rows(*(row(bucket_s=60 * at, value=-1.0, generation=2) for at in range(20)), *(row(bucket_s=3_600 + 60 * at) for at in range(15)))}
    record = record_of(stored, new, selection(**{"1m": DAY}))
    assert LARGEST_CHANGES == 10
    assert [one.stored_avg for one in record.changes] == [float(at) for at in range(19, 9, -1)]
    assert [one.bucket_start_s for one in record.refused] == [DAY_S + 3_600 + 60 * at for at in range(15)]


def test_a_change_from_or_to_infinity_or_nothing_is_the_largest() -> None:
    values: list[tuple[float | None, float | None]] = [(1.0, 1e300), (math.inf, 1.0), (None, 1.0), (1.0, None)]
    stored = {"1m": rows(*(row(bucket_s=60 * at, value=before) for at, (before, _) in enumerate(values)))}
    new = {"1m": rows(*(row(bucket_s=60 * at, value=after, generation=2) for at, (_, after) in enumerate(values)))}
    record = record_of(stored, new, selection(**{"1m": DAY}))
    starts = [one.bucket_start_s - DAY_S for one in record.changes]
    assert (sorted(starts[:3]), starts[3]) == ([60, 120, 180], 0)


averages = st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-3, 3).map(float))


@given(st.lists(st.tuples(averages, averages), max_size=8))
def test_the_list_of_changes_is_in_the_order_of_their_size(pairs: list[tuple[float | None, float | None]]) -> None:
    stored = {"1m": rows(*(row(bucket_s=60 * at, value=before) for at, (before, _) in enumerate(pairs)))}
    new = {"1m": rows(*(row(bucket_s=60 * at, value=after, generation=2) for at, (_, after) in enumerate(pairs)))}
    sizes = [one.size for one in record_of(stored, new, selection(**{"1m": DAY})).changes]
    assert sizes == sorted(sizes, reverse=True)


def test_rollups_that_hold_fewer_points_than_survived_are_no_success() -> None:
    new = {"1m": rows(row(), row(bucket_s=60))}
    lost = rows(row())
    with pytest.raises(
        ConservationError, match=r"unit host-2025-11-01-0000, 1m: 2 minutes have points, the rollups hold 1; 1 rollups went to the store, it answered for 1"
    ):
        unit_record(UNIT, [rollups_of(new)], {"1m": lost}, merged_of({}, {"1m": lost}), ALL)


def test_a_store_that_forgets_a_row_is_no_success() -> None:
    new = {"1m": rows(row(), row(bucket_s=60))}
    forgotten = replace(merged_of({}, new)["1m"], verdicts=np.zeros(1, np.int8))
    with pytest.raises(ConservationError, match="2 rollups went to the store, it answered for 1"):
        unit_record(UNIT, [rollups_of(new)], new, {"1m": forgotten}, ALL)
