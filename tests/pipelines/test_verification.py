"""Reading back what was written, and finding what somebody changed since."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import NOON_S
from tests.pipelines.worlds import Result, World, gauge, key, service_gauge
from transforms.core.live import SETTLED_S
from transforms.core.model import ROLLUP_SCHEMA
from transforms.stores.backend import Traits
from transforms.stores.parquet import ParquetFolder

DAY_AFTER_S = NOON_S + 86_400 + SETTLED_S


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, types="service,host")
    world.put(key(NOON_S), gauge("cpu", [1.0, 2.0, 3.0]), gauge("cpu", [5.0], host="h2"), service_gauge("orders", {0: 7.0}))
    return world


def verification(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = result.data["verification"]
    return {name: value for name, value in found.items() if name not in ("differences", "changes_since")}


def test_the_first_unit_of_each_type_is_read_back_unless_told_otherwise(world: World) -> None:
    result = world.backfill("--run-id", "r1")
    assert result.code == 0
    counted = {"units": 2, "of_units": 2, "buckets": 11, "different": 0, "rechecked": 11, "changed_since": 0}
    assert verification(result) == {"mode": "sample"} | counted
    assert verification(world.backfill("--run-id", "r2", "--verify", "full")) == {"mode": "full"} | counted
    none = world.backfill("--run-id", "r3", "--verify", "none")
    assert none.code == 0
    assert verification(none) == {"mode": "none", **dict.fromkeys(counted, 0), "of_units": 2}


def test_one_unit_in_a_hundred_is_a_sample(world: World) -> None:
    assert world.plan("--run-id", "r1").code == 0
    from transforms.steps.ledger import Ledger

    plan = Ledger(str(world.run_dir("r1"))).plan()
    many = replace(plan, shards={name: {"2025-11-01": 250} for name in plan.shards})
    assert sorted(one.shard for one in many.verified_units() if one.metric_type == "host") == [0, 100, 200]
    assert len(replace(many, request=replace(plan.request, verify="full")).verified_units()) == 500
    assert not replace(many, request=replace(plan.request, verify="full", dry_run=True)).verified_units()


def test_a_store_that_loses_a_row_is_found_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    replacing = ParquetFolder._written

    def losing(self: ParquetFolder, unit: Any, granularity: str, table: pa.Table, run_id: str) -> Callable[[], None]:
        return replacing(self, unit, granularity, table.slice(1) if granularity == "1m" and unit.metric_type == "host" else table, run_id)

    monkeypatch.setattr(ParquetFolder, "_written", losing)
    result = world.backfill("--run-id", "r1")
    assert result.code == 4
    assert result.data["state"] == "differences found"
    (lost,) = result.data["verification"]["differences"]
    assert (lost["entity"], lost["granularity"], lost["bucket_start"], lost["stored_minutes"]) == ("h1", "1m", "2025-11-01T12:00:00Z", 0)
    assert result.data["verification"]["changed_since"] == 1
    assert world.backfill("--run-id", "r1").code == 4, "a run that has ended says the same again"


def rewrite(world: World, change: Callable[[pa.Table], pa.Table]) -> None:
    (path,) = world.store.glob("metric_type=host/granularity=1m/*/*.parquet")
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def as_live(table: pa.Table) -> pa.Table:
    """The second row as a live writer without generations leaves it."""
    generation, average = (table[name].to_pylist() for name in ("generation", "avg"))
    generation[1], average[1] = None, 99.0
    for name, values in (("generation", generation), ("avg", average)):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return table


def test_a_recheck_lists_what_a_live_writer_overwrote(world: World) -> None:
    assert world.backfill("--run-id", "r1").code == 0
    checked = world.command("status", "r1", "--recheck")
    assert (checked.code, checked.data["rechecked"], checked.data["changed_since"]) == (0, 11, 0)
    rewrite(world, as_live)
    checked = world.command("status", "r1", "--recheck")
    assert (checked.code, checked.data["rechecked"], checked.data["changed_since"]) == (4, 11, 1)
    (one,) = checked.data["changes_since"]
    named = [one[name] for name in ("metric_type", "entity", "name", "granularity", "bucket_start", "stored_minutes", "stored_avg")]
    assert named == ["host", "h1", "cpu", "1m", "2025-11-01T12:01:00Z", 1, 99.0]


def test_a_recheck_lists_what_is_gone_and_not_what_a_later_run_repaired(world: World) -> None:
    assert world.backfill("--run-id", "r1").code == 0
    world.put(key(NOON_S + 600), gauge("cpu", [4.0, 4.0], at=600))
    assert world.backfill("--run-id", "r2").code == 0
    assert world.command("status", "r1", "--recheck").code == 0
    rewrite(world, lambda table: table.slice(0, 1))
    checked = world.command("status", "r1", "--recheck")
    assert checked.code == 4
    assert [(one["entity"], one["bucket_start"][11:16], one["stored_minutes"]) for one in checked.data["changes_since"]] == [
        ("h1", "12:01", 0),
        ("h1", "12:02", 0),
        ("h2", "12:00", 0),
    ]


def test_a_recheck_reads_the_columns_that_tell_versions_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.backfill("--run-id", "r1", "--verify", "none").code == 0
    reading, asked = ParquetFolder.read, []

    def noting(self: ParquetFolder, unit: Any, granularity: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
        asked.append((unit.metric_type, granularity, tuple(columns)))
        return reading(self, unit, granularity, columns)

    monkeypatch.setattr(ParquetFolder, "read", noting)
    assert world.command("status", "r1", "--recheck").code == 0
    names = ("org", "entity", "name", "labels", "kind", "bucket_start", "minutes", "avg", "generation")
    assert sorted({one[2] for one in asked}) == [names]
    assert sorted(one[:2] for one in asked) == [(metric_type, granularity) for metric_type in ("host", "service") for granularity in ("1h", "1m", "5m")]


def test_there_is_nothing_to_recheck_of_a_dry_or_undone_run(world: World) -> None:
    assert world.backfill("--run-id", "r1", "--dry-run").code == 0
    assert world.backfill("--run-id", "r2").code == 0
    assert world.command("undo", "r2").code == 0
    for run_id, what in (("r1", "a dry run"), ("r2", "undone")):
        checked = world.command("status", run_id, "--recheck")
        assert (checked.code, f"was {what}" in checked.err) == (2, True)


def live(monkeypatch: pytest.MonkeyPatch, **traits: Any) -> None:
    monkeypatch.setattr(ParquetFolder, "traits", property(lambda _self: Traits(**traits)))


def test_buckets_that_may_still_be_written_are_left_to_the_live_writer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, live="settled")
    now_s = NOON_S + 61 + SETTLED_S
    result = world.backfill("--run-id", "r1", now_s=now_s)
    assert result.code == 5
    assert {name: (tally["added"], tally["left"], tally["refused"]) for name, tally in result.data["buckets"]["host"].items()} == {
        "1m": (2, 2, 0),
        "5m": (0, 2, 0),
        "1h": (0, 2, 0),
    }
    assert result.data["points"]["host"] == {"points": 4, "stored": 2, "refused": 2}
    assert result.data["left_rule"] == "those that end after 2025-11-01T12:01:01Z"
    assert sorted((row["entity"], row["bucket_start"][11:16]) for row in world.rows("1m") if row["metric_type"] == "host") == [("h1", "12:00"), ("h2", "12:00")]
    assert world.rows("5m") == []
    assert world.backfill("--run-id", "r1", "--skip-live", now_s=now_s).code == 0
    accepted = world.backfill("--run-id", "r2", "--include-live", now_s=now_s)
    assert (accepted.code, len(world.rows("1m"))) == (0, 5)


def test_what_has_settled_is_written_without_a_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, live="settled")
    result = world.backfill("--run-id", "r1", now_s=DAY_AFTER_S)
    assert (result.code, len(world.rows("1m"))) == (0, 5)


def test_a_hot_tier_gets_only_what_it_still_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, live="recent", granularities=("1m",))
    refused = world.backfill("--run-id", "r0", now_s=DAY_AFTER_S)
    assert refused.code == 2
    assert "holds 1m rollups only, not 5m, 1h: ask for --granularities 1m" in refused.err
    result = world.backfill("--run-id", "r1", "--granularities", "1m", "--skip-live", now_s=NOON_S + 60 + SETTLED_S)
    assert result.code == 0
    assert result.data["buckets"]["host"]["1m"]["left"] == 2
    assert sorted(row["bucket_start"][11:16] for row in world.rows("1m")) == ["12:01", "12:02"]
