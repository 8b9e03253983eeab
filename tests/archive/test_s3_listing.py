"""Which folders are listed, over a bucket in memory; the oracle is a filter over all keys."""

import threading

import pytest
from hypothesis import given, settings, strategies as st

from transforms.archive.s3_listing import Page, PageRequest, walk
from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.manifest import ArchiveObject

T = 1_761_955_200
"""2025-11-01T00:00:00Z."""

HOUR = 3600


class Bucket:
    """Lists as ListObjectsV2 does, a few entries a page; notes what was asked."""

    def __init__(self, keys: list[str], page_size: int = 2) -> None:
        self.keys, self.page_size = sorted(keys), page_size
        self.asked: list[PageRequest] = []
        self._lock = threading.Lock()

    def fetch(self, request: PageRequest) -> Page:
        with self._lock:
            self.asked.append(request)
        below = [key for key in self.keys if key.startswith(request.folder)]
        entries = below if request.deep else sorted({self._entry(key, request.folder) for key in below})
        left = [one for one in entries if one > request.token]
        shown = left[: self.page_size]
        objects = [ArchiveObject(one, 1, "e", 0) for one in shown if request.deep or not one.endswith("/")]
        folders = [one for one in shown if not request.deep and one.endswith("/")]
        return Page(objects, folders, shown[-1] if len(left) > len(shown) else "")

    def _entry(self, key: str, folder: str) -> str:
        name, slash, _ = key[len(folder) :].partition("/")
        return folder + name + slash

    def listed(self, times: list[Range] | None, layout: KeyLayout = FIREHOSE) -> list[str]:
        return [one.key for one in walk(self.fetch, layout, times, 4)]

    @property
    def folders(self) -> set[str]:
        return {one.folder for one in self.asked}


KEYS = [
    "2024/12/31/23/a", "2025/10/31/23/a", "2025/11/01/00/a", "2025/11/01/00/b", "2025/11/01/00/c", "2025/11/01/01/a", "2025/11/01/02/a",
    "2025/11/01/day", "2025/11/month", "2025/year", "2026/01/01/00/a", "top", "zone/deep/a", "zone/b",
]  # fmt: skip


def test_only_folders_of_the_wanted_times_are_listed() -> None:
    bucket = Bucket(KEYS)
    keys = bucket.listed([(T, T + 2 * HOUR)])
    assert bucket.folders == {"", "2025/", "2025/11/", "2025/11/01/", "2025/11/01/00/", "2025/11/01/01/", "zone/"}
    assert sorted(keys) == [
        "2025/11/01/00/a", "2025/11/01/00/b", "2025/11/01/00/c", "2025/11/01/01/a", "2025/11/01/day", "2025/11/month", "2025/year",
        "top", "zone/b", "zone/deep/a",
    ]  # fmt: skip


def test_an_archive_without_known_folders_is_one_flat_listing() -> None:
    bucket = Bucket(["a/1", "b/2", "c/3", "d"])
    assert sorted(bucket.listed([(T, T + HOUR)])) == ["a/1", "b/2", "c/3", "d"]
    assert [(one.folder, one.deep) for one in bucket.asked] == [("", False), ("", True), ("", True)]


def test_without_times_everything_is_listed_flat() -> None:
    bucket = Bucket(KEYS, 100)
    assert bucket.listed(None) == sorted(KEYS)
    assert bucket.asked == [PageRequest("", deep=True)]


def test_hours_of_another_zone_and_pattern() -> None:
    bucket = Bucket(["dt=2025-11-01/hour=08/a", "dt=2025-11-01/hour=09/a", "dt=2025-11-01/hour=10/a", "dt=2025-11-02/hour=09/a"])
    assert bucket.listed([(T, T + HOUR)], KeyLayout("dt=YYYY-MM-dd/hour=HH", "Asia/Tokyo")) == ["dt=2025-11-01/hour=09/a"]


def test_an_error_of_a_page_comes_out() -> None:
    bucket = Bucket(KEYS)

    def fetch(request: PageRequest) -> Page:
        if request.folder == "2025/11/01/":
            raise ValueError(request.folder)
        return bucket.fetch(request)

    with pytest.raises(ValueError, match="2025/11/01/"):
        list(walk(fetch, FIREHOSE, [(T, T + HOUR)], 4))


parts = st.sampled_from(["2025", "2026", "11", "12", "01", "02", "00", "23", "x", "2025-11"])
keys_of_buckets = st.lists(st.lists(parts, min_size=1, max_size=6).map("/".join), unique=True, max_size=25)


@settings(max_examples=200)
@given(keys_of_buckets, st.integers(1, 4), st.lists(st.tuples(st.integers(0, 800), st.integers(1, 30)), min_size=1, max_size=3))
def test_whatever_the_folders_each_wanted_object_comes_once(keys: list[str], page_size: int, hours: list[tuple[int, int]]) -> None:
    """Left out is only what lies in a folder of the pattern that covers none of the times."""
    keys = [one for one in keys if not any(other.startswith(f"{one}/") for other in keys)]
    times = [(T + first * HOUR, T + (first + number) * HOUR) for first, number in hours]
    listed = Bucket(keys, page_size).listed(times)
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(keys)
    for key in set(keys) - set(listed):
        spans = [FIREHOSE.folder_times(key[: at + 1]) for at in range(len(key)) if key[at] == "/"]
        assert any(span and not any(span[0] < to_s and from_s < span[1] for from_s, to_s in times) for span in spans), key
