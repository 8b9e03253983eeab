"""Two sorted streams compared: what dicts and loops find, however the streams are cut."""

import itertools
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings, strategies as st

from tests.core.rollup_tables import DAY_S, Row, row, rows_of, table
from transforms.core import comparing, differences
from transforms.core.comparing import Compared, compare_sorted
from transforms.core.differences import Differences, Place, SlotGroup
from transforms.core.hash_slots import HashSlots, slot_of_key

DAY = DAY_S // 86_400
Bucket = tuple[str, int]

values = st.sampled_from((0.0, -0.0, 1.0, float("nan"), float("inf"), None))
buckets = st.tuples(st.sampled_from(("h1", "h2", "h3", "é")), st.integers(0, 5))
versions = st.tuples(values, st.sampled_from((None, 0, 7)), st.sampled_from((None, [1.0, 2.0], [1.0, 3.0])))
stores = st.dictionaries(buckets, versions, max_size=12)


def rows(store: dict[Bucket, Any]) -> list[Row]:
    return [
        row(entity, 60 * minute, value=value, generation=generation, bounds=bounds) for (entity, minute), (value, generation, bounds) in sorted(store.items())
    ]


def pieces(some: Sequence[Row], cuts: set[int]) -> list[Any]:
    """The rows, which are sorted, in tables that end where the cuts are; some may be empty."""
    edges = [0, *sorted(cuts), max(len(some), *cuts, 0)]
    return [table(some[a:b]) for a, b in itertools.pairwise(edges)]


def bits(version: Any, *, generation: bool) -> Any:
    value, number, bounds = version
    return (None if value is None else struct.pack("<d", value), bounds, (number or 0) if generation else 0)


def keys(one: Any) -> list[Bucket]:
    return [(found["entity"], (found["bucket_start"] // 1000 - DAY_S) // 60) for found in rows_of(one)]


@settings(max_examples=200, deadline=None)
@given(stores, stores, st.sets(st.integers(0, 12), max_size=4), st.sets(st.integers(0, 12), max_size=4), st.integers(1, 4), st.booleans())
def test_what_dicts_and_loops_find(
    left: dict[Bucket, Any], right: dict[Bucket, Any], left_cuts: set[int], right_cuts: set[int], least: int, with_generation: bool
) -> None:
    with mock.patch.object(comparing, "LEAST_ROWS", least):
        parts = list(compare_sorted(pieces(rows(left), left_cuts), pieces(rows(right), right_cuts), with_generation=with_generation))
    both = sorted(left.keys() & right.keys())
    differ = [one for one in both if bits(left[one], generation=with_generation) != bits(right[one], generation=with_generation)]
    assert [key for part in parts for key in keys(part.missing)] == sorted(left.keys() - right.keys())
    assert [key for part in parts for key in keys(part.extra)] == sorted(right.keys() - left.keys())
    assert [key for part in parts for key in keys(part.left)] == [key for part in parts for key in keys(part.right)] == differ
    assert sum(part.equal for part in parts) == len(both) - len(differ)
    assert [key for part in parts for key in keys(part.whole[0])] == sorted(left)
    assert [key for part in parts for key in keys(part.whole[1])] == sorted(right)


def test_only_one_piece_of_each_side_is_asked_for_at_a_time() -> None:
    """The right side's later pieces are not read before the left side has come so far."""
    asked: list[str] = []

    def stream(name: str, hosts: Sequence[str]) -> Any:
        for host in hosts:
            asked.append(name + host)
            yield table([row(host, 60 * minute) for minute in range(3)])

    with mock.patch.object(comparing, "LEAST_ROWS", 3):
        compared = compare_sorted(stream("left ", "acd"), stream("right ", "abd"), with_generation=False)
        first = next(compared)
        assert (first.equal, asked) == (3, ["left a", "right a"])
        found = [(one.equal, one.missing.num_rows, one.extra.num_rows) for one in compared]
    assert found == [(0, 0, 3), (0, 3, 0), (3, 0, 0)]


def compared(left: Sequence[Row], right: Sequence[Row]) -> list[Compared]:
    return list(compare_sorted([table(left)], [table(right)], with_generation=False))


def summed(left: Sequence[Row], right: Sequence[Row], template: str = "{entity}") -> Differences:
    found = Differences(key=HashSlots(ranges=(), template=template) if template else None)
    for one in compared(left, right):
        found.add("host", "1m", one)
    return found


def test_differences_are_added_up_by_day_and_slot() -> None:
    left = [row("h1"), row("h1", 86_400), row("h2"), row("h3")]
    right = [row("h1", value=2.0), row("h2"), row("h4")]
    found = summed(left, right)
    assert found.compared == {("host", "1m"): Counter(equal=1, missing=2, extra=1, different=1)}
    assert found.total == 4
    slots = {host: slot_of_key(host.encode()) for host in ("h1", "h2", "h3", "h4")}
    assert found.places == {
        Place("host", "1m", DAY, slots["h1"]): Counter(different=1),
        Place("host", "1m", DAY + 1, slots["h1"]): Counter(missing=1),
        Place("host", "1m", DAY, slots["h3"]): Counter(missing=1),
        Place("host", "1m", DAY, slots["h4"]): Counter(extra=1),
    }
    assert found.by("day") == {(DAY,): Counter(different=1, missing=1, extra=1), (DAY + 1,): Counter(missing=1)}
    assert found.slots == set(slots.values())
    assert sum(one.with_series for one in found.slot_groups()) == 3


def test_slots_between_that_hold_no_series_join_a_group_and_slots_that_are_alike_part_it() -> None:
    hosts = sorted((f"h{number}" for number in range(9)), key=lambda host: slot_of_key(host.encode()))
    slots = [slot_of_key(host.encode()) for host in hosts]
    lost = hosts[:3] + hosts[4:5] + hosts[7:]
    found = summed([row(host) for host in hosts], [row(host) for host in hosts if host not in lost])
    one = {"missing": 1, "extra": 0, "different": 0}
    assert found.slot_groups() == [
        SlotGroup((slots[0], slots[2]), 3, one | {"missing": 3}),
        SlotGroup((slots[4], slots[4]), 1, one),
        SlotGroup((slots[7], slots[8]), 2, one | {"missing": 2}),
    ]


def test_without_a_key_no_slots_are_told() -> None:
    found = summed([row()], [], template="")
    assert (found.slots, found.slot_groups(), list(found.places)) == (set(), [], [Place("host", "1m", DAY, None)])


def test_the_largest_differences_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "SHOWN", 2)
    left = [row(bucket_s=60 * at, value=value) for at, value in enumerate((10.0, 1.0, 5.0, None))]
    right = [row(bucket_s=60 * at, value=value) for at, value in enumerate((11.0, 3.0, 5.0, 1.0))]
    found = summed(left, right)
    shown = [(metric_type, one.bucket_start_s - DAY_S, one.stored_avg, one.avg, one.minutes) for metric_type, one in found.examples["different"]]
    assert shown == [("host", 180, None, 1.0, 1), ("host", 60, 1.0, 3.0, 1)]
    (one,) = summed([row()], []).examples["missing"]
    assert (one[1].stored_avg, one[1].stored_minutes, one[1].avg, one[1].minutes) == (1.0, 1, None, 0)
    (one,) = summed([], [row()]).examples["extra"]
    assert (one[1].stored_avg, one[1].stored_minutes, one[1].avg, one[1].minutes) == (None, 0, 1.0, 1)
