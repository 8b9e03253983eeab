"""Plans of runs from store to store: which units of the target a unit of the source may reach, and a way through JSON."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.builders import DAY_START_S, NOON_S
from transforms.core.errors import UsageError
from transforms.core.granularity import GRANULARITIES, WIDTH_S
from transforms.core.transfer import Following, StorePlan, StoreRequest, ended_in, is_store_plan, store_plan_from_data
from transforms.core.units import Unit, shard_of
from transforms.core.windows import Windows


def plan_of(**changes: Any) -> StorePlan:
    request = StoreRequest(
        command="copy",
        source="parquet:///a",
        store="parquet:///b",
        periods=("2025-11-01T00:00Z/P1D",),
        metric_types=("host", "service"),
        granularities=GRANULARITIES,
    )
    planned: dict[str, Any] = {
        "run_id": "r",
        "created_s": NOON_S,
        "request": request,
        "periods": ((DAY_START_S, DAY_START_S + 86_400),),
        "generation": 0,
        "shards": {"host": {"2025-11-01": 4}, "service": {}},
        "target_shards": {"host": {"2025-11-01": 6}, "service": {}},
    }
    return StorePlan(**planned | changes)


def test_units_are_the_sources_type_after_type() -> None:
    plan = plan_of(shards={"service": {"2025-11-02": 1, "2025-11-01": 2}, "host": {"2025-11-01": 1}})
    assert list(map(str, plan.all_units())) == ["host-2025-11-01-0000", "service-2025-11-01-0000", "service-2025-11-01-0001", "service-2025-11-02-0000"]


def shards_of(plan: StorePlan, shard: int) -> list[int]:
    return [one.shard for one in plan.targets(Unit("host", "2025-11-01", shard))]


def test_a_unit_reaches_the_shards_that_may_hold_its_series_and_no_others() -> None:
    assert [shards_of(plan_of(), shard) for shard in range(4)] == [[0, 2, 4], [1, 3, 5], [0, 2, 4], [1, 3, 5]]
    assert [shards_of(plan_of(target_shards={"host": {"2025-11-01": 4}}), shard) for shard in range(4)] == [[0], [1], [2], [3]]
    assert [shards_of(plan_of(target_shards={"host": {"2025-11-01": 2}}), shard) for shard in range(4)] == [[0], [1], [0], [1]]
    assert [shards_of(plan_of(target_shards={"host": {"2025-11-01": 3}}), shard) for shard in range(4)] == [[0, 1, 2]] * 4


@given(st.integers(1, 12), st.integers(1, 12), st.binary(max_size=9))
def test_a_series_is_reached_wherever_it_lies(shards: int, theirs: int, key: bytes) -> None:
    plan = plan_of(shards={"host": {"2025-11-01": shards}}, target_shards={"host": {"2025-11-01": theirs}})
    assert shard_of(key, theirs) in shards_of(plan, shard_of(key, shards))


def test_a_unit_reaches_the_windows_that_it_shares_time_with() -> None:
    days = {f"2025-11-{day:02d}": 1 for day in range(1, 9)}
    week = Windows(7).touched_by([(DAY_START_S, DAY_START_S + 1)])[0]
    plan = plan_of(shards={"host": {week: 1}}, target_shards={"host": days}, window_days=7)
    reached = [one.window for one in plan.targets(Unit("host", week, 0))]
    from_s, to_s = Windows(7).range_of(week)
    assert reached == [day for day in days if from_s <= Windows(1).range_of(day)[0] < to_s]
    plan = plan_of(target_shards={"host": {week: 6}}, target_window_days=7)
    assert list(plan.targets(Unit("host", "2025-11-01", 1))) == [Unit("host", week, shard) for shard in (1, 3, 5)]


@pytest.mark.parametrize("follow", [None, Following(start="-1h", end="", lag_s=60, step_s=300)])
def test_a_plan_comes_back_from_json(follow: Following | None) -> None:
    plan = plan_of(left=((0, DAY_START_S),))
    plan = replace(plan, request=replace(plan.request, follow=follow, series=("host/*",), edge="ended"))
    data = json.loads(plan.to_json())
    assert is_store_plan(data)
    assert store_plan_from_data(data) == plan


def test_a_plan_of_another_format_is_refused() -> None:
    with pytest.raises(UsageError, match="the plan has format 99, this version reads 2"):
        store_plan_from_data(json.loads(plan_of().to_json()) | {"format": 99})


@given(st.sampled_from(GRANULARITIES), st.lists(st.integers(0, 400), min_size=2, max_size=6, unique=True).map(sorted))
def test_periods_side_by_side_have_each_bucket_once_where_it_ends(granularity: str, minutes: list[int]) -> None:
    width = WIDTH_S[granularity]
    edges = [DAY_START_S + 60 * one for one in minutes]
    found = [start for a, b in itertools.pairwise(edges) for from_s, to_s in ended_in((a, b), granularity) for start in range(from_s, to_s, width)]
    every = range(DAY_START_S, DAY_START_S + 401 * 60, width)
    assert found == [start for start in every if edges[0] < start + width <= edges[-1]]
