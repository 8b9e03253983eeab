"""What the demo says in the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.outcome import human_number, table
from scripts.demo_parts.comparison import Counts
from scripts.demo_parts.story import Document, summed

_VERDICTS = ("right", "wrong", "missing")


class Terminal:
    """Numbered steps with their durations; lines below a step are indented."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Says the title, then what the body says, then how long it took."""
        self._number += 1
        started = self._clock()
        self._say(f"\n{self._number}  {title}")
        yield
        self.say(f"({self._clock() - started:.1f} s)")

    def say(self, text: str) -> None:
        """Lines below a step."""
        for line in text.splitlines():
            self._say(f"   {line}".rstrip())


def buckets_text(before: Counts, after: Counts) -> str:
    """How many buckets were and are right, wrong and missing."""
    names = [(metric_type, granularity) for metric_type in before for granularity in before[metric_type]]
    rows = [_row(f"{one} {width}", before[one][width], after[one][width]) for one, width in names]
    head = ("", *(f"{side}: {verdict}" if verdict == "right" else verdict for side in ("before", "after") for verdict in _VERDICTS))
    return table(head, [*rows, _row("all", summed(before), summed(after))])


def _row(name: str, before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    return (name, *(human_number(side[verdict]) for side in (before, after) for verdict in _VERDICTS))


def hours_text(series: Document) -> str:
    """The damaged hours of a series."""
    rows = [
        (one["bucket_start"], *(text for side in ("before", "after") for text in _stored(one[side])), *_stored(one["expected"]))
        for one in series["buckets"]["1h"]
        if one["before"]["verdict"] != "right"
    ]
    head = (series["text"] + ", 1h", *(text for side in ("before", "after", "expected") for text in ("minutes", f"avg {side}")))
    return table(head, rows)


def _stored(stored: Document) -> tuple[str, str]:
    return ("-", "missing") if stored["avg"] is None else (str(stored["minutes"]), f"{stored['avg']:.6g}")
