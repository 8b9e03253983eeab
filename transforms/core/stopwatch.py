"""Where a worker's time goes: seconds by step."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

Clock = Callable[[], float]
Steps = dict[str, dict[str, float]]
"""Step → `wall_s` and `cpu_s`."""

STEPS: Final = ("fetch", "decode", "select", "slice", "read slices", "roll up", "upsert", "read back")
"""In the order of the data's way: the first four of a read group, the others of a unit."""


@dataclass
class Stopwatch:
    """Adds up wall and CPU seconds of the thread that uses it, step by step; steps do not lie within each other."""

    wall_s: Clock = time.perf_counter
    cpu_s: Clock = time.thread_time
    steps: Steps = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Counts what is done in this context under `name`, unless it ends with an error."""
        wall_s, cpu_s = self.wall_s(), self.cpu_s()
        yield
        _add(self.steps, name, self.wall_s() - wall_s, self.cpu_s() - cpu_s)


def add_steps(parts: Iterable[Mapping[str, Mapping[str, float]]]) -> Steps:
    """The sum of the parts, in the order of STEPS."""
    sums: Steps = {}
    for part in parts:
        for name, seconds in part.items():
            _add(sums, name, seconds["wall_s"], seconds["cpu_s"])
    return {name: sums[name] for name in sorted(sums, key=STEPS.index)}


def _add(steps: Steps, name: str, wall_s: float, cpu_s: float) -> None:
    of_step = steps.setdefault(name, {"wall_s": 0.0, "cpu_s": 0.0})
    of_step["wall_s"] += wall_s
    of_step["cpu_s"] += cpu_s
