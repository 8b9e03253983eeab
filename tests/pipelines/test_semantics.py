"""DESIGN §3 through the command line, sentence by sentence: literal postings in, exported rows out."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

import pipelines.planning
from tests.builders import NOON_S, host_record, service_record
from tests.pipelines.worlds import GRANULARITIES, NOON_HOUR, Result, Row, World, bits, column_of, gauge, key, period_of, seconds, service_gauge

DAY_S = 86_400
NAN, INF = math.nan, math.inf


class Done:
    """A world after a run, and what the store then holds."""

    def __init__(self, world: World, result: Result) -> None:
        self.world, self.result = world, result

    @cached_property
    def rows(self) -> dict[str, list[Row]]:
        return {one: self.world.rows(one) for one in GRANULARITIES}

    @property
    def report(self) -> Any:
        return self.result.data

    def column(self, name: str, column: str = "last", *, granularity: str = "1m", metric_type: str = "host", entity: str = "h1") -> dict[int, Any]:
        return column_of(self.rows[granularity], name, column, metric_type=metric_type, entity=entity)

    def starts(self, granularity: str) -> list[int]:
        """Starts of all buckets, in minutes after noon."""
        return sorted({(seconds(row["bucket_start"]) - NOON_S) // 60 for row in self.rows[granularity]})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, *more: str, **asked: Any) -> Done:
    result = world.backfill(*more, **asked)
    assert result.code == 0, result.err + result.out
    return Done(world, result)


# --- last arrival wins ------------------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """Values (by seconds after noon, in this order) that one posting brings, `at` seconds after noon, in the object of that name."""

    where: str
    at: float
    values: Mapping[float, object]


ARRIVALS: dict[str, tuple[Sequence[Sent], dict[int, float]]] = {
    "a point's time is floored to its minute": ([Sent("a", 1, {59: 1.0, 119: 2.0})], {0: 1.0, 60: 2.0}),
    "to its second first": ([Sent("a", 1, {59.9999: 1.0, 60: 2.0})], {0: 1.0, 60: 2.0}),
    "a later arrival wins from an earlier place": ([Sent("a", 5, {0: 1.0}), Sent("a", 3, {0: 2.0})], {0: 1.0}),
    "also over other objects": ([Sent("a", 5, {0: 1.0}), Sent("b", 3, {0: 2.0}), Sent("c", 4, {0: 3.0})], {0: 1.0}),
    "a lower value that arrives later wins": ([Sent("a", 1, {0: 9.0}), Sent("b", 2, {0: 3.0})], {0: 3.0}),
    "a lower value that arrived earlier loses": ([Sent("a", 2, {0: 9.0}), Sent("b", 1, {0: 3.0})], {0: 9.0}),
    "a tie within a posting goes to the later point": ([Sent("a", 1, {0: 1.0, 30: 2.0})], {0: 2.0}),
    "whatever the points' times": ([Sent("a", 1, {30: 2.0, 0: 1.0})], {0: 1.0}),
    "a tie within an object goes to the later posting": ([Sent("a", 1, {0: 1.0}), Sent("a", 1, {0: 2.0})], {0: 2.0}),
    "a tie across objects goes to the greater key": ([Sent("b", 1, {0: 1.0}), Sent("a", 1, {0: 2.0}), Sent("c", 1, {0: 3.0})], {0: 3.0}),
    "arrivals count in microseconds": ([Sent("a", 1.000001, {0: 1.0}), Sent("a", 1, {0: 2.0}), Sent("b", 1, {0: 3.0})], {0: 1.0}),
    "less than half a microsecond is a tie": ([Sent("a", 1.0000004, {0: 1.0}), Sent("a", 1, {0: 2.0})], {0: 2.0}),
    "they are rounded, not cut": ([Sent("a", 1.000001, {0: 1.0}), Sent("b", 1.0000006, {0: 2.0})], {0: 2.0}),
    "a copy changes nothing": ([Sent("a", 1, {0: 1.0, 60: 2.0})] * 3 + [Sent("c", 1, {0: 1.0, 60: 2.0})], {0: 1.0, 60: 2.0}),
    "minutes are decided one by one": ([Sent("a", 2, {0: 1.0, 60: 2.0}), Sent("b", 1, {0: 3.0, 120: 4.0})], {0: 1.0, 60: 2.0, 120: 4.0}),
    "null never competes": ([Sent("a", 1, {0: 1.0}), Sent("b", 2, {0: None, 60: None})], {0: 1.0}),
    "nor does NaN": ([Sent("a", 1, {0: 1.0}), Sent("a", 2, {0: NAN})], {0: 1.0}),
    "nor an infinity": ([Sent("a", 1, {0: 1.0}), Sent("b", 2, {0: INF, 60: -INF})], {0: 1.0}),
    "nor the text NaN": ([Sent("a", 1, {0: 1.0}), Sent("a", 2, {0: "NaN"})], {0: 1.0}),
    "nor what arrives too late": ([Sent("b", 1, {0: 1.0, 120: 1.0}), Sent("tomorrow", DAY_S + 1, {0: 2.0, 120: 3.0})], {0: 1.0, 120: 3.0}),
    "nor what arrived too early": ([Sent("yesterday", 60 - DAY_S, {0: 1.0, 119: 2.0})], {0: 1.0}),
    "a numeric text is that number": ([Sent("a", 1, {0: "12.5"})], {0: 12.5}),
}


@pytest.fixture(scope="module", params=["one read group", "a read group for each object", "repeated bundles and four workers"])
def arrivals(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    world = World(tmp_path_factory.mktemp("arrivals"))
    keys = {"yesterday": key(NOON_S - DAY_S, "y"), "tomorrow": key(NOON_S + DAY_S, "t")} | {one: key(NOON_S, one) for one in "abc"}
    records: dict[str, list[bytes]] = {one: [] for one in keys}
    for name, (sent, _) in ARRIVALS.items():
        for one in sent:
            records[one.where].append(gauge(name, one.values, at=one.at))
    for age, (where, some) in enumerate(records.items()):
        world.put(keys[where], *some)
        os.utime(world.archive / keys[where], (NOON_S - age, NOON_S - age))  # the greater the key the older: files' times decide nothing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.planning, "GROUPS_PER_WORKER", 1)
        if request.param == "a read group for each object":
            patch.setattr(pipelines.planning, "MAX_GROUP_BYTES", 1)
        return run(world, *(["--direct_runner_bundle_repeat=1", "--workers", "4"] if "repeated" in request.param else ["--workers", "1"]), "--run-id", "r")


@pytest.mark.parametrize("name", ARRIVALS)
def test_last_arrival_wins(arrivals: Done, name: str) -> None:
    assert arrivals.column(name) == ARRIVALS[name][1]


def test_what_lost_is_counted(arrivals: Done) -> None:
    """Every posting above once, however often groups are cut or bundles repeated."""
    sent = [(one.at, after, value) for some, _ in ARRIVALS.values() for one in some for after, value in one.values.items()]
    late = sum(at - after > DAY_S for at, after, _ in sent)
    early = sum(math.floor(after) - at > DAY_S for at, after, _ in sent)
    points = {"points": len(sent), "dropped.null": 2, "dropped.nan": 2, "dropped.infinite": 2, "dropped.late": late, "dropped.early": early}
    stored = sum(len(values) for _, values in ARRIVALS.values())
    points["stored"], points["superseded"] = stored, len(sent) - 6 - late - early - stored
    assert (late, early) == (1, 1)
    assert arrivals.report["points"]["host"] == points


# --- late and early ---------------------------------------------------------------------------------------------------


def test_a_point_is_late_or_early_by_more_than_24_hours(world: World) -> None:
    world.put(key(NOON_S - DAY_S), gauge("just early", {0: 1.0}, at=-DAY_S), gauge("too early", {0: 1.0}, at=-DAY_S - 0.000001))
    world.put(key(NOON_S + DAY_S), gauge("just late", {59.9: 1.0}, at=DAY_S + 59), gauge("too late", {59.9: 1.0}, at=DAY_S + 59.000001))
    done = run(world)
    assert {row["name"] for row in done.rows["1m"]} == {"just early", "just late"}
    assert done.report["points"]["host"] == {"points": 4, "stored": 2, "dropped.late": 1, "dropped.early": 1}


def test_the_limits_can_be_set(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {-61: 1.0, -60: 2.0, 30: 3.0, 31: 4.0, 90: 5.0}, at=0))
    done = run(world, "--late-s", "60", "--early-s", "30", period="2025-11-01T11:00Z/PT2H")
    assert done.column("x") == {-60: 2.0, 0: 3.0}


def test_the_result_does_not_depend_on_the_period_asked(tmp_path: Path) -> None:
    results = []
    for place, period in enumerate((NOON_HOUR, "2025-11-01T00:00Z/P2D", "2025-11-01T12:20Z/PT1M")):
        world = World(tmp_path / str(place))
        for day in (-1, 0, 1):
            world.put(key(NOON_S + day * DAY_S), *(gauge("x", {after: 1.5 * day + after}, at=day * DAY_S + 30 * after) for after in range(0, 3600, 300)))
        results.append({row["bucket_start"]: row for row in run(world, period=period).rows["5m"]})
    hour, days, minute = ({start: {**row, "generation": 0} for start, row in rows.items()} for rows in results)
    assert len(hour) == 12
    assert {start: days[start] for start in hour} == hour
    assert minute == {"2025-11-01T12:20:00Z": hour["2025-11-01T12:20:00Z"]}


# --- rollups ----------------------------------------------------------------------------------------------------------

ZEROS = dict.fromkeys(range(300, 3600, 60), 0.0)

ROLLUPS: dict[str, tuple[Mapping[float, object], dict[int, dict[str, object]], dict[str, object]]] = {
    "one value": ({0: 1.5}, {0: {"count": 1, "sum": 1.5, "min": 1.5, "max": 1.5, "avg": 1.5, "last": 1.5}}, {"count": 1, "sum": 1.5, "avg": 1.5}),
    "five values": (
        {0: 4.0, 60: 1.0, 120: 3.0, 180: 7.0, 240: 2.0},
        {0: {"count": 5, "minutes": 5, "sum": 17.0, "min": 1.0, "max": 7.0, "avg": 3.4, "last": 2.0}},
        {"count": 5, "minutes": 5, "sum": 17.0, "min": 1.0, "max": 7.0, "avg": 3.4, "last": 2.0},
    ),
    "only what is present": (
        {60: 4.0, 180: 1.0, 3540: 10.0},
        {0: {"count": 2, "minutes": 2, "sum": 5.0, "min": 1.0, "max": 4.0, "avg": 2.5, "last": 1.0}, 3300: {"count": 1, "sum": 10.0, "last": 10.0}},
        {"count": 3, "minutes": 3, "sum": 15.0, "min": 1.0, "max": 10.0, "avg": 6.25, "last": 10.0},
    ),
    "100 and zeros": ({0: 100.0} | ZEROS, {0: {"avg": 100.0}, 300: {"avg": 0.0}}, {"count": 56, "sum": 100.0, "avg": 100.0 / 12}),
    "5m sums fold from the left": ({0: 1e16, 60: 1.0, 120: 1.0, 180: -1e16, 240: 1.0}, {0: {"sum": 1.0, "avg": 0.2}}, {"sum": 1.0}),
    "1h sums fold 5m sums": ({0: 1e16, 300: 1.0, 360: 1.0, 600: -1e16}, {0: {"sum": 1e16}, 300: {"sum": 2.0}, 600: {"sum": -1e16}}, {"sum": 2.0}),
    "from the left": ({0: 1.0, 300: 1e16, 600: -1e16, 900: 1.0}, {0: {"sum": 1.0}}, {"sum": 1.0, "avg": 0.25}),
    "no compensation": ({60 * n: 0.1 for n in range(5)}, {0: {"sum": 0.1 + 0.1 + 0.1 + 0.1 + 0.1, "avg": 0.1}}, {"sum": 0.5}),
    "-0.0 is 0.0": ({0: -0.0, 60: -0.0, 300: "-0", 360: -1.0}, {0: dict.fromkeys(("sum", "min", "max", "avg", "last"), 0.0), 300: {"max": 0.0}}, {"max": 0.0}),
    "an overflow": ({0: 1e308, 60: 1e308, 120: -1e308}, {0: {"sum": INF, "min": -1e308, "max": 1e308, "avg": INF}}, {"sum": INF, "avg": INF}),
    "stays one": ({0: -1e308, 60: -1e308, 300: 1e308, 360: 1e308}, {0: {"sum": -INF}, 300: {"sum": INF}}, {"sum": -INF, "avg": -INF, "max": 1e308}),
    "beyond 2^53": ({0: 9007199254740993, 60: -(2**53)}, {0: {"min": -(2.0**53), "max": 2.0**53}}, {"sum": 0.0}),
}


@pytest.fixture(scope="module", params=["cascade", "flat"])
def rolled_up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    world = World(tmp_path_factory.mktemp("rollups"))
    world.put(key(NOON_S), *(gauge(name, dict(reversed(values.items())), at=3600) for name, (values, _, _) in ROLLUPS.items()))
    return run(world, *([] if request.param == "cascade" else ["--average", "flat"]), "--run-id", request.param)


@pytest.mark.parametrize("name", ROLLUPS)
def test_rollups(rolled_up: Done, name: str) -> None:
    values, fives, hour = ROLLUPS[name]
    average = rolled_up.report["run_id"]
    if average == "flat":
        hour = {**hour, **FLAT.get(name, {})}
    assert {start: (row, repr(row)) for start, row in picked(rolled_up, name, "5m", fives).items()} == {start: (row, repr(row)) for start, row in fives.items()}
    assert repr(picked(rolled_up, name, "1h", {0: hour})) == repr({0: hour})
    assert rolled_up.column(name) == {int(at): float(value) for at, value in sorted(values.items())}  # type: ignore[arg-type]


FLAT: dict[str, dict[str, object]] = {"100 and zeros": {"avg": 100 / 56}, "only what is present": {"avg": 5.0}, "five values": {"avg": 3.4}}
"""What --average flat makes of the hours above, where that is something else."""


def picked(done: Done, name: str, granularity: str, wanted: Mapping[int, Mapping[str, object]]) -> dict[int, dict[str, object]]:
    columns = {column: done.column(name, column, granularity=granularity) for row in wanted.values() for column in row}
    return {start: {column: columns[column].get(start) for column in row} for start, row in wanted.items()}


def test_8_33_and_1_79(rolled_up: Done) -> None:
    average = rolled_up.column("100 and zeros", "avg", granularity="1h")[0]
    assert f"{average:.2f}" == {"cascade": "8.33", "flat": "1.79"}[rolled_up.report["run_id"]]
    assert json.loads((rolled_up.world.run_dir(rolled_up.report["run_id"]) / "plan.json").read_text())["request"]["average"] == rolled_up.report["run_id"]


def test_one_minute_is_its_value(rolled_up: Done) -> None:
    row = next(row for row in rolled_up.rows["1m"] if row["name"] == "one value")
    numbers = dict.fromkeys(("sum", "min", "max", "avg", "last"), 1.5) | dict.fromkeys(("increase", "p50", "p90", "p95", "p99"))
    identity = {"metric_type": "host", "org": "acme", "entity": "h1", "name": "one value", "labels": "{}", "kind": "gauge", "granularity": "1m"}
    assert row == identity | {"bucket_start": "2025-11-01T12:00:00Z", "minutes": 1, "count": 1} | numbers | {"generation": row["generation"]}


def test_minus_zero_is_never_stored(rolled_up: Done) -> None:
    assert not [row for rows in rolled_up.rows.values() for row in rows for value in row.values() if repr(value) == "-0.0"]


def test_overflowing_sums_and_inexact_values_are_counted(rolled_up: Done) -> None:
    assert rolled_up.report["overflowing_sums"] == sum(math.isinf(row["sum"]) for rows in rolled_up.rows.values() for row in rows) == 5
    assert rolled_up.report["inexact_values"] == sum(abs(float(value)) >= 2**53 for values, _, _ in ROLLUPS.values() for value in values.values())  # type: ignore[arg-type]


def test_only_the_granularities_asked_for_are_stored(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {0: 100.0} | ZEROS))
    done = run(world, "--granularities", "1h")
    assert {one: len(rows) for one, rows in done.rows.items()} == {"1m": 0, "5m": 0, "1h": 1}
    assert done.column("x", "avg", granularity="1h") == {0: 100 / 12}
    assert done.report["points"]["host"] == {"points": 56, "stored": 56}


# --- dropped and dead -------------------------------------------------------------------------------------------------


def test_what_is_dropped_is_counted_by_reason(world: World) -> None:
    values = ["null", "NaN", '"nan"', "Infinity", '"-inf"', "1e400", '"1e400"', "1"]
    points = ",".join(f'{{"name":"x","time":{NOON_S + 60 * place},"value":{value}}}' for place, value in enumerate(values))
    missing = f'{{"name":"x","time":{NOON_S}}}'
    world.put(key(NOON_S), f'{{"type":"service","service":"shop","receivedAt":{NOON_S},"metrics":[{points},{missing}]}}'.encode())
    done = run(world, types="service,host")
    assert done.report["points"]["service"] == {"points": 9, "dropped.null": 2, "dropped.nan": 2, "dropped.infinite": 4, "stored": 1}
    assert (done.report["records"], done.report["dead_letters"]["total"]) == ({"read": 1, "decoded": 1, "dead_letters": 0}, 0)


def test_a_broken_point_kills_itself_and_a_broken_envelope_its_record(world: World) -> None:
    broken = ("true", "{}", "[]", '"many"')
    points = [f'{{"name":"x","time":{NOON_S},"value":{value}}}' for value in broken]
    points += [f'{{"name":5,"time":{NOON_S},"value":1}}', '{"name":"x","time":"noon","value":1}', '{"name":"x","time":915148800,"value":1}', "7"]
    world.put(key(NOON_S), gauge("x", {0: 1.0}), host_record("h1", NOON_S, []).replace(b"[]", f"[{','.join(points)}]".encode()), gauge("x", {60: 2.0}))
    world.put(key(NOON_S, "b"), gauge("x", {120: 3.0}, org=5), gauge("x", {180: 4.0}), b'{"type":"labeled"}', gauge("x", {240: 5.0}), b'{"type":"trace"}')
    world.put(key(NOON_S, "c"), b'{"type":\n', gauge("x", {300: 6.0}), b"{", gauge("x", {360: 7.0}))
    result = world.backfill("--max-dead-letters", "13")
    assert result.code == 0
    report = result.data
    assert (report["records"]["dead_letters"], report["dead_letters"]["total"]) == (5, 13)
    assert report["records"]["read"] == report["records"]["decoded"] + 5
    assert report["dead_letters"]["by_cause"] == {
        "bad JSON": 2,
        "broken envelope: org": 1,
        "broken point: name": 1,
        "broken point: not an object": 1,
        "broken point: time": 2,
        "broken point: value": 4,
        "unknown type": 1,
        "bad OTLP": 1,
    }
    assert world.column("x") == {0: 1.0, 60: 2.0, 180: 4.0, 240: 5.0, 300: 6.0}


# --- roles ------------------------------------------------------------------------------------------------------------

MEMBERS = [
    ("acme", "h1", "web:app", "2025-11-01T12:00:10Z", "2025-11-01T12:00:20Z"),
    ("acme", "h1", "web:app", "2025-11-01T12:00:20Z", "2025-11-01T12:00:30Z"),
    ("acme", "h1", "web:app", "2025-11-01T12:00:15Z", "2025-11-01T12:00:25Z"),
    ("acme", "h1", "web:db", "2025-11-01T21:00:40+09:00", "1761998450"),
    ("acme", "always", "web:app", "", ""),
    ("other", "h1", "web:other", "", ""),
    ("", "bare", "web:app", "", ""),
]
"""Overlapping and touching rows; noon is 1761998400."""


class Posted(NamedTuple):
    """A host's posting of one value, `at` seconds after noon, and the roles in it, which may be left out."""

    at: float
    value: float
    roles: Any = ()
    host: str = "h1"

    def record(self, name: str) -> bytes:
        said = {} if self.roles == () else {"roles": self.roles}
        return gauge(name, {0: self.value}, at=self.at, host=self.host, **said)


ROLES: dict[str, tuple[list[Posted], dict[str, float]]] = {
    "the posting's roles": ([Posted(12, 1.0, ["shop:db", "shop:app"])], {"shop:db": 1.0, "shop:app": 1.0}),
    "each once": ([Posted(1, 1.0, ["shop:db", "shop:db"])], {"shop:db": 1.0}),
    "an empty list is none": ([Posted(12, 1.0, [])], {}),
    "null asks the table": ([Posted(12, 1.0, None)], {"web:app": 1.0}),
    "so does nothing": ([Posted(12, 1.0)], {"web:app": 1.0}),
    "before the table": ([Posted(9.999999, 1.0)], {}),
    "from valid_from": ([Posted(10, 1.0)], {"web:app": 1.0}),
    "until before valid_to": ([Posted(29.999999, 1.0)], {"web:app": 1.0}),
    "at valid_to": ([Posted(30, 1.0)], {}),
    "times with an offset and in seconds": ([Posted(40, 1.0), Posted(50, 2.0)], {"web:db": 1.0}),
    "another host": ([Posted(1, 1.0, host="always")], {"web:app": 1.0}),
    "not in the table": ([Posted(12, 1.0, host="h2")], {}),
    "copied before the last arrival wins": ([Posted(1, 1.0, ["shop:db"]), Posted(2, 2.0, ["shop:app"])], {"shop:db": 1.0, "shop:app": 2.0}),
    "also where the later has no role": ([Posted(2, 1.0, []), Posted(1, 2.0, ["shop:db"])], {"shop:db": 2.0}),
    "the later within the role": ([Posted(2, 1.0, ["shop:db"]), Posted(1, 2.0, ["shop:db"])], {"shop:db": 1.0}),
    "by posting and by table": ([Posted(12, 1.0, ["web:app"]), Posted(11, 2.0)], {"web:app": 1.0}),
}


@pytest.fixture(scope="module", params=["csv", "parquet"])
def copied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    world = World(tmp_path_factory.mktemp("roles"), types="role,host")
    world.put(key(NOON_S), *(one.record(name) for name, (posted, _) in ROLES.items() for one in posted))
    world.put(key(NOON_S + 5), json.dumps([{"hostId": "bare", "name": "bare", "time": NOON_S, "value": 4.0}]).encode())
    world.put(key(NOON_S, "s"), service_gauge("of a service", {0: 1.0}, roles=["shop:db"]))
    return run(world, "--role-membership", str(written(world, request.param)), "--run-id", "r")


def written(world: World, form: str) -> Path:
    path = world.root / f"members.{form}"
    table = pa.table(dict(zip(("org", "host", "role", "valid_from", "valid_to"), zip(*MEMBERS, strict=True), strict=True)))
    if form == "csv":
        pcsv.write_csv(table, path)
    else:
        for column in ("valid_from", "valid_to"):
            times = [None if not text else (int(text) if text.isdecimal() else seconds(text)) * 1_000_000 for text in table[column].to_pylist()]
            table = table.set_column(table.column_names.index(column), column, pa.array(times, pa.timestamp("us", "UTC")))
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("name", ROLES)
def test_role_copies(copied: Done, name: str) -> None:
    rows = [row for row in copied.rows["1m"] if (row["metric_type"], row["name"]) == ("role", name)]
    assert {row["entity"]: row["last"] for row in rows} == ROLES[name][1]
    hosts = {posted.host for posted in ROLES[name][0]}
    assert {row["labels"] for row in rows} <= {json.dumps({"host": host}, separators=(",", ":")) for host in hosts}
    assert copied.column(name, entity=min(hosts)) == {0: max(ROLES[name][0]).value}


def test_a_bare_array_has_its_roles_from_the_table_at_its_objects_time(copied: Done) -> None:
    assert copied.column("bare", metric_type="role", entity="web:app") == copied.column("bare", entity="bare") == {0: 4.0}


def test_role_copies_are_counted(copied: Done) -> None:
    stored = sum(len(values) for _, values in ROLES.values()) + 1
    assert copied.report["points"]["role"] == {"role_copies": stored + 2, "stored": stored, "superseded": 2}
    assert copied.report["points"]["service"] == {"points": 1, "outside.type": 1}


def test_each_host_of_a_role_has_its_own_series(world: World) -> None:
    world.put(key(NOON_S), gauge("x", {0: 1.0}, roles=["a:b"]), gauge("x", {0: 2.0}, host="h2", roles=["a:b"]))
    rows = run(world, types="role").rows["1m"]
    assert [(row["entity"], row["labels"], row["last"]) for row in rows] == [("a:b", '{"host":"h1"}', 1.0), ("a:b", '{"host":"h2"}', 2.0)]


# --- periods and edges ------------------------------------------------------------------------------------------------


def every_minute(world: World) -> None:
    """A value a minute from 10:00 to 15:00: minutes after noon."""
    world.put(key(NOON_S - 7200), gauge("x", {60 * minute: float(minute) for minute in range(-120, 180)}))


@pytest.mark.parametrize(
    "periods",
    [
        ["2025-11-01T12:00Z/2025-11-01T12:30Z", "2025-11-01T12:30Z/2025-11-01T13:00Z"],
        ["2025-11-01T12:20Z/2025-11-01T13:00Z", "2025-11-01T12:00Z/2025-11-01T12:40Z", "2025-11-01T12:25Z/PT1M"],
        ["2025-11-01T21:00+09:00/PT1H", NOON_HOUR],
    ],
    ids=["touching", "overlapping", "the same twice"],
)
def test_periods_that_touch_or_overlap_are_united(world: World, periods: list[str]) -> None:
    every_minute(world)
    done = run(world, period=periods)
    assert done.report["periods"] == ["2025-11-01T12:00:00Z/2025-11-01T13:00:00Z"]
    assert done.report["buckets"]["host"]["1h"] == dict.fromkeys(("changed", "equal", "newer", "refused", "left", "absent"), 0) | {"added": 1}
    assert {one: len(rows) for one, rows in done.rows.items()} == {"1m": 60, "5m": 12, "1h": 1}
    assert done.report["points"]["host"] == {"points": 300, "stored": 60, "outside.time": 240}


def test_periods_apart_leave_out_what_lies_between(world: World) -> None:
    every_minute(world)
    done = run(world, period=["2025-11-01T13:00Z/PT5M", "2025-11-01T11:00Z/PT5M"])
    assert done.report["periods"] == ["2025-11-01T11:00:00Z/2025-11-01T11:05:00Z", "2025-11-01T13:00:00Z/2025-11-01T13:05:00Z"]
    assert (done.starts("1m"), done.starts("5m"), done.starts("1h")) == ([-60, -59, -58, -57, -56, 60, 61, 62, 63, 64], [-60, 60], [-60, 60])
    assert done.column("x", "count", granularity="1h") == {-3600: 60, 3600: 60}


def test_relative_periods_count_from_now(world: World) -> None:
    every_minute(world)
    done = run(world, period="-2h/now", now_s=NOON_S + 3600)
    assert done.report["periods"] == ["2025-11-01T11:00:00Z/2025-11-01T13:00:00Z"]
    assert done.starts("1m") == list(range(-60, 60))


EDGES: dict[str, dict[str, list[int]]] = {
    "expand": {"1m": list(range(2, 68)), "5m": list(range(0, 70, 5)), "1h": [0, 60]},
    "clip": {"1m": list(range(3, 67)), "5m": list(range(5, 65, 5)), "1h": []},
}
CUT = "2025-11-01T12:02:30Z/2025-11-01T13:07:01Z"


@pytest.mark.parametrize("edge", EDGES)
def test_a_bucket_partly_inside_a_period_is_computed_whole_or_left_out(world: World, edge: str) -> None:
    every_minute(world)
    done = run(world, *([] if edge == "expand" else ["--edge", edge]), period=CUT)
    assert {one: done.starts(one) for one in GRANULARITIES} == EDGES[edge]
    counts = {1: done.column("x", "count"), 5: done.column("x", "count", granularity="5m"), 60: done.column("x", "count", granularity="1h")}
    assert all({*by_start.values()} <= {width} for width, by_start in counts.items())


@pytest.mark.parametrize(("edge", "fate"), [("expand", "computed from all minutes, also those outside the period"), ("clip", "left out")])
def test_the_report_says_what_became_of_the_edges_by_granularity(world: World, edge: str, fate: str) -> None:
    every_minute(world)
    edges = run(world, "--edge", edge, period=CUT).report["edges"]
    cut = {"1m": ("12:02", "13:07"), "5m": ("12:00", "13:05"), "1h": ("12:00", "13:00")}
    assert edges == {one: ", ".join(f"2025-11-01T{at}:00Z" for at in times) + f" {fate}" for one, times in cut.items()}


@pytest.mark.parametrize(
    ("granularity", "period", "refuses"), [("5m", "2025-11-01T12:05Z/PT5M", False), ("1h", "2025-11-01T12:05Z/PT5M", True), ("1m", CUT, True)]
)
def test_or_the_run_refuses(world: World, granularity: str, period: str, refuses: bool) -> None:
    every_minute(world)
    result = world.backfill("--edge", "fail", "--granularities", granularity, period=period)
    assert result.code == (2 if refuses else 0)
    assert refuses == (f"cuts a {granularity} bucket" in result.err)
    assert refuses != world.store.exists()


# --- what to read -----------------------------------------------------------------------------------------------------


def test_objects_named_from_S_L_F_B_until_E_P_are_read(world: World) -> None:  # noqa: N802 - the letters of DESIGN §3
    """Computed is [12:00, 13:00), though the period is shorter."""
    first, end = NOON_S - 600 - DAY_S - 7200, NOON_S + 3600 + DAY_S
    for at in (first - 1, first, end - 1, end):
        world.put(key(at), b"")
    world.put("no time in the key", b"")
    for hour in (first, end - 1, first - 3600, end + 3600):
        world.put(os.path.dirname(key(hour)) + "/by-folder", b"")
    planned = world.plan("--run-id", "p", period="2025-11-01T12:30Z/PT1M").data
    manifest = pa.ipc.open_file(world.run_dir("p") / "manifest.arrow").read_all()["key"].to_pylist()
    assert manifest == sorted([key(first), key(end - 1), "no time in the key", *(os.path.dirname(key(hour)) + "/by-folder" for hour in (first, end - 1))])
    assert (planned["objects"], planned["listed_objects"], planned["untimed_objects"]) == (5, 9, 1)
    assert planned["object_times"] == [period_of(first, end)]
    assert planned["reach_s"] == {"late": DAY_S, "early": DAY_S, "lead_in": 600, "object_span": 7200}


def test_an_object_without_a_time_is_read_with_a_warning(world: World) -> None:
    world.put("some/object", gauge("x", {0: 1.0}))
    done = run(world)
    assert done.report["untimed_objects"] == 1
    assert done.column("x") == {0: 1.0}
    text = world.command("status", done.report["run_id"]).out
    assert '"untimed_objects": 1' in text


# --- series -----------------------------------------------------------------------------------------------------------


def test_series_are_told_apart_byte_by_byte(world: World) -> None:
    names = ["café", "cafe\u0301", "CAFÉ", "café ", "", "\U0001f600", "\uffee"]
    world.put(key(NOON_S), *(gauge(name, {0: float(place)}) for place, name in enumerate(names)))
    done = run(world)
    assert [(row["name"], row["last"]) for row in done.rows["1m"]] == sorted((name, float(place)) for place, name in enumerate(names))


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_shards_come_from_crc32_of_the_series_key(world: World, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    monkeypatch.setattr(pipelines.planning, "SERIES_PER_SHARD", -(-20 // shards))
    world.put(key(NOON_S), *(gauge(f"é{place}", {0: 1.0}) for place in range(20)))
    run(world)
    found = {}
    for path in world.store.glob("metric_type=host/granularity=1m/day=2025-11-01/*.parquet"):
        found |= dict.fromkeys(pq.read_table(path, columns=["name"], partitioning=None)["name"].to_pylist(), path.name)
    hashes = {name: zlib.crc32(json.dumps(["host", "acme", "h1", name, []], ensure_ascii=False, separators=(",", ":")).encode()) for name in found}
    assert found == {name: f"shard-{number % shards:04d}.parquet" for name, number in hashes.items()}
    assert len(found) == 20


@pytest.mark.parametrize(
    ("more", "entities"),
    [
        (["--series", "host/acme/h?/x"], {"h1", "h2"}),
        (["--series", "host/acme/h1/*", "--series", "service/*"], {"h1", "Shop"}),
        (["--series", "host/acme/[!h]*"], set()),
        (["--series", "*/Shop/x"], {"Shop"}),
        (["--series", "*/shop/x"], set()),
        (["--org", "other"], {"h3"}),
        (["--org", "other", "--org", "acme", "--series", "host/*"], {"h1", "h2", "h3"}),
    ],
)
def test_series_globs_and_orgs(world: World, more: list[str], entities: set[str]) -> None:
    world.put(key(NOON_S), gauge("x", {0: 1.0}), gauge("x", {0: 1.0}, host="h2"), gauge("x", {0: 1.0}, host="h3", org="other"))
    world.put(key(NOON_S, "b"), service_record("Shop", NOON_S, [("x", NOON_S, 1.0)]))
    done = run(world, *more, types="service,host")
    assert {row["entity"] for row in done.rows["1m"]} == entities
    points = done.report["points"]
    assert sum(by_term.get("outside.series", 0) for by_term in points.values()) == 4 - len(entities)
    assert not done.report["imbalances"]


def test_bare_arrays_have_the_default_org_and_arrive_when_their_object_does(world: World) -> None:
    world.put(key(NOON_S + 10), json.dumps([{"hostId": "h1", "name": "x", "time": NOON_S, "value": 1.0}]).encode())
    world.put(key(NOON_S + 5, "z"), gauge("x", {0: 2.0}, at=9, org="lab"), gauge("x", {60: 3.0}, at=9, org=None))
    done = run(world, "--default-org", "lab")
    assert [(row["org"], row["last"]) for row in done.rows["1m"]] == [("lab", 1.0), ("lab", 3.0)]


def test_the_oracle_agrees_with_all_of_this(arrivals: Done, rolled_up: Done) -> None:
    """The tables above and `scripts/oracle.py` were written apart."""
    for done, average in ((arrivals, "cascade"), (rolled_up, rolled_up.report["run_id"])):
        expected = done.world.expected(periods_s=[(NOON_S, NOON_S + 3600)], average=average)
        assert bits([row for rows in done.rows.values() for row in rows]) == bits(expected)
