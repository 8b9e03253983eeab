"""The reference writer in ministack's Lambda, as `scripts/package_writer` makes it, and places behind it for the contract suite."""

import os
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config

from scripts.local_servers import WRITER
from tests.contracts.harness import NewPlace, Place as StorePlace
from tests.limits import limits
from tests.stores.dynamodb_servers import DynamoPlace, items_of, new_place
from transforms.core.granularity import GRANULARITIES
from transforms.stores.dynamodb_place import Place
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.lambda_place import Function
from transforms.stores.lambda_store import LambdaStore


class QuickFunction(Function):
    """Its clients are made once in a process."""

    def client(self, read_timeout_s: float = 30.0) -> Any:
        return _client(os.getpid(), self.endpoint_url, read_timeout_s)


@lru_cache
def _client(_pid: int, url: str, read_timeout_s: float) -> Any:
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=64, read_timeout=read_timeout_s)
    return boto3.session.Session().client("lambda", endpoint_url=url, region_name="us-east-1", config=config)


class LambdaPlace:
    """A table of its own, written by the function of all tables, as the suite's place."""

    granularities = GRANULARITIES

    def __init__(self, place: Place, make: type[LambdaStore] = LambdaStore) -> None:
        self.place, self.make = place, make

    def open(self, failpoint: Failpoint = no_failpoint) -> LambdaStore:
        function = QuickFunction(function=WRITER, endpoint_url=self.place.endpoint_url, region="us-east-1")
        return self.make(function, self.place, limits=limits(lambda_concurrency=16), failpoint=failpoint)

    def copy(self) -> "LambdaPlace":
        copied = new_place(self.place.endpoint_url)
        DynamoPlace(copied).open().backend.calls.put_all("copy", items_of(self.place))  # type: ignore[attr-defined]
        return LambdaPlace(copied, self.make)

    def stored(self) -> dict[str, bytes]:
        return DynamoPlace(self.place).stored()


def places(url: str, make: type[LambdaStore] = LambdaStore) -> NewPlace:
    def new() -> StorePlace:
        return LambdaPlace(new_place(url), make)

    return new
