"""The parts of the demo: the comparison finds every difference, the incident hits what it should, commands can be typed, a failed proof looks like one."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts import demo, oracle
from scripts.demo_parts.chart import chart
from scripts.demo_parts.commands import CommandFailed, Commands
from scripts.demo_parts.comparison import compare, counts_of, differences, moved, outside
from scripts.demo_parts.incident import Incident, play
from scripts.demo_parts.markup import element, number
from scripts.demo_parts.page import page
from scripts.demo_parts.story import disagreements, period_text
from scripts.demo_parts.terminal import Terminal, buckets_text, hours_text
from transforms.core.model import ROLLUP_SCHEMA

DAY_S = 1_762_041_600
"""2025-11-02T00:00Z."""

SERIES = ("host", "acme", "4HkWeb000001", "loadavg5", "{}")


def table(rows: list[dict[str, Any]]) -> pa.Table:
    fields = [(name, pa.string() if name in oracle.COLUMNS[:7] else pa.float64()) for name in oracle.COLUMNS]
    types = {"bucket_start": pa.timestamp("ms", "UTC"), "minutes": pa.int32(), "count": pa.int64()}
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, types.get(name, kind)) for name, kind in fields]))


def stored(rows: list[dict[str, Any]], generation: int = 7) -> pa.Table:
    return table(rows).append_column("generation", pa.array([generation] * len(rows), pa.int64()))


def row(start_s: int = DAY_S, changed: dict[str, object] | None = None) -> dict[str, Any]:
    values = dict.fromkeys(oracle.COLUMNS) | dict(zip(oracle.COLUMNS[:7], (*SERIES, "gauge", "1m"), strict=True))
    return values | vars(oracle.rollup_1m(2.5)) | {"bucket_start": start_s * 1000} | (changed or {})


class TestComparison:
    def test_the_same_rows_are_right_in_any_order(self) -> None:
        rows = [row(), row(DAY_S + 60)]
        assert counts_of(compare(table(rows), stored(rows[::-1]))) == {"host": {"1m": {"right": 2, "wrong": 0, "missing": 0, "extra": 0}}}
        assert differences(compare(table(rows), stored(rows)), 9) == []

    @pytest.mark.parametrize("column", oracle.COLUMNS[8:])
    def test_every_value_column_is_compared(self, column: str) -> None:
        value = 3 if column in {"minutes", "count"} else 2.5000000000000004
        compared = compare(table([row()]), stored([row(changed={column: value})]))
        assert differences(compared, 9) == [f"host/acme/4HkWeb000001/loadavg5 1m 2025-11-02T00:00:00Z: {column} is {value!r}, expected {row()[column]!r}"]
        assert counts_of(compared)["host"]["1m"]["wrong"] == 1

    def test_minus_zero_is_not_zero(self) -> None:
        assert len(differences(compare(table([row(changed={"sum": 0.0})]), stored([row(changed={"sum": -0.0})])), 9)) == 1

    @pytest.mark.parametrize("column", ["metric_type", "org", "entity", "name", "labels", "kind", "granularity"])
    def test_another_identity_is_another_bucket(self, column: str) -> None:
        told = differences(compare(table([row()]), stored([row(changed={column: "other"})])), 9)
        assert sorted(one.rpartition(": ")[2] for one in told) == ["extra", "missing"]

    def test_a_bucket_that_is_not_there_or_too_much(self) -> None:
        told = differences(compare(table([row()]), stored([row(DAY_S + 60)])), 9)
        assert told == [f"host/acme/4HkWeb000001/loadavg5 1m 2025-11-02T00:0{minute}:00Z: {verdict}" for minute, verdict in ((0, "missing"), (1, "extra"))]

    def test_generations_are_compared_outside_the_computed_ranges_only(self) -> None:
        rows = [row(), row(DAY_S + 60), row(DAY_S + 120)]
        before, after = stored(rows, 7), pa.concat_tables([stored(rows[:1], 7), stored(rows[1:], 8)])
        assert [moved(*(outside(one, {"1m": [range_s]}) for one in (before, after))) for range_s in ((DAY_S + 60, DAY_S + 180), (DAY_S, DAY_S + 120))] == [0, 1]
        assert moved(before, before.slice(1)) == 1

    def test_a_report_that_tells_other_numbers_is_found(self) -> None:
        before = {"host": {"1m": {"right": 1, "wrong": 2, "missing": 3, "extra": 0}}}
        assert disagreements({"buckets": {"host": {"1m": {"added": 3, "changed": 2}}}}, before) == []
        assert disagreements({"buckets": {"host": {"1m": {"added": 4, "changed": 2}}}}, before) == [
            "host 1m: the run reports 4 added, the comparison before it found 3 missing"
        ]


class TestIncident:
    def test_no_edge_is_a_buckets(self) -> None:
        incident = Incident.on(DAY_S)
        assert all(at % 60 == 0 and at % 300 for at in (incident.start_s, incident.restart_s, incident.end_s))

    def test_shards_are_hit_as_told(self) -> None:
        incident = Incident.on(DAY_S)
        lost = {}
        for place in range(100):
            series = (*SERIES[:3], f"metric{place}", "{}")
            first, second = range(incident.start_s, incident.restart_s, 60), range(incident.restart_s, incident.end_s, 60)
            lost[series] = [sum(incident.loses(series, minute) for minute in minutes) / len(minutes) for minutes in (first, second)]
            assert not any(incident.loses(series, minute) for minute in (incident.start_s - 60, incident.end_s))
        kinds = {first: [second for one, second in lost.values() if one == first] for first, _ in lost.values()}
        assert kinds.keys() == {0.0, 1.0}
        assert all(0.5 < second < 0.8 for second in kinds[1.0])
        assert any(second == 0.0 for second in kinds[0.0])
        assert any(0.5 < second < 0.8 for second in kinds[0.0])

    def test_the_files_hold_what_the_live_writer_made_of_the_rest(self, tmp_path: Path) -> None:
        incident = Incident.on(DAY_S)
        names = [f"metric{number}" for number in range(9)]
        values = {(*SERIES[:3], name, "{}"): {minute: minute % 7.0 for minute in range(DAY_S, DAY_S + 86_400, 60)} for name in names}
        write_store(tmp_path, {series: oracle.roll_up(minutes, "cascade") for series, minutes in values.items()}, generation=5)
        whole = read_store(tmp_path)
        counted = play(tmp_path, incident)
        left = {series: {at: value for at, value in minutes.items() if not incident.loses(series, at)} for series, minutes in values.items()}
        write_store(tmp_path / "expected", {series: oracle.roll_up(minutes, "cascade") for series, minutes in left.items()}, generation=5)
        damaged, expected = read_store(tmp_path), read_store(tmp_path / "expected")
        assert {key: row | {"generation": 5} for key, row in damaged.items()} == expected
        changed = {key for key, row in damaged.items() if row != whole[key]}
        assert counted == {"removed": len(whole) - len(damaged), "falsified": len(changed)}
        assert {damaged[key]["generation"] for key in changed} == {None}


Rows = dict[tuple[str, str, object], dict[str, Any]]


def write_store(root: Path, rolled: dict[oracle.Series, dict[str, dict[int, oracle.Rollup]]], *, generation: int) -> None:
    for granularity in oracle.WIDTH_S:
        rows = [
            dict(zip(("org", "entity", "name", "labels"), series[1:], strict=True), kind="gauge", bucket_start=start_s * 1000, generation=generation)
            | vars(rollup)
            for series, by_granularity in rolled.items()
            for start_s, rollup in by_granularity[granularity].items()
        ]
        path = root / "metric_type=host" / f"granularity={granularity}" / "day=2025-11-02" / "shard-0000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=ROLLUP_SCHEMA), path)


def read_store(root: Path) -> Rows:
    files = sorted(root.glob("metric_type=*/*/*/*.parquet"))
    return {(path.parts[-3], row["name"], row["bucket_start"]): row for path in files for row in pq.ParquetFile(path).read().to_pylist()}


class TestCommands:
    def test_what_is_shown_can_be_typed(self, tmp_path: Path) -> None:
        commands = Commands(tmp_path, print)
        assert commands.setting() == f"DEMO={tmp_path}"
        assert commands.shown(["undo", "a-run", "--work-dir", f"{tmp_path}/work"]) == "scripts/run undo a-run --work-dir $DEMO/work"
        assert commands.shown(["export", "--series", "host/*/x y"]) == "scripts/run export --series 'host/*/x y'"

    def test_a_folder_that_needs_quotes_is_shown_as_it_is(self, tmp_path: Path) -> None:
        commands = Commands(tmp_path / "a b", print)
        assert commands.shown(["export", "--output", f"{tmp_path}/a b/$g.csv"]) == f'scripts/run export --output "{tmp_path}/a b/$g.csv"'

    def test_long_commands_are_broken_before_options(self, tmp_path: Path) -> None:
        shown = Commands(tmp_path, print).shown(["backfill", *(word for n in range(9) for word in (f"--option-{n}", "value-of-the-option"))])
        assert len(shown.splitlines()) > 1
        assert all(line.endswith(" \\") for line in shown.splitlines()[:-1])
        assert all(line.startswith("    --option") for line in shown.splitlines()[1:])

    def test_a_command_that_fails_is_told_with_what_it_said(self, tmp_path: Path) -> None:
        said: list[str] = []
        commands = Commands(tmp_path, said.append)
        with pytest.raises(CommandFailed, match="ended with 2") as failed:
            commands.run(["export", "--stor", "parquet:///x"])
        assert failed.value.exit_code == 2
        assert "rollups:" in str(failed.value)
        assert said == ["$ scripts/run export --stor parquet:///x"]


class TestPage:
    def test_text_is_escaped_and_numbers_are_exact(self) -> None:
        assert element("p", "a", class_='x"y', title="") == '<p class="x&quot;y">a</p>'
        assert number(1234567) == '<data value="1234567">1,234,567</data>'
        assert number(0.1 + 0.2) == '<data value="0.30000000000000004">0.3</data>'

    def test_a_failed_proof_looks_like_one(self) -> None:
        text = page(document(after="wrong", differences=["host/a<b/x 1m 2025-11-02T00:00:00Z: missing"]))
        assert "<h1>Not repaired: 1 buckets differ</h1>" in text
        assert "✗ The store is not as expected." in text
        assert "host/a&lt;b/x" in text
        assert "all added" not in text

    def test_no_text_can_end_the_embedded_json(self) -> None:
        text = page(document(differences=["</script><b>"]))
        assert text.count("</script>") == 1

    def test_without_a_damaged_series_there_is_no_chart(self) -> None:
        assert "<svg class" not in page(document() | {"series": []})

    def test_a_flat_series_can_be_drawn(self) -> None:
        assert "5 minute averages of x" in chart(document()["series"][0]["buckets"]["5m"], 300, (DAY_S, DAY_S + 600), "x")


class TestTerminal:
    def test_steps_are_numbered_and_timed(self) -> None:
        said: list[str] = []
        terminal = Terminal(said.append, iter([1.0, 2.5, 3.0, 3.0]).__next__)
        with terminal.step("One") as results:
            terminal.say("a\nb")
            results.append("done")
        with terminal.step("Two"):
            pass
        assert said == ["\n1  One", "   a", "   b", "   done · 1.5 s", "\n2  Two", "   0.0 s"]

    def test_titles_stand_over_their_columns(self) -> None:
        made = document()
        lines = buckets_text(made["before"], made["after"]).splitlines()
        assert [lines[0].index(side) for side in ("before", "after")] == [lines[1].index("right"), lines[1].rindex("right")]
        hours = hours_text(made["series"][0]).splitlines()
        assert hours[0] == "host/acme/h/x"
        assert hours[-1].split() == ["2025-11-02T00:00:00Z", "-", "missing", "60", "1", "60", "1"]


class TestUsage:
    @pytest.mark.parametrize("arguments", [["--days", "0"], ["--days", "two"], ["--seed", "-1"], ["--out", "x"], ["more"]])
    def test_wrong_options_end_with_2(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            demo.main(arguments)
        assert ended.value.code == 2
        assert arguments[-1] in capsys.readouterr().err

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "mine").touch()
        assert demo.main(["--output", str(tmp_path)]) == 2
        assert "name a new or empty folder" in capsys.readouterr().err
        assert (tmp_path / "mine").exists()

    def test_the_folder_of_an_earlier_demo_is_made_anew(self, tmp_path: Path) -> None:
        folder = demo.folder_of(tmp_path / "new" / "folder")
        assert folder is not None
        (folder / "page.html").touch()
        assert demo.folder_of(folder) == folder
        assert [path.name for path in folder.iterdir()] == [demo.MARK]

    def test_only_a_finished_demo_can_be_checked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert demo.main(["--check", str(tmp_path)]) == 2
        assert "holds no finished demo" in capsys.readouterr().err

    def test_periods_are_written_in_whole_minutes(self) -> None:
        assert period_text(DAY_S + 37_320, DAY_S + 36_000 + 3600) == "2025-11-02T10:22Z/2025-11-02T11:00Z"


def document(*, after: str = "right", differences: list[str] | None = None) -> dict[str, Any]:
    """A document with one series of one bucket."""
    expected = {"minutes": 60, "avg": 1.0}
    bucket = {"bucket_start": "2025-11-02T00:00:00Z", "expected": expected}
    bucket |= {"before": {"verdict": "missing", "minutes": None, "avg": None}, "after": expected | {"verdict": after}}
    counts = dict.fromkeys(("right", "wrong", "missing", "extra"), 0)
    tally = {"added": 1, "changed": 0, "equal": 0}
    return {
        "archive": {"objects": 3, "period": "2025-11-02T00:00:00Z/2025-11-03T00:00:00Z"},
        "incident": {"start": "2025-11-02T00:00:00Z", "restart": "2025-11-02T00:05:00Z", "end": "2025-11-02T00:10:00Z"},
        "run": {
            "run_id": "r",
            "generation": 1,
            "objects": 2,
            "duration_s": 1.25,
            "points": {"host": {"points": 5, "stored": 5}},
            "buckets": {"host": {"1m": tally}},
        },
        "before": {"host": {"1m": counts | {"missing": 1}}},
        "after": {"host": {"1m": counts | {after: 1}}},
        "untouched": 4,
        "differences": differences or [],
        "series": [{"metric_type": "host", "text": "host/acme/h/x", "buckets": {"5m": [bucket], "1h": [bucket]}}],
        "commands": ["a"],
        "further": ["b"],
    }
