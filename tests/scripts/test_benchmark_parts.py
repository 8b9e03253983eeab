"""The parts of the benchmark beside the race: forms decoded alone, histograms against gauges, a bucket against files; and the README's tables of all."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from scripts import benchmark, go_tools, s3_gateway
from scripts.archive_maker.options import ArchiveOptions
from scripts.benchmarking import contestants, forms
from scripts.benchmarking.archives import cached_archive
from scripts.benchmarking.contestants import CONTESTANTS
from scripts.benchmarking.forms import FORMS, Form, WrongForm, measure_forms
from scripts.benchmarking.kinds import KINDS, ROLLED, RUN, STEPS, cpu_seconds, kind_targets, shares, stored_rows
from scripts.benchmarking.report import Result, Target
from scripts.benchmarking.store_loads import PASSES, load, load_rows
from scripts.benchmarking.store_places import KINDS as KINDS_OF_STORES
from scripts.benchmarking.stores import StoreSpeed, Taken, measure_stores
from tests.scripts.benchmark_runs import MB, replaced_by_copiers, result, run
from transforms.core.units import Unit
from transforms.decode.objects import decode_object
from transforms.stores import open_store

POSTING_FORMS = (
    "postings, plain", "postings, gzip", "postings, Parquet", "postings, ORC", "bare host arrays", "KPL aggregates in Lambda events", "Firehose error output"
)  # fmt: skip


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return replaced_by_copiers(tmp_path, monkeypatch)


# --- forms -----------------------------------------------------------------------------------------------------------


def test_every_form_gives_the_points_that_were_encoded() -> None:
    speeds = list(measure_forms(0, repeat=1))
    assert [(one.name, one.points) for one in speeds] == [(name, 1000) for name in FORMS]
    assert all(one.points_per_cpu_s > 0 for one in speeds)


def test_a_form_gets_more_records_until_decoding_takes_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "FORMS", {"plain": FORMS["postings, plain"]})
    (speed,) = measure_forms(0.05)
    assert 0.025 < speed.cpu_s < 1
    assert speed.points > 10_000
    assert speed.stored_bytes > 40 * speed.points


@pytest.mark.parametrize(("body", "told"), [(b"", "0 points of 1000"), (b"{", "dead letters: (DeadLetter")])
def test_a_form_that_loses_points_is_an_error(body: bytes, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "FORMS", {"lossy": Form(lambda _: body)})
    with pytest.raises(WrongForm, match=re.escape(told)):
        list(measure_forms(0))


def test_a_lossy_form_is_exit_1_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark.os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(forms, "FORMS", {"lossy": Form(lambda _: b"")})
    assert run(tmp_path, "--only", "forms") == 1
    assert "lossy: 0 points of 1000" in capsys.readouterr().err


def test_forms_of_the_same_records_hold_the_same_values() -> None:
    """Those of flat rows, in JSON and as columns; and postings as text, as columns and in envelopes."""
    for names, rules in ((("flat NDJSON", "flat JSON array", "flat Parquet", "flat ORC"), FORMS["flat ORC"].rules), (POSTING_FORMS, None)):
        found = [decode_object(FORMS[name].body(25), key="2025/", arrival_us=0, rules=rules or FORMS[name].rules) for name in names]
        for one in found:
            assert one.points.value.tolist() == found[0].points.value.tolist()
            assert one.points.name.to_pylist() == found[0].points.name.to_pylist()
            assert one.points.time_s.tolist() == found[0].points.time_s.tolist()
            assert one.postings.entity.take(one.points.posting).to_pylist() == found[0].postings.entity.take(found[0].points.posting).to_pylist()
        assert len(set(found[0].points.value.tolist())) > 1000


def test_forms_alone_need_no_archive_no_contestant_and_no_room(
    tmp_path: Path, turns: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forms, "FORMS", {"plain": FORMS["postings, plain"]})
    monkeypatch.setattr(benchmark.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert run(tmp_path, "--only", "forms") == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert (found["archive"], found["results"], found["growth"], found["targets"]) == (None, [], [], [])
    assert [(one["name"], one["points"]) for one in found["forms"]] == [("plain", 1000)]
    assert re.search(r"^plain +1,000 +0\.\d\d +\d\d\.\d +[\d,]+$", capsys.readouterr().out, re.MULTILINE)
    assert not turns.exists()


# --- histograms and gauges ------------------------------------------------------------------------------------------------


def test_kinds_take_turns_and_their_target_is_judged(tmp_path: Path, turns: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark, "kind_options", lambda rows: ArchiveOptions(hosts=0, services=1, metrics=50, roles=0, duration_s=60 * rows))
    assert run(tmp_path, "--only", "histograms", "--repeat", "2", "--kind-rows", "3") == 0
    assert turns.read_text().split() == ["ours"] * 6
    found = json.loads((tmp_path / "results.json").read_text())
    kinds = [(one["name"], one["points"], one["cpu_s"][STEPS], one["shares_of_gauge_rate"][STEPS], len(one["runs"])) for one in found["histograms"]]
    assert kinds == [(name, 60, 0.25, 1.0, 2) for name in KINDS]
    wanted = "at least 0.25 of the gauges' rows per CPU second from fetch to roll up"
    assert found["targets"][0] == {"name": "histograms", "wanted": wanted, "reached": "1.000 (delta histogram)", "met": True}
    assert found["targets"][1]["name"] == "peak RSS of histograms"
    assert re.search(r"^cumulative histogram +60 .* 240 +1\.000 +1\.000 +\d+\.\d+$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("cpu_s", "reached", "is_met"), [((4.0, 2.0), "0.250 (slow)", True), ((4.01, 2.0), "0.249 (slow)", False), ((2.0, 8.0), "0.125 (fast)", False)]
)
def test_the_slowest_kind_counts(cpu_s: tuple[float, float], reached: str, *, is_met: bool) -> None:
    # `result` gives decode half of the wall time as CPU seconds; as many points for all.
    kinds = [result("gauge", 2.0), result("slow", 2 * cpu_s[0]), result("fast", 2 * cpu_s[1])]
    target, _ = kind_targets(kinds)
    assert (target.reached, target.met) == (reached, is_met)


def test_storing_counts_apart_and_the_start_too() -> None:
    def timed(name: str, wall_s: float, **steps_s: float) -> Result:
        told = {"steps": {step.replace("_", " "): {"wall_s": 0.0, "cpu_s": cpu_s} for step, cpu_s in steps_s.items()}}
        one = result(name, wall_s)
        return replace(one, runs=tuple(replace(run, cpu_s=wall_s, stdout=json.dumps(told)) for run in one.runs))

    gauge = timed("gauge", 4.0, decode=0.5, roll_up=0.25, upsert=0.125, read_back=0.125)
    histogram = timed("histogram", 8.0, fetch=0.5, decode=1.0, select=0.25, slice=0.25, read_slices=0.5, roll_up=0.5, upsert=1.5, read_back=0.5)
    assert cpu_seconds(histogram) == {ROLLED: 3.0, STEPS: 5.0, RUN: 8.0}
    assert shares(histogram, gauge) == {ROLLED: 0.25, STEPS: 0.2, RUN: 0.5}


@pytest.mark.parametrize(("rss", "is_met"), [(1500, True), (1501, False)])
def test_the_kind_with_the_largest_memory_counts(rss: int, *, is_met: bool) -> None:
    _, target = kind_targets([result("gauge", 2.0), result("large", 2.0, rss=rss * MB), result("small", 2.0)])
    assert target == Target("peak RSS of histograms", "at most 1,500 MB", f"{rss:,} MB (large)", met=is_met)


@pytest.mark.slow
def test_kinds_have_as_many_rows_and_histograms_hold_every_observation(tmp_path: Path) -> None:
    options = ArchiveOptions(hosts=0, services=2, metrics=50, roles=0, duration_s=600)
    told, count = {}, {}
    for name, maker in KINDS.items():
        archive, output = cached_archive(tmp_path, options, maker), tmp_path / name
        output.mkdir()
        done = subprocess.run(CONTESTANTS["ours"].command(archive, output), cwd=contestants.ROOT, check=True, capture_output=True, text=True)
        told[name] = stored_rows(json.loads(done.stdout))
        count[name] = duckdb.sql(f"SELECT sum(count)::BIGINT FROM {CONTESTANTS['ours'].relation(output, '1m')}").fetchall()
    assert told == dict.fromkeys(KINDS, 1000)
    assert count["delta histogram"] == count["cumulative histogram"] == [(int(np.random.default_rng(1).poisson(12, (10, 2, 50, 16)).sum()),)]


# --- from a bucket --------------------------------------------------------------------------------------------------------


def test_s3_brings_ours() -> None:
    assert benchmark.parse(["--only", "s3,forms"]).only == ("ours", "s3", "forms")
    assert benchmark.parse([]).only == benchmark.PARTS


def test_without_a_server_nothing_is_started(tmp_path: Path, turns: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(go_tools, "TOOLS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(tmp_path, "--quick", "--only", "s3") == 2
    assert "install Go 1.22 or later" in capsys.readouterr().err
    assert not turns.exists()


def test_the_processes_environment_has_the_server_s_credentials_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of someone")
    environment = s3_gateway.client_environment()
    assert {name: value for name, value in environment.items() if name.startswith("AWS_")} == s3_gateway.ENVIRONMENT
    assert environment["PATH"] == os.environ["PATH"]
    assert {one.environment() for name, one in CONTESTANTS.items() if name != "s3"} == {None}


@pytest.mark.slow
def test_ours_reads_the_bucket_and_stores_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark.os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(benchmark, "benchmark_options", lambda _: ArchiveOptions(hosts=2, services=1, metrics=3, duration_s=3600))
    assert run(tmp_path, "--quick", "--only", "s3", "--readme") == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(one["name"], one["points"], one["equal"]) for one in found["results"]] == [("ours", 540, None), ("s3", 540, True)]
    assert found["s3"]["server"] == "versitygw v1.8.0"
    assert found["s3"]["times_of_files"]["wall_s"] == found["results"][1]["runs"][0]["wall_s"] / found["results"][0]["runs"][0]["wall_s"]
    assert "From a bucket (versitygw on the same cores, 0.0 M points): " in capsys.readouterr().out
    assert not list((tmp_path / "cache").glob("run-*"))


# --- stores -------------------------------------------------------------------------------------------------------------

OURS, UNSAFE = Taken(rollups=1000, wall_s=2.0, cpu_s=1.5, calls=2), Taken(rollups=3000, wall_s=1.5, cpu_s=1.0, calls=0)


def test_a_rate_and_calls_are_those_of_as_many_rollups() -> None:
    speed = StoreSpeed(store="valkey", processes=1, case="fresh", ours=OURS, unsafe=UNSAFE)
    assert speed.row() == ("valkey", "1", "fresh", "1,000", "500", "2,000", "4.00", "1500.00", "2.00", "")
    assert json.loads(json.dumps(speed.data())) == {
        "store": "valkey",
        "processes": 1,
        "case": "fresh",
        "ours": {"rollups": 1000, "wall_s": 2.0, "cpu_s": 1.5, "calls": 2},
        "unsafe": {"rollups": 3000, "wall_s": 1.5, "cpu_s": 1.0, "calls": 0},
        "times_unsafe": 4.0,
    }


def test_a_load_s_passes_differ_as_they_say() -> None:
    fresh, again, newer, other = (load(0, 2, one, ["1m", "1h"]) for one in PASSES.values())
    assert {name: table.num_rows for name, table in fresh.items()} == {"1m": 2880, "1h": 48}
    assert load_rows(2, ["1m", "1h"]) == 2928
    assert fresh == again
    for name, table in fresh.items():
        assert table.drop_columns("generation").equals(newer[name].drop_columns("generation"))
        assert np.all(table["avg"].to_numpy() != other[name]["avg"].to_numpy())
    assert [set(one["1m"]["generation"].to_pylist()) for one in (fresh, newer, other)] == [{1}, {2}, {3}]


def test_every_pass_of_every_local_store_is_measured(tmp_path: Path) -> None:
    speeds = list(measure_stores(["parquet", "sqlite"], 1, tmp_path / "work"))
    expected = [(name, processes, one) for name in ("parquet", "sqlite") for processes in (1, 2) for one in PASSES]
    assert [(one.store, one.processes, one.case) for one in speeds] == expected
    assert {taken.rollups for one in speeds for taken in (one.ours, one.unsafe)} == {4 * 1752}
    assert all(taken.wall_s > 0 and taken.cpu_s > 0 and taken.calls == 0 for one in speeds for taken in (one.ours, one.unsafe))
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.slow
def test_calls_are_counted_of_every_store_with_a_server(tmp_path: Path) -> None:
    speeds = {(one.store, one.case): one for one in measure_stores(["parquet+s3", "valkey", "dynamodb", "lambda"], 1, tmp_path / "work")}
    hours, units = 24 * 4, 4
    assert {one: speeds["valkey", one].unsafe.calls for one in PASSES} == dict.fromkeys(PASSES, 2 * hours)  # HSET and EXPIRE
    assert speeds["valkey", "again"].ours.calls >= 2 * hours  # HGETALL of an item and of what lies beside it
    assert speeds["valkey", "fresh"].ours.calls >= 3 * hours
    assert {one: speeds["parquet+s3", one].unsafe.calls for one in PASSES} == dict.fromkeys(PASSES, 3 * units)
    assert {one: speeds["dynamodb", one].unsafe.calls for one in PASSES} == dict.fromkeys(PASSES, units)  # 8 items of a unit are one BatchWriteItem
    assert speeds["dynamodb", "fresh"].ours.calls >= 8 * units
    assert {one: speeds["lambda", one].unsafe.calls for one in PASSES} == dict.fromkeys(PASSES, units)


def test_a_store_that_does_something_else_is_exit_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark.os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(benchmark, "built", lambda _: None)
    monkeypatch.setattr(benchmark, "STORE_KINDS", ["parquet"])
    monkeypatch.setitem(KINDS_OF_STORES, "parquet", replace(KINDS_OF_STORES["parquet"], place=_filled))
    assert run(tmp_path, "--only", "stores", "--store-series", "1") == 1
    told = capfd.readouterr().err
    assert "1440 of 1440 1m rollups were not ADDED (fresh)" in told
    assert "a process ended before its time" in told
    assert not list((tmp_path / "cache").glob("run-*"))


def _filled(folder: Path) -> Iterator[str]:
    """A store that holds what the benchmark is about to write."""
    url = f"parquet://{folder}/rollups"
    store = open_store(url)
    store.open_partition("host", "2025-11-01", 5)
    store.upsert(Unit("host", "2025-11-01", 0), load(0, 1, PASSES["fresh"], ["1m"]), run_id="before", allow_fewer=False)
    yield url


# --- the README's tables ------------------------------------------------------------------------------------------------


def test_the_readme_s_tables_of_an_earlier_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [{"wall_s": wall_s, "cpu_s": 3.0, "peak_rss_bytes": 1000 * MB} for wall_s in (9.0, 4.0, 5.0)]
    one = {"runs": runs, "points": 20 * MB, "points_per_s": 4_000_000.0, "equal": None}
    document = {
        "machine": {"cores_used": 2, "processor": "a processor", "date": "2025-11-25T10:00:00+00:00", "python": "3.11.7"},
        "results": [one | {"name": "ours"}, one | {"name": "s3", "equal": True}, one | {"name": "duckdb", "equal": False}],
        "s3": {"points": 20 * MB, "times_of_files": {"cpu_s": 1.25}},
        "histograms": [one | {"name": "gauge", "cpu_s": {ROLLED: 8.0}, "shares_of_gauge_rate": {ROLLED: 1.0, STEPS: 0.5, RUN: 0.25}}],
        "forms": [{"name": name, "stored_bytes": 500, "points": 100, "points_per_cpu_s": 31_400.0} for name in FORMS],
        "stores": [StoreSpeed(store="valkey", processes=one, case="fresh", ours=OURS, unsafe=UNSAFE).data() for one in (1, 2)],
    }
    (tmp_path / "earlier.json").write_text(json.dumps(document))
    assert benchmark.main(["--readme", str(tmp_path / "earlier.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "Measured on 2 cores of a processor, 2025-11-25, Python 3.11.7:",
        "",
        "| | wall s | CPU s | peak RSS MB | points/s | equal to ours |",
        "|---|---|---|---|---|---|",
        "| **metric-rollups** | 5.0 | 3.0 | 1,000 | 4.00 M | |",
    ]
    assert "| DuckDB | 5.0 | 3.0 | 1,000 | 4.00 M | NO |" in lines
    assert "| gauge | 20.00 M | 5.0 | 3.0 | 1,000 | 2.50 M | 1.00 | 0.50 | 0.25 |" in lines
    assert "| OTLP/JSON, gauges | 5.0 | 31 k |" in lines
    assert [line for line in lines if line.startswith("| valkey")] == ["| valkey | fresh | 500 | 2,000 | 4.00 | 2.00 | |"]
    assert any("20.0 M points): 5.0 s instead of 5.0 s from files in the same run, 1.25 times the CPU time" in line for line in lines)
