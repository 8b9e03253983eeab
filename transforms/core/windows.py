"""Store windows: the stretches of time into which a store's partitions cut it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from transforms.core.granularity import DAY_S, MINUTE_S, Range
from transforms.core.time import format_time


@dataclass(frozen=True)
class Windows:
    """Windows of so many UTC days, aligned to the epoch. A window is named by its first day, `2025-11-01`; its number counts from the epoch."""

    days: int = 1

    @property
    def width_s(self) -> int:
        """Seconds of a window."""
        return self.days * DAY_S

    @property
    def minutes(self) -> int:
        """Minutes of a window."""
        return self.width_s // MINUTE_S

    def name(self, number: int) -> str:
        """The window of a number."""
        return format_time(number * self.width_s)[:10]

    def touched_by(self, ranges: Iterable[Range]) -> tuple[str, ...]:
        """The windows that share a second with one of the ranges, sorted."""
        numbers = {number for from_s, to_s in ranges for number in range(from_s // self.width_s, -(-to_s // self.width_s))}
        return tuple(map(self.name, sorted(numbers)))

    def range_of(self, window: str) -> Range:
        """The times of a window."""
        from_s = int(datetime.fromisoformat(window).replace(tzinfo=UTC).timestamp())
        return from_s, from_s + self.width_s


DAILY: Final = Windows()
