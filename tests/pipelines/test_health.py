"""Health checks of a team: what is green, what is red, and what is said of it."""

import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipelines.health import CommandCheck, UrlCheck, checks_of
from tests.archive.s3_servers import http_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Answers with the status that the path names; `/silent` not at all."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("?")[0].removeprefix("/")
            if name == "silent":
                ended.wait(30)
                return
            self.send_response(int(name))
            if name == "302":
                self.send_header("Location", "/200")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as url:
        yield url
        ended.set()


@pytest.mark.parametrize("status", [200, 204, 299])
def test_2xx_is_green(server: str, status: int) -> None:
    assert UrlCheck(f"{server}/{status}")() == ""


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_any_other_answer_is_red_also_one_that_leads_elsewhere(server: str, status: int) -> None:
    assert UrlCheck(f"{server}/{status}?token=secret")() == f"{server}/{status} answered {status}"


def test_no_answer_in_time_is_red(server: str) -> None:
    assert UrlCheck(f"{server}/silent?token=secret", timeout_s=0.05)() == f"{server}/silent did not answer (timed out)"


def test_a_late_answer_is_red(server: str) -> None:
    ticks = iter([10.0, 15.5])
    assert UrlCheck(f"{server}/200", clock=lambda: next(ticks))() == f"{server}/200 took more than 5 s to answer"


def test_nobody_there_is_red() -> None:
    assert UrlCheck("http://127.0.0.1:9/health")().startswith("http://127.0.0.1:9/health did not answer (")


def command(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


def test_a_command_that_ends_with_0_is_green() -> None:
    assert CommandCheck(command("raise SystemExit(0)"))() == ""


def test_a_command_that_ends_otherwise_is_red() -> None:
    assert CommandCheck(command("raise SystemExit(3)"))() == f"{sys.executable} ended with 3"


def test_a_command_that_is_not_there_is_red() -> None:
    assert CommandCheck("/nowhere/check --now")() == "/nowhere/check can't be run (No such file or directory)"


def test_a_command_that_does_not_end_is_red_and_ended_with_what_it_started(tmp_path: Path) -> None:
    read, write = os.pipe()
    script = tmp_path / "check"
    script.write_text(f"#!/bin/sh\nsleep 60 >/proc/{os.getpid()}/fd/{write} &\nwait\n")
    script.chmod(0o700)
    assert CommandCheck(str(script), timeout_s=0.5)() == f"{script} did not end within 0.5 s"
    os.close(write)
    assert os.read(read, 1) == b""  # it would wait for as long as anybody has the other end
    os.close(read)


def test_only_what_is_asked_for_is_checked(server: str) -> None:
    assert [[one() for one in checks_of(url, asked)] for url, asked in (("", ""), (f"{server}/200", ""), (f"{server}/404", "/nowhere"))] == [
        [],
        [""],
        [f"{server}/404 answered 404", "/nowhere can't be run (No such file or directory)"],
    ]
