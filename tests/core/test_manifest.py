"""Object keys' times, the manifest's order and digest, read groups."""

import hashlib
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, strategies as st

from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE
from transforms.core.manifest import ArchiveObject, Manifest, cut_groups, key_times

T = 1_761_955_200
"""2025-11-01T00:00:00Z."""

UUID = "1f3c9b2e-1234-4abc-8def-0123456789ab"


@pytest.mark.parametrize(
    ("key", "times"),
    [
        (f"metrics/2025/11/01/00/posts-1-2025-11-01-00-05-09-{UUID}.gz", (T + 309, T + 310)),
        (f"posts-12-2025-11-01-23-59-59-{UUID}", (T + 86_399, T + 86_400)),
        ("2025/11/01/05/part-0.json", (T + 18_000, T + 21_600)),
        ("a/b/2025/11/01/05/part", (T + 18_000, T + 21_600)),
        ("a/2025/11/01/00/posts-1-2025-11-01-03-04-05", (T + 11_045, T + 11_046)),
        ("a/2025/11/01/00/posts-1-2025-13-01-03-04-05", (T, T + 3_600)),
        ("a/2025/13/01/00/posts", None),
        ("a/2025/02/29/00/posts", None),
        ("2025/11/01/24/posts", None),
        ("2025/11/01/posts", None),
        ("2025/11/01/00/deeper/posts", None),
        ("x2025/11/01/00/posts", None),
        ("posts-2025-11-01", None),
        ("posts-2025-11-01-00-05", None),
        ("posts-12025-11-01-00-05-09", None),
        ("posts-2025-11-01-00-05-091", None),
        ("2025-11-01-00-05-09/posts", None),
        ("posts", None),
        ("", None),
    ],
)
def test_a_key_shows_when_its_oldest_record_arrived(key: str, times: Range | None) -> None:
    assert key_times(key) == times


def test_arrival_of_what_has_none_is_the_files_the_folders_or_the_modification_time() -> None:
    keys = ("2025/11/01/05/posts-1-2025-11-01-06-00-01-x", "2025/11/01/05/posts", "posts")
    assert [ArchiveObject(key, 1, "e", T + 7).arrival_us for key in keys] == [(T + 21_601) * 1_000_000, (T + 18_000) * 1_000_000, (T + 7) * 1_000_000]


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ("posts-1-2025-10-31-23-59-59-x", False),
        ("posts-1-2025-11-01-00-00-00-x", True),
        ("posts-1-2025-11-01-01-59-59-x", True),
        ("posts-1-2025-11-01-02-00-00-x", False),
        ("2025/10/31/23/posts", False),
        ("2025/11/01/00/posts", True),
        ("2025/11/01/01/posts", True),
        ("2025/11/01/02/posts", False),
        ("2025/11/01/04/posts", True),
        ("2025/11/01/05/posts", False),
        ("posts", True),
    ],
)
def test_objects_are_chosen_by_the_second_of_the_file_or_the_hour_of_the_folder(key: str, held: bool) -> None:
    """Of [00:00, 02:00) and [04:59:59, 05:00:00)."""
    assert FIREHOSE.may_hold(key, [(T, T + 7_200), (T + 17_999, T + 18_000)]) is held


def test_an_hour_that_is_partly_asked_for_is_read() -> None:
    assert FIREHOSE.may_hold("2025/11/01/05/posts", [(T + 21_599, T + 30_000)])
    assert FIREHOSE.may_hold("2025/11/01/05/posts", [(T, T + 18_001)])
    assert not FIREHOSE.may_hold("2025/11/01/05/posts", [(T, T + 18_000)])
    assert not FIREHOSE.may_hold("2025/11/01/05/posts", [(T + 21_600, T + 30_000)])


OBJECTS = [
    ArchiveObject("b/2", 5, "5-1", 10),
    ArchiveObject("a/z", 7, "7-1", 11),
    ArchiveObject("é", 1, "1-1", 12),
    ArchiveObject("Z", 2, "2-1", 13),
    ArchiveObject("a.b", 3, "3-1", 14),
    ArchiveObject("\U0001f600", 4, "4-1", 15),
    ArchiveObject("\uffff", 6, "6-1", 16),
]


def test_objects_are_in_code_point_order_however_they_are_listed() -> None:
    manifest = Manifest.of(iter(OBJECTS))
    assert [one.key for one in manifest.objects] == ["Z", "a.b", "a/z", "b/2", "é", "\uffff", "\U0001f600"]
    assert Manifest.of(reversed(OBJECTS)) == manifest
    assert manifest.size_bytes == 28
    with pytest.raises(FrozenInstanceError):
        manifest.objects = ()  # type: ignore[misc]


def test_the_digest_is_of_keys_sizes_and_etags() -> None:
    manifest = Manifest.of([ArchiveObject("b", 2, "e2", 1), ArchiveObject("a", 1, "e1", 1)])
    assert manifest.digest() == hashlib.sha256(b"a\x001\x00e1\nb\x002\x00e2\n").hexdigest()
    assert Manifest(()).digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_whatever_may_change_the_bytes_changes_the_digest() -> None:
    one = ArchiveObject("k", 1, "e", 5)
    base = Manifest((one,)).digest()
    changed = [one._replace(key="l"), one._replace(size_bytes=2), one._replace(etag="f")]
    digests = {Manifest((other,)).digest() for other in changed} | {Manifest((one, one._replace(key="l"))).digest(), Manifest(()).digest()}
    assert len(digests) == 5
    assert base not in digests
    assert Manifest((one._replace(modified_s=6),)).digest() == base, "the etag tells content apart, not the listing's time"


def test_a_manifest_survives_being_stored() -> None:
    manifest = Manifest.of(OBJECTS)
    assert Manifest.from_arrow(manifest.to_arrow()) == manifest
    assert Manifest.from_arrow(Manifest(()).to_arrow()) == Manifest(())


sizes_of_objects = st.lists(st.integers(0, 100), max_size=30)


@given(sizes_of_objects, st.integers(1, 150), st.integers(1, 12))
def test_groups_are_consecutive_and_cover_every_object_once(sizes: list[int], max_bytes: int, min_groups: int) -> None:
    groups = cut_groups(sizes, max_bytes=max_bytes, min_groups=min_groups)
    assert [ordinal for first, number in groups for ordinal in range(first, first + number)] == list(range(len(sizes)))
    assert all(number >= 1 for _, number in groups)


@given(sizes_of_objects, st.integers(1, 150), st.integers(1, 12))
def test_a_group_of_several_objects_is_within_the_limit(sizes: list[int], max_bytes: int, min_groups: int) -> None:
    for first, number in cut_groups(sizes, max_bytes=max_bytes, min_groups=min_groups):
        assert number == 1 or sum(sizes[first : first + number]) <= max_bytes


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 150), st.integers(1, 12))
def test_every_worker_gets_some_groups_if_there_are_objects_enough(sizes: list[int], max_bytes: int, min_groups: int) -> None:
    assert len(cut_groups(sizes, max_bytes=max_bytes, min_groups=min_groups)) >= min(min_groups, len(sizes))


def test_groups_of_known_sizes() -> None:
    assert cut_groups([], max_bytes=10, min_groups=4) == ()
    assert cut_groups([4, 4, 4, 4], max_bytes=10, min_groups=1) == ((0, 2), (2, 2))
    assert cut_groups([4, 4, 4, 4], max_bytes=8, min_groups=1) == ((0, 2), (2, 2))
    assert cut_groups([4, 4, 4, 4], max_bytes=7, min_groups=1) == ((0, 1), (1, 1), (2, 1), (3, 1))
    assert cut_groups([1, 99, 1, 1], max_bytes=10, min_groups=1) == ((0, 1), (1, 1), (2, 2))
    assert cut_groups([5] * 8, max_bytes=1_000, min_groups=4) == ((0, 2), (2, 2), (4, 2), (6, 2))
    assert cut_groups([5] * 3, max_bytes=1_000, min_groups=8) == ((0, 1), (1, 1), (2, 1))
