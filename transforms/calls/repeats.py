"""Calls that were made again, counted for a run's report."""

import threading
from collections import Counter
from collections.abc import Mapping


class Repeats:
    """How many calls were repeated, by reason, since that was last asked; counted by any number of threads."""

    def __init__(self) -> None:
        """None so far."""
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()

    def add(self, reason: str, number: int = 1) -> None:
        """So many calls are about to be repeated."""
        if number:
            with self._lock:
                self._counted[reason] += number

    def taken(self) -> Mapping[str, int]:
        """What was counted; it begins anew."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
        return counted


def at(place: str, repeated: Mapping[str, int]) -> dict[str, int]:
    """What was counted, by place and reason: `dynamodb://rollups ThrottlingException`."""
    return {f"{place} {reason}": number for reason, number in repeated.items()}
