"""What every archive does. An implementation takes part by a harness that puts, changes and removes objects where it finds them."""

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from moto import mock_aws

from pipelines.listing import list_archive
from pipelines.runtime import Runtime
from tests.archive import s3_servers
from transforms.archive import Archive, open_archive
from transforms.core.errors import OBJECT_CHANGED, OBJECT_MISSING, IncompleteError, ObjectUnreadable, UsageError
from transforms.core.keys import FIREHOSE
from transforms.core.manifest import ArchiveObject, Manifest


class ArchiveHarness(ABC):
    """The side from which an archive is filled."""

    url: str
    missing_url: str

    @abstractmethod
    def put(self, key: str, body: bytes) -> None:
        """Make or replace an object; a replaced one can be told from the one before."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Delete an object."""


class LocalHarness(ArchiveHarness):
    """Files below a folder; each is written a second after the one before."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "archive"
        self._root.mkdir()
        self._written_s = 1_762_000_000
        self.url = f"file://{self._root}"
        self.missing_url = f"file://{folder}/nothing"

    def put(self, key: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(".new")
        temporary.write_bytes(body)
        self._written_s += 1
        os.utime(temporary, (0, self._written_s))
        temporary.replace(path)

    def remove(self, key: str) -> None:
        (self._root / key).unlink()


class S3Harness(ArchiveHarness):
    """Objects of a bucket: in this process, where `server` is empty, or of a server over a socket."""

    def __init__(self, folder: Path, ends: ExitStack, server: str = "") -> None:
        ends.enter_context(s3_servers.aws_environment())
        endpoint = ends.enter_context(s3_servers.served(server, folder)) if server else ""
        if not server:
            ends.enter_context(mock_aws())
        self._client = s3_servers.client(endpoint or "https://s3.us-east-1.amazonaws.com")
        self._client.create_bucket(Bucket="archive")
        query = f"?endpoint_url={endpoint}&region=us-east-1" if server else ""
        self.url = f"s3://archive/met rics/{query}"
        self.missing_url = f"s3://nothing-there/metrics{query}"

    def put(self, key: str, body: bytes) -> None:
        self._client.put_object(Bucket="archive", Key=f"met rics/{key}", Body=body)

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket="archive", Key=f"met rics/{key}")


def local(folder: Path, _ends: ExitStack) -> LocalHarness:
    return LocalHarness(folder)


HARNESSES: dict[str, Callable[[Path, ExitStack], ArchiveHarness]] = {
    "local": local,
    "moto": S3Harness,
    "moto server": partial(S3Harness, server="moto"),
    "versitygw": partial(S3Harness, server="versitygw"),
}
NAMES = ["local", "moto", "moto server", pytest.param("versitygw", marks=pytest.mark.slow)]


@pytest.fixture(params=NAMES)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArchiveHarness]:
    with ExitStack() as ends:
        yield HARNESSES[request.param](tmp_path, ends)


def listed(archive: Archive) -> tuple[ArchiveObject, ...]:
    return Manifest.of(archive.objects()).objects


BODIES = {"2025/11/01/00/posts-1": b"one", "2025/11/01/00/posts-2.gz": b"", "2025/11/01/01/ünï \U0001f600 %20+&": bytes(range(256)) * 400, "top": b"\0"}


def test_every_object_is_listed_with_its_size_and_read_whole(harness: ArchiveHarness) -> None:
    for key, body in BODIES.items():
        harness.put(key, body)
    archive = open_archive(harness.url)
    assert {one.key: one.size_bytes for one in listed(archive)} == {key: len(body) for key, body in BODIES.items()}
    assert {one.key: archive.read(one) for one in listed(archive)} == BODIES


def test_listing_again_gives_the_same(harness: ArchiveHarness) -> None:
    for key, body in BODIES.items():
        harness.put(key, body)
    archive = open_archive(harness.url)
    assert listed(archive) == listed(archive) == listed(open_archive(harness.url))


@pytest.mark.parametrize("number", [1, 3, 4, 5, 1000])
def test_the_first_bytes_of_an_object_are_read_alone(harness: ArchiveHarness, number: int) -> None:
    harness.put("a", b"1234")
    harness.put("empty", b"")
    archive = open_archive(harness.url)
    assert [archive.read(one, first_bytes=number) for one in listed(archive)] == [b"1234"[:number], b""]


TIMED = (
    "2025/11/01/00/in",
    "2025/11/01/01/in",
    "2025/11/01/in the day",
    "2025/10/31/23/before",
    "2025/11/01/02/after",
    "2024/11/01/00/a year before",
    "other/in",
)


def test_what_may_hold_the_wanted_times_is_listed_and_nothing_twice(harness: ArchiveHarness) -> None:
    """What lies in other hours may be listed, too."""
    for key in TIMED:
        harness.put(key, b"1")
    hours = [(1_761_955_200, 1_761_955_201), (1_761_958_800, 1_761_962_400)]
    keys = [one.key for one in open_archive(harness.url).objects(hours)]
    assert len(set(keys)) == len(keys)
    assert {key for key in TIMED if "in" in key} <= set(keys) <= set(TIMED)


PLANNED = {
    "2025/11/01/02/no time in the name": True,
    "2025/11/01/02/below/no time in the name": True,
    "2025/11/01/no time in the name": True,
    "2025/no time in the name": True,
    "no time in the name": True,
    "raw/2025/11/01/02/no time in the name": True,
    "raw/2025/11/01/05/below/a folder that the pattern does not know": True,
    "2025/11/01/77/a folder that is no hour": True,
    "2025/11/01/02/posts-1-2025-11-01-02-59-59-x": True,
    "2025/11/01/posts-1-2025-11-01-02-59-59-x": True,
    "2025/11/01/05/no time in the name": False,
    "2025/11/01/05/below/no time in the name": False,
    "2025/11/02/no time in the name": False,
    "2024/no time in the name": False,
    "raw/2025/11/01/05/no time in the name": False,
    "2025/11/02/77/a folder that is no hour": False,
    "2025/11/01/05/posts-1-2025-11-01-05-00-00-x": False,
    "2025/11/01/02/posts-1-2025-11-01-05-00-00-x in another hour": False,
    "2025/11/01/05/posts-1-2025-11-01-02-00-00-x in another hour": False,
}
"""Keys, and whether a run reads them that needs what arrived on 2025-11-01 from 02:00Z to 03:00Z."""


def test_what_a_run_reads_is_the_same_wherever_the_archive_is(harness: ArchiveHarness, told: Runtime) -> None:
    for key in PLANNED:
        harness.put(key, b"1")
    hour = (1_761_955_200 + 7200, 1_761_955_200 + 10_800)
    found = list_archive(open_archive(harness.url), FIREHOSE, [hour], told).manifest
    assert [one.key for one in found.objects] == sorted(key for key, is_read in PLANNED.items() if is_read)


@pytest.fixture
def told() -> Runtime:
    """Nobody is told anything."""
    said: list[str] = []
    return Runtime(clock=lambda: 0.0, wait=lambda _: None, say=said.append, show=said.append, ask=lambda _: False, out=io.BytesIO(), terminal=False, environ={})


def test_an_empty_archive_lists_nothing(harness: ArchiveHarness) -> None:
    assert listed(open_archive(harness.url)) == ()


def test_a_new_object_is_listed_and_those_before_are_as_they_were(harness: ArchiveHarness) -> None:
    harness.put("a", b"1")
    archive = open_archive(harness.url)
    before = listed(archive)
    harness.put("b", b"2")
    assert listed(archive)[:1] == before
    assert [one.key for one in listed(archive)] == ["a", "b"]


@pytest.mark.parametrize("body", [b"2", b"longer", b""])
def test_an_object_that_was_replaced_is_not_read_as_the_planned_one(harness: ArchiveHarness, body: bytes) -> None:
    harness.put("a", b"1")
    archive = open_archive(harness.url)
    (planned,) = listed(archive)
    harness.put("a", body)
    (now,) = listed(archive)
    assert now.etag != planned.etag
    with pytest.raises(ObjectUnreadable, match=r"reading the archive object 'a': object changed") as caught:
        archive.read(planned)
    assert caught.value.cause == OBJECT_CHANGED
    assert archive.read(now) == body


def test_an_object_that_is_gone_is_told(harness: ArchiveHarness) -> None:
    harness.put("a", b"1")
    archive = open_archive(harness.url)
    (planned,) = listed(archive)
    harness.remove("a")
    with pytest.raises(ObjectUnreadable, match=r"reading the archive object 'a': object missing") as caught:
        archive.read(planned)
    assert (caught.value.key, caught.value.cause) == ("a", OBJECT_MISSING)
    assert isinstance(caught.value, IncompleteError)
    assert not caught.value.retryable, "reading it again would find the same"


def test_opening_looks_at_nothing_and_listing_what_is_not_there_is_wrong_usage(harness: ArchiveHarness) -> None:
    archive = open_archive(harness.missing_url)
    with pytest.raises(UsageError, match="nothing"):
        listed(archive)
