"""Values of tables that Python can't hold cost their row at most, never the object or the process."""

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from scripts.encoders.containers import orc, parquet
from tests.decode.readings import whole
from tests.decode.test_other_tables import FLAT, ROWS, decoded
from tests.decode.test_tables import ROWS as POSTINGS, table
from transforms.decode.causes import BAD_LABELS, UNKNOWN_TYPE, UNSUPPORTED_PAYLOAD
from transforms.decode.table_values import values_of

FAR_DAYS = 1 << 30
TEXTS = pa.StringArray.from_buffers(2, *pa.array([b"\xff", b"x"]).buffers()[1:])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, FAR_DAYS, None], pa.int32()).cast(pa.date32()), [date(1970, 1, 2), FAR_DAYS, None]),
        (pa.array([0, 1 << 60], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp("s", "UTC")), ["1970-01-01 00:00:00+00:00", 1 << 60]),
        (pa.array([1 << 62], pa.int64()).cast(pa.duration("s")), [1 << 62]),
        (pa.array([1 << 62], pa.int64()).cast(pa.date64()), [1 << 62]),
        (TEXTS, ["\udcff", "x"]),
        (pa.ListArray.from_arrays([0, 1, 2], TEXTS), [["\udcff"], ["x"]]),
        (pa.StructArray.from_arrays([TEXTS, pa.array([FAR_DAYS, 0], pa.int32()).cast(pa.date32())], ["a", "b"]), [
            {"a": "\udcff", "b": FAR_DAYS}, {"a": "x", "b": date(1970, 1, 1)},
        ]),
        (pa.MapArray.from_arrays([0, 1], ["k"], pa.array([FAR_DAYS], pa.int32()).cast(pa.date32())), [[("k", FAR_DAYS)]]),
        (pa.array(["x", "y"]).take(pa.array([1, 0, 1])).dictionary_encode(), ["y", "x", "y"]),
        (pa.DictionaryArray.from_arrays([1, 0, None], TEXTS), ["x", "\udcff", None]),
        (pa.ListArray.from_arrays([0, 1, 3], pa.array([FAR_DAYS, 0, None], pa.int32()).cast(pa.date32()))[1:], [[date(1970, 1, 1), None]]),
        (pa.ListArray.from_arrays([0, 0, 2], pa.array([FAR_DAYS, None], pa.int32()).cast(pa.date32())), [[], [FAR_DAYS, None]]),
        (pa.FixedSizeListArray.from_arrays(pa.array([0, 1, FAR_DAYS, 0], pa.int32()).cast(pa.date32()), 2)[1:], [[FAR_DAYS, date(1970, 1, 1)]]),
        (pa.ListArray.from_arrays([0, 2], TEXTS).cast(pa.large_list(pa.large_string())), [["\udcff", "x"]]),
        (pa.MapArray.from_arrays([0, 2], TEXTS, pa.array([1, None])), [[("\udcff", 1), ("x", None)]]),
    ],
)  # fmt: skip
def test_values(column: pa.Array, expected: list[Any]) -> None:
    assert [str(value) if hasattr(value, "tzinfo") else value for value in values_of(column)] == expected


@pytest.mark.parametrize("write", [parquet, orc])
def test_rows_of_no_known_schema(write: Any) -> None:
    body = write(pa.table({"a": pa.array([FAR_DAYS, 0], pa.int32()).cast(pa.date32())}))
    assert whole(body).dead == [(0, UNSUPPORTED_PAYLOAD, b'{"a":1073741824}'), (1, UNSUPPORTED_PAYLOAD, b'{"a":"1970-01-01"}')]


@pytest.mark.parametrize("write", [parquet, orc])
def test_a_posting_whose_type_is_a_far_day(write: Any) -> None:
    postings = table(POSTINGS[:2])
    days = pa.array([FAR_DAYS, 0], pa.int32()).cast(pa.date32())
    assert [letter[:2] for letter in whole(write(postings.set_column(0, "type", days))).dead] == [(0, UNKNOWN_TYPE), (1, UNKNOWN_TYPE)]


@pytest.mark.parametrize("write", [parquet, orc])
def test_a_flat_row_whose_label_is_a_far_day(write: Any) -> None:
    """Its neighbours stay as they are."""
    days = pa.array([None, FAR_DAYS, 20_000], pa.int32()).cast(pa.date32())
    rows = pa.Table.from_pylist([row | {"v": 1.5} for row in ROWS])
    found = decoded(write(rows.set_column(rows.schema.get_field_index("room"), "room", days)), FLAT)
    assert [row[2] for row in found.points] == ['{"site":"tokyo"}', '{"room":"92771293593600"}', '{"room":"\\"2024-10-04 00:00:00\\"","site":"kyoto"}']


def test_a_label_that_is_no_text_breaks_its_row_only() -> None:
    tags = pa.StructArray.from_arrays([pa.StringArray.from_buffers(3, *pa.array([b"a", b"\xff", b"c"]).buffers()[1:])], ["site"])
    rows = pa.Table.from_pylist([row | {"v": 1.5} for row in ROWS]).drop_columns("site").append_column("site", tags)
    found = decoded(parquet(rows), FLAT)
    assert (len(found.points), [letter[1:3] for letter in found.dead]) == (2, [(1, BAD_LABELS)])
