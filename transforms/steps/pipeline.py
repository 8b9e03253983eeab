"""The PTransforms of the main job. They carry references and ordinals; the data stay in staging files."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import PCollection, coders
from apache_beam.metrics import Metrics
from apache_beam.transforms.util import WaitOn

from transforms.core.counts import total
from transforms.core.plan import Plan
from transforms.core.units import Unit
from transforms.steps.pool import Crew, at_work, map_ahead
from transforms.steps.staging import Slice
from transforms.steps.worker import Worker


class UnitBatch(NamedTuple):
    """Units `[first, first + size)` of a metric type, rolled up by one `process` call so that its threads overlap them."""

    metric_type: str
    first: int
    size: int


for _value in (Unit, UnitBatch, Slice):
    coders.registry.register_coder(_value, coders.RowCoder)


@dataclasses.dataclass
class NameGroups(beam.PTransform[Any, Any]):
    """The start of a pipeline → half-open ranges of the ordinals of so many groups, `size` each, on any worker. The pipeline carries their number only."""

    number: int
    size: int

    def expand(self, start: Any) -> PCollection[Any]:  # noqa: ANN401 - Beam has no type for it
        """Names are made from one element, and spread unless they are one."""
        named: PCollection[Any] = start | beam.Create([self.number]) | beam.FlatMap(group_batches, self.size).with_output_types(tuple[int, int])
        return named | beam.Reshuffle() if self.number > self.size else named


@dataclasses.dataclass
class NameUnits(beam.PTransform[Any, Any]):
    """The start of a pipeline → (UnitBatch, None) for all units of a metric type, on any worker. The pipeline carries their number only."""

    metric_type: str
    number: int
    size: int

    def expand(self, start: Any) -> PCollection[Any]:  # noqa: ANN401 - Beam has no type for it
        """Names are made from one element, and spread unless they are one."""
        names = beam.FlatMap(_keyed_batches, self.metric_type, self.size).with_output_types(tuple[UnitBatch, None])
        named: PCollection[Any] = start | beam.Create([self.number]) | names
        return named | beam.Reshuffle() if self.number > self.size else named


@dataclasses.dataclass
class StageGroups(beam.PTransform[Any, Any]):
    """Half-open ranges of group ordinals → (UnitBatch, Slice) for every slice of a unit without a record.

    Each group is fetched, decoded and written as its staging file; one that has a staging file is not fetched again. Units are batched by `batch_units`.
    """

    run_dir: str
    batch_units: int
    crew: Crew

    def expand(self, groups: PCollection[Any]) -> PCollection[Any]:
        """One ParDo."""
        stage = beam.ParDo(_StageGroups(self.run_dir, self.batch_units, self.crew))
        staged: PCollection[Any] = groups | stage.with_output_types(tuple[UnitBatch, Slice])
        return staged


@dataclasses.dataclass
class GroupByUnit(beam.PTransform[Any, Any]):
    """((UnitBatch, …) asked for, (UnitBatch, Slice)) → (UnitBatch, its slices) for every batch of the metric type, also those without any slice.

    `after`, if given, has ended before the first batch comes out.
    """

    metric_type: str
    after: PCollection[Any] | None = None

    def expand(self, inputs: Any) -> PCollection[Any]:  # noqa: ANN401 - Beam has no hint for several inputs and warns of any
        """The one shuffle of the job. What it carries is references, about a hundred bytes for each (unit, group)."""
        asked, slices = inputs
        of_type = slices | "Pick" >> beam.Filter(_is_of, self.metric_type)
        grouped: PCollection[Any] = {"asked": asked, "slices": of_type} | beam.CoGroupByKey()
        return grouped | WaitOn(self.after) if self.after is not None else grouped


@dataclasses.dataclass
class RollUpUnits(beam.PTransform[Any, Any]):
    """(UnitBatch, its slices) → Unit: rollups computed, upserted and noted in the ledger."""

    run_dir: str
    crew: Crew

    def expand(self, batches: PCollection[Any]) -> PCollection[Any]:
        """One ParDo."""
        units: PCollection[Any] = batches | beam.ParDo(_RollUpUnits(self.run_dir, self.crew)).with_output_types(Unit)
        return units


class _StageGroups(beam.DoFn):
    def __init__(self, run_dir: str, batch_units: int, crew: Crew) -> None:
        self._run_dir = run_dir
        self._batch_units = batch_units
        self._crew = crew
        self._points = Metrics.counter("rollups", "points_staged")
        self._throttled = Throttled()

    def setup(self) -> None:
        self._worker = Worker(self._run_dir)
        self._batches = batch_of_units(self._worker.plan, self._batch_units)

    def process(self, groups: tuple[int, int]) -> Iterator[tuple[UnitBatch, Slice]]:
        done = self._worker.ledger.recorded_units()
        with at_work(self._crew) as executor:
            for footer in map_ahead(executor, self._worker.stage, ((group,) for group in range(*groups)), self._crew.ahead):
                self._points.inc(total(footer.counts, "staged"))
                self._throttled.add(footer.counts)
                yield from ((self._batches[one.unit], one) for one in footer.slices if str(one.unit) not in done)


class _RollUpUnits(beam.DoFn):
    def __init__(self, run_dir: str, crew: Crew) -> None:
        self._run_dir = run_dir
        self._crew = crew
        self._units = Metrics.counter("rollups", "units_recorded")
        self._throttled = Throttled()

    def setup(self) -> None:
        self._worker = Worker(self._run_dir)

    def process(self, grouped: tuple[UnitBatch, Mapping[str, Iterable[Slice]]]) -> Iterator[Unit]:
        batch, inputs = grouped
        units = self._worker.plan.units(batch.metric_type)[batch.first : batch.first + batch.size]
        slices: dict[Unit, list[Slice]] = {unit: [] for unit in units}
        own = {unit: unit for unit in units}
        for one in inputs["slices"]:
            slices[one.unit].append(one._replace(unit=own[one.unit]))  # every decoded slice has strings of its own
        with at_work(self._crew) as executor:
            for record in map_ahead(executor, self._worker.roll_up, slices.items(), self._crew.ahead):
                if record:
                    self._units.inc()
                    self._throttled.add(record.counts)
                    yield record.unit


class Throttled:
    """Whole seconds spent throttled, under the name by which Dataflow knows not to add workers (`apache_beam.io.components.adaptive_throttler`).

    Counted on the processing thread: Beam does not see what other threads count.
    """

    def __init__(self) -> None:
        self._counter = Metrics.counter("rollups", "cumulativeThrottlingSeconds")
        self._rest_ms = 0

    def add(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Adds what a group or unit counted; what is left of a second counts later."""
        seconds, self._rest_ms = divmod(self._rest_ms + total(counts, "throttled_ms"), 1000)
        if seconds:
            self._counter.inc(seconds)


def group_batches(groups: int, size: int) -> list[tuple[int, int]]:
    """Ordinals of all groups in half-open ranges of `size`."""
    return [(first, min(groups, first + size)) for first in range(0, groups, size)]


def _keyed_batches(units: int, metric_type: str, size: int) -> list[tuple[UnitBatch, None]]:
    return [(one, None) for one in unit_batches(metric_type, units, size)]


def unit_batches(metric_type: str, units: int, size: int) -> list[UnitBatch]:
    """All units of a type in batches of `size`."""
    return [UnitBatch(metric_type, first, min(size, units - first)) for first in range(0, units, size)]


def batch_of_units(plan: Plan, size: int) -> dict[Unit, UnitBatch]:
    """The batch of every unit that the run plans."""
    found = {}
    for metric_type in plan.request.metric_types:
        units = plan.units(metric_type)
        found.update({unit: batch for batch in unit_batches(metric_type, len(units), size) for unit in units[batch.first : batch.first + batch.size]})
    return found


def _is_of(slice_of_batch: tuple[UnitBatch, Slice], metric_type: str) -> bool:
    return slice_of_batch[0].metric_type == metric_type
