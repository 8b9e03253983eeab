"""How complete the archive looks, as plan and report tell it."""

import math
from collections.abc import Sequence
from typing import Any, Final

from transforms.core.coverage import Coverage, HourCoverage
from transforms.core.shard_gaps import ShardGap
from transforms.core.time import format_time

SHOWN_HOURS: Final = 10
SHOWN_GAPS: Final = 10


def coverage_data(hours: Sequence[HourCoverage]) -> dict[str, Any]:
    """How many hours were judged, the mean of their shares (null if none was), and those that look incomplete.

    `judged_by`: a plan has only seen the names of objects. Shares are rounded down: only what is whole is 1.
    """
    incomplete = [
        {"hour": format_time(one.start_s), "objects": one.objects, "unreadable": one.unreadable, "share": _floored(one.share, 4)}
        for one in hours
        if one.share < 1
    ]
    share = _floored(sum(one.share for one in hours) / len(hours), 6) if hours else None
    return {"hours": len(hours), "share": share, "judged_by": ["objects"], "incomplete": incomplete}


def read_coverage_data(coverage: Coverage) -> dict[str, Any]:
    """The same of an archive that was read, with what is missing of records and shards. `shards` is null if no record tells its shard."""
    data = coverage_data(coverage.hours)
    read = ("records", "dead_records", "shards", "lacking_shards")
    incomplete = [one for one in coverage.hours if one.share < 1]
    return data | {
        "judged_by": ["objects", "records", *(["shards"] if coverage.shards else [])],
        "incomplete": [told | {name: getattr(one, name) for name in read} for told, one in zip(data["incomplete"], incomplete, strict=True)],
        "shards": {"known": coverage.shards, "incomplete": list(map(_gap_data, coverage.gaps))} if coverage.shards else None,
    }


def _gap_data(gap: ShardGap) -> dict[str, Any]:
    return {
        "shard": gap.shard,
        "what": "ends early" if gap.next_us is None else "has a hole",
        "last_arrival": format_time(gap.last_us // 1_000_000),
        "next_arrival": None if gap.next_us is None else format_time(gap.next_us // 1_000_000),
        "missing_from": format_time(gap.from_s),
        "missing_to": format_time(gap.to_s),
        "after_sequence": gap.after_sequence,
        "until_sequence": gap.until_sequence,
    }


def _floored(share: float, digits: int) -> float:
    scale: int = 10**digits
    return min(math.floor(round(share * scale, 6)), scale - 1) / scale if share < 1 else 1.0


def coverage_lines(data: dict[str, Any]) -> list[str]:
    """The same for people: the first hours and shards that look incomplete, and how many there are."""
    if data["share"] is None:
        return ["coverage    unknown: no key shows a time"]
    number = len(data["incomplete"])
    said = (
        f"all {data['hours']} hours have their objects"
        if not number
        else f"{number} of {data['hours']} hours look incomplete, {_percent(data['share'])} is there:"
    )
    hours = [_hour_line(one) for one in data["incomplete"]]
    gaps = [_gap_line(one) for one in (data.get("shards") or {"incomplete": []})["incomplete"]]
    return [f"coverage    {said}", *_first(hours, SHOWN_HOURS), *_first(gaps, SHOWN_GAPS)]


def _first(lines: list[str], shown: int) -> list[str]:
    more = len(lines) - shown
    return [f"            {line}" for line in (*lines[:shown], *([f"and {more} more: see --json"] if more > 0 else []))]


def _hour_line(hour: dict[str, Any]) -> str:
    line = f"{hour['hour']} {_percent(hour['share'])}, {hour['objects']} objects, {hour['unreadable']} unreadable"
    if hour.get("dead_records"):
        line += f", {hour['dead_records']} of {hour['records']} records dead"
    if hour.get("lacking_shards"):
        line += f", {hour['lacking_shards']} of {hour['shards']} shards lack records"
    return line


def _gap_line(gap: dict[str, Any]) -> str:
    after = f" (sequence number {gap['after_sequence']})" if gap["after_sequence"] else ""
    if gap["next_arrival"] is None:
        return f"shard {gap['shard']} ends early: its last record arrived at {gap['last_arrival']}{after}, those of other shards until {gap['missing_to']}"
    until = f" (sequence number {gap['until_sequence']})" if gap["until_sequence"] else ""
    return f"shard {gap['shard']} has a hole: no record between {gap['last_arrival']}{after} and {gap['next_arrival']}{until}"


def _percent(share: float) -> str:
    """Rounded down, to a tenth of a percent."""
    return f"{_floored(share, 3) * 100:.1f}".removesuffix(".0") + "%"
