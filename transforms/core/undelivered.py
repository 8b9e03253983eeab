"""Dead letters of the write side: rollups that a writer did not take, however often and in however small batches they were sent."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from transforms.core.errors import IncompleteError
from transforms.core.time import format_time
from transforms.core.units import Unit


class WriteDeadLetter(NamedTuple):
    """Buckets of one item of a store that were not written, by their starts in seconds, and why."""

    unit: Unit
    granularity: str
    series: tuple[str, str, str, str]
    buckets: tuple[int, ...]
    cause: str

    def to_data(self) -> dict[str, Any]:
        """For a line of JSON."""
        named = dict(zip(("org", "entity", "name", "labels"), self.series, strict=True))
        about = {"unit": str(self.unit), "metric_type": self.unit.metric_type, **named, "granularity": self.granularity}
        return {**about, "buckets": [format_time(one) for one in self.buckets], "cause": self.cause}


class Undelivered(IncompleteError):
    """A writer did not take some rollups of a unit; all others of it are written. Sent again, they may be taken."""

    retryable = False

    def __init__(self, message: str, letters: Sequence[WriteDeadLetter] = ()) -> None:
        """Keep the dead letters for the run directory."""
        super().__init__(message)
        self.letters = tuple(letters)
