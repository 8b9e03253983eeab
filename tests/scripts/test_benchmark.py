"""The benchmark measures whole process trees, takes turns, sees every kind of difference between results, and says which targets were met."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from scripts import benchmark, oracle
from scripts.archive_maker.options import ArchiveOptions
from scripts.benchmarking import contestants
from scripts.benchmarking.archives import Archive, benchmark_options, cached_archive
from scripts.benchmarking.compare import compare
from scripts.benchmarking.contestants import CONTESTANTS, GRANULARITIES, PEERS, Contestant
from scripts.benchmarking.measure import measured
from scripts.benchmarking.report import Result, Target, profile, targets
from tests.scripts.benchmark_runs import MB, PEER, PLAIN, ROW, TOLD, replaced_by_copiers, result, run, store

# --- comparison ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        PLAIN,
        f"SELECT * FROM ({PLAIN}) ORDER BY hash(sum)",
        f"SELECT * REPLACE (sum * (1 + 1e-10) AS sum) FROM ({PLAIN})",
        f"SELECT * REPLACE (generation + 1 AS generation) FROM ({PLAIN})",
        f"SELECT * REPLACE (bucket_start AT TIME ZONE 'UTC' AS bucket_start, minutes::BIGINT AS minutes) FROM ({PLAIN})",
    ],
)
def test_results_are_equal(tmp_path: Path, query: str) -> None:
    found = compare((PEER, store(tmp_path / "a", PLAIN)), (PEER, store(tmp_path / "b", query)), tmp_path)
    assert [(one.granularity, one.rows, one.is_equal) for one in found] == [(granularity, 100, True) for granularity in GRANULARITIES]


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT * REPLACE (sum * (1 + 1e-8) AS sum) FROM ({PLAIN})",
        *(
            f"SELECT * REPLACE (CASE WHEN entity = 'h3' THEN {name} + 1 ELSE {name} END AS {name}) FROM ({PLAIN})"
            for name in ("sum", "min", "max", "avg", "last", "count", "minutes")
        ),
        f"SELECT * REPLACE (NULL::DOUBLE AS avg) FROM ({PLAIN})",
        f"SELECT * REPLACE (NULL::BIGINT AS generation) FROM ({PLAIN})",
        *(f"SELECT * REPLACE ({name} || 'x' AS {name}) FROM ({PLAIN})" for name in ("metric_type", "org", "entity", "name", "labels", "kind")),
        f"SELECT * REPLACE (bucket_start + INTERVAL 1 SECOND AS bucket_start) FROM ({PLAIN})",
        f"SELECT * FROM ({PLAIN}) WHERE sum > 0",
        f"SELECT * FROM ({PLAIN}) UNION ALL SELECT {ROW} FROM range(100, 101) AS t(i)",
        f"SELECT * FROM ({PLAIN}) UNION ALL SELECT {ROW} FROM range(1) AS t(i)",
        f"SELECT * FROM ({PLAIN}) WHERE false",
    ],
)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_difference_is_seen_from_either_side(tmp_path: Path, query: str, granularity: str) -> None:
    plain, other = store(tmp_path / "a", PLAIN), store(tmp_path / "b", query, only=granularity)
    for sides in ((plain, other), (other, plain)):
        found = compare((PEER, sides[0]), (PEER, sides[1]), tmp_path)
        assert [one.granularity for one in found if not one.is_equal] == [granularity]


def test_a_row_twice_on_both_sides_is_a_difference(tmp_path: Path) -> None:
    twice = store(tmp_path / "a", f"SELECT * FROM ({PLAIN}) UNION ALL SELECT {ROW} FROM range(1) AS t(i)")
    assert not any(one.is_equal for one in compare((PEER, twice), (PEER, twice), tmp_path))


def test_large_results_are_compared_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.benchmarking.compare._ROWS_AT_ONCE", 9)
    plain, other = store(tmp_path / "a", PLAIN), store(tmp_path / "b", f"SELECT * REPLACE (CASE WHEN sum = 0 THEN 1 ELSE sum END AS sum) FROM ({PLAIN})")
    assert all(one.is_equal for one in compare((PEER, plain), (PEER, plain), tmp_path))
    assert [(one.rows, one.unequal) for one in compare((PEER, plain), (PEER, other), tmp_path)] == [(100, 1)] * 3


# --- measuring -------------------------------------------------------------------------------------------------------

FAMILY = """
import subprocess, sys, time
is_child = len(sys.argv) > 1
if not is_child:
    child = subprocess.Popen([sys.executable, __file__, "child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
block = bytearray(b"x") * 150_000_000
until = time.process_time() + 0.4
while time.process_time() < until:
    pass
print("ready", flush=True)
if is_child:
    sys.stdin.read()
else:
    child.communicate()
"""


def test_memory_and_cpu_time_of_all_processes_are_added(tmp_path: Path) -> None:
    program = tmp_path / "family.py"
    program.write_text(FAMILY)
    run = measured([sys.executable, str(program)], cwd=tmp_path, log=tmp_path / "log")
    assert (run.exit_code, run.stdout) == (0, "ready\n")
    assert 300 * MB < run.peak_rss_bytes < 600 * MB
    assert 0.8 <= run.cpu_s < 5
    assert run.wall_s >= 0.8


def test_memory_of_the_measuring_process_does_not_count(tmp_path: Path) -> None:
    block = bytearray(b"x") * (400 * MB)
    run = measured([sys.executable, "-c", "print(len(bytearray(b'x') * 50_000_000))"], cwd=tmp_path, log=tmp_path / "log")
    assert run.peak_rss_bytes < 200 * MB < len(block)


def test_exit_code_and_stderr_are_kept(tmp_path: Path) -> None:
    run = measured([sys.executable, "-c", "import sys; sys.exit('no room')"], cwd=tmp_path, log=tmp_path / "log")
    assert run.exit_code == 1
    assert (tmp_path / "log").read_text() == "no room\n"


# --- archives --------------------------------------------------------------------------------------------------------


def test_an_archive_is_made_once_per_options(tmp_path: Path) -> None:
    options = ArchiveOptions(hosts=1, services=1, metrics=2, duration_s=3600)
    first = cached_archive(tmp_path, options)
    made = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    assert cached_archive(tmp_path, options) == first
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == made
    assert cached_archive(tmp_path, replace(options, seed=2)).path != first.path
    assert (first.points, first.period) == (240, "2025-11-01T00:00:00Z/2025-11-01T01:00:00Z")


def test_half_an_archive_is_made_again(tmp_path: Path) -> None:
    options = ArchiveOptions(hosts=1, services=1, metrics=2, duration_s=3600)
    whole = cached_archive(tmp_path, options)
    contents = {path: path.read_bytes() for path in whole.path.rglob("*.gz")}
    next(iter(contents)).write_bytes(b"half")
    whole.path.with_suffix(".json").unlink()
    cached_archive(tmp_path, options)
    assert {path: path.read_bytes() for path in whole.path.rglob("*.gz")} == contents


@pytest.mark.parametrize("points", [1_000_000, 5_000_000, 20_000_000, 100_000_000])
def test_the_benchmark_archive_has_the_points_asked_for(points: int) -> None:
    options = benchmark_options(points)
    assert abs((options.hosts + options.services) * options.metrics * 1440 / points - 1) < 0.05
    assert options.services > 0 < options.roles


# --- the whole command, with contestants that copy a result -------------------------------------------------------------


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return replaced_by_copiers(tmp_path, monkeypatch)


def test_repeats_take_turns_and_naive_gets_a_sample(tmp_path: Path, turns: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--quick", "--repeat", "2") == 0
    assert turns.read_text().split() == ["ours", "duckdb", "clickhouse", "polars"] * 2 + ["ours", "naive"]
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(one["name"], one["points"], one["equal"], len(one["runs"])) for one in found["results"]] == [
        ("ours", 20, None, 2), ("duckdb", 20, True, 2), ("clickhouse", 20, True, 2), ("polars", 20, True, 2), ("naive", 1, True, 1),
    ]  # fmt: skip
    assert {"processor", "cores_used", "versions", "date"} <= set(found["machine"])
    assert found["archive"]["distinct_points"] == 20
    assert (found["s3"], found["histograms"], found["forms"]) == (None, [], [])
    assert found["profile"] == TOLD["steps"]
    printed = capsys.readouterr().out
    assert "naive pipeline" in printed
    assert re.search(r"^decode +0\.50 +0\.25 +\d+%$", printed, re.MULTILINE)


def test_growth_runs_ours_at_each_size_and_removes_what_was_stored(tmp_path: Path, turns: Path) -> None:
    assert run(tmp_path, "--only", "ours,duckdb", "--growth", "40,10") == 0
    assert turns.read_text().split() == ["ours", "duckdb", "ours", "ours"]
    found = json.loads((tmp_path / "results.json").read_text())
    assert [one["points"] for one in found["growth"]] == [10, 40]
    assert [one["name"] for one in found["targets"]] == ["wall time", "peak RSS", "growth of memory", "planned duration"]
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith("run-")]


def test_without_ours_the_first_is_what_the_others_are_compared_with(tmp_path: Path, turns: Path) -> None:
    assert run(tmp_path, "--quick", "--only", "duckdb,polars") == 0
    assert [one["equal"] for one in json.loads((tmp_path / "results.json").read_text())["results"]] == [None, True]
    assert turns.read_text().split() == ["duckdb", "polars"]


def test_another_result_is_exit_1(tmp_path: Path, turns: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path / "polars", f"SELECT * REPLACE (sum + 1 AS sum) FROM ({PLAIN})")
    assert run(tmp_path, "--quick", "--only", "ours,duckdb,polars") == 1
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.startswith(("duckdb", "polars"))] == ["yes", "NO"]
    assert turns.exists()


def test_a_contestant_that_fails_is_exit_1_and_named(tmp_path: Path, turns: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(CONTESTANTS, "duckdb", Contestant("duckdb", lambda *_: [sys.executable, "-c", "raise SystemExit('no room')"], PEER.relation))
    assert run(tmp_path, "--quick") == 1
    assert "duckdb ended with 1" in (told := capsys.readouterr().err)
    assert "no room" in told
    assert turns.read_text().split() == ["ours"]


def test_an_unknown_contestant_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "--only", "ours,spark")
    assert ended.value.code == 2
    assert "spark: expected some of ours, s3, duckdb, clickhouse, polars, naive, histograms, forms" in capsys.readouterr().err


def test_without_room_nothing_is_started(tmp_path: Path, turns: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000))
    assert run(tmp_path, "--quick", "--points", "1000000") == 2
    assert "0.5 GB more of free space are needed" in capsys.readouterr().err
    assert not turns.exists()


# --- targets ---------------------------------------------------------------------------------------------------------


FIVE = result("ours", 3, estimated_s=3)


@pytest.mark.parametrize(
    ("ours", "naive_s", "growth", "expected"),
    [
        (result("ours", 10), 10.0, {5: FIVE, 100: result("ours", 50, rss=1200 * MB, estimated_s=100)}, [True, True, True, True, True]),
        (result("ours", 12.1), 10.0, {5: FIVE, 100: result("ours", 50, rss=1201 * MB, estimated_s=25)}, [False, True, True, False, True]),
        (result("ours", 10), 7.4, {5: FIVE, 100: result("ours", 50, rss=1501 * MB, estimated_s=24)}, [True, False, False, False, False]),
        (result("ours", 10, rss=1501 * MB, estimated_s=21), 7.6, {}, [True, True, False, False]),
    ],
)
def test_targets(ours: Result, naive_s: float, growth: dict[int, Result], expected: list[bool]) -> None:
    results = {"ours": ours, "duckdb": result("duckdb", 12), "polars": result("polars", 24), "naive": result("naive", naive_s, points=MB)}
    assert [one.met for one in targets(results, growth)] == expected


def test_a_target_names_the_fastest_peer() -> None:
    results = {"ours": result("ours", 10), "duckdb": result("duckdb", 15), "polars": result("polars", 24)}
    assert targets(results, {})[0] == Target("wall time", "at most the fastest peer's (aim: 1.5 times faster)", "1.50 times faster than duckdb", met=True)


def test_the_worst_estimate_is_shown() -> None:
    growth = {5: result("ours", 4, estimated_s=7), 100: result("ours", 50, estimated_s=26)}
    assert targets({"ours": result("ours", 10)}, growth)[-1] == Target("planned duration", "within a factor of 2", "26.0 s for a run of 50.0 s", met=True)


def test_the_profile_ends_with_what_is_outside_of_the_steps() -> None:
    assert profile(result("ours", 8)) == [("decode", "8.00", "4.00", "25%"), ("outside of these", "", "12.00", "75%")]


def test_the_median_run_counts() -> None:
    runs = tuple(result("x", wall_s).runs[0] for wall_s in (9.0, 1.0, 2.0))
    three = Result(name="x", points=100, runs=runs, stored_bytes=0)
    assert (three.median.wall_s, three.points_per_s) == (2.0, 50.0)


# --- who takes part --------------------------------------------------------------------------------------------------


def test_our_command_is_a_backfill_of_the_whole_period(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive", ArchiveOptions(duration_s=3600), {"distinct_points": 1})
    command = CONTESTANTS["ours"].command(archive, tmp_path / "out")
    assert command[1:3] == ["-m", "pipelines.backfill"]
    options = dict(zip(command[3:-2:2], command[4:-2:2], strict=True))
    assert options["--archive"] == (tmp_path / "archive").as_uri()
    assert options["--store"] == f"parquet://{tmp_path}/out/store"
    assert options["--period"] == "2025-11-01T00:00:00Z/2025-11-01T01:00:00Z"
    assert options["--workers"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours", "duckdb", "naive"])
def test_contestants_agree_with_the_oracle(name: str, tmp_path: Path) -> None:
    options = replace(benchmark_options(0), hosts=4, services=1, metrics=2, duration_s=3 * 3600, late=0.1, duplicates=0.1, reposted_lower=0.1)
    archive = cached_archive(tmp_path, options)
    output = tmp_path / name
    output.mkdir()
    subprocess.run(CONTESTANTS[name].command(archive, output), cwd=contestants.ROOT, check=True, capture_output=True)
    wanted = oracle.expected_rows(str(archive.path), periods_s=[])
    for granularity in GRANULARITIES:
        relation = CONTESTANTS[name].relation(output, granularity)
        rows = duckdb.sql(f"SELECT metric_type, entity, name, labels, epoch(bucket_start)::BIGINT, minutes, avg, last FROM {relation} ORDER BY ALL").fetchall()
        expected = [row for row in wanted if row["granularity"] == granularity]
        assert len(rows) == len(expected) > 0
        assert [row[-2:] for row in rows] == [(pytest.approx(row["avg"], rel=1e-12), row["last"]) for row in expected]


def test_every_peer_is_a_program_of_its_own() -> None:
    for name in ("duckdb", "clickhouse", "polars", "naive_beam"):
        compile((PEERS / f"in_{name}.py").read_text(), name, "exec")
