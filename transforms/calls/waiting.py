"""How calls wait. Nothing of AWS here: who makes no calls to it does not wait for its client."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from transforms.core.backoff import Backoff

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Clock, sleep, randomness and voice of the calls, and their patience."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    say: Callable[[str], None] = _log.warning
    backoff: Backoff = field(default_factory=Backoff)
