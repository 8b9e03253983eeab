"""A Lambda endpoint that does what a test wants: it notes every invocation, and answers by the reference writer in this process unless told otherwise."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.archive.s3_servers import http_server
from transforms.calls.waiting import Waiting
from transforms.stores.dynamodb_place import Place
from transforms.stores.lambda_writer import BatchWriter


class Reply(NamedTuple):
    status: int
    data: Any
    headers: Mapping[str, str] = MappingProxyType({})


def function_error(message: str, kind: str = "RuntimeError") -> Reply:
    return Reply(200, {"errorMessage": message, "errorType": kind}, {"X-Amz-Function-Error": "Unhandled"})


def too_many(reason: str) -> Reply:
    return Reply(429, {"Reason": reason, "Type": "User", "message": "Rate Exceeded."}, {"x-amzn-ErrorType": "TooManyRequestsException"})


def too_large() -> Reply:
    return Reply(413, {"Type": "User", "message": "Request must be smaller than 6291456 bytes"}, {"x-amzn-ErrorType": "RequestTooLargeException"})


READY = Reply(200, {"FunctionName": "writer", "Timeout": 30})
NO_ANSWER = Reply(0, None)
DENIED = Reply(403, {"message": "not authorized to perform: lambda:GetFunctionConfiguration"}, {"x-amzn-ErrorType": "AccessDeniedException"})


@dataclass
class Endpoint:
    """`batches` came in, with Content-Length as it was on the wire; `instead` answers a batch, or lets it go to the writer by None."""

    place: Place
    batches: list[dict[str, Any]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    instead: Callable[[dict[str, Any]], Reply | None] = lambda _batch: None
    configuration: Reply = READY
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def sizes(self) -> list[int]:
        """Items of each batch."""
        return [len(one["items"]) for one in self.batches]

    def reply(self, batch: dict[str, Any]) -> Reply:
        return self.instead(batch) or Reply(200, BatchWriter(["*"], lambda _table: self.place, Waiting()).answer(batch))


@contextmanager
def endpoint(place: Place) -> Iterator[Endpoint]:
    """Of a function that writes that table."""
    state = Endpoint(place)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self._send(state.configuration)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            with state.lock:
                state.batches.append(json.loads(body))
                state.lengths.append(length)
                state.in_flight += 1
                state.most_in_flight = max(state.most_in_flight, state.in_flight)
            reply = state.reply(json.loads(body))
            with state.lock:
                state.in_flight -= 1
            if reply == NO_ANSWER:
                state.released.wait(30)
                self.close_connection = True
            else:
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            body = json.dumps(reply.data).encode()
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as state.url:
        try:
            yield state
        finally:
            state.released.set()
