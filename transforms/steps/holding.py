"""What is wanted of a run while it runs, as a worker minds it: limits, a pause, an end in good order."""

from pathlib import Path

from transforms.calls.limits import Limits
from transforms.core.counts import RECORDS, Counts, count
from transforms.core.errors import Stopped
from transforms.core.throttle import PAUSED
from transforms.steps.ledger import Ledger

LOOK_S = 0.5


class Holding:
    """One run's wishes in a worker process, and how long its threads waited."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is read yet."""
        self.limits: Limits = ledger.limits()
        self._run: Path = ledger.path

    def begin(self) -> None:
        """Return when a group or unit may be begun: not while the run is paused. Raises Stopped if it was asked to end."""
        self.hold()
        if (wishes := self.limits.control.wishes()).stop:
            why = f" ({wishes.why})" if wishes.why else ""
            raise Stopped(f"the run {self._run.name!r} was asked to end{why}: what was begun is finished, nothing new begins")

    def hold(self) -> None:
        """Return when the run is not paused, or shall end."""
        waiting = self.limits.waiting
        while (wishes := self.limits.control.wishes()).pauses and not wishes.stop:
            began_s = waiting.clock()
            waiting.sleep(LOOK_S)
            self.limits.note("run", PAUSED, waiting.clock() - began_s)

    def count(self, counts: Counts) -> None:
        """Adds the milliseconds that threads waited since this was last asked, by service and cause."""
        for (service, cause), seconds in self.limits.waits().items():
            count(counts, f"throttled_ms.{service}.{cause}", RECORDS, round(seconds * 1000))
