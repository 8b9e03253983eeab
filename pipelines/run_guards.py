"""A run under guard: caps in the limits that its processes share, pauses in its control file."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from configs.guarding import Guarded
from pipelines.guarding import guarding, guards_of
from pipelines.runtime import Runtime
from transforms.calls.control import ACCOUNT, Wishes
from transforms.calls.limits import Limits
from transforms.core.headroom import LimitAt
from transforms.steps.ledger import Ledger

PAUSED_BY: Final = "guard"


class RunCaps:
    """`pipelines.guarding.Caps` of a run."""

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        """Changes nothing yet."""
        self._ledger, self._limits = ledger, limits
        self._taken: dict[LimitAt, tuple[float, float]] = {}

    def set(self, limit: LimitAt, units: int, reason: str) -> None:  # noqa: ARG002 - the guard tells it
        """As the protocol says."""
        self._limits.cap(*limit, units)

    def lift(self, limit: LimitAt) -> None:
        """As the protocol says."""
        self._limits.cap(*limit, math.inf)

    def used(self, limits: Iterable[LimitAt]) -> Mapping[LimitAt, float]:
        """As the protocol says: by what all processes of the work dir took since."""
        now_s, before = self._limits.waiting.clock(), self._taken
        self._taken = {one: (now_s, self._limits.taken(*one)) for one in limits}
        since = {one: before[one] for one in self._taken if one in before and before[one][0] < now_s}
        return {one: max(0.0, self._taken[one][1] - taken) / (now_s - at_s) for one, (at_s, taken) in since.items()}

    def pause(self, reason: str) -> None:
        """As the protocol says."""
        self._ledger.wish(lambda wishes: replace(wishes, pauses={**wishes.pauses, PAUSED_BY: reason}))

    def resume(self, reason: str) -> None:  # noqa: ARG002 - the guard tells it
        """As the protocol says."""
        self._ledger.wish(lambda wishes: replace(wishes, pauses={who: why for who, why in wishes.pauses.items() if who != PAUSED_BY}))


@contextmanager
def guarded(asked: Guarded, places: Sequence[str], ledger: Ledger, runtime: Runtime) -> Iterator[None]:
    """The body works under the guards that are asked for. `places` are the URLs of what it reads and writes."""
    caps = RunCaps(ledger, runtime.limits)
    caps.resume("a run that was killed may have left it paused")
    ledger.wish(partial(_told, asked))
    with guarding(guards_of(asked, places, partial(_configured, ledger), caps, partial(runtime.tell, ledger)), runtime.clock):
        yield


def _told(asked: Guarded, wishes: Wishes) -> Wishes:
    """What is to be done about a full account, if that is said; a pause for it that a run left which was killed is over."""
    pauses = {who: why for who, why in wishes.pauses.items() if who != ACCOUNT}
    return replace(wishes, pauses=pauses, on_full=asked.on_account_throttle or wishes.on_full, hold_s=asked.account_hold_s or wishes.hold_s)


def _configured(ledger: Ledger) -> Mapping[str, int]:
    """Limits as they are asked for now: somebody may change them while the run works."""
    return ledger.wishes().rates.named()
