"""A run's figures for dashboards: the file and the Pushgateway get what progress and report say, and nobody who takes them holds up the run."""

import base64
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from configs.publishing import PUBLISH_OPTIONS, Published
from pipelines import metric_places, publishing as module
from pipelines.cli import main
from pipelines.figures import Figures
from pipelines.metric_places import Gateway
from pipelines.publishing import publishing
from pipelines.runtime import Runtime
from tests.archive.s3_servers import http_server
from tests.builders import NOON_S
from tests.pipelines.worlds import World, call, gauge, iso, key
from transforms.core.errors import IncompleteError
from transforms.steps.ledger import Ledger

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """By name and labels but the run's id."""
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset({*one.labels.items()} - {("run_id", "r1")})): one.value for family in families for one in family.samples}


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


@dataclass
class Received:
    """What a Pushgateway got: path, Authorization and body of each request. It answers with the status that `answer` gives for so many earlier ones."""

    puts: list[tuple[str, str | None, str]] = field(default_factory=list)
    answer: Callable[[int], int] = lambda _: 200
    url: str = ""


@pytest.fixture
def gateway() -> Iterator[Received]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status = received.answer(len(received.puts))
            received.puts.append((self.path, self.headers["Authorization"], body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as url:
        received.url = url
        yield received


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, types="service,host")
    world.put(key(NOON_S), gauge("cpu", [1.0, 2.0]), b'{"type": "host", "metrics": 7}')
    return world


def assert_is_report(found: Samples, report: dict[str, Any]) -> None:
    buckets = {
        ("rollups_buckets_total", frozenset({("metric_type", name), ("granularity", one), ("verdict", verdict)})): number
        for name, of_type in report["buckets"].items()
        for one, tally in of_type.items()
        for verdict, number in tally.items()
    }
    assert {at: number for at, number in found.items() if at[0] == "rollups_buckets_total"} == buckets
    letters = {("rollups_dead_letters_total", frozenset({("cause", cause)})): number for cause, number in report["dead_letters"]["by_cause"].items()}
    assert {at: number for at, number in found.items() if at[0] == "rollups_dead_letters_total"} == letters
    waits = {(s, c): seconds for s, causes in report["throttled_s"].items() for c, seconds in causes.items()}
    assert waits == {tuple(dict(at[1])[one] for one in ("service", "cause")): n for at, n in found.items() if at[0] == "rollups_throttled_seconds_total"}
    assert value(found, "rollups_points_total") == sum(terms.get("points", 0) for terms in report["points"].values())
    assert {dict(at[1])["what"]: n for at, n in found.items() if at[0] == "rollups_used_total"} == report["calls"]["used"]
    assert value(found, "rollups_exit_code") == report["exit_code"]
    assert (value(found, "rollups_running"), value(found, "rollups_done_ratio")) == (0.0, 1.0)


def test_file_and_gateway_end_with_the_numbers_of_the_report(world: World, gateway: Received, tmp_path: Path) -> None:
    file = tmp_path / "run.prom"
    with_password = gateway.url.replace("http://", "http://me:s%40cret@")
    result = world.backfill("--run-id", "r1", "--metrics-file", str(file), "--metrics-url", f"{with_password}/")
    assert result.code == 3, result.err
    assert result.data["dead_letters"]["total"] == 1
    found = samples(file.read_text())
    assert_is_report(found, result.data)
    assert value(found, "rollups_units", metric_type="host", state="written") == value(found, "rollups_units", metric_type="host", state="planned") == 1
    assert value(found, "rollups_read_groups", state="staged") == 1
    assert value(found, "rollups_limit", limit="s3-get-per-s") == 1375
    path, authorization, body = gateway.puts[-1]
    assert path == "/metrics/job/metric_rollups/run_id/r1"
    assert authorization == "Basic " + base64.b64encode(b"me:s@cret").decode()
    assert_is_report(samples(body), result.data)
    assert "cret" not in result.err


def test_a_run_that_is_repeated_tells_its_report_again(world: World, tmp_path: Path) -> None:
    file = tmp_path / "run.prom"
    assert world.backfill("--run-id", "r1").code == 3
    repeated = world.backfill("--run-id", "r1", "--max-dead-letters", "1", "--metrics-file", str(file))
    assert repeated.code == 0
    assert_is_report(samples(file.read_text()), repeated.data)


def test_a_copy_tells_what_it_read_and_wrote(world: World, tmp_path: Path) -> None:
    assert world.backfill("--max-dead-letters", "1").code == 0
    file, other = tmp_path / "run.prom", world.beside("other")
    places = ("--from", f"parquet://{world.store}", "--store", f"parquet://{other.store}", "--work-dir", str(other.work), "--metric-types", "host")
    result = call(["copy", *places, "--period", "2025-11-01T12:00Z/PT1H", "--json", "--run-id", "r1", "--metrics-file", str(file)])
    assert result.code == 0, result.err
    found = samples(file.read_text())
    assert value(found, "rollups_points_total") == result.data["read"]["host"]["read"] > 0
    assert value(found, "rollups_buckets_total", metric_type="host", granularity="1m", verdict="added") == result.data["buckets"]["host"]["1m"]["added"] > 0
    assert (value(found, "rollups_exit_code"), value(found, "rollups_read_groups", state="planned")) == (0.0, None)


def test_a_copy_that_follows_tells_until_when(world: World, tmp_path: Path) -> None:
    assert world.backfill("--max-dead-letters", "1").code == 0
    file, other = tmp_path / "run.prom", world.beside("other")
    places = ("--from", f"parquet://{world.store}", "--store", f"parquet://{other.store}", "--work-dir", str(other.work), "--metric-types", "host")
    follow = ("--follow", "--start", iso(NOON_S), "--end", iso(NOON_S + 3600), "--run-id", "r1", "--metrics-file", str(file))
    result = call(["copy", *places, *follow, "--json"])
    assert result.code == 0, result.err
    found = samples(file.read_text())
    assert value(found, "rollups_copied_until_timestamp_seconds") == NOON_S + 3600
    assert value(found, "rollups_points_total") == result.data["read"]["host"]["read"] > 0
    assert (value(found, "rollups_done_ratio"), value(found, "rollups_exit_code")) == (None, 0.0)


# --- while it works ------------------------------------------------------------------------------------------------------


class Ticks(threading.Event):
    """Time that passes when the body of a test says so: each `tick` is one wait of the thread that tells."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.due = threading.Semaphore(0), threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout == metric_places.EVERY_S
        self.asked.release()
        self.due.acquire()
        return self.is_set()

    def set(self) -> None:
        super().set()
        self.due.release()

    def tick(self) -> None:
        """Returns when all that is told in that wait was told."""
        self.asked.acquire()
        self.due.release()
        self.asked.acquire()
        self.asked.release()


def runtime(said: list[str]) -> Runtime:
    never: Any = None
    return Runtime(clock=lambda: 5000.25, wait=never, say=said.append, show=never, ask=never, out=never, terminal=False, environ={})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = Ledger(str(tmp_path / "runs" / "r1"))
    found.path.mkdir(parents=True)
    return found


def test_while_it_works_figures_are_told_again_and_again(ledger: Ledger, gateway: Received) -> None:
    points, ticks, said = iter([10, 20, 20]), Ticks(), list[str]()
    with publishing(Published(metrics_url=gateway.url), ledger, runtime(said), lambda: Figures(points=next(points), buckets={}), lambda: ticks):
        ticks.tick()
        ticks.tick()
    told = [samples(body) for _, _, body in gateway.puts]
    names = ("rollups_points_total", "rollups_running", "rollups_exit_code", "rollups_told_timestamp_seconds")
    assert [tuple(value(one, name) for name in names) for one in told] == [(10, 1, None, 5000.25), (20, 1, None, 5000.25), (20, 0, None, 5000.25)]
    assert not said


def test_what_ends_a_run_is_its_exit_code(ledger: Ledger, gateway: Received) -> None:
    with pytest.raises(IncompleteError), publishing(Published(metrics_url=gateway.url), ledger, runtime([]), lambda: Figures(points=0, buckets={})):
        raise IncompleteError("stopped")
    assert value(samples(gateway.puts[-1][2]), "rollups_exit_code") == 3


def test_a_gateway_that_refuses_is_told_of_once_and_when_it_takes_them_again(ledger: Ledger, gateway: Received) -> None:
    statuses, ticks, said = [500, 503, 200, 400], Ticks(), list[str]()
    gateway.answer = lambda before: statuses[before]
    with publishing(Published(metrics_url=gateway.url), ledger, runtime(said), lambda: Figures(points=0, buckets={}), lambda: ticks):
        for _ in range(3):
            ticks.tick()
    refused = f"metrics: {gateway.url} does not take them (HTTP Error {{}}: {{}}); the run works on, and they are told again every 10 s"
    assert said == [refused.format(500, "Internal Server Error"), f"metrics: {gateway.url} takes them again", refused.format(400, "Bad Request")]
    assert [one["told"] for one in ledger.logged()] == said


def test_a_gateway_that_does_not_answer_does_not_hold_the_run_up(world: World, gateway: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(module, "LAST_S", 0.1)

    def silent(_: int) -> int:
        released.wait(30)
        return 200

    gateway.answer = silent
    result = world.backfill("--run-id", "r1", "--max-dead-letters", "1", "--metrics-url", gateway.url)
    released.set()
    assert result.code == 0, result.err


def test_silence_is_waited_for_so_long(gateway: Received) -> None:
    released = threading.Event()

    def silent(_: int) -> int:
        released.wait(30)
        return 200

    gateway.answer = silent
    with pytest.raises(OSError, match="timed out"):
        Gateway(gateway.url, timeout_s=0.05).put("r1", CollectorRegistry())
    released.set()


def test_a_file_that_can_no_more_be_written_ends_no_run(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    text = str(folder / "run.prom")
    (PUBLISH_OPTIONS[0].parse)(text)
    folder.rmdir()
    asked = Published(metrics_file=text)
    said: list[str] = []
    found = Ledger(str(tmp_path / "runs" / "r1"))
    found.path.mkdir(parents=True)
    with publishing(asked, found, runtime(said), lambda: Figures(points=0, buckets={})):
        pass
    assert [one.split(" (")[0] for one in said] == [f"metrics: {text} does not take them"]


# --- what is asked for ---------------------------------------------------------------------------------------------------

WRONG = {
    "suffix": ("--metrics-file", "{here}/run.txt", "does not end in .prom"),
    "no folder": ("--metrics-file", "{here}/none/run.prom", "is to be in a folder that is not there: make '{here}/none' first"),
    "scheme": ("--metrics-url", "ftp://me:secret@host/x", "'host/x' is no URL of a Pushgateway such as http://pushgateway.example.com:9091"),
    "no host": ("--metrics-url", "http://", "'http://' is no URL of a Pushgateway"),
    "port": ("--metrics-url", "http://host:99999", "is no URL of a Pushgateway"),
    "query": ("--metrics-url", "http://host/?a=b", "is no URL of a Pushgateway"),
}


@pytest.mark.parametrize(("option", "given", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_anything_begins(world: World, tmp_path: Path, option: str, given: str, told: str) -> None:
    result = world.backfill(option, given.format(here=tmp_path))
    assert (result.code, told.format(here=tmp_path) in result.err, "secret" in result.err) == (2, True, False), result.err
    assert not world.work.exists()


def test_commands_that_call_no_service_for_long_have_no_such_option(world: World) -> None:
    assert main(["runs", "--work-dir", str(world.work), "--metrics-file", str(world.root / "x.prom")]) == 2


def test_the_document_explains_every_metric_and_no_other(world: World, tmp_path: Path) -> None:
    file = tmp_path / "run.prom"
    assert world.backfill("--max-dead-letters", "1", "--metrics-file", str(file)).code == 0
    told = {line.split()[2] for line in file.read_text().splitlines() if line.startswith("# HELP")}
    document = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    named = {line.split("`")[1].split("{")[0] for line in document.splitlines() if line.startswith("| `rollups_")}
    assert named == told | {"rollups_copied_until_timestamp_seconds"}
