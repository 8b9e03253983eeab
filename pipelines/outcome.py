"""What a command answers, and how numbers are written for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transforms.core.granularity import DAY_S, HOUR_S, MINUTE_S


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a command: the same facts as text and as data for `--json`. Text is empty where the command wrote its result itself."""

    exit_code: int
    text: str
    data: Any = None


def human_bytes(number: float) -> str:
    """`152.4 MB`; decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def human_number(number: float) -> str:
    """`1,234,567`."""
    return f"{number:,.0f}"


def human_duration(seconds: float) -> str:
    """`41 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    for width, unit, finer, finer_unit in ((DAY_S, "d", HOUR_S, "h"), (HOUR_S, "h", MINUTE_S, "min"), (MINUTE_S, "min", 1, "s")):
        if whole >= width:
            rest = whole % width // finer
            return f"{whole // width} {unit}" + (f" {rest} {finer_unit}" if rest else "")
    return f"{whole} s"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns under their heads: texts set left, numbers right."""
    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    widths = [max(map(len, (name, *cells))) for name, cells in zip(head, columns, strict=True)]
    rights = [bool(cells) and all(cell.rstrip("%").replace(",", "").isdigit() for cell in cells) for cells in columns]
    return "\n".join(_line(line, widths, rights) for line in (head, *rows))


def _line(cells: tuple[str, ...], widths: Sequence[int], rights: Sequence[bool]) -> str:
    return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(cells, widths, rights, strict=True)).rstrip()
