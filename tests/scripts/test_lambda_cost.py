"""The arithmetic of the documentation against what an endpoint was sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.dynamodb_cost import UNIT, week_of
from scripts.lambda_cost import gb_s, invocations, lines
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.stores.dynamodb_servers import new_place
from tests.stores.lambda_endpoint import Endpoint, endpoint
from tests.stores.test_lambda import store_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "stores" / "lambda.md"


@pytest.fixture
def function() -> Iterator[Endpoint]:
    with aws_environment(), ministack() as url, endpoint(new_place(url)) as one:
        yield one


def test_invocations_of_a_week_are_those_that_are_made(function: Endpoint, tmp_path: Path) -> None:
    rollups = week_of(30, 1_762_000_000_000)
    store = store_of(function, tmp_path)
    store.open_partition(UNIT.metric_type, UNIT.window, 1)
    store.upsert(UNIT, rollups, run_id="run", allow_fewer=False)
    names = len(function.place.table) - len("rollups")
    assert sorted(function.lengths) == sorted(one + names for one in invocations(rollups))
    assert len(function.lengths) == 4


def test_gb_s_are_those_of_all_that_may_be_in_flight_for_as_long_as_it_takes() -> None:
    assert gb_s(1_000_000) == 1_000_000 / 1_000 * 16 * 1.0


@pytest.mark.slow
def test_the_documentation_has_these_figures() -> None:
    assert "\n".join(lines()) in DOCUMENT.read_text()
