"""Dead letters replayed: the store ends as after a run that could read them at once."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOON_S
from tests.pipelines.worlds import World, call, gauge, key
from transforms.archive.local import LocalArchive

HOUR_S = 3_600
DAY = "2025-11-01T11:30Z/2025-11-01T16:10Z"
NOW_S = 1_762_100_000.0
SMALL = "--max-object-bytes", "5000"


CUT = gzip.compress(gauge("cpu", [7.0, 8.0]), mtime=0)[:-20]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Five hours of a host. The object of the third is larger than SMALL lets it be, has a point of the first hour, and one of an hour nobody asked for."""
    world = World(tmp_path)
    for hour in range(5):
        world.put(key(NOON_S + hour * HOUR_S), gauge("cpu", [float(hour), 2.0, 3.0], at=hour * HOUR_S))
    late = gauge("cpu", {30: 40.0, -7_200: 50.0, 2 * HOUR_S + 120: 60.0}, at=2 * HOUR_S + 300)
    world.put(key(NOON_S + 2 * HOUR_S + 1), late, b" " * 6_000, late)
    return world


def replay(world: World, run_id: str, *more: str) -> Any:
    return call(["backfill", "--dead-letters", run_id, "--work-dir", str(world.work), "--json", *more], now_s=NOW_S)


def test_a_replay_ends_as_a_run_that_could_read_everything(world: World) -> None:
    assert world.backfill("--run-id", "small", *SMALL, period=DAY, now_s=NOW_S).code == 3
    before = world.all_rows()
    result = replay(world, "small", "--run-id", "again", "--max-object-bytes", "1000000")
    assert result.code == 0, result.err
    assert result.data["periods"] == ["2025-11-01T12:00:00Z/2025-11-01T13:00:00Z", "2025-11-01T14:00:00Z/2025-11-01T15:00:00Z"]
    assert result.data["dead_letters"]["total"] == 0
    clean = world.beside("clean")
    assert clean.backfill(period=DAY, now_s=NOW_S).code == 0
    assert but_generations(world) == but_generations(clean)
    assert world.all_rows() != before


def test_a_replay_is_resumed_by_the_same_command(world: World) -> None:
    world.backfill("--run-id", "small", *SMALL, period=DAY, now_s=NOW_S)
    first = replay(world, "small", "--run-id", "again", "--max-object-bytes", "1000000")
    assert replay(world, "small", "--run-id", "again", "--max-object-bytes", "1000000").data == first.data
    other = replay(world, "small", "--run-id", "again")
    assert (other.code, "of the 1 dead letters of run 'small' none gives a point" in other.err) == (5, True)


def test_the_raw_bytes_of_a_run_that_is_over_are_enough(world: World) -> None:
    """Its staging files are gone; what can't be read even now stays a dead letter."""
    world.put(key(NOON_S + 3 * HOUR_S + 1), b'{"type":"host","org":5,"hostId":"h9","metrics":[]}', b'[{"hostId":"h2","name":"cpu","time":"x","value":1}]')
    broken = gzip.compress(gauge("cpu", {180: 7.0}, at=300) * 30, mtime=0)
    world.put(key(NOON_S + 4 * HOUR_S), gauge("cpu", [1.0], at=4 * HOUR_S), broken[:-9])
    assert world.backfill("--run-id", "r", "--max-dead-letters", "100", *SMALL, period=DAY, now_s=NOW_S).code == 0
    letters = [json.loads(line) for line in (world.run_dir("r") / "dead_letters.jsonl").read_text().splitlines()]
    assert len(letters) >= 3
    assert not list((world.run_dir("r") / "staging").iterdir())
    assert replay(world, "r", "--max-object-bytes", "1000000", "--max-dead-letters", "100").code == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--period", DAY), "--dead-letters small takes its periods from that run: leave --period out"),
        (("--plan", "small"), "--plan small executes exactly what was planned: leave --dead-letters out"),
    ],
)
def test_what_contradicts_is_refused(world: World, more: tuple[str, ...], message: str) -> None:
    world.backfill("--run-id", "small", *SMALL, period=NOON, now_s=NOW_S)
    result = replay(world, "small", *more)
    assert (result.code, message in result.err) == (2, True), result.err


def test_a_run_without_dead_letters_or_without_a_plan_is_refused(world: World) -> None:
    assert world.backfill("--run-id", "clean", period=DAY, now_s=NOW_S).code == 0
    assert "the run 'clean' has no dead letters" in replay(world, "clean").err
    assert replay(world, "clean").code == 2
    assert "there is no run 'none'" in replay(world, "none").err


# --- objects that were mended in the archive --------------------------------------------------------------------------


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("broken", [b"", b"no gzip at all {", CUT])
def test_an_object_that_was_put_back_whole_is_read_again(world: World, broken: bytes, over: bool) -> None:
    """What was kept of the broken one is of no use. The staging files of a run whose dead letters were accepted are gone."""
    name = key(NOON_S + 60, "b", ".gz")
    whole = gzip.compress(gauge("mem", {0: 7.0, 3_601: 8.0}, at=3_700), mtime=0)
    world.put(name, broken or whole[: len(whole) // 2])
    accepted = ("--max-dead-letters", "9") if over else ()
    assert world.backfill("--run-id", "r", *accepted, period=DAY, now_s=NOW_S).code == (0 if over else 3)
    assert replay(world, "r").code == 5
    world.put(name, whole)
    result = replay(world, "r", "--run-id", "again")
    assert result.code == 0, result.err
    assert result.data["periods"] == ["2025-11-01T12:00:00Z/2025-11-01T14:00:00Z"]
    clean = world.beside("clean")
    assert clean.backfill(period=DAY, now_s=NOW_S).code == 0
    assert but_generations(world) == but_generations(clean)


def test_an_object_of_which_only_records_were_mended_is_read_again(world: World) -> None:
    name = world.put(key(NOON_S + 60, "b"), b'{"type":"host","org":5,"hostId":"h9","metrics":[]}')
    assert world.backfill("--run-id", "r", period=DAY, now_s=NOW_S).code == 3
    assert replay(world, "r").code == 5
    world.put(name, gauge("mem", [7.0], at=70))
    assert replay(world, "r").data["periods"] == ["2025-11-01T12:00:00Z/2025-11-01T13:00:00Z"]
    assert world.column("mem") == {0: 7.0}


def test_an_object_that_is_gone_gives_what_was_kept_of_it(world: World) -> None:
    name = world.put(key(NOON_S + 60, "b"), b'[{"hostId":"h2","name":"cpu","time":1761998400,"value":1}, {"hostId":"h2"}]')
    assert world.backfill("--run-id", "r", period=DAY, now_s=NOW_S).code == 3
    (world.archive / name).unlink()
    result = replay(world, "r")
    assert result.code == 5
    assert "(another version, --default-org, --flat, --max-object-bytes, --read-firehose-errors, or the objects put back whole)" in result.err


def test_only_the_folders_of_the_dead_letters_are_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    objects = LocalArchive.objects
    monkeypatch.setattr(LocalArchive, "objects", lambda self, times=None: (asked.append(times), objects(self, times))[1])
    world.backfill("--run-id", "small", *SMALL, period=DAY, now_s=NOW_S)
    assert replay(world, "small").code == 5
    assert asked[1:] == [((NOON_S + 2 * HOUR_S, NOON_S + 3 * HOUR_S),)]


# --- what a repaired point does to those after it ---------------------------------------------------------------------


def otlp(minute: int) -> bytes:
    """A minute of OTLP/JSON from noon on: a counter that grows by its minute, a cumulative histogram with an observation more, a gauge."""
    nano = (NOON_S + 60 * minute) * 10**9
    times = {"startTimeUnixNano": str((NOON_S - 7200) * 10**9), "timeUnixNano": str(nano)}
    counts = [str(minute), "1"]
    metrics = [
        {"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [times | {"asInt": str(minute * minute)}]}},
        {
            "name": "h",
            "histogram": {
                "aggregationTemporality": 2,
                "dataPoints": [times | {"count": str(minute + 1), "sum": 2.0 * minute, "explicitBounds": [1.0], "bucketCounts": counts}],
            },
        },
        {"name": "g", "gauge": {"dataPoints": [times | {"asDouble": float(minute)}]}},
    ]
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()


THREE_HOURS = "2025-11-01T12:00Z/PT3H"


def minutes_of(world: World, *padded: int) -> World:
    """Three hours, an object a minute; those of some minutes are larger than SMALL lets them be."""
    for minute in range(180):
        world.put(key(NOON_S + 60 * minute), otlp(minute) + b" " * (9_000 if minute in padded else 0))
    return world


def but_generations(world: World) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "generation"} for row in world.all_rows()]


@pytest.mark.parametrize("lead_in", [(), ("--lead-in-s", "4000")])
def test_the_points_after_a_repaired_one_are_computed_again_too(tmp_path: Path, lead_in: tuple[str, ...]) -> None:
    """Increase and difference are those to the predecessor: it may lie in the hour before, or with a longer lead-in in one before that."""
    world = minutes_of(World(tmp_path, types="labeled"), *((58, 59) if not lead_in else range(59, 120)))
    assert world.backfill("--run-id", "small", *SMALL, *lead_in, period=THREE_HOURS, now_s=NOW_S).code == 3
    broken = world.column("c", "increase", granularity="1h", metric_type="labeled", entity="")
    result = replay(world, "small", "--run-id", "again", "--max-object-bytes", "50000")
    assert result.code == 0, result.err
    clean = world.beside("clean")
    assert clean.backfill(*lead_in, period=THREE_HOURS, now_s=NOW_S).code == 0
    assert but_generations(world) == but_generations(clean)
    assert world.column("c", "increase", granularity="1h", metric_type="labeled", entity="") != broken
    assert world.column("c", "increase", metric_type="labeled", entity="")[3600] == 60**2 - 59**2


def test_a_gauge_needs_no_hour_after_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", {3_540: 40.0}, at=3_600), b" " * 6_000)
    world.put(key(NOON_S + HOUR_S), gauge("cpu", [1.0], at=3_601))
    assert world.backfill("--run-id", "small", *SMALL, period=DAY, now_s=NOW_S).code == 3
    assert replay(world, "small", "--max-object-bytes", "50000").data["periods"] == ["2025-11-01T12:00:00Z/2025-11-01T13:00:00Z"]


NOON = "2025-11-01T12:00Z/PT1H"
