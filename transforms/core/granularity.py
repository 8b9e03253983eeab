"""Granularities: names, widths, alignment to the UTC epoch."""

from typing import Final

import numpy as np
import numpy.typing as npt

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400

WIDTH_S: Final[dict[str, int]] = {"1m": MINUTE_S, "5m": 5 * MINUTE_S, "1h": HOUR_S}
"""Bucket width in seconds by granularity, finest first."""

GRANULARITIES: Final = tuple(WIDTH_S)

Range = tuple[int, int]
"""Half-open [from, to) in seconds since the UTC epoch."""


def within(times: npt.NDArray[np.signedinteger], ranges: tuple[Range, ...]) -> npt.NDArray[np.bool_]:
    """True where a time lies in one of the sorted, disjoint ranges of the same unit."""
    if len(ranges) == 1:
        found: npt.NDArray[np.bool_] = (times >= ranges[0][0]) & (times < ranges[0][1])
        return found
    edges = np.array([edge for one in ranges for edge in one], np.int64)
    return (np.searchsorted(edges, times, side="right") & 1).astype(bool)
