"""Plans: units, edges, objects to read, and the trip through JSON."""

import json
from dataclasses import replace

import pytest

from tests.builders import DAY_START_S, plan_of, request_of
from transforms.core.errors import UsageError
from transforms.core.manifest import ArchiveObject, Manifest
from transforms.core.plan import FORMAT, check_manifest, object_times, plan_from_json
from transforms.core.selection import Reach
from transforms.core.units import Unit

HOUR_S = 3_600


def test_units_are_those_of_every_touched_day_in_the_order_of_types_named() -> None:
    plan = plan_of(
        request=request_of(metric_types=("host", "service")),
        periods=((DAY_START_S - HOUR_S, DAY_START_S + HOUR_S),),
        shards={"service": {"2025-10-31": 1, "2025-11-01": 1}, "host": {"2025-10-31": 1, "2025-11-01": 2}},
    )
    assert plan.touched_windows() == ("2025-10-31", "2025-11-01")
    assert plan.all_units() == (
        Unit("host", "2025-10-31", 0),
        Unit("host", "2025-11-01", 0),
        Unit("host", "2025-11-01", 1),
        Unit("service", "2025-10-31", 0),
        Unit("service", "2025-11-01", 0),
    )
    assert plan.shard_count("host", "2025-11-01") == 2
    assert plan.shard_count("labeled", "2025-11-01") == 1


def test_a_bucket_that_expand_completes_can_reach_another_day() -> None:
    plan = plan_of(periods=((DAY_START_S - 30, DAY_START_S + 30),), request=request_of(granularities=("1m",)))
    assert plan.touched_windows() == ("2025-10-31", "2025-11-01")
    assert plan.selection.computed == {"1m": ((DAY_START_S - 60, DAY_START_S + 60),)}


def test_periods_are_united_before_edges_are_looked_at() -> None:
    halves = ((DAY_START_S, DAY_START_S + 150), (DAY_START_S + 150, DAY_START_S + 300))
    assert request_of(edge="fail", granularities=("5m",)).selection(halves).computed == {"5m": ((DAY_START_S, DAY_START_S + 300),)}
    assert request_of(edge="clip", granularities=("5m",)).selection(halves).computed == {"5m": ((DAY_START_S, DAY_START_S + 300),)}


def test_a_period_that_clip_leaves_nothing_of_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        request_of(edge="clip", granularities=("5m", "1h")).selection(((DAY_START_S + 1, DAY_START_S + 300),))
    assert str(caught.value) == ("--edge clip leaves no whole bucket of 5m, 1h in 2025-11-01T00:00:01Z/2025-11-01T00:05:00Z: ask for more or for --edge expand")
    kept = request_of(edge="clip").selection(((DAY_START_S + 1, DAY_START_S + 300),)).computed
    assert kept == {"1m": ((DAY_START_S + 60, DAY_START_S + 300),), "5m": (), "1h": ()}


def test_edges_are_told_by_granularity() -> None:
    plan = plan_of(periods=((DAY_START_S + 60, DAY_START_S + HOUR_S + 1),))
    assert plan.edges() == {
        "1m": ((DAY_START_S + HOUR_S, DAY_START_S + HOUR_S + 60),),
        "5m": ((DAY_START_S, DAY_START_S + 300), (DAY_START_S + HOUR_S, DAY_START_S + HOUR_S + 300)),
        "1h": ((DAY_START_S, DAY_START_S + HOUR_S), (DAY_START_S + HOUR_S, DAY_START_S + 2 * HOUR_S)),
    }


def test_object_times_are_of_the_computed_buckets_and_united() -> None:
    reach = Reach(lead_in_s=600, early_s=60, object_span_s=1_000, late_s=2_000)
    day_apart = ((DAY_START_S, DAY_START_S + 30), (DAY_START_S + 86_400, DAY_START_S + 86_430))
    assert object_times(request_of(granularities=("1m",)).selection(day_apart), reach) == (
        (DAY_START_S - 1_660, DAY_START_S + 2_060),
        (DAY_START_S + 84_740, DAY_START_S + 88_460),
    )
    near = ((DAY_START_S, DAY_START_S + 60), (DAY_START_S + 3_600, DAY_START_S + 3_660))
    assert object_times(request_of(granularities=("1m",)).selection(near), reach) == ((DAY_START_S - 1_660, DAY_START_S + 5_660),)


def test_a_plan_survives_being_stored() -> None:
    plan = plan_of(
        request=request_of(
            orgs=("é",), series=("host/*/\U0001f600",), edge="clip", average="flat", allow_fewer=True, dry_run=True, default_org='o"', reach=Reach(late_s=1)
        ),
        periods=((1, 2), (3, 4)),
    )
    assert plan_from_json(plan.to_json()) == plan
    assert plan_from_json(json.dumps(json.loads(plan.to_json()))) == plan
    assert plan_from_json(plan.to_json()).to_json() == plan.to_json()


def test_a_plan_of_another_format_is_refused() -> None:
    other = json.dumps(json.loads(plan_of().to_json()) | {"format": FORMAT + 1})
    with pytest.raises(UsageError, match=f"the plan has format {FORMAT + 1}, this version reads {FORMAT}"):
        plan_from_json(other)


def test_a_manifest_that_is_not_the_planned_one_is_refused() -> None:
    manifest = Manifest((ArchiveObject("k", 1, "e", 5),))
    plan = replace(plan_of(), manifest_digest=manifest.digest())
    check_manifest(plan, manifest)
    with pytest.raises(UsageError, match=f"run r1 has digest {Manifest(()).digest()}, planned was {manifest.digest()}: the run directory was changed"):
        check_manifest(plan, Manifest(()))
