"""DynamoDB servers for tests, and places in them for the contract suite."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config

from tests.contracts.harness import NewPlace, Place as StorePlace
from tests.limits import limits
from transforms.core.granularity import GRANULARITIES
from transforms.stores.dynamodb import DynamoStore
from transforms.stores.dynamodb_place import Place
from transforms.stores.dynamodb_table import create_table
from transforms.stores.files import Failpoint, no_failpoint

TABLES = itertools.count()


@contextmanager
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


class QuickPlace(Place):
    """Its clients are made once in a process: that takes longer than most of the suite's calls."""

    def client(self, service: str = "dynamodb") -> Any:
        return _client(os.getpid(), service, self.endpoint_url)


@lru_cache
def _client(_pid: int, service: str, url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=64)
    return _session().client(service, endpoint_url=url, region_name="us-east-1", config=config)


@lru_cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


def new_place(url: str) -> Place:
    """A new table."""
    place = QuickPlace(table=f"rollups-{os.getpid()}-{next(TABLES)}", endpoint_url=url, region="us-east-1")
    create_table(place, wait_s=lambda _: None)
    return place


def items_of(place: Place) -> list[dict[str, Any]]:
    """Everything in a table."""
    pages = place.client().get_paginator("scan").paginate(TableName=place.table, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


class DynamoPlace:
    """A table of its own as the suite's place."""

    granularities = GRANULARITIES

    def __init__(self, place: Place, make: type[DynamoStore] = DynamoStore) -> None:
        self.place, self.make = place, make

    def open(self, failpoint: Failpoint = no_failpoint) -> DynamoStore:
        return self.make(self.place, limits=limits(), failpoint=failpoint)

    def copy(self) -> "DynamoPlace":
        copied = new_place(self.place.endpoint_url)
        self.make(copied, limits=limits()).backend.calls.put_all("copy", items_of(self.place))  # type: ignore[attr-defined]
        return DynamoPlace(copied, self.make)

    def stored(self) -> dict[str, bytes]:
        """By unit (as the rosters tell) and granularity: its items' keys and bytes."""
        items = items_of(self.place)
        whose: dict[str, set[str]] = {}
        for item in items:
            place, _, unit = item["series"]["S"].partition("roster/")
            if unit and not place:
                whose.setdefault(item["text"]["S"], set()).add(unit)
        bodies: dict[str, bytes] = {}
        for item in sorted(items, key=lambda one: (one["series"]["S"], one["item"]["S"])):
            if item["series"]["S"].startswith("["):
                granularity, start = item["item"]["S"].split("#")[:2]
                text = item.get("text", item["series"])["S"]
                shown = f"{text} {start} {item.get('expires')} ".encode() + bytes(item["body"]["B"])
                unit = max(one for one in whose[text] if one.split("-", 1)[1].rpartition("-")[0] <= start or granularity == "1h")  # the suite's windows overlap
                bodies[f"{unit}/{granularity}"] = bodies.get(f"{unit}/{granularity}", b"") + shown
        return bodies


def places(url: str, make: type[DynamoStore] = DynamoStore) -> NewPlace:
    def new() -> StorePlace:
        return DynamoPlace(new_place(url), make)

    return new
