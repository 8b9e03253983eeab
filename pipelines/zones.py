"""The time zone of dated folders, told by when their records arrived."""

from collections.abc import Sequence
from typing import Final

from transforms.core.granularity import HOUR_S, Range

_SLACK_S: Final = 300
"""Clocks of senders and of the archive may differ by this."""

_OFFSETS_H: Final = range(-12, 15)
"""Of all time zones of whole hours."""

_US: Final = 1_000_000


def zone_of(firsts: Sequence[tuple[int, Range]]) -> str | None:
    """The only zone of whole hours from UTC, such as `Etc/GMT-9` for UTC+9, in which every object's first record arrived when its key says.

    `firsts`: that arrival (µs) and the seconds that the key shows, read as UTC. None if that is UTC, no zone or one of several.
    """
    fitting = [offset_h for offset_h in _OFFSETS_H if all(_fits(first_us / _US + offset_h * HOUR_S, span) for first_us, span in firsts)]
    return f"Etc/GMT{-fitting[0]:+d}" if len(fitting) == 1 and fitting[0] else None


def _fits(local_s: float, span: Range) -> bool:
    return span[0] - _SLACK_S <= local_s < span[1] + _SLACK_S
