"""The behaviour suite over `dynamodb://` on ministack."""

from collections.abc import Callable, Iterator

import pytest

from tests.archive.s3_servers import aws_environment
from tests.contracts.harness import NewPlace
from tests.contracts.test_store import BEHAVIOURS
from tests.stores.dynamodb_servers import ministack, places


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_behaviour(behaviour: Callable[[NewPlace], None], server: str) -> None:
    behaviour(places(server))
