"""The tables of the page. Their numbers are the document's."""

from math import floor, log10

from scripts.demo_parts.markup import Cell, Group, element, number, table
from scripts.demo_parts.story import Document, summed

VERDICTS = ("right", "wrong", "missing")
TALLIES = ("equal", "changed", "added")
TERMS = ("points", "role_copies", "stored", "superseded", "outside", "dropped", "refused")
"""Of a run's balance of points."""

_SIDES = ("before", "after", "expected")
_BAD = {"wrong", "missing", "changed", "added"}
_DIGITS = 5


def hours_table(series: Document) -> str:
    """The hours of a series that were wrong or missing."""
    damaged = [one for one in series["buckets"]["1h"] if one["before"]["verdict"] != "right"]
    shape = _shape(max(abs(one["expected"]["avg"]) for one in damaged))
    rows = [
        (one["bucket_start"][:16].replace("T", " "), [cell for side in _SIDES for cell in _stored(one[side] | {"verdict": one[side].get("verdict")}, shape)])
        for one in damaged
    ]
    caption = "Its hours that were wrong or missing. An average of half the points looks fine; the number of minutes gives it away."
    return table("hours", caption, "hour, UTC", [Group(side, ("minutes", "average")) for side in _SIDES], rows)


def _shape(largest: float) -> str:
    """A format that shows the largest number with five digits, and all with equally many decimals."""
    return f",.{max(0, _DIGITS - 1 - floor(log10(largest)))}f" if largest else ",.1f"


def _stored(stored: Document, shape: str) -> list[Cell]:
    if stored["avg"] is None:
        return [Cell("missing", "bad", 2)]
    kind = {"right": "good", None: ""}.get(stored["verdict"], "bad")
    return [Cell(number(stored["minutes"]), kind), Cell(number(stored["avg"], shape), kind)]


def buckets_table(document: Document) -> str:
    """All buckets of the archive's days before and after, and between them what the run told of those that it computed."""
    before, after, run = document["before"], document["after"], document["run"]["buckets"]
    rows = [
        (f"{metric_type} {width}", _buckets(before[metric_type][width], run[metric_type][width], after[metric_type][width]))
        for metric_type in before
        for width in before[metric_type]
    ]
    tallies = [tally for of_type in run.values() for tally in of_type.values()]
    total = {name: sum(tally[name] for tally in tallies) for name in TALLIES}
    caption = "Before and after: every bucket of the archive's days. In the middle: the run's own report of the buckets that it computed."
    groups = [Group("in the store before", VERDICTS), Group("the run's report", (*TALLIES, "")), Group("in the store after", VERDICTS)]
    return table("buckets", caption, "buckets", groups, [*rows, ("all", _buckets(summed(before), total, summed(after)))])


def _buckets(before: dict[str, int], tally: dict[str, int], after: dict[str, int]) -> list[Cell]:
    return [*_numbers(before, VERDICTS), *_numbers(tally, TALLIES), Cell(_bar(tally)), *_numbers(after, VERDICTS)]


def _numbers(numbers: dict[str, int], names: tuple[str, ...]) -> list[Cell]:
    return [Cell(number(numbers[name]), "none" if not numbers[name] else "bad" if name in _BAD else "") for name in names]


def _bar(tally: dict[str, int]) -> str:
    parts = (element("i", class_=name, style=f"flex:{tally[name]}") for name in TALLIES if tally[name])
    return element("div", *parts, class_="bar", aria_hidden="true")


def points_table(run: Document) -> str:
    """The run's balance of points: what came in is what became of it."""
    rows = [
        (metric_type, [Cell(number(term(of_type, name)), "" if term(of_type, name) else "none") for name in TERMS])
        for metric_type, of_type in run["points"].items()
        if any(of_type.values())
    ]
    groups = [Group("came in", ("decoded", "role copies")), Group("went", ("stored", "superseded", "outside", "dropped", "refused"))]
    caption = (
        "The run's balance: what came in is what went. Superseded: by a later arrival for the same minute. Outside: of the computed buckets. Dropped: too late."
    )
    return table("points", caption, "points", groups, rows)


def term(of_type: dict[str, int], name: str) -> int:
    """A term of the balance; its reasons (`dropped.late`) are added up."""
    return sum(points for key, points in of_type.items() if key.split(".")[0] == name)
