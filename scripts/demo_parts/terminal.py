"""What the demo says in the terminal."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pipelines.outcome import human_number, table
from scripts.demo_parts.comparison import Counts
from scripts.demo_parts.story import Document, summed

_VERDICTS: Final = ("right", "wrong", "missing")


class Terminal:
    """Numbered steps with their results and durations; lines below a step are indented."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`say` prints a line."""
        self._say, self._clock = say, clock
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Says the title, then what the body says, then the results that it put into the list, and how long it took."""
        self._number += 1
        started = self._clock()
        self._say(f"\n{self._number}  {title}")
        results: list[str] = []
        yield results
        self.say(" · ".join([*results, f"{self._clock() - started:.1f} s"]))

    def say(self, text: str) -> None:
        """Lines below a step."""
        for line in text.split("\n"):
            self._say(f"   {line}".rstrip())


def buckets_text(before: Counts, after: Counts) -> str:
    """How many buckets were and are right, wrong and missing."""
    rows = [(f"{one} {width}", *_numbers(before[one][width], after[one][width])) for one in before for width in before[one]]
    rows.append(("all", *_numbers(summed(before), summed(after))))
    return _grouped(("before", "after"), ("buckets", *_VERDICTS, *_VERDICTS), rows)


def _numbers(*sides: dict[str, int]) -> tuple[str, ...]:
    return tuple(human_number(side[verdict]) for side in sides for verdict in _VERDICTS)


def hours_text(series: Document) -> str:
    """The damaged hours of a series."""
    sides = ("before", "after", "expected")
    damaged = (one for one in series["buckets"]["1h"] if one["before"]["verdict"] != "right")
    rows = [(one["bucket_start"], *(text for side in sides for text in _stored(one[side]))) for one in damaged]
    return f"{series['text']}\n" + _grouped(sides, ("1h", *("minutes", "avg") * 3), rows)


def _stored(stored: Document) -> tuple[str, str]:
    return ("-", "missing") if stored["avg"] is None else (str(stored["minutes"]), f"{stored['avg']:.6g}")


def _grouped(groups: Sequence[str], head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table with a title over each group of its columns, but the first."""
    wide = (len(head) - 1) // len(groups)
    text = table(head, [tuple(f" {cell}" if place % wide == 1 else cell for place, cell in enumerate(row)) for row in rows])
    line, at, titles = text.partition("\n")[0], 0, ""
    for title in groups:
        at = line.index(head[1], at) + 1
        titles = titles.ljust(at - 1) + title
    return f"{titles}\n{text}"
