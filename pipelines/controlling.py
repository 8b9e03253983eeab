"""What a run is told while it runs: written into its directory, and minded by all its workers within seconds."""

import getpass
import socket
from collections.abc import Callable

from configs.jobs import ControlJob
from pipelines.outcome import Outcome
from pipelines.runs import state_of
from pipelines.runtime import Runtime
from transforms.calls.control import Wishes
from transforms.core.time import format_time

USER = "user"
"""Under which a user's pause stands, beside those of guards."""


def tell(job: ControlJob, runtime: Runtime, told: str, change: Callable[[Wishes, str], Wishes], text: Callable[[Wishes, str], str]) -> Outcome:
    """Exit 0: the wish is written, and stays until another one is, also when the run is taken up again. Of a run that has ended nothing is wanted any more.

    `change` is given by whom and when it was wished, `text` the wishes and the run's state.
    """
    ledger = runtime.ledger(job.work_dir, job.run_id)
    ledger.any_plan()
    state = state_of(ledger)
    if ledger.report():
        return Outcome(exit_code=0, data={"run_id": job.run_id, "state": state}, text=f"run {job.run_id} has ended: {state}")
    now_s, who = runtime.now_s(), f"{getpass.getuser()}@{socket.gethostname()}"
    wishes = ledger.wish(lambda wishes: change(wishes, f"{who} at {format_time(now_s)}"))
    ledger.log(now_s, f"{told} by {who}")
    data = {"run_id": job.run_id, "state": state, "pauses": dict(wishes.pauses), "limits": wishes.rates.named()}
    return Outcome(exit_code=0, data=data, text=text(wishes, state))
