r"""What counts as a number, a time and a text in a posting: the grammar that the strict reader and the columnar path share.

JSON numbers arrive as float64 (the nearest one; integers too, however long). A string stands for a number if it is written exactly as

* a JSON number: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, or
* `nan`, `inf` or `infinity` in any case, with or without a sign,

and nothing else: ` 1`, `+1`, `01`, `1.`, `.5`, `1_0`, `0x1` and the empty string are not numbers.
"""

import math
import re
from typing import Final

import numpy as np
import numpy.typing as npt

Json = None | bool | float | str | list["Json"] | dict[str, "Json"]
"""A parsed JSON value. Numbers are always floats."""

TIME_FROM_S: Final = 946_684_800
"""2000-01-01T00:00:00Z, the first time a point or posting may have."""

TIME_TO_S: Final = 4_133_980_800
"""2101-01-01T00:00:00Z, exclusive: the year 2100 is the last."""

EXACT_BELOW: Final = 2.0**53
"""From this magnitude on float64 does not hold every integer; such values are kept and counted as inexact."""

ARRIVAL_WANTED: Final = "a time in seconds, milliseconds or microseconds between the years 2000 and 2100"
"""What an arrival is, for messages about what is none."""

_NUMERIC: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[-+]?(?:[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)")


def is_numeric(text: str) -> bool:
    """True if the text is a number by the grammar above."""
    return _NUMERIC.fullmatch(text) is not None


def number(value: Json) -> float | None:
    """The number that a JSON number or a numeric string stands for, possibly NaN or infinite; None for anything else."""
    if isinstance(value, float):
        return value
    return float(value) if isinstance(value, str) and is_numeric(value) else None


def time_s(value: Json) -> int | None:
    """A point's time floored to its second; None unless a number in the years 2000 to 2100."""
    seconds = number(value)
    return math.floor(seconds) if seconds is not None and TIME_FROM_S <= seconds < TIME_TO_S else None


def arrival_of(value: Json) -> int | None:
    """The microseconds of an arrival in seconds, milliseconds or microseconds, told apart by magnitude; None unless a number in the years 2000 to 2100.

    Rounded half to even after one float64 multiplication. The units can't be mistaken: the same number means the years 2000 to 2100 in one of them only.
    """
    measured = number(value)
    if measured is None:
        return None
    units = (scale for scale in (1_000_000, 1_000, 1) if TIME_FROM_S * (1_000_000 // scale) <= measured < TIME_TO_S * (1_000_000 // scale))
    return next((round(measured * scale) for scale in units), None)


def arrivals_of(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64] | None:
    """What `arrival_of` says of each of many numbers; None if it says None of any."""
    scale = np.where(values < TIME_TO_S, 1_000_000, np.where(values < TIME_TO_S * 1_000, 1_000, 1))
    per_s = 1_000_000 // scale
    if not ((values >= TIME_FROM_S * per_s) & (values < TIME_TO_S * per_s)).all():
        return None
    return np.rint(values * scale).astype(np.int64)


def is_text(text: str) -> bool:
    """True for Unicode scalar values: no lone surrogates, which also stand in for bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
