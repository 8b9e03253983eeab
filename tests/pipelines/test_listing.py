"""Listing an archive for a plan: what is kept, what is counted, how it is told."""

import io
from collections.abc import Iterator, Mapping, Sequence

import pytest

from pipelines.listing import list_archive, say_retries
from pipelines.runtime import Runtime
from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE
from transforms.core.manifest import ArchiveObject

T = 1_761_955_200
"""2025-11-01T00:00:00Z."""

HOUR = 3600


class Told:
    """A terminal or a log, and a clock that goes on 10 s at each look."""

    def __init__(self, *, terminal: bool) -> None:
        self.said: list[str] = []
        self.shown: list[str] = []
        self.now_s = 0.0
        self.runtime = Runtime(
            clock=self.clock,
            wait=lambda _: None,
            say=self.said.append,
            show=self.shown.append,
            ask=lambda _: False,
            out=io.BytesIO(),
            terminal=terminal,
            environ={},
        )

    def clock(self) -> float:
        self.now_s += 10
        return self.now_s


class Listing:
    """An archive of so many objects an hour."""

    ahead = 0

    def __init__(self, hours: int, per_hour: int) -> None:
        self._keys = [f"2025/11/01/{hour:02d}/{number}" for hour in range(hours) for number in range(per_hour)]
        self.asked: list[Sequence[Range] | None] = []

    def objects(self, times: Sequence[Range] | None = None) -> Iterator[ArchiveObject]:
        self.asked.append(times)
        return (ArchiveObject(key, 1, "e", 0) for key in [*self._keys, "untimed"])

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        raise AssertionError(planned, first_bytes)

    def retried(self) -> Mapping[str, int]:
        return {"SlowDown": 3, "connection": 1} if self.asked else {}


def test_what_is_read_is_kept_and_the_rest_counted() -> None:
    archive, told = Listing(5, 2), Told(terminal=True)
    listed = list_archive(archive, FIREHOSE, [(T + HOUR, T + 2 * HOUR)], told.runtime)
    assert [one.key for one in listed.manifest.objects] == ["2025/11/01/01/0", "2025/11/01/01/1", "untimed"]
    assert (listed.objects, listed.span) == (11, (T, T + 4 * HOUR))
    assert archive.asked == [[(T + HOUR, T + 2 * HOUR)]]


@pytest.mark.parametrize(("terminal", "said"), [(True, 0), (False, 2)])
def test_how_far_it_is_is_shown_on_a_terminal_and_said_now_and_then_elsewhere(terminal: bool, said: int) -> None:
    """The clock is looked at with every thousandth object, and once more when it is time."""
    told = Told(terminal=terminal)
    list_archive(Listing(8, 1_000), FIREHOSE, [(T, T + HOUR)], told.runtime)
    assert told.shown == [f"listing: {number},000 objects, at 2025/11/01/{number - 1:02d}/999" for number in range(1, 9)] + [""]
    assert len(told.said) == said
    assert set(told.said) <= set(told.shown)


def test_repeated_calls_are_said() -> None:
    archive, told = Listing(0, 0), Told(terminal=False)
    say_retries(archive, told.runtime)
    list_archive(archive, FIREHOSE, [(T, T + HOUR)], told.runtime)
    say_retries(archive, told.runtime)
    assert told.said == ["calls to the archive that were repeated: SlowDown 3, connection 1"]
