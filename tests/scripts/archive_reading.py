"""Reads a generated archive with nothing but the standard library and zstandard, and refuses what is not plain."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import zstandard

from scripts.archive_maker.archive import make_archive
from scripts.archive_maker.options import ArchiveOptions

KEY = re.compile(
    r"(?P<prefix>.*?)(?P<folder>\d{4}/\d\d/\d\d/\d\d)/(?P<stream>[\w-]+?)-1-(?P<time>\d{4}(?:-\d\d){5})-(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?P<ext>.*)"
)


@dataclass(frozen=True)
class Made:
    """An archive, what its summary says, and the bytes of its objects by key."""

    folder: Path
    summary: dict[str, Any]
    objects: dict[str, bytes]

    @property
    def texts(self) -> dict[str, str]:
        return {key: unpacked(body).decode() for key, body in self.objects.items()}

    @property
    def postings(self) -> list[dict[str, Any]]:
        """Every record of every object in key order; bad JSON fails the test."""
        return [record for _, text in sorted(self.texts.items()) for record in values_of(text)]

    @property
    def points(self) -> list[tuple[str, str, float, float, Any]]:
        """(entity, name, arrival, time, value) in the order of the archive."""
        return [(entity_of(one), point["name"], one["receivedAt"], point["time"], point["value"]) for one in self.postings for point in one["metrics"]]


def made(folder: Path, **options: str | float) -> Made:
    """A small archive: 20 hosts and 2 services with 3 metrics over 6 hours unless told otherwise."""
    small = {"hosts": 20, "services": 2, "metrics": 3, "duration_s": 6 * 3600} | options
    summary = make_archive(folder, ArchiveOptions(**cast("Any", small))).summary
    return Made(folder, summary, {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()})


def unpacked(body: bytes) -> bytes:
    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompress(body)
    return body


def values_of(text: str) -> Iterator[Any]:
    """JSON values with any whitespace or none between them."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        at += len(text[at:]) - len(text[at:].lstrip())


def entity_of(posting: dict[str, Any]) -> str:
    return str(posting["hostId" if posting["type"] == "host" else "service"])


def key_time_s(key: str) -> int:
    match = KEY.fullmatch(key)
    assert match is not None, key
    return int(datetime.strptime(match["time"], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC).timestamp())
