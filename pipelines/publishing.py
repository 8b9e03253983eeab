"""Shows a run's figures to the team's own dashboards while it works. Nobody who takes them can hold up the run, or end it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from configs.publishing import Published
from pipelines.figures import Figures, figures_of, use_of
from pipelines.progress import Watch
from pipelines.runtime import Runtime
from transforms.core.errors import RollupsError
from transforms.core.transfer import AnyPlan
from transforms.steps.ledger import Ledger

LAST_S: Final = 8.0
"""So long the end of a run waits for its last figures to be taken."""


@dataclass
class Ending:
    """What a run ended with, which its body says."""

    exit_code: int | None = None


@contextmanager
def publishing(
    asked: Published,
    ledger: Ledger,
    runtime: Runtime,
    figures: Callable[[], Figures],
    new_event: Callable[[], threading.Event] = threading.Event,
) -> Iterator[Ending]:
    """While the body works, its run's figures are told every ten seconds on a thread of their own, and once more when it has ended, with the exit code."""
    ending, ended = Ending(), new_event()
    thread = threading.Thread(target=_tell_until, args=(ended, ending, asked, ledger, runtime, figures), daemon=True)
    if asked != Published():
        thread.start()
    try:
        yield ending
    except RollupsError as error:
        ending.exit_code = error.exit_code
        raise
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join(LAST_S)


def _tell_until(ended: threading.Event, ending: Ending, asked: Published, ledger: Ledger, runtime: Runtime, figures: Callable[[], Figures]) -> None:
    """Again and again, the last time when the body has ended."""
    from pipelines.metric_families import Moment  # a run that tells nobody does not wait for these
    from pipelines.metric_places import EVERY_S, Publisher, places_of

    publisher, is_running = Publisher(places_of(asked), partial(runtime.tell, ledger)), True
    while is_running:
        is_running = not ended.wait(EVERY_S)
        at = Moment(run_id=ledger.path.name, now_s=runtime.clock(), is_running=is_running, exit_code=ending.exit_code)
        publisher.publish(at, figures(), use_of(ledger))


def shown(asked: Published, ledger: Ledger, plan: AnyPlan, runtime: Runtime) -> AbstractContextManager[Ending]:
    """`publishing` the progress of a run that has an end."""
    watch = Watch(ledger, plan, runtime.clock())
    return publishing(asked, ledger, runtime, lambda: figures_of(watch, runtime.clock()))
