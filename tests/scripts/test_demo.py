"""`scripts/run demo` end to end: it repairs, proves it, and its page tells the run's own numbers; and the proof can fail."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a reader of the page gets: the embedded document, the numbers of its tables, the titles of its charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.script = ""
        self.tables: dict[str, dict[str, list[str]]] = {}
        self.titles: list[str] = []
        self._open: list[str] = []
        self._table = self._row = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._open.append(tag)
        if tag == "table":
            self._table = str(named["class"])
            self.tables.setdefault(self._table, {})
        if tag == "data" and self._table and "td" in self._open:
            self.tables[self._table].setdefault(self._row, []).append(str(named["value"]))
        if tag == "title" and "svg" in self._open:
            self.titles.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "table":
            self._table = ""

    def handle_data(self, data: str) -> None:
        if not self._open:
            return
        if self._open[-1] == "script":
            self.script += data
        if self._open[-1] == "th" and self._table:
            self._row = data
        if self._open[-1] == "title" and "svg" in self._open:
            self.titles[-1] += data


@dataclass(frozen=True)
class Played:
    folder: Path
    home: Path
    out: str
    text: str
    page: Page
    document: dict[str, Any]


def demo(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    environ.pop("XDG_STATE_HOME", None)
    return subprocess.run([sys.executable, "scripts/demo.py", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder, home = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("home")
    ended = demo("--days", "1", "--seed", "3", "--output", folder, home=home)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    text = (folder / "page.html").read_text(encoding="utf-8")
    return Played(folder, home, ended.stdout, text, Page(text), json.loads((folder / "demo.json").read_text(encoding="utf-8")))


def test_everything_is_repaired_and_said_to_be(played: Played) -> None:
    document = played.document
    every = [counts for of_type in document["after"].values() for counts in of_type.values()]
    assert len(every) == 9
    assert all(counts["right"] > 0 and not (counts["wrong"] or counts["missing"] or counts["extra"]) for counts in every)
    right = sum(counts["right"] for counts in every)
    assert f"All {right:,} buckets are as expected" in played.out
    assert f'All <data value="{right}">{right:,}</data> buckets are as expected' in played.text
    assert document["differences"] == []


def test_the_incident_hurt_every_type_in_both_ways_and_left_most_alone(played: Played) -> None:
    for of_type in played.document["before"].values():
        assert of_type["1m"]["missing"] > 0
        assert all(of_type[granularity]["wrong"] > 0 and of_type[granularity]["missing"] > 0 for granularity in ("5m", "1h"))
        assert all(counts["right"] > counts["wrong"] + counts["missing"] for counts in of_type.values())
    assert played.document["untouched"] > 10_000


def test_the_terminal_shows_commands_that_can_be_typed_and_where_to_look(played: Played) -> None:
    assert f"DEMO={played.folder}" in played.out
    assert str(played.folder / "page.html") in played.out
    typed = [line.strip() for line in played.out.splitlines() if line.strip().startswith("$ ")]
    assert sum("scripts/run backfill" in line for line in typed) == 2
    assert sum("scripts/run export" in line for line in typed) == 3
    assert any(line.startswith(f"$ scripts/run undo {played.document['run']['run_id']}") for line in typed)


def test_the_page_carries_the_document_and_the_document_the_runs_json(played: Played) -> None:
    assert json.loads(played.page.script) == played.document
    assert json.loads((played.folder / "run.json").read_text(encoding="utf-8")) == played.document["run"]
    assert played.document["run"]["exit_code"] == 0


def test_the_table_of_buckets_has_the_runs_numbers(played: Played) -> None:
    run, before, after = (played.document[name] for name in ("run", "before", "after"))
    rows = played.page.tables["buckets"]
    assert {*rows} == {f"{metric_type} {width}" for metric_type in before for width in before[metric_type]} | {"all"}
    for metric_type, of_type in before.items():
        for width, counts in of_type.items():
            tally = run["buckets"][metric_type][width]
            numbers = [counts["right"], counts["wrong"], counts["missing"], tally["equal"], tally["changed"], tally["added"]]
            numbers += [after[metric_type][width][verdict] for verdict in ("right", "wrong", "missing")]
            assert rows[f"{metric_type} {width}"] == [str(number) for number in numbers]
            assert (tally["added"], tally["changed"]) == (counts["missing"], counts["wrong"])


def test_the_table_of_points_has_the_runs_numbers(played: Played) -> None:
    points = played.document["run"]["points"]
    for metric_type, row in played.page.tables["points"].items():
        told = points[metric_type]
        sums = [
            sum(n for term, n in told.items() if term.split(".")[0] == name)
            for name in ("points", "role_copies", "stored", "superseded", "outside", "dropped", "refused")
        ]
        assert row == [str(number) for number in sums]
        assert sums[0] + sums[1] == sum(sums[2:])


def test_the_charts_show_the_documents_numbers(played: Played) -> None:
    shown = [(one, one[side]) for series in played.document["series"] for side in ("before", "after") for one in series["buckets"]["5m"]]
    assert len(played.document["series"]) == 3
    assert len(played.page.titles) == len(shown)
    for title, (bucket, stored) in zip(played.page.titles, shown, strict=True):
        told = "nothing" if stored["avg"] is None else f"{stored['avg']!r} of {stored['minutes']} min"
        expected = bucket["expected"]
        assert title == f"{bucket['bucket_start']}\nexpected {expected['avg']!r} of {expected['minutes']} min\nstored {told}: {stored['verdict']}"


def test_charted_numbers_are_those_of_the_exported_files(played: Played) -> None:
    for series in played.document["series"]:
        for side in ("before", "after"):
            rows = pq.read_table(played.folder / f"{side}-5m.parquet").to_pylist()
            own = {
                f"{row['bucket_start']:%Y-%m-%dT%H:%M:%SZ}": row
                for row in rows
                if all(row[name] == series[name] for name in ("metric_type", "entity", "name", "labels"))
            }
            for bucket in series["buckets"]["5m"]:
                row = own.get(bucket["bucket_start"], {"avg": None, "minutes": None})
                assert (bucket[side]["avg"], bucket[side]["minutes"]) == (row["avg"], row["minutes"])


def test_the_page_needs_nothing_from_elsewhere(played: Played) -> None:
    assert not re.search(r"https?://(?!www\.w3\.org)|<link|@import|\ssrc=|url\((?!#)", played.text)
    assert "prefers-color-scheme: dark" in played.text


def test_nothing_is_left_outside_the_demos_folder(played: Played) -> None:
    assert [path for path in played.home.rglob("*") if path.is_file()] == []


def test_a_store_that_is_falsified_again_is_found_to_differ(played: Played, tmp_path: Path) -> None:
    folder = tmp_path / "falsified"
    shutil.copytree(played.folder, folder)
    path = min(folder.glob("store/metric_type=role/granularity=1h/*/*.parquet"))
    table = pq.ParquetFile(path).read()
    largest = table["max"].to_numpy().copy()
    largest[5] = np.nextafter(largest[5], np.inf)
    pq.write_table(table.set_column(table.column_names.index("max"), table.schema.field("max"), pa.array(largest)), path)
    row = table.slice(5, 1).to_pylist()[0]

    ended = demo("--check", folder, home=tmp_path)
    assert ended.returncode == 4, ended.stdout + ended.stderr
    assert (
        f"role/acme/{row['entity']}/{row['name']}{row['labels']} 1h {row['bucket_start']:%Y-%m-%dT%H:%M:%SZ}: max is {float(largest[5])!r}, expected"
        in ended.stdout
    )
    assert re.search(r"1 of [\d,]+ buckets differ", ended.stdout)
