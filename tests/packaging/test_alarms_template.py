"""The template of standing alarms: valid, and about the metrics that a run's guard reads."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.archive.s3_servers import aws_environment
from tests.calls.cloudwatch_stand_in import cloudwatch
from transforms.calls.live_use import BucketUse, LambdaUse, TableUse
from transforms.core.headroom import DEFAULT_RESERVE

TEMPLATE = Path(__file__).parents[2] / "configs" / "alarms.yaml"

Metric = tuple[str, str, str, tuple[str, ...]]
"""Namespace, name, statistic, names of the dimensions."""


class Loader(yaml.SafeLoader):
    """Short forms such as !Ref are taken as their text."""


Loader.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)  # noqa: S506 - a safe loader
    return found


@pytest.mark.slow
def test_cfn_lint_finds_nothing() -> None:
    ended = subprocess.run([Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", TEMPLATE], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def alarmed(properties: Mapping[str, Any]) -> Iterator[Metric]:
    """The metrics of an alarm."""
    for one in properties.get("Metrics", ()):
        if "MetricStat" in one:
            metric = one["MetricStat"]["Metric"]
            assert one["MetricStat"]["Period"] == 60
            yield metric["Namespace"], metric["MetricName"], one["MetricStat"]["Stat"], tuple(at["Name"] for at in metric.get("Dimensions", ()))
    if "MetricName" in properties:
        assert properties["Period"] == 60
        yield properties["Namespace"], properties["MetricName"], properties["Statistic"], tuple(at["Name"] for at in properties["Dimensions"])


def test_alarms_are_about_what_a_run_reads(template: dict[str, Any]) -> None:
    with cloudwatch() as stand_in, aws_environment(AWS_ENDPOINT_URL_CLOUDWATCH=stand_in.url, AWS_ENDPOINT_URL="http://127.0.0.1:9"):
        for watched in (LambdaUse(), TableUse("rollups"), BucketUse("archive", "EntireBucket", ["s3-get-per-s"])):
            watched.read(1_762_000_000.0)
    asked = [query["MetricStat"] for request in stand_in.requests for query in request["MetricDataQueries"]]
    metrics = [(one["Metric"], one["Stat"]) for one in asked]
    read = {(one["Namespace"], one["MetricName"], stat, tuple(at["Name"] for at in one["Dimensions"])) for one, stat in metrics}
    found = {name: list(alarmed(one["Properties"])) for name, one in template["Resources"].items()}
    assert {metric for by_alarm in found.values() for metric in by_alarm} <= read
    assert {name: [metric[1] for metric in by_alarm] for name, by_alarm in found.items()} == {
        "LambdaConcurrency": ["ClaimedAccountConcurrency"],
        "S3Errors": ["5xxErrors"],
        "WriteThrottles": ["WriteThrottleEvents"],
        "ReadThrottles": ["ReadThrottleEvents"],
    }


def test_lambdas_alarm_begins_where_the_default_reserve_does(template: dict[str, Any]) -> None:
    assert template["Parameters"]["LambdaPercent"]["Default"] == 100 - 100 * DEFAULT_RESERVE.share


def test_a_service_that_is_silent_is_no_alarm(template: dict[str, Any]) -> None:
    assert {one["Properties"]["TreatMissingData"] for one in template["Resources"].values()} == {"notBreaching"}
