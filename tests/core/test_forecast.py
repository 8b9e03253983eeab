"""How long limits make a run take, against a pacer that runs by its own clock; and the load of a plan."""

import math

import pytest

from transforms.core.forecast import PROCESSORS, binding, of_objects, seconds_by_limit
from transforms.core.limits import Rates, beginning
from transforms.core.throttle import Ramp, alone
from transforms.core.usage import NOTHING, Usage


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(("units", "limit_per_s"), [(30, 8), (20, 100), (700, 100), (5_000, 100), (30_000, 400)])
def test_the_forecast_is_what_a_pacer_takes(units: int, limit_per_s: int) -> None:
    clock = Clock()
    pacer = alone(limit_per_s, clock, clock.wait, Ramp(first=beginning(limit_per_s), double_s=15.0))
    for _ in range(units):
        pacer.answered(1.0, pacer.take())
    told = seconds_by_limit(Usage(s3_get=units), Rates(s3_get_per_s=limit_per_s, ramp_double_s=15))
    assert told == {"s3-get-per-s": pytest.approx(clock.now_s, rel=0.05, abs=0.2)}


def test_only_what_is_used_and_limited_takes_time() -> None:
    assert seconds_by_limit(NOTHING, Rates()) == {}
    used = Usage(s3_get=1, s3_bytes=1e9, lambda_invoke=2, dynamodb_wru=3, dynamodb_rru=4, s3_list=5, s3_put=6)
    assert sorted(seconds_by_limit(used, Rates())) == [
        "dynamodb-rru-per-s",
        "dynamodb-wru-per-s",
        "lambda-invoke-per-s",
        "s3-get-per-s",
        "s3-list-per-s",
        "s3-put-per-s",
    ]
    assert "bytes-per-s" in seconds_by_limit(used, Rates(bytes_per_s=1_000_000))


def test_after_the_ramp_the_rate_is_95_percent_of_the_limit() -> None:
    first, second = (seconds_by_limit(Usage(dynamodb_wru=units), Rates(dynamodb_wru_per_s=1_000))["dynamodb-wru-per-s"] for units in (1e6, 2e6))
    assert second - first == pytest.approx(1e6 / 950)
    assert math.isfinite(first)


def test_what_binds_is_what_takes_longest() -> None:
    assert binding(10.0, {}) == (PROCESSORS, 10.0)
    assert binding(10.0, {"a": 9.0}) == (PROCESSORS, 10.0)
    assert binding(10.0, {"a": 11.0, "b": 12.0}) == ("b", 12.0)


def test_objects_are_read_once() -> None:
    assert of_objects(3, 700) == Usage(s3_get=3, s3_bytes=700)
