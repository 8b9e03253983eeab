"""What a command is told, as values that can't be wrong."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from configs.budget_options import BUDGET_KEYS
from configs.guarding import GUARD_KEYS
from configs.jobs import BackfillJob, PlanJob, StatusJob, UndoJob, check_run_id
from configs.limit_options import LIMIT_KEYS
from configs.option import Option, defaults
from configs.options import BACKFILL_OPTIONS, PLAN_OPTIONS
from configs.publishing import PUBLISH_KEYS
from transforms.core.errors import UsageError

GIVEN = {"archive": "file:///a", "store": "parquet:///s", "period": ("2025-11-01T00:00Z/PT6H",)}


def values(options: Iterable[Option], given: dict[str, object]) -> dict[str, Any]:
    grouped = LIMIT_KEYS | BUDGET_KEYS | GUARD_KEYS | PUBLISH_KEYS
    return {key: value for key, value in defaults(options).items() if key != "config" and key not in grouped} | GIVEN | given


def backfill(**given: object) -> BackfillJob:
    return BackfillJob(**values(BACKFILL_OPTIONS, given))


@pytest.mark.parametrize("run_id", ["", "a", "20251109T124300-3f9a", "November.2_x", "9" * 64])
def test_run_ids_that_can_name_a_folder(run_id: str) -> None:
    check_run_id(run_id)


@pytest.mark.parametrize("run_id", [".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "9" * 65])
def test_run_ids_that_cannot(run_id: str) -> None:
    with pytest.raises(UsageError, match="run id") as raised:
        check_run_id(run_id)
    assert repr(run_id) in str(raised.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: backfill(run_id="a/b"),
        lambda: backfill(plan="../b"),
        lambda: PlanJob(**values(PLAN_OPTIONS, {"run_id": ".hidden"})),
        lambda: StatusJob(run_id="a/b", watch=False, dead_letters=False, recheck=False, work_dir="", json=False),
        lambda: UndoJob(run_id="a/b", yes=False, work_dir="", json=False),
    ],
)
def test_every_job_checks_its_ids(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match="the run id"):
        make()


def test_a_plan_is_executed_under_its_own_id() -> None:
    assert backfill(plan="a", run_id="a").plan == "a"
    with pytest.raises(UsageError, match="--run-id b and --plan a differ"):
        backfill(plan="a", run_id="b")


def test_jobs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        backfill().archive = "file:///b"  # type: ignore[misc]


def test_the_request_holds_what_decides_the_result() -> None:
    request = backfill(
        granularities=("1h", "1m"),
        metric_types=("host", "service"),
        org=("acme",),
        series=("host/*",),
        late_s=1,
        early_s=2,
        lead_in_s=3,
        object_span_s=4,
        role_membership="m.csv",
    ).request(membership_digest="00ff", dry_run=True)
    assert (request.archive, request.store, request.periods) == ("file:///a", "parquet:///s", GIVEN["period"])
    assert request.granularities == ("1m", "1h"), "the order of granularities means nothing, so requests that differ in it alone are equal"
    assert request.metric_types == ("host", "service"), "the order of types does: they are restored in it"
    assert (request.orgs, request.series, request.edge, request.average) == (("acme",), ("host/*",), "expand", "cascade")
    assert (request.reach.late_s, request.reach.early_s, request.reach.lead_in_s, request.reach.object_span_s) == (1, 2, 3, 4)
    assert (request.role_membership, request.role_membership_digest, request.dry_run, request.allow_fewer) == ("m.csv", "00ff", True, False)


def test_how_a_run_is_worked_off_is_no_part_of_the_request() -> None:
    other = backfill(workers=7, max_attempts=9, max_dead_letters=5, yes=True, json=True, work_dir="/w", runner="Other")
    assert backfill().request(membership_digest="", dry_run=False) == other.request(membership_digest="", dry_run=False)
