"""What is left to the live writer that works beside a run (DESIGN §4.6)."""

from typing import Final, Literal

from transforms.core.granularity import DAY_S, HOUR_S, MINUTE_S, Range
from transforms.core.time import LAST_S, format_time

LiveRule = Literal["any", "settled", "recent"]
"""Which buckets a run may write into a store: all; those the live writer has settled; those it still holds."""

SETTLED_S: Final = DAY_S + HOUR_S
"""A live writer moves a bucket on within a day of its end; an hour more is for its delays."""


def left_to_live_writer(rule: LiveRule, now_s: int) -> tuple[Range, ...]:
    """Buckets that overlap these times are not written: they end after `now - 24 h - 1 h`, or in a hot tier (`recent`, 1m only) do not."""
    settled_s = now_s - SETTLED_S
    if rule == "settled":
        return ((settled_s, LAST_S),)
    return ((0, settled_s // MINUTE_S * MINUTE_S),) if rule == "recent" else ()


def left_text(left: tuple[Range, ...]) -> str:
    """Which buckets these times leave to the live writer, for people; empty if none."""
    if not left:
        return ""
    from_s, to_s = left[0]
    return f"those that end at {format_time(to_s)} or before" if to_s < LAST_S else f"those that end after {format_time(from_s)}"
