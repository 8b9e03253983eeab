"""The points of a read group as columns, while they are gathered and until they are cut into slices."""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from transforms.core.model import Floats, Ints

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PointColumns:
    """Points by (identity, name), both numbers of the group's registry, in the order of their position; `minute` counts from the epoch.

    The columns that may be None are those of `Points`; `histogram` has places in the group's histograms, -1 where a point is none. Where all of a group's
    points are gauges these columns are not there.
    """

    identity: Numbers
    name: Numbers
    minute: Numbers
    arrival_us: Ints
    value: Floats
    start_us: Ints | None = None
    time_us: Ints | None = None
    histogram: Ints | None = None

    def take(self, at: npt.NDArray[np.generic]) -> "PointColumns":
        """The points at these positions or under this mask."""
        more = (None if column is None else column[at] for column in (self.start_us, self.time_us, self.histogram))
        return PointColumns(self.identity[at], self.name[at], self.minute[at], self.arrival_us[at], self.value[at], *more)


COLUMNS: Final = tuple(one.name for one in fields(PointColumns))
_TYPES: Final = {name: np.int32 if name in {"identity", "name", "minute"} else np.float64 if name == "value" else np.int64 for name in COLUMNS}
_ABSENT: Final = {"start_us": 0, "time_us": 0, "histogram": -1}
"""What points have in these columns that came without them: gauges."""


def concatenated(parts: list[PointColumns]) -> PointColumns:
    """All parts as one, taken out of the list. Column after column: what is done is freed, so that not everything is there twice."""
    filled = [part for part in parts if len(part.value)]
    sizes = [len(part.value) for part in filled]
    parts.clear()
    columns = [[getattr(part, name) for part in filled] for name in COLUMNS]
    filled.clear()
    return PointColumns(*(_joined(name, columns.pop(0), sizes) for name in COLUMNS))


def _joined(name: str, chunks: list[Any], sizes: list[int]) -> Any:  # noqa: ANN401 - columns of three types
    if name in _ABSENT:
        if all(one is None for one in chunks):
            return None
        chunks = [np.full(size, _ABSENT[name], np.int64) if one is None else one for one, size in zip(chunks, sizes, strict=True)]
    return np.concatenate(chunks) if chunks else np.zeros(0, _TYPES[name])
