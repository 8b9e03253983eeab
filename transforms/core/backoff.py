"""How long to wait before a call is repeated. Pure: the waiting, the clock and the randomness are the caller's."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter: before the n-th repetition any time up to `first_s` times 2^(n - 1), at most `most_s`, is waited.

    A call is made `attempts` times in all. Full jitter spreads clients that failed together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    first_s: float = 0.2
    most_s: float = 20.0
    attempts: int = 10

    def delay_s(self, failed: int, random: float) -> float | None:
        """The wait after so many failed attempts, `random` in [0, 1); None if there shall be no further one."""
        if failed >= self.attempts:
            return None
        return random * min(self.most_s, self.first_s * 2.0 ** (failed - 1))
