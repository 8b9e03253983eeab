"""The PTransform of runs from store to store. Elements are references to units; rows are read and written inside it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import PCollection
from apache_beam.metrics import Metrics
from apache_beam.transforms.util import WaitOn

from transforms.core.units import Unit
from transforms.steps.pipeline import Throttled, UnitBatch
from transforms.steps.pool import Crew, at_work, map_ahead
from transforms.steps.transferring import TransferWorker


@dataclasses.dataclass
class TransferUnits(beam.PTransform[Any, Any]):
    """UnitBatch → Unit: stored rows of the source read, recalculated or copied as planned, upserted and noted in the ledger.

    `after`, if given, has ended before the first batch is worked on.
    """

    run_dir: str
    crew: Crew
    after: PCollection[Any] | None = None

    def expand(self, batches: PCollection[Any]) -> PCollection[Any]:
        """One ParDo; nothing is shuffled."""
        waited = batches | WaitOn(self.after) if self.after is not None else batches
        units: PCollection[Any] = waited | beam.ParDo(_TransferUnits(self.run_dir, self.crew)).with_output_types(Unit)
        return units


class _TransferUnits(beam.DoFn):
    def __init__(self, run_dir: str, crew: Crew) -> None:
        self._run_dir = run_dir
        self._crew = crew
        self._units = Metrics.counter("rollups", "units_recorded")
        self._throttled = Throttled()

    def setup(self) -> None:
        self._worker = TransferWorker(self._run_dir)

    def process(self, batch: UnitBatch) -> Iterator[Unit]:
        units = self._worker.plan.units(batch.metric_type)[batch.first : batch.first + batch.size]
        with at_work(self._crew) as executor:
            for record in map_ahead(executor, self._worker.work, ((unit,) for unit in units), self._crew.ahead):
                if record:
                    self._units.inc()
                    self._throttled.add(record.counts)
                    yield record.unit
