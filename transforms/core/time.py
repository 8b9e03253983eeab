"""Times and periods as integers in UTC, and their text forms.

A period is half-open, [from, to), in seconds since the UTC epoch. Nothing here reads a clock: the present is an argument.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from transforms.core.errors import UsageError
from transforms.core.granularity import DAY_S, HOUR_S, MINUTE_S, Range

_RELATIVE: Final = re.compile(r"([+-])(\d+)([smhdw])")
_DURATION: Final = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S: Final = 0
LAST_S: Final = 253_370_764_800
_UNIT_S: Final = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}


def parse_time(text: str, now_s: int) -> int:
    """Seconds since the epoch of `2025-10-30T00:00+09:00`, `2025-11-01T00:00Z`, `now` or `-24h` (s, m, h, d, w; before or after `now_s`).

    Raises UsageError for a time without an offset, with a fraction of a second, or of another form.
    """
    if text == "now":
        return now_s
    if relative := _RELATIVE.fullmatch(text):
        sign, number, unit = relative.groups()
        return now_s + int(sign + number) * _UNIT_S[unit]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no time: write it like 2025-11-01T00:00Z, 2025-11-01T09:00+09:00, -24h or now"
        raise UsageError(msg) from None
    if moment.tzinfo is None:
        msg = f"the time {text!r} has no offset: write {text}Z for UTC or, for example, {text}+09:00"
        if "T" not in text:
            msg = f"the time {text!r} has no offset: write {text}T00:00Z for UTC or, for example, {text}T00:00+09:00"
        raise UsageError(msg)
    if moment.microsecond:
        msg = f"the time {text!r} has a fraction of a second: periods are in whole seconds"
        raise UsageError(msg)
    return (moment - _EPOCH) // timedelta(seconds=1)


def parse_duration(text: str) -> int:
    """Seconds of an ISO 8601 duration of weeks, days, hours, minutes and seconds, such as `PT6H` or `P1DT12H`."""
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        msg = f"{text!r} is no duration: write it like PT6H, P1D or P1DT30M (years and months have no fixed length)"
        raise UsageError(msg)
    return sum(int(number or 0) * width for number, width in zip(match.groups(), (7 * DAY_S, DAY_S, HOUR_S, MINUTE_S, 1), strict=True))


def parse_period(text: str, now_s: int) -> Range:
    """The half-open period of `FROM/TO`, `FROM/DURATION` or `DURATION/TO`.

    Raises UsageError when it is empty, reversed or of another form.
    """
    start, slash, end = text.partition("/")
    if not slash or "/" in end:
        msg = f"the period {text!r} is not FROM/TO: write it like 2025-11-01T00:00Z/2025-11-02T00:00Z, 2025-11-01T00:00Z/PT6H or -24h/now"
        raise UsageError(msg)
    if start.startswith("P"):
        to_s = parse_time(end, now_s)
        from_s = to_s - parse_duration(start)
    else:
        from_s = parse_time(start, now_s)
        to_s = from_s + parse_duration(end) if end.startswith("P") else parse_time(end, now_s)
    if not (from_s >= _FIRST_S and to_s <= LAST_S):
        msg = f"the period {text!r} leaves the years 1970 to 9998: ask for times in which there are metrics"
        raise UsageError(msg)
    if from_s >= to_s:
        what = "empty" if from_s == to_s else "reversed"
        msg = f"the period {text!r} is {what}: it goes from {format_time(from_s)} to {format_time(to_s)}, and TO (exclusive) must be later than FROM"
        raise UsageError(msg)
    return from_s, to_s


def unite(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same times as sorted, disjoint ranges; ranges that touch or overlap become one."""
    united: list[Range] = []
    for from_s, to_s in sorted(ranges):
        if united and from_s <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], to_s)
        else:
            united.append((from_s, to_s))
    return tuple(united)


def format_time(time_s: int) -> str:
    """`2025-11-01T00:05:00Z`."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_period(period: Range) -> str:
    """`2025-11-01T00:00:00Z/2025-11-01T06:00:00Z`."""
    return f"{format_time(period[0])}/{format_time(period[1])}"
