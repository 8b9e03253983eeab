"""The behaviour suite over `dynamodb://` on ministack and, as a second opinion, on moto; and over a wrong store, for which it has to fail."""

from collections.abc import Callable, Iterator

import pytest

from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.contracts.harness import NewPlace
from tests.contracts.test_store import BEHAVIOURS, CAUGHT, Unconditional
from tests.stores.dynamodb_servers import moto, places
from transforms.stores.dynamodb import DynamoStore

LONG = {"an_undo_killed_at_any_call_is_repeated_to_the_same_bytes", "an_upsert_killed_at_any_call_is_repeated_to_the_same_bytes"}
"""Many processes and copies of tables."""


class UnconditionalDynamo(Unconditional, DynamoStore):
    pass


def behaviours(*, slow: bool) -> list[object]:
    return [pytest.param(one, id=one.__name__, marks=[pytest.mark.slow] if slow or one.__name__ in LONG else []) for one in BEHAVIOURS]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@pytest.fixture(scope="module")
def second_server() -> Iterator[str]:
    with aws_environment(), moto() as url:
        yield url


@pytest.mark.parametrize("behaviour", behaviours(slow=False))
def test_behaviour(behaviour: Callable[[NewPlace], None], server: str) -> None:
    behaviour(places(server))


@pytest.mark.parametrize(
    "behaviour", [one for one in BEHAVIOURS if "kill" not in one.__name__ and "processes" not in one.__name__], ids=lambda one: one.__name__
)
@pytest.mark.slow
def test_behaviour_on_moto(behaviour: Callable[[NewPlace], None], second_server: str) -> None:
    behaviour(places(second_server))


@pytest.mark.parametrize("behaviour", [one for one in BEHAVIOURS if one.__name__ in CAUGHT], ids=lambda one: one.__name__)
def test_the_suite_catches_an_unconditional_put(behaviour: Callable[[NewPlace], None], server: str) -> None:
    with pytest.raises(AssertionError):
        behaviour(places(server, UnconditionalDynamo))
