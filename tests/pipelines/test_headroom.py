"""`rollups headroom`: what it shows and how it ends. Limits are ministack's, metrics those of a stand-in for CloudWatch."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from pipelines.cli import main
from pipelines.watched import is_aws, services_of
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.calls.cloudwatch_stand_in import StandIn, cloudwatch
from transforms.core.time import format_time

NOW = 1_762_000_050.0
MINUTE = 1_762_000_020 - 60


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """With a table on demand and 6 executions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMBDA_ACCOUNT_CONCURRENCY", "6")
        with ministack() as url, aws_environment():
            boto3.client("dynamodb", endpoint_url=url, region_name="us-east-1").create_table(
                TableName="rollups",
                KeySchema=[{"AttributeName": "series", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "series", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            yield url


@pytest.fixture
def stand_in(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr("time.time", lambda: NOW)
    endpoints = {"AWS_ENDPOINT_URL_LAMBDA": server, "AWS_ENDPOINT_URL_DYNAMODB": server}
    with cloudwatch() as found, aws_environment(AWS_ENDPOINT_URL_CLOUDWATCH=found.url, **endpoints):
        use(found, 0, 0)
        yield found


def use(stand_in: StandIn, written: float, read: float) -> None:
    """Units a second of the table."""
    stand_in.minutes["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "Sum", "TableName=rollups"] = {MINUTE: written * 60}
    stand_in.minutes["AWS/DynamoDB", "ConsumedReadCapacityUnits", "Sum", "TableName=rollups"] = {MINUTE: read * 60}


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    code = main(["headroom", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_left_is_shown(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    use(stand_in, 1000, 30)
    assert main(["headroom", "--store", "dynamodb://rollups"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "service                      limit                   of  in use  by others  reserve  left for us  as of",
        f"writes of the table rollups  dynamodb-wru-per-s   4,000   1,000      1,000      800        2,200  {format_time(MINUTE + 60)}",
        f"reads of the table rollups   dynamodb-rru-per-s  12,000      30         30    2,400        9,570  {format_time(MINUTE + 60)}",
    ]


def test_below_the_reserve_is_exit_5(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    use(stand_in, 3000, 30)
    options = ("--store", "dynamodb://rollups", "--reserve", "30%", "--reserve", "dynamodb-rru-per-s=100")
    code, data = shown(capsys, *options)
    assert code == 5
    assert [(one["name"], one["reserve"], one["left"], one["below_reserve"]) for one in data["limits"]] == [
        ("dynamodb-wru-per-s", 1200.0, -200.0, True),
        ("dynamodb-rru-per-s", 100.0, 11870.0, False),
    ]
    assert main(["headroom", *options]) == 5
    assert capsys.readouterr().out.splitlines()[-1] == "writes of the table rollups (dynamodb-wru-per-s): others use the reserve: 200 too many"


def test_calls_that_are_refused_are_exit_5(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in.minutes["AWS/DynamoDB", "ReadThrottleEvents", "Sum", "TableName=rollups"] = {MINUTE: 12}
    assert main(["headroom", "--store", "dynamodb://rollups"]) == 5
    assert capsys.readouterr().out.splitlines()[-1] == "reads of the table rollups (dynamodb-rru-per-s): 12 calls were refused"


def test_what_may_not_be_read_is_said_with_the_action_it_needs(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in.denied = True
    assert main(["headroom", "--store", "dynamodb://rollups"]) == 3
    assert capsys.readouterr().out.splitlines()[1:] == [
        "writes of the table rollups  dynamodb-wru-per-s  -   -       -          -        -            -",
        "reads of the table rollups   dynamodb-rru-per-s  -   -       -          -        -            -",
        "writes of the table rollups (dynamodb-wru-per-s): denied: the IAM action cloudwatch:GetMetricData is needed",
        "reads of the table rollups (dynamodb-rru-per-s): denied: the IAM action cloudwatch:GetMetricData is needed",
    ]


def test_an_old_reading_is_missing(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    for metric in ("ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"):
        stand_in.minutes["AWS/DynamoDB", metric, "Sum", "TableName=rollups"] = {MINUTE - 240: 60}
    code, data = shown(capsys, "--store", "dynamodb://rollups")
    assert (code, [one["missing"] for one in data["limits"]]) == (3, [["the last reading is too old"]] * 2)


def test_without_store_and_archive_it_is_the_accounts_lambda(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in.minutes["AWS/Lambda", "ConcurrentExecutions", "Maximum"] = {MINUTE: 5}
    code, data = shown(capsys)
    (one,) = data["limits"]
    assert (code, one["name"], one["limit"], one["by_others"], one["left"]) == (0, "lambda-concurrency", 6.0, 5.0, 0.0)


def test_a_function_and_the_table_behind_it_are_read(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = shown(capsys, "--store", "lambda://writer?region=us-east-1&read=dynamodb://rollups")
    assert code == 3
    assert [one["name"] for one in data["limits"]] == ["lambda-concurrency", "dynamodb-wru-per-s", "dynamodb-rru-per-s"]
    assert "ResourceNotFoundException" in data["limits"][0]["missing"][0]  # there is no such function


def test_a_bucket_is_read_by_its_request_metrics(stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in.minutes["AWS/S3", "5xxErrors", "Sum", "BucketName=archive", "FilterId=all"] = {MINUTE: 0}
    code, data = shown(capsys, "--archive", "s3://archive/metrics", "--s3-metrics-filter", "all")
    assert (code, [(one["name"], one["limit"]) for one in data["limits"]]) == (0, [("s3-get-per-s", None), ("s3-list-per-s", None)])
    code, data = shown(capsys, "--archive", "s3://archive/metrics")
    assert (code, data) == (0, {"limits": [], "not_read": ["S3, archive: --s3-metrics-filter does not say by which request metrics"]})


def test_other_servers_than_awss_are_not_read() -> None:
    found = services_of(("s3://archive/?endpoint_url=http://127.0.0.1:9", "parquet+s3://rollups/x?endpoint_url=http://127.0.0.1:9"), "all")
    assert (found.watched, [one.split(":")[0] for one in found.unwatched]) == ([], ["S3, archive", "S3, rollups"])
    found = services_of(["lambda://writer?endpoint_url=http://127.0.0.1:9&read=dynamodb://rollups"], "")
    assert (len(found.watched), found.unwatched) == (1, ["lambda://writer: its endpoint_url is not AWS's, and other servers' limits are not known"])


@pytest.mark.parametrize(
    ("url", "is_awss"),
    [
        ("", True),
        ("https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com", True),
        ("https://dynamodb.cn-north-1.amazonaws.com.cn", True),
        ("http://localhost:8000", False),
        ("https://amazonaws.com.example.org", False),
    ],
)
def test_an_endpoint_of_aws_is_told_by_its_name(url: str, is_awss: bool) -> None:
    assert is_aws(url) is is_awss


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--store", "parquet:///data/rollups"), "nothing that --store parquet:///data/rollups uses has a limit that others use too"),
        (("--store", "dynamodb://rollups", "--reserve", "half"), "'half' is neither a share such as 20% or 0.2 nor a number such as 200"),
        (("--store", "dynamodb://"), "the store URL dynamodb:// names no table"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["headroom", *options]) == 2
    assert told in capsys.readouterr().err
