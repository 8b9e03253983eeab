"""A `Gate` that keeps calls under a rate."""

from dataclasses import dataclass

from transforms.core.throttle import Pacer


@dataclass(frozen=True)
class PacedGate:
    """Each attempt takes its units of the pacer's limit."""

    pacer: Pacer
    units: float = 1.0

    def enter(self) -> None:
        """As the protocol says."""
        self.pacer.take(self.units)

    def refused(self, _reason: str) -> None:
        """As the protocol says."""
        self.pacer.refused()
