"""The one Beam job: its graph, its coders, its order, and what is done when steps are repeated."""

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.testing.util import assert_that, equal_to

from pipelines.backfill import build
from tests.builders import DAY_START_S, NOON_S, host_record, plan_of, request_of, service_record, write_archive
from tests.pipelines.worlds import World
from transforms.archive.local import LocalArchive
from transforms.core.accounts import UnitRecord
from transforms.core.manifest import ArchiveObject
from transforms.core.units import Unit
from transforms.steps import pipeline as steps
from transforms.steps.ledger import Ledger
from transforms.steps.pipeline import GroupByUnit, UnitBatch, batch_of_units, group_batches, unit_batches
from transforms.steps.pool import Crew
from transforms.steps.staging import Footer, Slice, read_footer, read_slice
from transforms.steps.worker import Worker
from transforms.stores import open_store

ALL = 1 << 31
T = DAY_START_S
SERVICE, HOST_0, HOST_1 = Unit("service", "2025-11-01", 0), Unit("host", "2025-11-01", 0), Unit("host", "2025-11-01", 1)


def local(*more: str) -> PipelineOptions:
    return PipelineOptions(["--runner", "FnApiRunner", *more])


def graph(**changes: Any) -> Any:
    """The proto of the job of a plan."""
    pipeline = beam.Pipeline(options=local())
    build(pipeline, plan_of(**changes), "/nowhere", batch=ALL, crew=Crew(2))
    return pipeline.to_runner_api()


# --- the graph --------------------------------------------------------------------------------------------------------


def test_a_job_of_a_million_objects_is_no_larger_than_one_of_ten() -> None:
    """What is planned is in the run directory; the pipeline carries numbers."""
    sizes = []
    for objects in (10, 1_000_000):
        pipeline = beam.Pipeline(options=local())
        build(pipeline, replace(plan_of(), groups=tuple((number, 1) for number in range(objects))), "/nowhere", batch=1, crew=Crew(2))
        sizes.append(len(pipeline.to_runner_api().SerializeToString()))
    assert sizes[1] < 100_000
    assert abs(sizes[1] - sizes[0]) < 1_000  # names of objects in memory


def test_the_job_reads_like_a_table_of_contents() -> None:
    proto = graph()
    components = proto.components
    names = {one.unique_name for one in components.transforms.values()}
    (root,) = proto.root_transform_ids
    ordered = [components.transforms[key].unique_name for key in components.transforms[root].subtransforms]
    assert ordered == [
        "Name groups",
        "Stage groups",
        "Name service units",
        "Group by service unit",
        "Roll up service units",
        "Name host units",
        "Group by host unit",
        "Roll up host units",
    ]
    assert {name for name in names if name.count("/") == 1 and not name.startswith("Name")} == {
        "Stage groups/ParDo(_StageGroups)",
        "Group by service unit/Pick",
        "Group by service unit/CoGroupByKey",
        "Roll up service units/ParDo(_RollUpUnits)",
        "Group by host unit/Pick",
        "Group by host unit/CoGroupByKey",
        "Group by host unit/WaitOn",
        "Roll up host units/ParDo(_RollUpUnits)",
    }


def shuffles(proto: Any) -> list[str]:
    urn = common_urns.primitives.GROUP_BY_KEY.urn
    return sorted(one.unique_name for one in proto.components.transforms.values() if one.spec.urn == urn)


def test_every_type_is_shuffled_once_and_waits_for_the_one_before() -> None:
    types = ("host", "role", "service")
    found = shuffles(graph(request=request_of(metric_types=types), shards={name: {"2025-11-01": 1} for name in types}))
    assert found == [
        "Group by host unit/CoGroupByKey/CoGroupByKeyImpl/GroupByKey",
        "Group by role unit/CoGroupByKey/CoGroupByKeyImpl/GroupByKey",
        "Group by role unit/WaitOn/WaitOn0/GroupByKey",
        "Group by service unit/CoGroupByKey/CoGroupByKeyImpl/GroupByKey",
        "Group by service unit/WaitOn/WaitOn0/GroupByKey",
    ]


def test_a_runner_has_to_know_portable_steps_only() -> None:
    """Python of ours is in the payloads of ParDos; a step that hands on what it gets is none for a runner."""
    pipeline = beam.Pipeline(options=local())
    build(pipeline, plan_of(), "/nowhere", batch=1, crew=Crew(2))
    leaves = [one for one in pipeline.to_runner_api().components.transforms.values() if not one.subtransforms]
    working = {one.spec.urn for one in leaves if not {*one.outputs.values()} <= {*one.inputs.values()}}
    primitives = common_urns.primitives
    assert working == {primitives.IMPULSE.urn, primitives.PAR_DO.urn, primitives.FLATTEN.urn, primitives.GROUP_BY_KEY.urn}


def test_building_the_job_warns_of_nothing(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    with caplog.at_level(logging.WARNING):
        graph()
    assert [one.getMessage() for one in caplog.records] == []
    assert [str(one.message) for one in recwarn] == []


# --- coders -----------------------------------------------------------------------------------------------------------

VALUES = [
    Unit("host", "2025-11-01", 12),
    UnitBatch("role", 0, ALL),
    UnitBatch("service", 7, 1),
    Slice(Unit("labeled", "2025-10-31", 0), 1_000_000, 65_535, 1 << 40),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_elements_have_a_row_coder_that_is_registered_and_deterministic(value: Any) -> None:
    coder = coders.registry.get_coder(type(value))
    assert isinstance(coder, coders.RowCoder)
    assert coder.is_deterministic()
    assert coder.as_deterministic_coder("here") is coder
    decoded = coder.decode(coder.encode(value))
    assert decoded == value
    assert coder.encode(type(value)(*value)) == coder.encode(value)


def test_units_are_grouped_by_the_bytes_of_that_coder() -> None:
    """Not by a pickle of them, whose bytes are nobody's promise."""
    components = graph().components
    keys = {}
    for one in components.transforms.values():
        if one.spec.urn == common_urns.primitives.GROUP_BY_KEY.urn and "WaitOn" not in one.unique_name:
            (source,) = one.inputs.values()
            key_coder = components.coders[components.pcollections[source].coder_id].component_coder_ids[0]
            keys[one.unique_name.partition("/")[0]] = components.coders[key_coder].spec.urn
    assert keys == {"Group by service unit": common_urns.coders.ROW.urn, "Group by host unit": common_urns.coders.ROW.urn}


# --- batches ----------------------------------------------------------------------------------------------------------


def test_groups_are_named_in_batches() -> None:
    assert group_batches(5, 2) == [(0, 2), (2, 4), (4, 5)]
    assert group_batches(3, ALL) == [(0, 3)]
    assert group_batches(0, ALL) == []


def test_units_are_named_in_batches() -> None:
    assert unit_batches("host", 5, 2) == [UnitBatch("host", 0, 2), UnitBatch("host", 2, 2), UnitBatch("host", 4, 1)]
    assert unit_batches("host", 3, ALL) == [UnitBatch("host", 0, 3)]
    assert unit_batches("host", 0, 1) == []


def test_every_unit_of_the_plan_is_in_one_batch() -> None:
    assert batch_of_units(plan_of(), 1) == {SERVICE: UnitBatch("service", 0, 1), HOST_0: UnitBatch("host", 0, 1), HOST_1: UnitBatch("host", 1, 1)}
    assert batch_of_units(plan_of(), ALL) == {SERVICE: UnitBatch("service", 0, 1), HOST_0: UnitBatch("host", 0, 2), HOST_1: UnitBatch("host", 0, 2)}


# --- grouping ---------------------------------------------------------------------------------------------------------


def as_lists(grouped: tuple[UnitBatch, dict[str, Iterable[Any]]]) -> tuple[UnitBatch, list[Slice]]:
    batch, inputs = grouped
    return batch, sorted(inputs["slices"])


def test_batches_come_with_their_slices_also_those_without_any() -> None:
    from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline

    first, second = UnitBatch("host", 0, 1), UnitBatch("host", 1, 1)
    slices = [(first, Slice(HOST_0, group, group + 1, 5)) for group in (2, 0, 1)] + [(UnitBatch("service", 0, 1), Slice(SERVICE, 0, 0, 9))]
    with _TestPipeline(options=local()) as pipeline:
        asked = pipeline | "asked" >> beam.Create([(first, None), (second, None)])
        staged = pipeline | "staged" >> beam.Create(slices).with_output_types(tuple[UnitBatch, Slice])
        grouped = (asked, staged) | GroupByUnit("host") | beam.Map(as_lists)
        assert_that(grouped, equal_to([(first, [Slice(HOST_0, group, group + 1, 5) for group in range(3)]), (second, [])]))


# --- runs -------------------------------------------------------------------------------------------------------------

OBJECTS = {
    f"2025/11/01/0{hour}/posts-1-2025-11-01-0{hour}-00-0{part}-x.gz": [
        host_record(
            f"h{number}", T + hour * 3_600 + 61, [("cpu", T + hour * 3_600, hour + number + 10 * part), ("cpu", T + hour * 3_600 + 60, 0.1)], roles=["web:app"]
        )
        for number in range(3)
    ]
    + [service_record("shop", T + hour * 3_600 + 61, [("orders", T + hour * 3_600 + part, part)]), b"{broken\n"]
    for hour in range(3)
    for part in range(2)
}


def world_at(folder: Path) -> World:
    """A world whose objects are the same to the second."""
    world = World(folder, types="host,service,role")
    write_archive(world.archive, OBJECTS)
    for key in OBJECTS:
        os.utime(world.archive / key, (T, T))
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_at(tmp_path)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run leaves in which nothing is repeated."""
    world = world_at(tmp_path_factory.mktemp("reference"))
    ledger = planned(world)
    run(ledger)
    return state(ledger, world)


PERIOD = "2025-11-01T00:00Z/PT3H"


def planned(world: World, run_id: str = "r1") -> Ledger:
    result = world.plan("--run-id", run_id, period=PERIOD, now_s=T + 90_000)
    assert result.code == 0, result.err
    ledger = Ledger(str(world.run_dir(run_id)))
    store = open_store(f"parquet://{world.store}")
    for metric_type, by_window in ledger.plan().shards.items():
        for window, shards in by_window.items():
            store.open_partition(metric_type, window, shards)
    return ledger


def run(ledger: Ledger, *more: str, batch: int = ALL) -> None:
    pipeline = beam.Pipeline(options=local(*more))
    build(pipeline, ledger.plan(), str(ledger.path), batch=batch, crew=Crew(2))
    pipeline.run().wait_until_finish()


def state(ledger: Ledger, world: World) -> dict[str, Any]:
    """All that a run left, but for the time at which each unit was finished and the time that steps took."""
    plan = ledger.plan()
    records = {str(unit): ledger.recorded(unit) for unit in plan.all_units()}
    return {
        "staging": {group: staged(ledger.staging_file(group)) for group in sorted(ledger.staged())},
        "records": {name: None if one is None else one.to_data() | {"finished_s": 0, "steps": {}} for name, one in records.items()},
        "store": world.stored(),
    }


def staged(path: Path) -> tuple[Footer, list[Any]]:
    footer = read_footer(path)
    return replace(footer, steps={}), [read_slice(path, one.offset).to_pylist() for one in footer.slices]


def test_a_run_stages_every_group_and_records_every_unit(reference: dict[str, Any]) -> None:
    assert sorted(reference["staging"]) == [0, 1, 2, 3, 4, 5]
    assert {name: one["counts"]["stored"] for name, one in reference["records"].items()} == {
        "host-2025-11-01-0000": {"host": 18},
        "service-2025-11-01-0000": {"service": 3},
        "role-2025-11-01-0000": {"role": 18},
    }


def test_repeated_bundles_leave_the_same_ledger_and_store(world: World, reference: dict[str, Any]) -> None:
    ledger = planned(world)
    run(ledger, "--direct_runner_bundle_repeat=1")
    assert state(ledger, world) == reference
    run(ledger, "--direct_runner_bundle_repeat=1")
    assert state(ledger, world) == reference, "and a finished run is left as it is"


def test_one_unit_an_element_leaves_the_same_as_all_in_one(world: World, reference: dict[str, Any]) -> None:
    """As clusters get it."""
    ledger = planned(world)
    run(ledger, batch=1)
    assert state(ledger, world) == reference


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each object was read."""
    found: Counter[str] = Counter()
    read, guard = LocalArchive.read, threading.Lock()

    def counted(self: LocalArchive, one: ArchiveObject, first_bytes: int | None = None) -> bytes:
        with guard:
            found[one.key] += 1
        return read(self, one, first_bytes)

    monkeypatch.setattr(LocalArchive, "read", counted)
    return found


def test_a_staged_group_is_not_fetched_again_however_often_bundles_are_repeated(world: World, opened: Counter[str]) -> None:
    ledger = planned(world)
    opened.clear()
    run(ledger, "--direct_runner_bundle_repeat=2")
    assert opened == dict.fromkeys(OBJECTS, 1)
    opened.clear()
    for unit in ledger.plan().all_units():
        ledger.record_file(str(unit)).unlink()
    run(ledger)
    assert not opened
    assert len(ledger.recorded_units()) == 3


def test_types_are_restored_one_after_the_other_in_the_order_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    stage, roll_up = Worker.stage, Worker.roll_up

    def staging(self: Worker, group: int) -> Any:
        footer = stage(self, group)
        seen.append(("staged", ""))
        return footer

    def rolling_up(self: Worker, unit: Unit, slices: Iterable[Slice]) -> UnitRecord:
        seen.append(("begun", unit.metric_type))
        record = roll_up(self, unit, slices)
        seen.append(("done", unit.metric_type))
        return record

    monkeypatch.setattr(Worker, "stage", staging)
    monkeypatch.setattr(Worker, "roll_up", rolling_up)
    run(planned(world), batch=1)
    assert [one for one in seen if one[0] != "staged"] == [(what, name) for name in ("host", "service", "role") for what in ("begun", "done")]
    assert [what for what, _ in seen].index("begun") == 6, "no unit is rolled up before all groups are staged"


def test_slices_that_come_twice_or_in_another_order_roll_up_the_same(world: World, reference: dict[str, Any]) -> None:
    """Part 1 of every hour has the arrivals of part 0 and other values, so the later object wins the ties."""
    ledger = planned(world)
    worker = Worker(str(ledger.path))
    slices = [one for group in range(6) for one in worker.stage(group).slices]
    for unit in ledger.plan().all_units():
        of_unit = [one for one in slices if one.unit == unit]
        assert len(of_unit) > 2
        worker.roll_up(unit, [*reversed(of_unit), *of_unit[1:]])
    assert state(ledger, world) == reference
    assert world.column("cpu", entity="h2") == {T + hour * 3_600 + after - NOON_S: value for hour in range(3) for after, value in ((0, hour + 12.0), (60, 0.1))}


def test_units_that_are_recorded_are_passed_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = planned(world)
    run(ledger)
    merged: list[str] = []
    upsert = Worker._merge

    def noted(self: Worker, unit: Unit, tables: Any) -> Any:
        merged.append(str(unit))
        return upsert(self, unit, tables)

    monkeypatch.setattr(Worker, "_merge", noted)
    ledger.record_file("service-2025-11-01-0000").unlink()
    run(ledger)
    assert merged == ["service-2025-11-01-0000"]


def test_a_damaged_staging_file_is_staged_again_when_the_run_is_resumed(world: World, reference: dict[str, Any]) -> None:
    """As its error message promises."""
    ledger = planned(world)
    run(ledger)
    path = ledger.staging_file(2)
    path.write_bytes(path.read_bytes()[:-20])
    for unit in ledger.plan().all_units():
        ledger.record_file(str(unit)).unlink()
    result = world.execute("r1", "--max-dead-letters", "100")
    assert result.code == 0, result.err
    assert world.stored() == reference["store"]


def test_no_step_of_ours_is_left_untested() -> None:
    """A new PTransform belongs into the tests above."""
    ours = {
        name for name, value in vars(steps).items() if isinstance(value, type) and issubclass(value, beam.PTransform) and value.__module__ == steps.__name__
    }
    assert ours == {"NameGroups", "NameUnits", "StageGroups", "GroupByUnit", "RollUpUnits"}
