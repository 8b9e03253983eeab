"""Waits between attempts."""

import pytest

from transforms.core.backoff import Backoff


@pytest.mark.parametrize(
    ("failed", "random", "delay_s"), [(1, 0.5, 0.1), (2, 0.5, 0.2), (3, 0.25, 0.2), (4, 0.0, 0.0), (5, 0.5, 0.5), (6, 0.5, 0.5), (7, 0.5, None)]
)
def test_waits_double_up_to_the_longest_and_end(failed: int, random: float, delay_s: float | None) -> None:
    assert Backoff(first_s=0.2, most_s=1.0, attempts=7).delay_s(failed, random) == delay_s


def test_one_attempt_is_never_repeated() -> None:
    assert Backoff(attempts=1).delay_s(1, 0.5) is None
