"""S3 servers for tests: moto's, and versitygw; and a recorder that stands before either and notes every request."""

import http.client
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from botocore.config import Config

from scripts.s3_gateway import ENVIRONMENT, KEY, SECRET, gateway

SERVERS = ("moto", pytest.param("versitygw", marks=pytest.mark.slow))
"""Names for `served`; the second one checks signatures."""


def client(endpoint_url: str) -> Any:
    """Of someone who fills the archive."""
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.session.Session().client("s3", endpoint_url=endpoint_url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, config=config)


@contextmanager
def served(name: str, folder: Path) -> Iterator[str]:
    """A running, empty server's URL."""
    with _moto() if name == "moto" else gateway(folder / "gateway") as url:
        yield url


@contextmanager
def _moto() -> Iterator[str]:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serves until the context ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Recorder:
    """What went to the server: (operation, key or prefix, headers), in the order of arrival, and the moments when it came.

    `faults` are answered instead, as status and code by key; `passing` ones once.
    """

    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    passing: dict[str, tuple[int, str]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    url: str = ""

    def operations(self) -> dict[str, int]:
        """Calls by operation."""
        return dict(Counter(operation for operation, _, _ in self.requests))

    def named(self, operation: str) -> list[str]:
        """Keys or prefixes that an operation was called with."""
        return [name for one, name, _ in self.requests if one == operation]


@contextmanager
def recorded(upstream: str) -> Iterator[Recorder]:
    """A proxy before a server."""
    recorder, host = Recorder(), urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in two parts waits for the first to be acknowledged

        def handle_request(self) -> None:
            operation, name = operation_of(self.command, self.path)
            recorder.times.append(time.monotonic())
            recorder.requests.append((operation, name, dict(self.headers)))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault := recorder.passing.pop(name, recorder.faults.get(name)):
                self.answer(fault[0], [("Content-Type", "application/xml")], error_xml(fault[1]))
                return
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self.answer(answer.status, answer.getheaders(), answer.read())
            connection.close()

        def handle_expect_100(self) -> bool:
            goes_on = super().handle_expect_100()
            self.wfile.flush()  # or the client waits a second for it
            return goes_on

        def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "server", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_request

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as recorder.url:
        yield recorder


def operation_of(method: str, path: str) -> tuple[str, str]:
    """S3's name of a path-style request, with the key or prefix; the method and path of what is neither listing nor reading."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    key = unquote(parts.path.removeprefix("/").partition("/")[2])
    if method == "GET" and not key and query.get("list-type") == ["2"]:
        return "ListObjectsV2", query.get("prefix", [""])[0]
    if method == "GET" and key and query.keys() <= {"x-id"}:
        return "GetObject", key
    return f"{method} {path}", key


def error_xml(code: str, message: str = "said by a test") -> bytes:
    """S3's error document."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()


@contextmanager
def aws_environment(**more: str) -> Iterator[None]:
    """Credentials of nobody, and no configuration of the machine's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [one for one in os.environ if one.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in (ENVIRONMENT | more).items():
            patch.setenv(name, value)
        yield
