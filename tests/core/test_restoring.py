"""Undoing a run in one table, image by image."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest

from tests.core.rollup_tables import Row, row, table, versions
from transforms.core.canonical import keys_of
from transforms.core.errors import RollupsError
from transforms.core.restoring import History, Undone, changed_since, origins, restore


def history(images: Mapping[str, Sequence[Sequence[Row]]], *undos: Undone) -> History:
    """Images by run, oldest first."""
    return History(lambda run_id, columns: (table(rows).select(list(columns)) for rows in reversed(images.get(run_id, ()))), undos)


def one(value: float, generation: int | None, entity: str = "h1") -> Row:
    return row(entity, value=value, generation=generation)


@pytest.mark.parametrize(
    ("images", "left"),
    [
        ([[one(1.0, None)]], {("h1", 0): (1, 1.0, 99)}),
        ([[]], {}),
        ([[], [one(2.0, 20)]], {}),  # the newest image is the run's own: what it replaced is in the one before
        ([[one(1.0, 5)], [one(2.0, 20)], [one(3.0, 20)]], {("h1", 0): (1, 1.0, 99)}),
        ([[one(1.0, 5)], [one(4.0, 30)]], {("h1", 0): (1, 4.0, 99)}),  # another run came between its two writes
        ([[one(2.0, 20)]], {("h1", 0): (1, 9.0, 20)}),  # no image tells what was before
        ([], {("h1", 0): (1, 9.0, 20)}),
    ],
)
def test_the_version_before_the_run_is_in_its_newest_image_that_is_not_its_own(images: Sequence[Sequence[Row]], left: object) -> None:
    result = restore(table([one(9.0, 20)]), "run", 20, 99, history({"run": images}))
    assert versions(result.table) == left


def test_only_the_run_s_buckets_are_touched() -> None:
    current = [one(9.0, 20, "h1"), one(9.0, 21, "h2"), one(9.0, None, "h3"), one(9.0, 20, "h4")]
    result = restore(table(current), "run", 20, 99, history({"run": [[one(1.0, 5, "h0"), one(1.0, 5, "h1"), one(1.0, 5, "h2"), one(1.0, 5, "h3")]]}))
    assert versions(result.table) == {("h1", 0): (1, 1.0, 99), ("h2", 0): (1, 9.0, 21), ("h3", 0): (1, 9.0, None)}
    assert (result.restored, result.removed) == (1, 1)


A, B, C = 10, 20, 30
IMAGES = {"a": [[one(1.0, None)]], "b": [[one(2.0, A)]], "c": [[one(3.0, B)]]}
"""Run a replaced a live value, b that of a, c that of b."""


def test_a_version_that_undos_brought_back_belongs_to_the_run_that_wrote_it() -> None:
    undone_c, undone_b = Undone("c", C, (40,)), Undone("b", B, (50,))
    assert origins(table([one(3.0, 40)]), history(IMAGES, undone_c)).tolist() == [B]
    assert origins(table([one(2.0, 50)]), history(IMAGES, undone_c, undone_b)).tolist() == [A]
    after = restore(table([one(3.0, 40)]), "b", B, 50, history(IMAGES, undone_c))
    assert versions(after.table) == {("h1", 0): (1, 2.0, 50)}
    last = restore(after.table, "a", A, 60, history(IMAGES, undone_c, undone_b))
    assert versions(last.table) == {("h1", 0): (1, 1.0, 60)}


def test_a_run_that_wrote_again_after_its_undo_is_traced_through_the_images_of_that_time() -> None:
    images = {"a": [[one(1.0, None)]], "b": [[one(2.0, A)], [one(2.0, 40)]]}
    undone = Undone("b", B, (40, 60))
    assert origins(table([one(2.0, 40), one(2.0, 60, "h2")]), history(images, undone)).tolist() == [A, 0]
    assert origins(table([one(2.0, 60)]), history(images, undone)).tolist() == [A]


def test_buckets_changed_since_are_counted_once_and_not_if_taken_back() -> None:
    seen = [table([one(1.0, A, "h1"), one(1.0, A, "h2"), one(1.0, A, "h3"), one(1.0, 5, "h4")]), table([one(1.0, A, "h1")]), table([])]
    current, taken_back = table([one(2.0, B, "h1"), one(1.0, A, "h2")]), [table([one(1.0, A, "h3")])]
    assert changed_since(current, A, seen, taken_back, history({})) == 1
    assert changed_since(table([]), A, [], [], history({})) == 0


def test_buckets_that_lie_absurdly_far_apart_are_an_error() -> None:
    far: list[pa.Table] = [table([row("h1"), row("h2", bucket_start=2**62), row("h3")])]
    with pytest.raises(RollupsError, match="days apart"):
        keys_of(far)
