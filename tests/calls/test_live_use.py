"""Readings of live use: limits from ministack's Lambda and DynamoDB, metrics from a stand-in for CloudWatch."""

import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.calls.cloudwatch_stand_in import StandIn, cloudwatch
from transforms.calls.live_use import _READS, _WRITES, BucketUse, LambdaUse, TableUse, table_limit
from transforms.core.headroom import Reading

NOW = 1_762_000_050.0
MINUTE = 1_762_000_020 - 60
"""The beginning of the last minute that has ended by then."""

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def services() -> Iterator[str]:
    """A server with a limit of 6 executions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMBDA_ACCOUNT_CONCURRENCY", "6")
        with ministack() as url:
            yield url


@pytest.fixture
def stand_in(services: str) -> Iterator[StandIn]:
    endpoints = {"AWS_ENDPOINT_URL_LAMBDA": services, "AWS_ENDPOINT_URL_DYNAMODB": services}
    with cloudwatch() as found, aws_environment(AWS_ENDPOINT_URL_CLOUDWATCH=found.url, **endpoints):
        yield found


def executions(stand_in: StandIn, metric: str, minutes: Mapping[int, float], *dimensions: str) -> None:
    stand_in.minutes["AWS/Lambda", metric, "Maximum", *dimensions] = minutes


@pytest.fixture
def function(stand_in: StandIn) -> Iterator[str]:
    """A function of which two executions are reserved."""
    name = f"writer-{next(NUMBERS)}"
    client = boto3.client("lambda", region_name="us-east-1")
    client.create_function(FunctionName=name, Runtime="python3.11", Handler="x.y", Role="arn:aws:iam::000000000000:role/x", Code={"ZipFile": b"PK"})
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    yield name
    client.delete_function(FunctionName=name)


def test_the_account_is_as_full_as_the_fullest_of_its_metrics(stand_in: StandIn) -> None:
    executions(stand_in, "ConcurrentExecutions", {MINUTE: 2, MINUTE - 60: 4, MINUTE - 600: 6})
    (one,) = LambdaUse().read(NOW)
    assert one == Reading(names=("lambda-concurrency",), what="Lambda, the account", limit=6.0, used=4.0, begin_s=float(MINUTE - 60), end_s=float(MINUTE + 60))
    executions(stand_in, "ClaimedAccountConcurrency", {MINUTE: 5})
    assert LambdaUse().read(NOW)[0].used == 5.0


def test_what_is_reserved_is_not_for_others(stand_in: StandIn, function: str) -> None:
    executions(stand_in, "UnreservedConcurrentExecutions", {MINUTE: 3})
    (one,) = LambdaUse().read(NOW)
    assert (one.limit, one.used) == (6.0, 5.0)


@pytest.mark.parametrize(
    "written", ["{}", "{}:live", "arn:aws:lambda:us-east-1:000000000000:function:{}", "arn:aws:lambda:us-east-1:000000000000:function:{}:live"]
)
def test_a_function_with_executions_of_its_own_is_read_alone(stand_in: StandIn, function: str, written: str) -> None:
    executions(stand_in, "ConcurrentExecutions", {MINUTE: 6})
    executions(stand_in, "ConcurrentExecutions", {MINUTE: 1}, f"FunctionName={function}")
    (one,) = LambdaUse(written.format(function), "us-east-1").read(NOW)
    assert (one.what, one.limit, one.used, one.missing) == (f"Lambda, reserved for {function}", 2.0, 1.0, ())


def test_metrics_that_are_denied_are_missing_with_the_action_they_need(stand_in: StandIn) -> None:
    stand_in.denied = True
    (one,) = LambdaUse().read(NOW)
    assert one.missing == ("denied: the IAM action cloudwatch:GetMetricData is needed",)
    written, _ = TableUse("nothing").read(NOW)
    assert written.missing[-1] == "denied: the IAM action cloudwatch:GetMetricData is needed"


def test_metrics_that_are_not_told_are_missing(stand_in: StandIn) -> None:
    executions(stand_in, "ConcurrentExecutions", {MINUTE - 900: 6})
    (one,) = LambdaUse().read(NOW)
    assert one.missing == ("CloudWatch told no use of Lambda of the last 15 minutes: nothing was used, or it is late",)


def test_a_service_that_does_not_answer_is_missing_and_not_waited_for_long(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
    began = time.monotonic()
    (one,) = LambdaUse().read(NOW)
    assert one.missing[0].startswith("lambda:GetAccountSettings: 2 attempts, the last one ended with connection")
    assert time.monotonic() - began < 5


@pytest.fixture
def table(stand_in: StandIn) -> Iterator[str]:
    name = f"rollups-{next(NUMBERS)}"
    client = boto3.client("dynamodb", region_name="us-east-1")
    keys = [{"AttributeName": "series", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "series", "AttributeType": "S"}]
    throughput = {"ReadCapacityUnits": 70, "WriteCapacityUnits": 30}
    client.create_table(TableName=name, KeySchema=keys, AttributeDefinitions=attributes, ProvisionedThroughput=throughput)
    yield name
    client.delete_table(TableName=name)


def units(stand_in: StandIn, table: str, metric: str, minutes: Mapping[int, float]) -> None:
    stand_in.minutes["AWS/DynamoDB", metric, "Sum", f"TableName={table}"] = minutes


def test_a_table_is_read_in_units_a_second(stand_in: StandIn, table: str) -> None:
    units(stand_in, table, "ConsumedWriteCapacityUnits", {MINUTE: 600, MINUTE - 60: 1200})
    units(stand_in, table, "ConsumedReadCapacityUnits", {MINUTE: 90})
    units(stand_in, table, "WriteThrottleEvents", {MINUTE - 60: 4, MINUTE: 3, MINUTE - 120: 99})
    written, read = TableUse(table, "us-east-1").read(NOW)
    assert written == Reading(
        names=("dynamodb-wru-per-s",),
        what=f"writes of the table {table}",
        limit=30.0,
        used=20.0,
        refused=7.0,
        begin_s=float(MINUTE - 60),
        end_s=float(MINUTE + 60),
    )
    assert (read.names, read.limit, read.used, read.refused) == (("dynamodb-rru-per-s",), 70.0, 1.5, 0.0)


def test_of_one_way_nothing_may_be_told_and_of_the_other_all(stand_in: StandIn, table: str) -> None:
    units(stand_in, table, "ConsumedReadCapacityUnits", {MINUTE: 90})
    written, read = TableUse(table, "us-east-1").read(NOW)
    assert written.missing == ("CloudWatch told no ConsumedWriteCapacityUnits of the last 15 minutes: nothing was used, or it is late",)
    assert read.missing == ()


def test_a_table_that_is_not_there_is_missing(stand_in: StandIn) -> None:
    written, _ = TableUse("nothing", "us-east-1").read(NOW)
    assert written.missing[0].startswith("dynamodb:DescribeTable: ")
    assert "ResourceNotFoundException" in written.missing[0]


ON_DEMAND = {"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}, "ProvisionedThroughput": {"WriteCapacityUnits": 0, "ReadCapacityUnits": 0}}


@pytest.mark.parametrize(
    ("described", "limits", "writes", "reads"),
    [
        (ON_DEMAND, {}, 4000.0, 12000.0),
        (ON_DEMAND | {"WarmThroughput": {"WriteUnitsPerSecond": 9000, "ReadUnitsPerSecond": 15000}}, {}, 9000.0, 15000.0),
        (ON_DEMAND | {"OnDemandThroughput": {"MaxWriteRequestUnits": 100, "MaxReadRequestUnits": -1}}, {}, 100.0, 12000.0),
        (ON_DEMAND, {"TableMaxWriteCapacityUnits": 3000, "TableMaxReadCapacityUnits": 40000}, 3000.0, 12000.0),
        ({"ProvisionedThroughput": {"WriteCapacityUnits": 5, "ReadCapacityUnits": 7}}, {"TableMaxWriteCapacityUnits": 3}, 5.0, 7.0),
    ],
)
def test_what_a_table_takes(described: Mapping[str, object], limits: Mapping[str, object], writes: float, reads: float) -> None:
    assert (table_limit(_WRITES, described, limits), table_limit(_READS, described, limits)) == (writes, reads)


def test_a_bucket_tells_what_it_refused(stand_in: StandIn) -> None:
    bucket = BucketUse("archive", "EntireBucket", ["s3-get-per-s", "s3-list-per-s"], "us-east-1")
    (one,) = bucket.read(NOW)
    assert one.missing == ("CloudWatch told no 5xxErrors of the last 15 minutes: has the bucket request metrics named EntireBucket?",)
    stand_in.minutes["AWS/S3", "5xxErrors", "Sum", "BucketName=archive", "FilterId=EntireBucket"] = {MINUTE - 60: 0, MINUTE: 8}
    (one,) = bucket.read(NOW)
    assert (one.names, one.what, one.limit, one.used, one.refused) == (("s3-get-per-s", "s3-list-per-s"), "S3, archive", None, None, 8.0)


def test_the_policy_in_the_documentation_has_the_actions_that_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def answer(client: Any, name: str, _: object) -> dict[str, Any]:
        called.add((client.meta.service_model.service_name, name))
        return {"MetricDataResults": [], "Table": {}}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", answer)
    with aws_environment():
        for watched in (LambdaUse("writer"), TableUse("rollups")):
            watched.read(NOW)
        LambdaUse().read(NOW)
        BucketUse("archive", "EntireBucket", ["s3-get-per-s"]).read(NOW)
    (policy,) = re.findall(r"^```json\n(.*?)^```", (Path(__file__).parents[2] / "docs" / "headroom.md").read_text(), re.MULTILINE | re.DOTALL)
    allowed = [one["Action"] for one in json.loads(policy)["Statement"]]
    actions = {action for one in allowed for action in (one if isinstance(one, list) else [one])}
    assert actions == {f"{service}:{name}" for service, name in called}
