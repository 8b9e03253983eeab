"""A Parquet store in S3 for the behaviour suite: every place is a prefix of its own on a server of the session."""

import itertools
from functools import partial

import pyarrow.parquet as pq
from pyarrow import BufferReader

from tests.archive import s3_servers
from tests.limits import limits
from transforms.calls.aws import AwsCalls
from transforms.calls.limits import S3Gates
from transforms.calls.s3_client import new_client
from transforms.calls.s3_folder import S3Location
from transforms.calls.waiting import Waiting
from transforms.core.granularity import GRANULARITIES
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.parquet_s3 import ParquetS3Store
from transforms.stores.s3_objects import Objects

BUCKET = "rollups"
NUMBERS = itertools.count()


class Server:
    """One client for all stores of a process, as making one takes longer than most calls, and one to look at them."""

    def __init__(self, url: str) -> None:
        self.url, self.client = url, s3_servers.client(url)
        self.calls = AwsCalls(partial(new_client, self.location("")), Waiting(sleep=lambda _: None))
        self.client.create_bucket(Bucket=BUCKET)

    def location(self, prefix: str) -> S3Location:
        return S3Location(bucket=BUCKET, prefix=prefix, endpoint_url=self.url, region="us-east-1")


class S3Place:
    """Seen beside the store by a client of its own."""

    def __init__(self, server: Server, make: type[ParquetS3Store] = ParquetS3Store) -> None:
        self.server, self.make, self.prefix = server, make, f"place{next(NUMBERS)}/"

    @property
    def granularities(self) -> tuple[str, ...]:
        return GRANULARITIES

    def open(self, failpoint: Failpoint = no_failpoint) -> ParquetS3Store:
        return self.make(Objects(self.server.location(self.prefix), self.server.calls, S3Gates(limits(), self.server.location(self.prefix)), failpoint))

    def copy(self) -> "S3Place":
        place = S3Place(self.server, self.make)
        for key, body in self.objects().items():
            self.server.client.put_object(Bucket=BUCKET, Key=place.prefix + key, Body=body)
        return place

    def objects(self) -> dict[str, bytes]:
        """All that lies in the store."""
        client = self.server.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return {key.removeprefix(self.prefix): client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def stored(self) -> dict[str, bytes]:
        """Without the objects that were emptied."""
        data = {key: body for key, body in self.objects().items() if not key.startswith("_")}
        return {key: body for key, body in data.items() if pq.read_metadata(BufferReader(body)).num_rows}
