"""How complete the archive looks, as plan and report tell it."""

from collections.abc import Sequence
from typing import Any, Final

from transforms.core.coverage import HourCoverage
from transforms.core.time import format_time

SHOWN_HOURS: Final = 10


def coverage_data(hours: Sequence[HourCoverage]) -> dict[str, Any]:
    """How many hours were judged, the mean of their shares (null if none was), and those that look incomplete."""
    incomplete = [
        {"hour": format_time(one.start_s), "objects": one.objects, "unreadable": one.unreadable, "share": round(one.share, 4)} for one in hours if one.share < 1
    ]
    share = round(sum(one.share for one in hours) / len(hours), 6) if hours else None
    return {"hours": len(hours), "share": share, "incomplete": incomplete}


def coverage_lines(data: dict[str, Any]) -> list[str]:
    """The same for people: the first hours that look incomplete, and how many there are."""
    if data["share"] is None:
        return ["coverage    unknown: no key shows a time"]
    first = [
        f"            {one['hour']} {one['share']:.0%}, {one['objects']} objects, {one['unreadable']} unreadable" for one in data["incomplete"][:SHOWN_HOURS]
    ]
    more = len(data["incomplete"]) - len(first)
    rest = [f"            and {more} more: see --json"] if more else []
    number = len(data["incomplete"])
    said = (
        f"all {data['hours']} hours have their objects" if not number else f"{number} of {data['hours']} hours look incomplete, {data['share']:.1%} is there:"
    )
    return [f"coverage    {said}", *first, *rest]
