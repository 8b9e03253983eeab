"""Minutes of metrics, read over CloudWatch's own protocol from a stand-in."""

from collections.abc import Iterator

import pytest

from tests.archive.s3_servers import aws_environment
from tests.calls.cloudwatch_stand_in import StandIn, cloudwatch
from transforms.calls.cloudwatch import Metric, Minutes, metric_minutes
from transforms.calls.service_client import service_client

NOON = 1_762_000_020
"""The beginning of a minute."""


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with cloudwatch() as found, aws_environment(AWS_ENDPOINT_URL_CLOUDWATCH=found.url):
        yield found


def test_minutes_that_have_ended_are_asked_for_and_told(stand_in: StandIn) -> None:
    stand_in.minutes["AWS/Lambda", "ConcurrentExecutions", "Maximum"] = {NOON - 960: 9, NOON - 900: 1, NOON - 60: 4, NOON: 5}
    stand_in.minutes["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "Sum", "TableName=rollups"] = {NOON - 120: 600.5}
    metrics = [
        Metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", "Sum", (("TableName", "rollups"),)),
        Metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", "Sum", (("TableName", "another"),)),
        Metric("AWS/Lambda", "ConcurrentExecutions", "Maximum"),
    ]
    found = metric_minutes(service_client("cloudwatch", "us-east-1"), metrics, NOON + 59.9)
    assert [one.values for one in found] == [{NOON - 120: 600.5}, {}, {NOON - 900: 1.0, NOON - 60: 4.0}]
    (request,) = stand_in.requests
    assert (request["StartTime"], request["EndTime"]) == (NOON - 900, NOON)


def test_of_three_last_minutes_the_most_counts_and_the_earlier_ones_do_not() -> None:
    found = Minutes({NOON - 240: 99.0, NOON - 180: 2.0, NOON - 120: 7.0, NOON - 60: 3.0})
    assert (found.begin_s, found.end_s, found.most) == (NOON - 180, NOON, 7.0)
    assert found.since(NOON - 120) == 10.0


def test_a_minute_that_is_not_told_is_passed_over() -> None:
    found = Minutes({NOON - 240: 99.0, NOON - 60: 3.0})
    assert (found.begin_s, found.end_s, found.most) == (NOON - 60, NOON, 3.0)


def test_a_metric_that_we_may_not_read_has_no_minutes(stand_in: StandIn) -> None:
    stand_in.status = "Forbidden"
    stand_in.minutes["AWS/Lambda", "ConcurrentExecutions", "Maximum"] = {NOON - 60: 4}
    assert metric_minutes(service_client("cloudwatch", "us-east-1"), [Metric("AWS/Lambda", "ConcurrentExecutions", "Maximum")], NOON)[0].values == {}
