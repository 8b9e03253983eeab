"""Seconds by step, with clocks that tick as told."""

import json

import pytest

from transforms.core.stopwatch import STEPS, Stopwatch, add_steps


def test_each_step_adds_up_wall_and_cpu_seconds() -> None:
    watch = Stopwatch(wall_s=iter([0.0, 1.0, 10.0, 12.0, 20.0, 24.0]).__next__, cpu_s=iter([0.0, 0.5, 1.0, 1.25, 2.0, 2.125]).__next__)
    for name in ("fetch", "decode", "fetch"):
        with watch.step(name):
            pass
    assert watch.steps == {"fetch": {"wall_s": 5.0, "cpu_s": 0.625}, "decode": {"wall_s": 2.0, "cpu_s": 0.25}}


def test_a_step_that_ends_with_an_error_is_not_counted() -> None:
    watch = Stopwatch(wall_s=iter([0.0]).__next__, cpu_s=iter([0.0]).__next__)
    with pytest.raises(ZeroDivisionError), watch.step("decode"):
        1 / 0  # noqa: B018
    assert watch.steps == {}


def test_sums_stand_in_the_order_of_the_way() -> None:
    parts = [{name: {"wall_s": 1.0, "cpu_s": 0.5}} for name in reversed(STEPS)] + [{"decode": {"wall_s": 2.0, "cpu_s": 0.25}}]
    sums = add_steps(json.loads(json.dumps(parts)))
    assert tuple(sums) == STEPS
    assert sums["decode"] == {"wall_s": 3.0, "cpu_s": 0.75}
    assert sums["upsert"] == {"wall_s": 1.0, "cpu_s": 0.5}
    assert add_steps([]) == {}
