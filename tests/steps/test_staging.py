"""Staging files: what was written is what is read, whole or not at all."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.builders import NOON_S, Origin, Point, Posting, decoded, of_origins
from tests.failpoints import steps_of, stop_at
from transforms.core.arrivals import Arrivals
from transforms.core.errors import IncompleteError
from transforms.core.granularity import DAY_S
from transforms.core.model import METRIC_TYPES, SLICE_SCHEMA, DeadLetter
from transforms.core.selection import Reach, Selection
from transforms.core.slices import GroupColumns, GroupSlices
from transforms.core.units import Unit
from transforms.steps.staging import Footer, Slice, read_arrivals, read_footer, read_slice, write_staging

LETTERS = (
    DeadLetter("2025/11/01/00/ünï", 0, "bad JSON", 'Expecting value: "\U0001f600"', bytes(range(256))),
    DeadLetter("b", 1 << 40, "broken point: value", "value true is not a number", b""),
)
EVERYTHING = Selection(metric_types=METRIC_TYPES, computed={"1m": ((0, 4_102_444_800),)})


def group(points: list[Point], postings: list[Posting], shards: int = 3) -> GroupSlices:
    columns = GroupColumns(EVERYTHING, Reach(), lambda _type, _window: shards)
    if postings:
        columns.add(decoded(postings, points))
    return columns.slices()


@pytest.fixture
def staged() -> GroupSlices:
    """Three units and more: two days, two types, non-ASCII names, extreme numbers."""
    postings = [Posting(entity="h\U0001f600"), Posting("service", entity="shöp"), Posting(entity="h1", arrival_us=(NOON_S - DAY_S) * 1_000_000)]
    values = [1e308, -0.0, 5e-324, 0.1]
    points = [Point(at % 3, f"naïve.{at}", NOON_S - (at % 3 == 2) * DAY_S, values[at % 4]) for at in range(12)]
    return group(points, postings)


def test_slices_are_read_as_they_were_written(tmp_path: Path, staged: GroupSlices) -> None:
    path = tmp_path / "000004.arrow"
    footer = write_staging(path, 4, staged, LETTERS)
    assert footer == Footer(
        slices=tuple(Slice(one.unit, 4, place, one.points) for place, one in enumerate(staged.index)),
        counts=staged.counts,
        dead_letters=LETTERS,
        lateness=(12, 0, 0, 0, 0, 0, 0, 0, 0),
    )
    assert read_footer(path) == footer
    assert len(footer.slices) > 3
    assert sum(one.points for one in footer.slices) == 12
    for reference, one in zip(footer.slices, staged.index, strict=True):
        batch = read_slice(path, reference.offset)
        assert batch.schema.equals(SLICE_SCHEMA)
        assert batch.equals(staged.batch.slice(one.first_row, one.rows))
        assert sum(map(len, batch["value"].to_pylist())) == reference.points


@pytest.mark.parametrize("others", [0, 3000])
def test_a_slice_takes_no_more_room_the_more_there_are(tmp_path: Path, others: int) -> None:
    """Gauges of many units, and service histograms between them: offsets of all rows in every slice would be 48 KB for each."""
    histogram = {"count": 3, "sum": 1.5, "min": None, "max": None, "bounds": [0.5], "bucket_counts": [2, 1]}
    gauges = [Point(name=f"n{number}") for number in range(3000)]
    points = gauges + [Point(1, f"n{number}", kind="histogram", histogram=histogram) for number in range(others)]
    sizes = {}
    for shards in (1, 100):
        path = tmp_path / str(shards)
        slices = write_staging(path, 0, group(points, [Posting(), Posting("service")], shards), []).slices
        sizes[len(slices)] = path.stat().st_size
        assert sum(read_slice(path, one.offset).num_rows for one in slices) == 3000 + others
    (few, small), (many, large) = sorted(sizes.items())
    assert many == 100 * few
    assert large - small < (many - few) * 8_192


def test_the_footer_holds_values_not_look_alikes(tmp_path: Path, staged: GroupSlices) -> None:
    write_staging(tmp_path / "f", 4, staged, LETTERS)
    footer = read_footer(tmp_path / "f")
    assert {type(one.unit) for one in footer.slices} == {Unit}
    assert [type(one.raw) for one in footer.dead_letters] == [bytes, bytes]


def test_a_group_of_nothing_is_staged_too(tmp_path: Path) -> None:
    """All its points were dropped or outside, or its objects are empty."""
    path = tmp_path / "f"
    footer = write_staging(path, 0, group([], []), [])
    assert footer == Footer(slices=(), counts={}, dead_letters=(), lateness=(0,) * 9)
    assert read_footer(path) == footer


def test_the_same_group_gives_the_same_bytes(tmp_path: Path, staged: GroupSlices) -> None:
    for name in ("a", "b"):
        write_staging(tmp_path / name, 4, staged, LETTERS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_an_arrow_file_that_anyone_can_read(tmp_path: Path, staged: GroupSlices) -> None:
    write_staging(tmp_path / "f", 4, staged, LETTERS)
    with pa.ipc.open_file(pa.OSFile(str(tmp_path / "f"))) as reader:
        assert reader.num_record_batches == len(staged.index)
        assert reader.read_all().combine_chunks().equals(pa.Table.from_batches([staged.batch]).combine_chunks())


def test_a_file_is_whole_or_absent_wherever_writing_stops(tmp_path: Path, staged: GroupSlices) -> None:
    moments = steps_of(lambda: write_staging(tmp_path / "whole", 4, staged, LETTERS))
    assert moments == [f"{when} staging.{step} #0" for step in ("write", "rename") for when in ("before", "after")]
    for number, moment in enumerate(moments):
        path = tmp_path / str(number)
        stop_at(moment, lambda path=path: write_staging(path, 4, staged, LETTERS))  # type: ignore[misc]
        assert path.exists() is (number == 3)
        if path.exists():
            assert read_footer(path).dead_letters == LETTERS
        write_staging(path, 4, staged, LETTERS)
        assert path.read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match=r"the staging file '.*/gone' is missing or damaged .*: resume the run to stage it again"):
        read_footer(tmp_path / "gone")
    with pytest.raises(IncompleteError, match="missing or damaged"):
        read_slice(tmp_path / "gone", 0)


def test_a_file_that_was_cut_anywhere_is_told(tmp_path: Path, staged: GroupSlices) -> None:
    write_staging(tmp_path / "whole", 4, staged, LETTERS)
    body = (tmp_path / "whole").read_bytes()
    for end in {*range(0, len(body), 97), *range(len(body) - 40, len(body))}:
        (tmp_path / "cut").write_bytes(body[:end])
        with pytest.raises(IncompleteError, match="missing or damaged"):
            read_footer(tmp_path / "cut")


@pytest.mark.parametrize("body", [b"ARROW1\0\0", b"x" * 1_000, b"\0" * 4_096])
def test_a_file_of_something_else_is_told(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "f").write_bytes(body)
    with pytest.raises(IncompleteError, match="missing or damaged"):
        read_footer(tmp_path / "f")


def test_arrivals_are_read_as_they_were_written_and_stay_small(tmp_path: Path) -> None:
    """A group of 500 shards, an hour of each with 60 records of the sequence numbers that Kinesis gives."""
    origins = [
        Origin(f"s/shardId-{shard:012d}", str(4959 * 10**52 + shard * 7**60 + minute * 3**90), (NOON_S + 60 * minute + shard) * 1_000_000)
        for shard in range(500)
        for minute in range(60)
    ]
    arrivals = Arrivals({NOON_S: 30_000}, {NOON_S: 3}, of_origins(origins), frozenset(["b", "a\udce9"]))
    staged = replace(group([], []), arrivals=arrivals)
    path = tmp_path / "f"
    write_staging(path, 0, staged, [])
    assert read_arrivals(path) == arrivals
    assert path.stat().st_size < 100 * 1_000
    assert len(arrivals.shards) == 940
    write_staging(path, 0, group([], []), [])
    assert read_arrivals(path) == Arrivals()
