"""Whether a run is complete and its sums hold, from what staging files and records say."""

import json

import pytest

from tests.builders import plan_of
from transforms.core.accounts import Account, BucketChange, Missing, Tally, UnitRecord, account, missing
from transforms.core.counts import Counts
from transforms.core.units import Unit

SERVICE = Unit("service", "2025-11-01", 0)
HOST_0, HOST_1 = Unit("host", "2025-11-01", 0), Unit("host", "2025-11-01", 1)


def record(unit: Unit, counts: Counts, **tallies: Tally) -> UnitRecord:
    return UnitRecord(unit=unit, counts=counts, tallies=tallies)


def test_missing_are_the_planned_groups_and_units_that_left_nothing() -> None:
    plan = plan_of()
    assert missing(plan, [], []) == Missing(groups=(0, 1), units=(SERVICE, HOST_0, HOST_1))
    assert missing(plan, [1], ["host-2025-11-01-0001"]) == Missing(groups=(0,), units=(SERVICE, HOST_0))
    assert missing(plan, [0, 1, 2], ["service-2025-11-01-0000", "host-2025-11-01-0000", "host-2025-11-01-0001", "role-2025-11-01-0000"]) == Missing(
        groups=(), units=()
    )


@pytest.mark.parametrize(
    ("found", "is_missing"), [(Missing(groups=(), units=()), False), (Missing(groups=(0,), units=()), True), (Missing(groups=(), units=(SERVICE,)), True)]
)
def test_a_run_is_complete_when_no_group_and_no_unit_is_missing(found: Missing, is_missing: bool) -> None:
    assert bool(found) is is_missing


def test_an_account_adds_footers_and_records() -> None:
    footers: list[Counts] = [{"points": {"host": 3}, "dropped.late": {"host": 1}}, {"points": {"host": 2, "service": 1}}]
    records = [
        record(HOST_0, {"stored": {"host": 2}}, **{"1m": Tally(added=1, absent=5), "5m": Tally(equal=1)}),
        record(HOST_1, {"stored": {"host": 1}, "superseded": {"host": 1}}, **{"1m": Tally(added=2, changed=3, newer=4, refused=6)}),
        record(SERVICE, {"stored": {"service": 1}}, **{"1m": Tally(added=7)}),
    ]
    sums = account(footers, records)
    assert sums.counts == {"points": {"host": 5, "service": 1}, "dropped.late": {"host": 1}, "stored": {"host": 3, "service": 1}, "superseded": {"host": 1}}
    assert sums.tallies == {
        "host": {"1m": Tally(added=3, changed=3, newer=4, refused=6, absent=5), "5m": Tally(equal=1)},
        "service": {"1m": Tally(added=7)},
    }
    assert sums.imbalances() == ()


BALANCED: Counts = {
    "points": {"host": 20},
    "role_copies": {"role": 3},
    "stored": {"host": 8, "role": 3},
    "superseded": {"host": 1},
    "outside.time": {"host": 2},
    "outside.type": {"host": 1},
    "outside.series": {"host": 1},
    "dropped.late": {"host": 3},
    "dropped.null": {"host": 2},
    "refused": {"host": 2},
}


def test_points_end_stored_superseded_outside_dropped_or_refused() -> None:
    assert Account(BALANCED).imbalances() == ()


@pytest.mark.parametrize("term", sorted(BALANCED))
def test_one_point_lost_or_counted_twice_in_any_term_is_found(term: str) -> None:
    (metric_type, number) = next(iter(BALANCED[term].items()))
    for changed in (number - 1, number + 1):
        (sentence,) = Account(BALANCED | {term: BALANCED[term] | {metric_type: changed}}).imbalances()
        assert sentence.startswith(f"{metric_type}: ")


@pytest.mark.parametrize(
    ("records", "decoded", "dead", "holds"),
    [(3, 2, 1, True), (0, 0, 0, True), (3, 3, 0, True), (1, 0, 1, True), (3, 2, 0, False), (2, 2, 1, False), (0, 1, 0, False)],
)
def test_records_are_decoded_or_dead_letters(records: int, decoded: int, dead: int, holds: bool) -> None:
    numbers = {"records": records, "decoded_records": decoded, "dead_records": dead, "dead_points": 9, "cause.bad JSON": dead, "cause.broken point: time": 9}
    counts = {term: {"records": number} for term, number in numbers.items()}
    found = Account(counts).imbalances()
    assert found == (() if holds else (f"records: {records} were read, {decoded} decoded and {dead} are dead letters",))


def test_dead_letters_that_are_counted_are_kept() -> None:
    counts = {"records": {"records": 1}, "dead_records": {"records": 1}, "dead_points": {"records": 2}, "cause.bad JSON": {"records": 2}}
    assert Account(counts).imbalances() == ("dead letters: 3 were counted and 2 are kept",)


def test_a_record_survives_being_stored() -> None:
    change = BucketChange(
        granularity="5m", series=("acme", "é", "cpu", "{}", "gauge"), bucket_start_s=60, stored_minutes=5, minutes=3, stored_avg=float("inf"), avg=None
    )
    one = UnitRecord(
        unit=HOST_1, counts={"stored": {"host": 1}}, tallies={"1m": Tally(added=1, refused=2)}, changes=(change,), refused=(change, change), finished_s=1.25
    )
    assert UnitRecord.from_data(one.to_data()) == one
    assert UnitRecord.from_data(json.loads(json.dumps(one.to_data()))) == one
