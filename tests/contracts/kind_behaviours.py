"""What every store does with rollups of counters, deltas and histograms; as in `behaviours`."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from scripts.oracle_kinds import Histogram
from tests.contracts.harness import UNIT, NewPlace, Place, put_all
from tests.core.kind_slices import Sample, slice_of
from tests.core.unit_slices import WHOLE_DAY
from transforms.core.rollup import roll_up
from transforms.core.versions import Verdict
from transforms.stores.frame import exported
from transforms.stores.protocol import UndoCounts


def every_kind_comes_back_as_it_was(new_place: NewPlace) -> None:
    place = new_place()
    rollups = _rollups(place, 10)
    put_all(place.open(), rollups, "run")
    assert _read(place) == rollups
    before = place.stored()
    put_all(place.open(), rollups, "again")
    assert place.stored() == before


def a_bucket_count_and_a_start_make_versions_differ(new_place: NewPlace) -> None:
    place = new_place()
    first, second = _rollups(place, 10), _rollups(place, 20, bucket=4, start=30.0)
    put_all(place.open(), first, "first")
    merged = place.open().upsert(UNIT, second, run_id="second", allow_fewer=False)
    kinds = second["1m"]["kind"].to_pylist()
    verdicts = Counter(zip(kinds, map(Verdict, merged["1m"].verdicts.tolist()), strict=True))
    assert verdicts == {
        ("counter", Verdict.CHANGED): 2,
        ("delta", Verdict.EQUAL): 1,
        ("gauge", Verdict.EQUAL): 1,
        ("histogram", Verdict.CHANGED): 1,
        ("histogram", Verdict.EQUAL): 2,
    }
    assert _read(place) == second
    place.open().undo("second", generation=20, now_generation=30)
    back = _read(place)
    columns = [name for name in first["1m"].column_names if name != "generation"]
    assert {name: table.select(columns) for name, table in back.items()} == {name: table.select(columns) for name, table in first.items()}


def undo_of_every_kind_on_nothing_leaves_nothing(new_place: NewPlace) -> None:
    place = new_place()
    rollups = _rollups(place, 10)
    put_all(place.open(), rollups, "run")
    counts = place.open().undo("run", generation=10, now_generation=20)
    assert counts == UndoCounts(
        restored=dict.fromkeys(rollups, 0), removed={name: one.num_rows for name, one in rollups.items()}, left_alone=dict.fromkeys(rollups, 0)
    )
    assert place.stored() == {}


SHOWN = {
    "1m": [
        ("a", "counter", 1, 4.0, 4.0, None, None),
        ("a", "counter", 1, 9.0, 5.0, None, None),
        ("a", "delta", 1, 3.0, 3.0, None, None),
        ("a", "gauge", 1, 5.0, None, None, None),
        ("a", "histogram", 5, None, None, 1.5, 1.99),
        ("b", "histogram", 2, None, None, 3.0, 3.98),
        ("b", "histogram", 1, None, None, 3.0, 3.98),
    ],
    "5m": [
        ("a", "counter", 2, 9.0, 9.0, None, None),
        ("a", "delta", 1, 3.0, 3.0, None, None),
        ("a", "gauge", 1, 5.0, None, None, None),
        ("a", "histogram", 5, None, None, 1.5, 1.99),
        ("b", "histogram", 3, None, None, 3.0, 3.98),
    ],
}


def export_shows_increases_and_percentiles(new_place: NewPlace) -> None:
    place = new_place()
    put_all(place.open(), _rollups(place, 10), "run")
    for granularity in SHOWN.keys() & set(place.granularities):
        (table,) = exported(place.open(), granularity, metric_types=[UNIT.metric_type])
        rows = table.to_pylist()
        shown = [(*(row[name] for name in ("name", "kind", "count", "last", "increase", "p50")), row["p99"] and round(row["p99"], 9)) for row in rows]
        assert shown == SHOWN[granularity]


def _rollups(place: Place, generation: int, *, bucket: int = 5, start: float = 20.0) -> dict[str, pa.Table]:
    """A counter, two deltas, a gauge, a histogram of deltas and a cumulative one."""
    samples = [
        Sample(10, 4.0, kind="counter", name="a", start=start),
        Sample(70, 9.0, kind="counter", name="a", start=start),
        Sample(10, 1.0, kind="delta", name="a"),
        Sample(20, 2.0, kind="delta", name="a"),
        Sample(10, 5.0, kind="gauge", name="a"),
        Sample(10, kind="histogram", name="a", histogram=Histogram(5, 7.5, None, None, (1.0, 2.0), (0, bucket, 0))),
        Sample(10, kind="cumulative histogram", name="b", start=5.0, histogram=Histogram(2, 7.0, None, None, (2.0, 4.0), (0, 2, 0))),
        Sample(70, kind="cumulative histogram", name="b", start=5.0, histogram=Histogram(3, 9.0, None, None, (2.0, 4.0), (0, 3, 0))),
    ]
    tables = roll_up([slice_of(samples)], computed=WHOLE_DAY, average="cascade", generation=generation).tables
    return {name: tables[name] for name in place.granularities}


def _read(place: Place) -> Mapping[str, pa.Table]:
    return {name: place.open().read_unit(UNIT, name) for name in place.granularities}
