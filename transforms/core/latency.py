"""Whether a service answers more slowly than it did: it slows down before it refuses."""

import threading
from dataclasses import dataclass, field
from typing import Final

WEIGHT: Final = 0.1
"""Of a new answer in the moving average."""

GROWN: Final = 4.0
GROWN_BY_S: Final = 0.05
"""Grown is an average of so many times the lowest that was seen, and so much more."""

LEAST_ANSWERS: Final = 20
"""No average is trusted before so many answers."""

FORGET: Final = 1.01
"""By which the lowest average rises with every answer: what was long ago says nothing."""


RAISED: Final = 2.0
"""By which it rises when there shall be fewer calls: if that does not help after a few times, it is how fast the service is now."""


@dataclass
class Latency:
    """The moving average of the seconds until a service answers, and the lowest that it was."""

    average_s: float = 0.0
    lowest_s: float = 0.0
    answers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def has_grown(self, seconds: float) -> bool:
        """Note an answer. Whether the average has grown so much that there should be fewer calls; it begins anew then."""
        with self._lock:
            self.answers += 1
            self.average_s += (seconds - self.average_s) * max(WEIGHT, 1 / self.answers)
            if self.answers < LEAST_ANSWERS:
                return False
            self.lowest_s = min(self.lowest_s * FORGET or self.average_s, self.average_s)
            if self.average_s <= GROWN * self.lowest_s + GROWN_BY_S:
                return False
            self.answers, self.average_s, self.lowest_s = 0, 0.0, RAISED * self.lowest_s
            return True
