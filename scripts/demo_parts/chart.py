"""A damaged series as SVG: what was stored before and after the repair, each over what was expected, with the minutes every bucket is made of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

Bucket = dict[str, Any]

WIDTH: Final = 1040
LEFT: Final = 64
RIGHT: Final = 8
PANEL: Final = 150
MINUTES: Final = 26
TITLE: Final = 26
GAP: Final = 22
AXIS: Final = 24
TICKS: Final = 4
_SIDES: Final = {"before": "Before the repair", "after": "After the repair"}


@dataclass(frozen=True)
class Scale:
    """Where times and values lie."""

    from_s: int
    to_s: int
    width_s: int
    low: float
    high: float

    @classmethod
    def of(cls, buckets: Sequence[Bucket], width_s: int) -> "Scale":
        """Room for every bucket and every average, expected or stored."""
        averages = [one[side]["avg"] for one in buckets for side in ("expected", *_SIDES) if one[side]["avg"] is not None]
        low, high = min(averages), max(averages)
        room = 0.06 * (high - low) or abs(high) or 1.0
        return cls(seconds(buckets[0]["bucket_start"]), seconds(buckets[-1]["bucket_start"]) + width_s, width_s, low - room, high + room)

    def x(self, time_s: float) -> float:
        """Distance from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (time_s - self.from_s) / (self.to_s - self.from_s)

    def middle(self, bucket: Bucket) -> float:
        """Where the middle of a bucket lies, from the left."""
        return self.x(seconds(bucket["bucket_start"]) + self.width_s / 2)

    def y(self, value: float) -> float:
        """Distance from the top of a panel."""
        return PANEL * (self.high - value) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values to name at the side."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / TICKS))
        step = next(step * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= TICKS + 1)
        return [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def seconds(moment: str) -> int:
    """Seconds since the epoch."""
    return int(datetime.fromisoformat(moment).timestamp())


def chart(buckets: Sequence[Bucket], width_s: int, affected: tuple[int, int], name: str) -> str:
    """The two panels, one over the other on one time axis. Every bucket has a title that tells its numbers."""
    scale = Scale.of(buckets, width_s)
    height = 2 * (TITLE + PANEL + MINUTES) + GAP + AXIS
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(_described(buckets, name), quote=True)}">',
        _panel(buckets, scale, affected, "before", 0),
        _panel(buckets, scale, affected, "after", TITLE + PANEL + MINUTES + GAP),
        *_hours(scale, height - AXIS),
        "</svg>",
    ]
    return "\n".join(parts)


def _described(buckets: Sequence[Bucket], name: str) -> str:
    told = [
        f"{side} the repair {_number(buckets, side, 'missing')} of {len(buckets)} are missing and {_number(buckets, side, 'wrong')} wrong" for side in _SIDES
    ]
    return f"5 minute averages of {name}: {'; '.join(told)}."


def _number(buckets: Sequence[Bucket], side: str, verdict: str) -> int:
    return sum(one[side]["verdict"] == verdict for one in buckets)


def _panel(buckets: Sequence[Bucket], scale: Scale, affected: tuple[int, int], side: str, top: int) -> str:
    counts = ", ".join(f"{_number(buckets, side, verdict)} {verdict}" for verdict in ("missing", "wrong", "right") if _number(buckets, side, verdict))
    left, right = scale.x(affected[0]), scale.x(affected[1])
    return "\n".join(
        (
            f'<g class="{side}" transform="translate(0 {top})">',
            f'<text class="panel" x="{LEFT}" y="14">{_SIDES[side]}: {counts}</text>',
            f'<g transform="translate(0 {TITLE})">',
            f'<rect class="affected" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{PANEL + MINUTES}"/>',
            *_grid(scale),
            *_missing(buckets, scale, side),
            f'<path class="expected" d="{_line([(scale.middle(one), scale.y(one["expected"]["avg"])) for one in buckets])}"/>',
            f'<path class="stored" d="{_stored_line(buckets, scale, side)}"/>',
            *_wrong(buckets, scale, side),
            *_minutes(buckets, scale, side),
            *_titles(buckets, scale, side),
            "</g></g>",
        )
    )


def _grid(scale: Scale) -> Iterator[str]:
    for value in scale.ticks():
        y = scale.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}">{_short(value)}</text>'
    yield f'<text class="tick" x="{LEFT - 8}" y="{PANEL + MINUTES - 4}">minutes</text>'


def _short(value: float) -> str:
    """`250`, `40 k`, `3.5 M`."""
    for least, factor, unit in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if abs(value) >= least:
            return f"{value / factor:,.6g}{unit}"
    return f"{value:,.6g}"


def _missing(buckets: Sequence[Bucket], scale: Scale, side: str) -> Iterator[str]:
    """A hatched band for every stretch of missing buckets."""
    start: Bucket | None = None
    for one in [*buckets, None]:
        missing = one is not None and one[side]["verdict"] == "missing"
        if missing and start is None:
            start = one
        elif not missing and start is not None:
            left = scale.x(seconds(start["bucket_start"]))
            right = scale.x(seconds(one["bucket_start"]) if one else scale.to_s)
            yield f'<rect class="missing" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{PANEL}"/>'
            start = None


def _stored_line(buckets: Sequence[Bucket], scale: Scale, side: str) -> str:
    """Broken where nothing is stored."""
    lines: list[list[tuple[float, float]]] = [[]]
    for one in buckets:
        if one[side]["avg"] is None:
            lines.append([])
        else:
            lines[-1].append((scale.middle(one), scale.y(one[side]["avg"])))
    return " ".join(_line(points) for points in lines if points)


def _line(points: Sequence[tuple[float, float]]) -> str:
    """A path; one point alone is a dot."""
    dots = points if len(points) > 1 else [*points, *points]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in dots)


def _wrong(buckets: Sequence[Bucket], scale: Scale, side: str) -> Iterator[str]:
    """A diamond on every wrong bucket."""
    for one in buckets:
        if one[side]["verdict"] in {"wrong", "extra"}:
            yield f'<path class="wrong" d="M{scale.middle(one):.1f} {scale.y(one[side]["avg"]) - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>'


def _minutes(buckets: Sequence[Bucket], scale: Scale, side: str) -> Iterator[str]:
    """A bar for every bucket: full where it has all its minutes."""
    whole = scale.width_s // 60
    width = scale.x(scale.width_s) - scale.x(0) - 1.2
    base = PANEL + MINUTES
    for one in buckets:
        height = (MINUTES - 6) * (one[side]["minutes"] or 0) / whole
        kind = "minutes" if one[side]["verdict"] == "right" else "minutes few"
        yield f'<rect class="{kind}" x="{scale.x(seconds(one["bucket_start"])) + 0.6:.1f}" y="{base - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    yield f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'


def _titles(buckets: Sequence[Bucket], scale: Scale, side: str) -> Iterator[str]:
    """An invisible column over every bucket, lit under the pointer, that tells its numbers."""
    width = scale.x(scale.width_s) - scale.x(0)
    for one in buckets:
        stored, expected = one[side], one["expected"]
        told = "nothing" if stored["avg"] is None else f"{stored['avg']!r} of {stored['minutes']} min"
        text = f"{one['bucket_start']}\nexpected {expected['avg']!r} of {expected['minutes']} min\nstored {told}: {stored['verdict']}"
        x = scale.x(seconds(one["bucket_start"]))
        yield f'<rect class="hit" x="{x:.1f}" y="0" width="{width:.1f}" height="{PANEL + MINUTES}"><title>{text}</title></rect>'


def _hours(scale: Scale, top: int) -> Iterator[str]:
    for hour_s in range(-(-scale.from_s // 3600) * 3600, scale.to_s, 3600):
        yield f'<text class="hour" x="{scale.x(hour_s):.1f}" y="{top + 16}">{hour_s // 3600 % 24:02d}:00</text>'
        yield f'<line class="base" x1="{scale.x(hour_s):.1f}" x2="{scale.x(hour_s):.1f}" y1="{top}" y2="{top + 4}"/>'
