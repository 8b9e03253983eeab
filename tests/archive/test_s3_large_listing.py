"""Listings of very many keys, by a server that makes them up: memory does not grow with them. In a process of its own, whose peak is its own, too."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.archive import s3_servers

ROOT = Path(__file__).parents[2]
PAGE = 1000
FIRST = datetime(2025, 11, 1, tzinfo=UTC)

LIST = """
import json, resource, sys, threading, time
from tests.limits import limits
from transforms.archive import open_archive
from transforms.core.keys import FIREHOSE
from pipelines.listing import list_archive
from pipelines.runtime import Runtime

url, times = sys.argv[1], json.loads(sys.argv[2])
peaks, shown = [], []

def show(line):
    shown.append(line)
    if len(shown) % 10 == 0:
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)

runtime = Runtime(clock=time.time, wait=None, say=print, show=show, ask=None, out=None, terminal=True, environ={})
listed = list_archive(open_archive(url, FIREHOSE, limits()), FIREHOSE, [tuple(one) for one in times], runtime)
print(json.dumps({"objects": listed.objects, "chosen": len(listed.manifest.objects), "peaks_mb": peaks, "shown": len(shown)}))
"""
"""Lists and tells: peak memory after every tenth page."""


class Keys:
    """`hours` folders of `per_hour` keys each, made up page by page; below `above`, which is no folder of the pattern and makes the listing a flat one."""

    def __init__(self, hours: int, per_hour: int, above: str = "") -> None:
        self.hours, self.per_hour, self.above = hours, per_hour, above
        self.pages = 0
        self.url = ""

    def answer(self, path: str) -> bytes:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        self.pages += 1
        if "delimiter" in query:
            return document(folders=[self.above] if self.above else self.folders(query.get("prefix", "")))
        start, total = int(query.get("continuation-token", 0)), self.per_hour * (self.hours if self.above else 1)
        number = min(PAGE, total - start)
        hour = FIRST + timedelta(hours=start // self.per_hour)  # a page lies in one
        folder = f"{self.above}{hour:%Y/%m/%d/%H}/" if self.above else query["prefix"]
        more = f"{start + number}" if start + number < total else ""
        return document("".join(f"<Contents><Key>{folder}posts-{one:09d}</Key>{_REST}" for one in range(start, start + number)), more=more)

    def folders(self, prefix: str) -> list[str]:
        depth = prefix.count("/")
        times = (FIRST + timedelta(hours=hour) for hour in range(self.hours))
        paths = (f"{time:%Y/%m/%d/%H}/" for time in times)
        return sorted({"/".join(path.split("/")[: depth + 1]) + "/" for path in paths if path.startswith(prefix)})


_REST = (
    "<LastModified>2025-11-01T00:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>"
    "<Size>1000</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def document(contents: str = "", folders: list[str] | None = None, more: str = "") -> bytes:
    prefixes = "".join(f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in folders or ())
    token = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else "<IsTruncated>false</IsTruncated>"
    return f"<?xml version='1.0'?><ListBucketResult>{token}{contents}{prefixes}</ListBucketResult>".encode()


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> Iterator[Keys]:
    made: Keys = request.param

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in two parts waits for the first to be acknowledged

        def do_GET(self) -> None:
            content = made.answer(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with s3_servers.http_server(Handler) as made.url:
        yield made


def listed(keys: Keys, hours: int) -> dict[str, Any]:
    first = int(FIRST.timestamp())
    argv = [sys.executable, "-c", LIST, f"s3://archive?endpoint_url={keys.url}", json.dumps([[first, first + 3600 * hours]])]
    done = subprocess.run(argv, cwd=ROOT, env=os.environ | s3_servers.ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("keys", [Keys(72, 1_500)], indirect=True)
def test_of_many_hours_only_the_wanted_are_listed(keys: Keys) -> None:
    result = listed(keys, hours=3)
    assert (result["objects"], result["chosen"]) == (4_500, 4_500)
    assert keys.pages == 4 + 3 * 2, "root, year, month, one day; two pages an hour"


@pytest.mark.parametrize("keys", [Keys(50, 1_000, "x/"), pytest.param(Keys(1_000, 10_000, "x/"), marks=pytest.mark.slow)], indirect=True)
def test_however_many_keys_are_listed_memory_is_that_of_those_to_read(keys: Keys) -> None:
    """The first hour's of up to ten million."""
    result = listed(keys, hours=1)
    assert (result["objects"], result["chosen"]) == (keys.hours * keys.per_hour, keys.per_hour)
    assert keys.pages == 1 + keys.hours * keys.per_hour // PAGE
    first, last = result["peaks_mb"][0], result["peaks_mb"][-1]
    assert last - first < 16, result["peaks_mb"]
