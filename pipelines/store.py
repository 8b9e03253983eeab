"""`rollups store create`: makes what a store needs before it can be written."""

import json

from configs.jobs import StoreCreateJob
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime
from transforms.stores.creating import create_store, store_template


def run(job: StoreCreateJob, runtime: Runtime) -> Outcome:
    """Exit 0, also where all was there. With `--print-cloudformation` nothing is asked or made: the template is the result."""
    if job.print_cloudformation:
        template = store_template(job.store)
        return Outcome(exit_code=0, data=template, text=json.dumps(template, indent=2))
    done = create_store(job.store, runtime.wait)
    return Outcome(exit_code=0, data={"store": job.store, "done": done}, text="\n".join([*done, f"the store {job.store} is ready"]))


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("store")
