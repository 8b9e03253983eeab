"""Whole runs on points of every kind: what `export` lists is what the oracle makes of them, over midnight, in units, role copies and repeated arrivals.

Host postings are archived; what a decoder of other kinds would say of them is added to what the real one says, by the names of the metrics.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from scripts import oracle_kinds
from tests.builders import DAY_START_S, host_record
from tests.pipelines.worlds import GRANULARITIES, World, bits, key, period_of
from transforms.core.model import HISTOGRAM, POINT_KINDS, DecodedObject
from transforms.decode.objects import decode_object

US = 1_000_000
BOUNDS = (1.0, 2.0)
PERIOD_S = (DAY_START_S - 1200, DAY_START_S + 1200)


def with_kinds(*args: object, **named: object) -> DecodedObject:
    """As `decode_object`, and each point is of the kind that its metric is named for."""
    found = decode_object(*args, **named)  # type: ignore[arg-type]
    points = found.points
    kinds = [POINT_KINDS.index(name) for name in points.name.to_pylist()]
    histograms = [histogram_of(value)._asdict() if "histogram" in POINT_KINDS[kind] else None for kind, value in zip(kinds, points.value.tolist(), strict=True)]
    more = {"kind": np.array(kinds, np.int8), "time_us": points.time_s * US, "histogram": pa.array(histograms, HISTOGRAM)}
    return replace(found, points=replace(points, **more))


def histogram_of(value: float) -> oracle_kinds.Histogram:
    return oracle_kinds.Histogram(int(2 * value), value / 2, None, None, BOUNDS, (int(value), int(value), 0))


def archived(world: World) -> list[oracle_kinds.Point]:
    """An hour around midnight, a point of each kind every 20 seconds, in twelve objects, two of them twice; a reset in between. What a host's role gets too."""
    points = []
    for number in range(12):
        first_s = DAY_START_S - 1800 + 300 * number
        metrics = [(kind, first_s + 20 * place, (15 * number + place) % 100) for place in range(15) for kind in POINT_KINDS]
        record = host_record("h1", first_s + 300, metrics, roles=["web:app"])
        for name in "ab" if number in {3, 5} else "a":
            world.put(key(first_s + 300, name), record)
            for kind, time_s, value in metrics:
                histogram = histogram_of(value) if "histogram" in kind else None
                for series in (("host", "acme", "h1", kind, "{}"), ("role", "acme", "web:app", kind, '{"host":"h1"}')):
                    order, arrival_us = len(points), (first_s + 300) * US
                    points.append(oracle_kinds.Point(series, kind, arrival_us, order, time_s * US, 0, 0.0 if histogram else float(value), histogram))
    return points


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with mock.patch("transforms.steps.worker.decode_object", with_kinds), mock.patch("pipelines.planning.decode_object", with_kinds):
        yield World(tmp_path, types="host,role")


def test_a_run_over_midnight_equals_the_oracle_and_its_sums_hold(world: World) -> None:
    points = archived(world)
    result = world.backfill(period=period_of(*PERIOD_S))
    assert result.code == 0, result.err
    expected = [row for name in GRANULARITIES for row in oracle_kinds.export_rows(points, computed(name), name)]
    assert bits(world.all_rows()) == bits(expected)
    report = result.data
    assert report["imbalances"] == []
    # Of 60 minutes the first has no predecessor; of 14 objects 2 came twice; counters and cumulative histograms of the last 10 minutes lead into the next day.
    numbers = {"points": 1050, "lead_in_copies": 90, "outside.lead-in": 90, "dropped.no predecessor": 1, "stored": 3 * 60 - 1 + 2 * 180, "superseded": 510}
    assert report["points"]["host"] == numbers
    assert report["points"]["role"] == {"role_copies": 1050} | {term: number for term, number in numbers.items() if term != "points"}


def computed(granularity: str) -> list[tuple[int, int]]:
    return [PERIOD_S] if granularity != "1h" else [(DAY_START_S - 3600, DAY_START_S + 3600)]


def test_another_run_stores_the_same_and_undo_brings_the_first_back(world: World) -> None:
    archived(world)
    period = period_of(*PERIOD_S)
    assert world.backfill("--run-id", "first", period=period).code == 0
    first, rows = world.but_generation("first"), bits(world.all_rows())
    assert world.backfill("--run-id", "second", period=period).code == 0
    assert world.but_generation("second") == first
    assert world.command("undo", "second").code == 0
    assert bits(world.all_rows()) == rows
