"""Properties: what the columnar path accepts equals what the strict reader says, for whatever bytes."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from unittest import mock

import zstandard
from hypothesis import given, settings, strategies as st

from tests.decode import postings
from tests.decode.readings import as_stored, require_same, strictly, whole
from transforms.decode import objects
from transforms.decode.causes import TRUNCATED

_settings = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@contextmanager
def stretches_of(large: int, small: int) -> Iterator[None]:
    with mock.patch.object(objects, "_LARGE_BYTES", large), mock.patch.object(objects, "_SMALL_BYTES", small):
        yield


@_settings
@given(postings.objects())
def test_random_postings(data: bytes) -> None:
    require_same(data)


@_settings
@given(postings.damaged())
def test_damaged_postings(data: bytes) -> None:
    require_same(data)


@_settings
@given(st.one_of(postings.objects(), postings.damaged()), st.integers(1, 300), st.integers(1, 300))
def test_stretches_of_any_size(data: bytes, large: int, small: int) -> None:
    with stretches_of(large, small):
        assert whole(data) == strictly(data)


@_settings
@given(postings.objects(), st.sampled_from([gzip.compress, zstandard.compress]), st.lists(st.integers(0, 400), max_size=3))
def test_any_number_of_members(data: bytes, compress: object, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    members = [compress(data[start:end]) for start, end in pairwise(edges)]  # type: ignore[operator]
    assert whole(b"".join(members)) == strictly(data)


@_settings
@given(postings.damaged(), st.integers(1, 200))
def test_a_truncated_object_is_the_object_up_to_there(data: bytes, cut: int) -> None:
    """All records before the last dead letter are those of the plain bytes, whose rest it holds."""
    cut = min(cut, len(data))
    found = whole(as_stored(data)[: -8 - cut])
    offset, cause, raw = found.dead[-1]
    assert cause == TRUNCATED
    assert raw == data[offset : len(data) - cut]
    before = strictly(data[:offset])
    assert (found.postings, found.points, found.dead[:-1]) == (before.postings, before.points, before.dead)


@_settings
@given(st.binary(max_size=200))
def test_bytes_of_any_kind(data: bytes) -> None:
    require_same(b"{" + data)
    whole(data)
    whole(b"\x1f\x8b" + data)
    whole(b"\x28\xb5\x2f\xfd" + data)
