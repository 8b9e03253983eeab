"""A proxy before a DynamoDB server: it notes every request, charges each as the service would, and answers what a test wants instead, or nothing (`drop`).

What it charges is found out from the bytes on the wire, apart from the code under test, by the rules of AWS's pages on capacity units.
"""

import base64
import http.client
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.archive.s3_servers import http_server

Answer = tuple[int, dict[str, Any]]
Instead = Callable[[str, dict[str, Any]], Answer | None]
WRITES = ("PutItem", "DeleteItem", "BatchWriteItem")


def throttled(*reasons: str) -> Answer:
    """The service's refusal for these reasons."""
    said = [{"reason": reason, "resource": "arn:aws:dynamodb:us-east-1:000000000000:table/rollups"} for reason in reasons]
    name = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    return 400, {"__type": name, "message": "too much", "ThrottlingReasons": said}


@dataclass
class Proxy:
    """What came in, in order, with what it was charged; `instead` may answer a request, `keep_back` says which requests of a batch are not processed."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    reads: float = 0.0
    writes: float = 0.0
    instead: Instead = lambda _operation, _request: None
    drop: Callable[[str, dict[str, Any]], bool] = lambda _operation, _request: False
    keep_back: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda _requests: []
    sizes: dict[tuple[str, ...], int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def named(self, operation: str) -> list[dict[str, Any]]:
        return [request for one, request in self.requests if one == operation]

    def written(self) -> list[tuple[str, str]]:
        """Keys of PutItem, in the order of the requests."""
        return [(one["Item"]["series"]["S"], one["Item"]["item"]["S"]) for one in self.named("PutItem")]


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    proxy, host = Proxy(), urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation, request = self.headers.get("X-Amz-Target", "").rpartition(".")[2], json.loads(body or b"{}")
            with proxy.lock:
                proxy.requests.append((operation, request))
                status, answer = proxy.instead(operation, request) or self.forward(operation, request)
            if proxy.drop(operation, request):
                self.close_connection = True
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def forward(self, operation: str, request: dict[str, Any]) -> Answer:
            kept = []
            if operation == "BatchWriteItem":
                ((table, requests),) = request["RequestItems"].items()
                kept = proxy.keep_back(requests)
                passed = [one for one in requests if one not in kept]
                if not passed:
                    return 200, {"UnprocessedItems": {table: kept}, "ConsumedCapacity": []}
                request = request | {"RequestItems": {table: passed}}
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request("POST", self.path, json.dumps(request), {**dict(self.headers), "Content-Length": str(len(json.dumps(request)))})
            reply = connection.getresponse()
            status, answer = reply.status, json.loads(reply.read() or b"{}")
            connection.close()
            charged = charge(proxy.sizes, operation, request, status, answer)
            if operation in WRITES:
                proxy.writes += charged
            else:
                proxy.reads += charged
            if status == 200 and "ReturnConsumedCapacity" in request:
                one = {"TableName": request.get("TableName", ""), "CapacityUnits": charged}
                answer["ConsumedCapacity"] = [one] if operation.startswith("Batch") else one
            if kept:
                answer["UnprocessedItems"] = {table: kept}
            return status, answer

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as proxy.url:
        yield proxy


def size(item: dict[str, dict[str, str]]) -> int:
    """Bytes of an item in JSON."""
    number = 0
    for name, value in item.items():
        number += len(name.encode("utf-8"))
        if "B" in value:
            number += len(base64.b64decode(value["B"]))
        elif "N" in value:
            number += 1 + math.ceil(len(value["N"]) / 2)
        else:
            number += len(value["S"].encode("utf-8"))
    return number


def charge(sizes: dict[tuple[str, ...], int], operation: str, request: dict[str, Any], status: int, answer: dict[str, Any]) -> float:
    """Units of a request, by what is stored by now."""
    if operation in ("PutItem", "DeleteItem"):
        given = request.get("Item", request.get("Key"))
        return _write(sizes, request["TableName"], given, size(given) if "Item" in request else 0, done=status == 200)
    if operation == "BatchWriteItem":
        ((table, requests),) = request["RequestItems"].items()
        items = [one["PutRequest"]["Item"] if "PutRequest" in one else one["DeleteRequest"]["Key"] for one in requests]
        return sum(_write(sizes, table, item, size(item) if "PutRequest" in one else 0, done=True) for one, item in zip(requests, items, strict=True))
    if operation == "BatchGetItem":
        ((table, keys),) = request["RequestItems"].items()
        return float(sum(max(1, math.ceil(sizes.get(_key(table, key), 0) / 4096)) for key in keys["Keys"]))
    if operation in ("Query", "Scan"):
        return float(max(1, math.ceil(sum(map(size, answer.get("Items", []))) / 4096)))
    return 0.0


def _write(sizes: dict[tuple[str, ...], int], table: str, item: dict[str, Any], new: int, *, done: bool) -> float:
    key = _key(table, item)
    units = max(1, math.ceil(max(sizes.get(key, 0), new if done else 0) / 1024))
    if done:
        sizes[key] = new
    return float(units)


def _key(table: str, item: dict[str, Any]) -> tuple[str, ...]:
    return table, item["series"]["S"], item["item"]["S"]
