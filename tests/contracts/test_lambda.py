"""The behaviour suite over `lambda://`, with the packaged reference writer in ministack's Lambda; and over a wrong store, for which it has to fail."""

from collections.abc import Callable, Iterator

import pytest

from scripts.local_servers import deploy_writer, ministack
from tests.archive.s3_servers import aws_environment
from tests.contracts.harness import NewPlace
from tests.contracts.test_dynamodb import behaviours
from tests.contracts.test_store import BEHAVIOURS, CAUGHT, Unconditional
from tests.stores.lambda_servers import places
from transforms.stores.lambda_store import LambdaStore


class UnconditionalLambda(Unconditional, LambdaStore):
    pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        deploy_writer(url)
        yield url


@pytest.mark.parametrize("behaviour", behaviours(slow=False))
def test_behaviour(behaviour: Callable[[NewPlace], None], server: str) -> None:
    behaviour(places(server))


@pytest.mark.parametrize("behaviour", [one for one in BEHAVIOURS if one.__name__ in CAUGHT], ids=lambda one: one.__name__)
def test_the_suite_catches_an_unconditional_put(behaviour: Callable[[NewPlace], None], server: str) -> None:
    with pytest.raises(AssertionError):
        behaviour(places(server, UnconditionalLambda))
