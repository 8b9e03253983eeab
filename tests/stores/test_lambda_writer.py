"""The reference writer: what it answers, that it can be killed anywhere, and that its package has what it needs and no more. On ministack."""

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.local_servers import WRITER, client_of, deploy_writer, ministack
from scripts.package_writer import main, modules, package
from tests.archive.s3_servers import aws_environment
from tests.contracts.harness import UNIT, calls_of, killed, put, read
from tests.core.rollup_tables import DAY, Row, row, table
from tests.limits import limits
from tests.stores.dynamodb_servers import DynamoPlace, new_place
from transforms.calls.waiting import Waiting
from transforms.core.packed import pack
from transforms.stores.dynamodb import DynamoStore
from transforms.stores.dynamodb_place import Place
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.lambda_writer import BatchWriter

H1, H2 = '["host","acme","h1","cpu",[]]', '["host","acme","h2","cpu",[]]'
NAME = "1m#2025-11-01T00:00"
WRITTEN, EQUAL, REFUSED = ({"outcome": one} for one in ("written", "equal", "refused"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@pytest.fixture
def place(server: str) -> Place:
    made = new_place(server)
    DynamoStore(made, limits=limits()).open_partition(UNIT.metric_type, UNIT.window, 1)
    return made


def writer(place: Place, failpoint: Failpoint = no_failpoint, tables: tuple[str, ...] = ("rollups-*",)) -> BatchWriter:
    return BatchWriter(tables, lambda _table: place, Waiting(say=lambda _: None), clock=lambda: 1_762_000_000.0, failpoint=failpoint)


def body_of(*rows: Row) -> str:
    (body,) = pack(table(rows), "1m").values()
    return base64.b64encode(body).decode()


def item(body: str | None, seen: Any = None, series: str = H1, **given: Any) -> dict[str, Any]:
    return {"series": series, "item": NAME, "seen": seen, "body": body, "expires": None} | given


def batch(place: Place, *items: Any, **given: Any) -> dict[str, Any]:
    head = {"format": 1, "key": "k", "run_id": "run", "unit": ["host", DAY, 0], "granularity": "1m", "table": place.table}
    return head | {"items": list(items)} | given


def version(place: Place, series: str = H1) -> int:
    found = place.client().get_item(TableName=place.table, Key={"series": {"S": series}, "item": {"S": NAME}})
    return int(found["Item"]["version"]["N"])


class TestAnswers:
    def test_an_item_is_written_then_equal_then_refused(self, place: Place) -> None:
        first, second = body_of(row("h1", 0, value=1.0)), body_of(row("h1", 0, value=2.0))
        assert writer(place).answer(batch(place, item(first)))["items"] == [WRITTEN]
        assert writer(place).answer(batch(place, item(first)))["items"] == [EQUAL]
        assert writer(place).answer(batch(place, item(second)))["items"] == [REFUSED]
        seen = {"version": version(place)}
        assert writer(place).answer(batch(place, item(second, seen)))["items"] == [WRITTEN]
        assert writer(place).answer(batch(place, item(second, seen)))["items"] == [EQUAL]
        assert read(DynamoStore(place, limits=limits())) == {("h1", 0): (1, 2.0, 1)}

    def test_an_item_is_removed_once(self, place: Place) -> None:
        writer(place).answer(batch(place, item(body_of(row("h1", 0)))))
        seen = {"version": version(place)}
        assert [writer(place).answer(batch(place, item(None, seen)))["items"] for _ in range(2)] == [[WRITTEN], [EQUAL]]
        assert read(DynamoStore(place, limits=limits())) == {}

    def test_an_item_of_a_writer_that_does_not_count_is_told_by_its_bytes(self, place: Place) -> None:
        store, body = DynamoStore(place, limits=limits()), base64.b64decode(body_of(row("h1", 0, value=5.0, generation=None)))
        place.client().put_item(TableName=place.table, Item={"series": {"S": H1}, "item": {"S": NAME}, "body": {"B": body}})
        wrong, right = ({"sha256": one} for one in ("0" * 64, hashlib.sha256(body).hexdigest()))
        new = body_of(row("h1", 0, value=6.0))
        assert writer(place).answer(batch(place, item(new, wrong)))["items"] == [REFUSED]
        assert writer(place).answer(batch(place, item(new, right)))["items"] == [WRITTEN]
        assert store.undo("run", generation=1, now_generation=2).restored == {"1m": 1}

    def test_a_broken_item_is_rejected_and_its_siblings_are_written(self, place: Place) -> None:
        good = body_of(row("h1", 0))
        broken = [
            (7, "7 is no object"),
            (item(good, series="h1"), "series is 'h1', not a SeriesKey"),
            (item(good, item="5m#2025-11-01T00:00"), "item is '5m#2025-11-01T00:00', not of the form 1m#2025-11-01T04:00"),
            (item(good, item=f"{NAME}#1#1"), f"item is '{NAME}#1#1', not of the form 1m#2025-11-01T04:00"),
            (item("?"), "body is no base64: Only base64 data is allowed"),
            (item(""), "body is empty"),
            (item(good, seen="7"), "expires is None and seen '7'"),
        ]
        answer = writer(place).answer(batch(place, *(one for one, _ in broken), item(good)))
        assert answer["items"] == [*({"outcome": "rejected", "cause": cause, "again": False} for _, cause in broken), WRITTEN]

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"format": 2}, "this is no batch of rollups of format 1: caller and function must be of one version"),
            ({"items": None}, "this is no batch of rollups"),
            ({"unit": ["host", 3]}, "its unit is ['host', 3]"),
            ({"run_id": ""}, "run_id, granularity, table and key of the batch are ['', '1m'"),
            ({"undo_s": "30d"}, "undo_s of the batch is '30d', not a number of seconds"),
            ({"table": "orders"}, "it writes into rollups-* and not into the table 'orders'"),
        ],
    )
    def test_what_is_no_batch_for_it_is_not_looked_at(self, place: Place, given: dict[str, Any], words: str) -> None:
        answer = writer(place).answer(batch(place, item(body_of(row("h1", 0)))) | given)
        assert answer.keys() == {"format", "cause"}
        assert words in answer["cause"]

    def test_a_table_that_is_not_there_is_the_cause(self, place: Place) -> None:
        missing = Place(table="rollups-gone", endpoint_url=place.endpoint_url, region="us-east-1")
        assert writer(missing).answer(batch(missing, item(body_of(row("h1", 0)))))["cause"].startswith("there is no table 'rollups-gone'")

    def test_what_stops_it_in_the_middle_is_the_answer_to_all(self, place: Place) -> None:
        oversized = [item(body_of(row("h1", 0))), item(body_of(row("h2", 0)), series=H2[:-2] + json.dumps([["k", "v" * 410_000]]) + "]")]
        answers = writer(place).answer(batch(place, *oversized))["items"]
        assert [(one["outcome"], one["again"]) for one in answers] == [("rejected", True)] * 2
        assert "ValidationException" in answers[0]["cause"]
        assert writer(place).answer(batch(place, oversized[0]))["items"] in ([WRITTEN], [EQUAL])

    def test_it_tells_what_was_consumed(self, place: Place) -> None:
        answer = writer(place).answer(batch(place, item(body_of(row("h1", 0)))))
        assert (answer["format"], answer["key"], answer["consumed"]) == (1, "k", 5.0)  # index, index of the run, roster, image, item


class TestKilled:
    def test_killed_at_any_call_and_sent_again_it_ends_as_undisturbed(self, server: str) -> None:
        rows = {"old": [row("h1", 0, value=1.0), row("h2", 0, value=1.0)], "new": [row(one, 0, value=2.0, generation=2) for one in ("h1", "h2", "h3")]}

        def prepared() -> tuple[Place, Callable[[Failpoint], object]]:
            made = new_place(server)
            put(DynamoStore(made, limits=limits()), rows["old"], run_id="early")
            h3 = H1.replace("h1", "h3")
            items = [
                item(body_of(one), None if series == h3 else {"version": version(made, series)}, series)
                for one, series in zip(rows["new"], (H1, H2, h3), strict=True)
            ]
            return made, lambda failpoint: answers.append(writer(made, failpoint).answer(batch(made, *items))["items"])

        answers: list[list[dict[str, Any]]] = []
        undisturbed, send = prepared()
        calls = calls_of(send)
        assert calls >= 14
        for call in range(calls):
            made, send = prepared()
            assert killed(send, call)
            send(no_failpoint)
            assert {one["outcome"] for one in answers[-1]} <= {"written", "equal"}
            assert DynamoPlace(made).stored() == DynamoPlace(undisturbed).stored()
            undone = DynamoStore(made, limits=limits()).undo("run", generation=2, now_generation=3)
            assert (undone.restored, undone.removed) == ({"1m": 2}, {"1m": 1})


class TestPackage:
    def test_it_runs_where_neither_numpy_nor_arrow_is(self, tmp_path: Path) -> None:
        package(tmp_path / "writer.zip")
        code = f"""
import sys
sys.modules.update(dict.fromkeys(["numpy", "pyarrow", "apache_beam", "yaml"]))
sys.path.insert(0, {str(tmp_path / "writer.zip")!r})
from pipelines.writer_function import handler
print(handler({{}}, None)["cause"])
"""
        ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.stdout == "this is no batch of rollups of format 1: caller and function must be of one version\n", ended.stderr

    def test_it_is_small_and_the_same_whenever_its_modules_are(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert [main([str(tmp_path / name)]) for name in ("one.zip", "two.zip")] == [0, 0]
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
        names = zipfile.ZipFile(tmp_path / "one.zip").namelist()
        assert names == list(modules())
        assert "pipelines/writer_function.py" in names
        assert "transforms/core/model.py" not in names
        size = sum(one.file_size for one in zipfile.ZipFile(tmp_path / "one.zip").infolist())
        assert (tmp_path / "one.zip").stat().st_size < 50_000  # as docs/stores/lambda.md says
        assert capsys.readouterr().out.splitlines()[0].startswith(f"{tmp_path / 'one.zip'}: {len(names)} modules, {size / 1000:.1f} kB, ")
        assert main([]) == 2

    def test_it_answers_in_lambda_and_logs_key_and_outcomes(self, place: Place) -> None:
        deploy_writer(place.endpoint_url)
        invoked = client_of(place.endpoint_url, "lambda").invoke(
            FunctionName=WRITER, Payload=json.dumps(batch(place, item(body_of(row("h1", 0))))), LogType="Tail"
        )
        answer = json.loads(invoked["Payload"].read())
        assert answer["items"] == [WRITTEN]
        assert json.dumps({"key": "k", "cause": "", "written": 1}) in base64.b64decode(invoked["LogResult"]).decode()
