"""What a table will take is told before it is read: bombs of run lengths and dictionaries are refused unread, and no table that is within the limits."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest
from hypothesis import given, settings, strategies as st

from tests.decode.readings import whole
from tests.decode.test_tables import ROWS, host, orc, parquet, point, table
from transforms.decode import orc as orc_files, tables
from transforms.decode.causes import CORRUPT, EXPANSION, TOO_LARGE
from transforms.decode.objects import DecodeRules
from transforms.decode.payloads import Allowance
from transforms.decode.strict import Source
from transforms.decode.table_sizes import orc_bytes, parquet_sizes
from transforms.decode.unpacked import UnpackLimits

MANY = 3_000_000
SOURCE = Source(key="key", arrival_us=0, org="acme")


def bomb(metrics: int, nulls: int = 0) -> pa.Table:
    """One posting of so many equal points."""
    fields = [pa.repeat("x" * 20, metrics), pa.repeat(1_762_000_000, metrics), pa.repeat(0.5, metrics)]
    points = pa.StructArray.from_arrays(fields, ["name", "time", "value"]) if not nulls else pa.nulls(nulls, pa.struct([("name", pa.string())]))
    lists = pa.ListArray.from_arrays(pa.array([0, len(points)], pa.int32()), points)
    return pa.table({"type": ["host"], "hostid": ["a"], "metrics": lists})


def tail(body: bytes) -> bytes:
    data: bytes = pyarrow.orc.ORCFile(pa.BufferReader(body)).reader.serialized_file_tail()
    return data


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("it was read")


WRITERS = [lambda one: parquet(one, compression="zstd"), lambda one: parquet(one, data_page_version="2.0"), lambda one: orc(one, compression="zlib")]


@pytest.mark.parametrize("write", WRITERS, ids=["Parquet", "Parquet, pages of version 2", "ORC"])
def test_what_inflates_enormously_is_not_read(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    body = write(bomb(MANY))
    assert len(body) < 500_000
    monkeypatch.setattr(orc_files, "_batch", refuse)
    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", refuse)
    assert whole(body, DecodeRules(max_object_bytes=40_000_000, max_expansion=1_000_000)).dead == [(0, TOO_LARGE, b"")]
    assert whole(body, DecodeRules(max_expansion=20)).dead == [(0, EXPANSION, b"")]
    with pytest.raises(AssertionError, match="it was read"):
        whole(body, DecodeRules(max_expansion=1_000_000))


def test_elements_that_are_null_take_room_too() -> None:
    assert parquet_sizes(parquet(bomb(0, nulls=MANY))).value_bytes >= 4 * MANY


COLUMNS = st.sampled_from(
    [
        (pa.int8(), st.integers(-5, 5)), (pa.int16(), st.integers(0, 9)), (pa.int32(), st.integers(0, 9)), (pa.int64(), st.integers(0, 9)),
        (pa.float32(), st.just(1.5)), (pa.float64(), st.floats()), (pa.bool_(), st.booleans()), (pa.string(), st.text("ab", max_size=9)),
        (pa.binary(), st.binary(max_size=9)), (pa.timestamp("ms"), st.integers(0, 10**12)), (pa.date32(), st.integers(0, 9)),
        (pa.decimal128(20, 2), st.integers(0, 9)), (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=4)),
        (pa.list_(pa.list_(pa.string())), st.lists(st.lists(st.text("ab", max_size=3), max_size=3), max_size=3)),
        (pa.struct([("a", pa.float64()), ("b", pa.string())]), st.fixed_dictionaries({"a": st.just(1.0), "b": st.just("xyz")})),
        (pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(st.text("ab", min_size=1, max_size=1), st.integers(0, 9)), max_size=2)),
    ]
)  # fmt: skip


@st.composite
def any_table(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 30))
    chosen = draw(st.lists(COLUMNS, min_size=1, max_size=4))
    columns = [pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind) for kind, values in chosen]
    return pa.table(columns, [f"c{place}" for place in range(len(columns))])


def measured(batches: list[pa.RecordBatch]) -> int:
    return sum(tables._size(column) for batch in batches for column in batch.columns)


@settings(max_examples=150, deadline=None)
@given(any_table(), st.sampled_from([1, 7, 1000]), st.sampled_from(["1.0", "2.0"]), st.booleans())
def test_no_table_is_said_to_take_more_than_is_measured(some: pa.Table, row_group_size: int, version: str, with_dictionary: bool) -> None:
    body = parquet(some, row_group_size=row_group_size, data_page_version=version, use_dictionary=with_dictionary)
    file = pyarrow.parquet.ParquetFile(io.BytesIO(body))
    batches = [batch for group in range(file.num_row_groups) for batch in file.iter_batches(row_groups=[group])]
    empty_lists = 8 * sum(file.metadata.row_group(group).column(0).num_values * file.metadata.num_columns for group in range(file.num_row_groups))
    assert parquet_sizes(body).value_bytes <= measured(batches) + 8 * 2 * (len(some) + 1) * file.metadata.num_columns + empty_lists
    stripes = pyarrow.orc.ORCFile(pa.BufferReader(written := orc(some)))
    assert orc_bytes(tail(written)) <= measured([stripes.read_stripe(one) for one in range(stripes.nstripes)])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_page_is_counted(version: str) -> None:
    """As many values as the column chunks say; small pages, two of them with dictionaries that were given up."""
    rows = [host(f"{number}", *(point(place, f"{number * place}") for place in range(number % 5))) for number in range(2000)]
    body = parquet(table(rows), data_page_size=500, dictionary_pagesize_limit=2000, row_group_size=700, data_page_version=version)
    metadata = pyarrow.parquet.read_metadata(io.BytesIO(body))
    widths = {"BYTE_ARRAY": 4, "INT64": 8, "DOUBLE": 8}
    chunks = [metadata.row_group(group).column(column) for group in range(metadata.num_row_groups) for column in range(metadata.num_columns)]
    assert parquet_sizes(body).value_bytes == sum(chunk.num_values * widths[chunk.physical_type] for chunk in chunks)


def test_texts_in_delta_encodings_do_not_keep_other_texts_from_being_read_as_dictionaries() -> None:
    """Of a page of one long text, which stands 3,000 times."""
    encodings = {"type": "DELTA_BYTE_ARRAY", "metrics.list.element.name": "DELTA_LENGTH_BYTE_ARRAY"}
    body = parquet(table([host("x" * 1000, point(1.0))] * 3000), use_dictionary=["hostid"], column_encoding=encodings, row_group_size=2000)
    leaves = ("type", "org", "hostid", "service", "roles", "receivedat", "name", "time", "value")
    assert [[leaves[one] for one in sorted(group)] for group in parquet_sizes(body).delta_columns] == [["type", "name"]] * 2
    for batch in tables._Reader(SOURCE, Allowance(10, 10, 10), UnpackLimits(), 1 << 30).batches(body, "parquet"):
        assert [pa.types.is_dictionary(batch.schema.field(name).type) for name in ("type", "org", "hostid")] == [False, True, True]
    assert len(whole(body).postings) == 3000
    assert whole(body, DecodeRules(max_object_bytes=2_000_000)).dead == [(0, TOO_LARGE, b"")]


def test_footers_that_cannot_be_read() -> None:
    for body in (b"", b"PAR1", parquet(table(ROWS))[:-400] + parquet(table(ROWS))[-8:]):
        with pytest.raises(ValueError, match="footer can't be read"):
            parquet_sizes(body)
    with pytest.raises(ValueError, match="footer can't be read"):
        orc_bytes(b"\x12\x02\x22\xff")
    assert whole(b"PAR1" + bytes(50) + b"\x00\x00\x00\x00PAR1").dead[0][1] == CORRUPT


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


@pytest.mark.parametrize("kind", [1, 3, 5, 7, 8, 9, 12])
def test_lists_without_end_are_stopped(kind: int) -> None:
    """A list of 2^60 values, in a footer of some bytes."""
    footer = b"\x49" + bytes([0xF0 | kind]) + varint(1 << 60) + bytes(50)
    with pytest.raises(ValueError, match="footer can't be read"):
        parquet_sizes(footer + len(footer).to_bytes(4, "little") + b"PAR1")


def test_an_orc_type_that_is_its_own_parent() -> None:
    one = bytes([8, 10, 18, 1, 0])
    footer = b"\x22" + varint(len(one)) + one
    with pytest.raises(ValueError, match="type 0 has the child 0 of 1 types"):
        orc_bytes(b"\x12" + varint(len(footer)) + footer)


def test_numbers_of_dictionaries_are_told_before_they_are_read() -> None:
    """Two million numbers in some bytes."""
    body = parquet(pa.table({"metrics": pa.array(np.zeros(2_000_000))}), compression="zstd")
    assert (len(body) < 10_000, parquet_sizes(body).value_bytes) == (True, 16_000_000)
