"""The role membership table as users write it: CSV or Parquet, its times, and what is wrong with it."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.core.errors import UsageError
from transforms.steps.membership import membership_from_arrow, read_membership

NOON_US = 1_761_998_400_000_000
"""2025-11-01T12:00:00Z."""

ALWAYS = (-(2**63), 2**63 - 1)

Row = tuple[str, str, str, int, int]


def rows(body: bytes) -> list[Row]:
    table = read_membership(body, "roles.csv")
    return list(zip(*(table[name].to_pylist() for name in ("org", "host", "role", "from_us", "to_us")), strict=True))


def csv(*lines: str, head: str = "org,host,role,valid_from,valid_to") -> bytes:
    return "\n".join((head, *lines, "")).encode()


def parquet(**columns: pa.Array) -> bytes:
    known = {"org": pa.array(["acme"]), "host": pa.array(["h1"]), "role": pa.array(["web:app"]), "valid_from": pa.array([""]), "valid_to": pa.array([""])}
    sink = io.BytesIO()
    pq.write_table(pa.table(known | columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2025-11-01T12:00:00Z", NOON_US),
        ("2025-11-01T21:00+09:00", NOON_US),
        ("2025-11-01 12:00:00Z", NOON_US),
        ("1761998400", NOON_US),
        ("1761998400.25", NOON_US + 250_000),
        ("1761998400.000001", NOON_US + 1),
        (" 1761998400 ", NOON_US),
    ],
)
def test_times_carry_an_offset_or_are_seconds(text: str, time_us: int) -> None:
    assert rows(csv(f"acme,h1,web:app,{text},")) == [("acme", "h1", "web:app", time_us, ALWAYS[1])]
    assert rows(csv(f"acme,h1,web:app,,{text}")) == [("acme", "h1", "web:app", ALWAYS[0], time_us)]


def test_a_table_of_several_rows_in_any_column_order() -> None:
    body = csv("2,web:app,h1,1,acme,note", ",db:é,h2,,,", '4,"a,""b""",h3,3,"o,o",x', head="valid_to,role,host,valid_from,org,comment")
    assert rows(body) == [("acme", "h1", "web:app", 1_000_000, 2_000_000), ("", "h2", "db:é", *ALWAYS), ("o,o", "h3", 'a,"b"', 3_000_000, 4_000_000)]


def test_texts_stay_texts() -> None:
    """Neither 007 a number nor NULL nothing."""
    assert rows(csv("null,007,1e5,,")) == [("null", "007", "1e5", *ALWAYS)]
    assert rows(csv("NULL,NA,nan,,")) == [("NULL", "NA", "nan", *ALWAYS)]


def test_line_ends_and_a_byte_order_mark_do_not_matter() -> None:
    expected = [("acme", "h1", "web:app", 1_000_000, 2_000_000)]
    body = csv("acme,h1,web:app,1,2")
    assert rows(b"\xef\xbb\xbf" + body) == expected
    assert rows(body.replace(b"\n", b"\r\n")) == expected
    assert rows(body.rstrip(b"\n")) == expected


def test_a_table_without_rows() -> None:
    assert rows(csv()) == []


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_timestamps(unit: str) -> None:
    times = pa.array([datetime(2025, 11, 1, 12, tzinfo=UTC)], pa.timestamp(unit, "Asia/Tokyo"))
    assert rows(parquet(valid_from=times)) == [("acme", "h1", "web:app", NOON_US, ALWAYS[1])]
    assert rows(parquet(valid_to=times, valid_from=pa.array([None], pa.timestamp(unit, "UTC")))) == [("acme", "h1", "web:app", ALWAYS[0], NOON_US)]


def test_parquet_of_numbers_texts_and_dictionaries() -> None:
    body = parquet(
        host=pa.array(["h1"]).dictionary_encode(),
        org=pa.array([None], pa.string()),
        valid_from=pa.array([1761998400]),
        valid_to=pa.array(["2025-11-01T21:00:01+09:00"]),
    )
    assert rows(body) == [("", "h1", "web:app", NOON_US, NOON_US + 1_000_000)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            csv("acme,h1", head="org,host"),
            "the role membership 'roles.csv' has no column role, valid_from, valid_to: it needs org, host, role, valid_from, valid_to",
        ),
        (csv("acme,h1,web:app,,", "acme,,web:app,,"), "the role membership 'roles.csv', row 2: host is empty"),
        (csv("acme,h1,,,"), "the role membership 'roles.csv', row 1: role is empty"),
        (csv("acme,h1,r,2,1"), "the role membership 'roles.csv', row 1: valid_from 2 is not before valid_to 1"),
        (csv("acme,h1,r,,", "acme,h1,r,1,1"), "the role membership 'roles.csv', row 2: valid_from 1 is not before valid_to 1"),
        (csv("acme,h1,r,2025-11-01T00:00,"), "the role membership 'roles.csv', row 1, valid_from: the time '2025-11-01T00:00' has no offset"),
        (csv("acme,h1,r,,", "acme,h1,r,,tomorrow"), "the role membership 'roles.csv', row 2, valid_to: 'tomorrow' is no time"),
        (csv("acme,h1,r"), "the role membership 'roles.csv' can't be read as CSV or Parquet"),
        (b"", "the role membership 'roles.csv' can't be read as CSV or Parquet"),
        (b"org,host,role,valid_from,valid_to\nacme,h1,\xff,,\n", "can't be read as CSV or Parquet"),
        (b"PAR1 but nothing more", "the role membership 'roles.csv' can't be read as CSV or Parquet"),
    ],
)
def test_what_is_wrong_is_told_with_file_row_and_value(body: bytes, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_membership(body, "roles.csv")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e30", "now", "-24h"])
def test_a_time_that_is_no_moment_is_told(text: str) -> None:
    """Relative times would mean another thing on every run."""
    with pytest.raises(UsageError, match=r"the role membership 'roles.csv', row 1, valid_from"):
        read_membership(csv(f"acme,h1,r,{text},"), "roles.csv")


def test_a_column_that_is_there_twice_is_told() -> None:
    with pytest.raises(UsageError, match=r"roles\.csv"):
        read_membership(csv("a,b,h1,r,,", head="org,org,host,role,valid_from,valid_to"), "roles.csv")


def test_workers_get_the_same_columns() -> None:
    membership = membership_from_arrow(read_membership(csv("acme,h1,web:app,1,", "acme,h2,db:x,,2"), "roles.csv"))
    assert (membership.org.to_pylist(), membership.host.to_pylist(), membership.role.to_pylist()) == (["acme", "acme"], ["h1", "h2"], ["web:app", "db:x"])
    assert (membership.from_us.tolist(), membership.to_us.tolist()) == ([1_000_000, ALWAYS[0]], [ALWAYS[1], 2_000_000])
