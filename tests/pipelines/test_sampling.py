"""The objects that stand for an archive: some of every shape, the same whatever the order of the listing, in bounded memory."""

import random

import pytest
from hypothesis import given, strategies as st

from pipelines.sampling import Listing, shape_of
from transforms.core.manifest import ArchiveObject

KEYS = [
    f"{folder}/2025/11/0{day}/12/m-1-2025-11-0{day}-12-00-0{n}-ab{n}{end}"
    for folder in ("raw", "err")
    for day in (1, 2)
    for n in range(9)
    for end in ("", ".gz")
]


def objects(keys: list[str]) -> list[ArchiveObject]:
    return [ArchiveObject(key, 10, "e", 0) for key in keys]


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("raw/2025/11/01/12/metrics-1-2025-11-01-12-00-00-ab12.json.gz", "raw/#/#/#/#/*.json.gz"),
        ("raw/2025/11/01/12/metrics-1-2025-11-01-12-00-00-ab12", "raw/#/#/#/#/*"),
        ("deadbeef01/x.gz", "#/*.gz"),
        ("x", "/*"),
        ("a/x.2025", "a/*.#"),
    ],
)
def test_shapes(key: str, shape: str) -> None:
    assert shape_of(key) == shape


@given(st.randoms(use_true_random=False), st.integers(1, 80))
def test_the_choice_does_not_depend_on_the_order(shuffle: random.Random, wanted: int) -> None:
    mixed = list(KEYS)
    shuffle.shuffle(mixed)
    chosen = Listing(wanted).add_all(objects(mixed)).chosen()
    assert chosen == Listing(wanted).add_all(objects(KEYS)).chosen()
    assert len(chosen) == len(set(chosen)) == min(wanted, len(KEYS))
    assert chosen == sorted(chosen)


@pytest.mark.parametrize("wanted", [4, 10, 17])
def test_every_shape_is_there_before_one_is_there_twice(wanted: int) -> None:
    chosen = Listing(wanted).add_all(objects(KEYS)).chosen()
    numbers = [sum(shape_of(one.key) == shape for one in chosen) for shape in {shape_of(key) for key in KEYS}]
    assert len(numbers) == 4
    assert max(numbers) - min(numbers) <= 1


def test_a_rare_shape_among_many_is_there() -> None:
    chosen = Listing(3).add_all(objects([*(f"a/{n}.gz" for n in range(1000)), "a/odd.parquet"])).chosen()
    assert [one.key for one in chosen if one.key == "a/odd.parquet"] == ["a/odd.parquet"]


def test_shapes_without_end_do_not_fill_the_memory() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    listing = Listing(5).add_all(objects([f"{a}{b}/x" for a in letters for b in letters]))
    assert listing.objects == 676
    assert len(listing._chosen) == 65
    assert len(listing.chosen()) == 5


def test_what_a_listing_counts() -> None:
    listing = Listing(1).add_all([ArchiveObject("x", 3, "e", 0), *objects(KEYS)])
    assert (listing.objects, listing.object_bytes, listing.untimed) == (73, 723, 1)
    assert listing.named == (1_761_998_400, 1_762_084_809)
