"""Values that look like metrics: a random walk per series that returns to its level."""

from collections.abc import Iterator, Sequence

import numpy as np

from scripts.archive_maker.senders import Sender


def random_walks(senders: Sequence[Sender], seed: int) -> Iterator[list[list[float]]]:
    """Without end, for each posting interval a list of values per sender, none negative, rounded to three decimals.

    Levels are spread over four powers of ten, those of loads and percentages from 1 to 60. All senders have equally many metrics.
    """
    random = np.random.default_rng([seed, 2])
    small = np.array([[name.startswith("loadavg") or name.endswith("percentage") for name in sender.names] for sender in senders])
    level = 10 ** (random.uniform(0, 1, small.shape) * np.where(small, 1.8, 4.0))
    value = level * random.uniform(0.5, 1.5, small.shape)
    while True:
        value = np.abs(value + 0.1 * (level - value) + 0.05 * level * random.standard_normal(small.shape))
        yield np.round(value, 3).tolist()
