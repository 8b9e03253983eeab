"""Small real payloads by decoder, to be mutated. A new decoder gets a line in SEEDS."""

import gzip
import json
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import zstandard

DATA: Final = Path(__file__).resolve().parents[2] / "tests" / "data"

_LINES: Final = 4


@cache
def _bare() -> tuple[bytes, ...]:
    """Bodies of agent posts as captured, a few points each so that mutations hit something that matters."""
    lines = (DATA / "agent-posts.ndjson").read_text("utf-8").splitlines()[:_LINES]
    bodies = [json.loads(line)["body"] for line in lines]
    points = [json.loads(body) if isinstance(body, str) else body for body in bodies]
    return tuple(json.dumps(one[:5]).encode() for one in points)


@cache
def _postings() -> tuple[bytes, ...]:
    bare = [json.loads(body) for body in _bare()]
    hosts = [
        {"type": "host", "org": "acme", "hostId": body[0]["hostId"], "roles": ["web:app"], "receivedAt": 1_762_000_000.123, "metrics": body} for body in bare
    ]
    services = [{"type": "service", "org": "acme", "service": "shop", "receivedAt": 1_762_000_003, "metrics": body[:2]} for body in bare]
    return tuple(json.dumps(one, ensure_ascii=False).encode() + end for one, end in zip(hosts + services, [b"", b"\n", b" ", b"\r\n"] * 2, strict=True))


def _joined() -> tuple[bytes, ...]:
    return (b"".join(_postings()), b"\n".join(_bare()), b"".join(_bare()))


SEEDS: Final[Mapping[str, Callable[[], tuple[bytes, ...]]]] = {
    "postings": lambda: _postings() + _joined()[:1],
    "bare arrays": lambda: _bare() + _joined()[1:],
    "gzip": lambda: tuple(gzip.compress(body, mtime=0) + gzip.compress(other, mtime=0) for body, other in pairwise(_joined())),
    "zstd": lambda: tuple(zstandard.compress(body) for body in _joined()),
}
