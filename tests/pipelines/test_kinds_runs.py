"""Whole runs on archives of real OTLP payloads: what `export` lists is what two oracles, of decoding and of rolling up, make of the same bytes."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scripts import oracle_kinds
from tests.builders import DAY_START_S
from tests.decode.otlp_oracle import expected
from tests.pipelines.otlp_streams import FIRST_S, labeled, request
from tests.pipelines.worlds import GRANULARITIES, World, bits, key, period_of

US = 1_000_000
PERIOD_S = (DAY_START_S - 1200, DAY_START_S + 1200)


def points_of(deliveries: Sequence[tuple[float, bytes]]) -> Iterator[oracle_kinds.Point]:
    """The points of exports in the order in which they stand in the archive, each with its arrival in seconds."""
    for received_s, data in deliveries:
        for order, (_, entity, name, labels, kind, start_us, time_us, value, histogram) in enumerate(expected([data]).points):
            series = ("labeled", "acme", entity, name, labels)
            found = None if histogram is None else oracle_kinds.Histogram(**{field: _frozen(one) for field, one in histogram.items()})
            yield oracle_kinds.Point(series, kind, round(received_s * US), order, time_us, start_us, float.fromhex(value), found)


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def archived(world: World) -> list[oracle_kinds.Point]:
    """An hour around midnight in twelve objects of fifteen points a metric; two of them were delivered again a second later, with other values."""
    deliveries = []
    for number in range(12):
        for again in (False, True) if number in {3, 5} else (False,):
            received_s = FIRST_S + 300 * number + 300 + again
            data = request(range(15 * number, 15 * number + 15), again=again)
            world.put(key(received_s), labeled(data, received_s))
            deliveries.append((received_s, data))
    return list(points_of(deliveries))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, types="labeled")


def computed(period_s: tuple[int, int], granularity: str) -> list[tuple[int, int]]:
    width_s = oracle_kinds.WIDTH_S[granularity]
    return [(period_s[0] // width_s * width_s, -(-period_s[1] // width_s) * width_s)]


def oracle(points: Sequence[oracle_kinds.Point], period_s: tuple[int, int]) -> list[oracle_kinds.Row]:
    return [row for name in GRANULARITIES for row in oracle_kinds.export_rows(points, computed(period_s, name), name)]


def test_a_run_over_midnight_equals_the_oracle_and_its_sums_hold(world: World) -> None:
    """All kinds, both temporalities, resets, changed bounds and scales, repeated arrivals."""
    points = archived(world)
    result = world.backfill(period=period_of(*PERIOD_S))
    assert result.code == 0, result.err
    assert bits(world.all_rows()) == bits(oracle(points, PERIOD_S))
    assert result.data["imbalances"] == []
    # Seven metrics. Of each minute two points of counter, gauge and cumulative histograms are superseded; of 14 deliveries 2 were repeated. The first minute of
    # both cumulative histograms has no predecessor. What counts up is copied to the next day with the last 10 minutes, of which 5 came twice.
    assert result.data["points"]["labeled"] == {
        "points": 7 * (180 + 30), "lead_in_copies": 3 * 45, "outside.lead-in": 3 * 45, "dropped.no predecessor": 2,
        "superseded": 4 * 60 * 2 + 7 * 30, "stored": 4 * 60 + 3 * 180 - 2,
    }  # fmt: skip


def test_what_happened_to_the_streams_is_in_the_rows(world: World) -> None:
    """By hand: the oracle and the run could both have missed it."""
    archived(world)
    assert world.backfill(period=period_of(*PERIOD_S)).code == 0
    rows = {(row["name"], row["bucket_start"]): row for row in world.rows("1m")}
    assert {row["kind"] for row in rows.values()} == {"counter", "delta", "gauge", "histogram"}
    reset, started = "2025-10-31T23:50:00Z", "2025-11-01T00:06:00Z"
    assert rows["requests", reset]["increase"] == 3 * 2, "points 60 to 62, the last one 6 after the reset"
    assert rows["requests", "2025-11-01T00:07:00Z"]["increase"] == 3 * 7
    assert rows["requests", started]["increase"] == 1000, "points 108 to 110, the last one of a new start"
    assert rows["queue", reset]["last"] == 37 * 62 % 50 - 20
    assert (rows["latency", started]["count"], rows["latency", started]["max"]) == (sum(n % 3 + n % 5 + 1 + n % 2 for n in (108, 109, 110)), 114.0)
    assert rows["latency.total", "2025-11-01T00:13:00Z"]["count"] == 1 + 2, "points 129 to 131, the last one 1 after the reset at 130"


def test_the_first_minute_of_a_day_finds_its_predecessor_in_the_day_before(world: World) -> None:
    points, period_s = archived(world), (DAY_START_S, DAY_START_S + 300)
    assert world.backfill("--granularities", "1m", period=period_of(*period_s)).code == 0
    assert bits(world.all_rows()) == bits(oracle_kinds.export_rows(points, [period_s], "1m"))
    first = {row["name"]: row for row in world.rows("1m") if row["bucket_start"] == "2025-11-01T00:00:00Z"}
    assert first["requests"]["increase"] == 3 * 3
    assert first["latency.total"]["count"] == 3 + 6 + 1
    assert first["size.total"]["count"] == 3 + 3 + 6 + 2


def test_another_run_stores_the_same_and_undo_brings_the_first_back(world: World) -> None:
    archived(world)
    period = period_of(*PERIOD_S)
    assert world.backfill("--run-id", "first", period=period).code == 0
    first, rows = world.but_generation("first"), bits(world.all_rows())
    assert world.backfill("--run-id", "second", period=period).code == 0
    assert world.but_generation("second") == first
    assert world.command("undo", "second").code == 0
    assert bits(world.all_rows()) == rows


def test_exports_of_a_real_sdk(world: World) -> None:
    lines = map(json.loads, (Path(__file__).parents[1] / "data" / "otlp-exports.ndjson").read_text().splitlines())
    deliveries = sorted((one["receivedAt"], base64.b64decode(one["body_base64"])) for one in lines)
    for received_s, data in deliveries:
        world.put(key(int(received_s)), labeled(data, received_s))
    period_s = int(deliveries[0][0]) - 3600, int(deliveries[-1][0]) + 3600
    assert world.backfill(period=period_of(*period_s)).code == 0
    rows = [row for name in GRANULARITIES for row in world.rows(name, period=period_of(*period_s))]
    assert {row["kind"] for row in rows} == {"counter", "gauge", "histogram"}
    assert bits(rows) == bits(oracle(list(points_of(deliveries)), period_s))
