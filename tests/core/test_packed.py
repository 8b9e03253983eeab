"""Packed items: round trips of any rows, the bytes as documented, and what is no item."""

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tests.core.kind_slices import Sample, slice_of
from tests.core.rollup_tables import DAY_S, Row, row, rows_of, table
from tests.core.unit_slices import WHOLE_DAY
from transforms.core.errors import RefusedError, RollupsError
from transforms.core.granularity import GRANULARITIES, WIDTH_S
from transforms.core.packed import SPAN_S, ItemKey, item_keys, pack, slots_of, unpack
from transforms.core.rollup import roll_up

GOLDEN = Path(__file__).parents[1] / "data" / "packed_items.txt"
"""Lines of `start_s, series and kinds, hexadecimal bytes`; format 1 must read and write them for ever."""

KEY = ItemKey("acme", "h1", "cpu", "{}", DAY_S)
FLOATS = ("sum", "min", "max", "avg", "last", "increase", "p50", "p90", "p95", "p99", "first_value", "last_value")

numbers = st.sampled_from((0.0, 1.0, -1.0, 0.1, 127.0, 128.0, -32_768.0, 2.0**31, 2.0**53, 5e-324, float("inf"), -float("inf"))) | st.floats(allow_nan=False)
whole = st.sampled_from((0, 1, 5, 127, 128, 40_000, 1 << 31, (1 << 53) + 1)) | st.integers(0, 1 << 62)
columns = st.fixed_dictionaries(
    {"minutes": st.integers(1, 60), "count": st.none() | whole, "generation": st.none() | whole, "start_time": st.none() | whole}
    | {name: st.none() | numbers for name in FLOATS}
    | {"bounds": st.none() | st.lists(numbers, max_size=3), "bucket_counts": st.none() | st.lists(whole, max_size=3)}
)
places = st.tuples(st.sampled_from(("h1", "h2", "é")), st.sampled_from(("gauge", "histogram")), st.integers(0, 700))
some_rows = st.dictionaries(places, st.sampled_from(range(4)), max_size=12)


def rows_at(granularity: str, where: dict[tuple[str, str, int], int], values: list[Row]) -> list[Row]:
    width = WIDTH_S[granularity]
    return [row(entity, place * width, kind=kind, **values[number % len(values)]) for (entity, kind, place), number in where.items()]


@given(st.sampled_from(GRANULARITIES), some_rows, st.lists(columns, min_size=1, max_size=4))
@settings(max_examples=80)
def test_any_rows_come_back_bit_for_bit(granularity: str, where: dict[tuple[str, str, int], int], values: list[Row]) -> None:
    given_table = table(rows_at(granularity, where, values))
    items = pack(given_table, granularity)
    assert item_keys(given_table.select(["org", "entity", "name", "labels", "kind", "bucket_start"]), granularity) == list(items)
    assert unpack(reversed(items.items()), granularity).equals(given_table)
    for name in FLOATS:
        bits, back = (np.array(one.column(name).to_pylist(), object) for one in (given_table, unpack(items.items(), granularity)))
        assert repr(bits.tolist()) == repr(back.tolist())


@given(some_rows, st.lists(columns, min_size=1, max_size=4))
def test_an_item_is_the_same_whatever_is_packed_beside_it(where: dict[tuple[str, str, int], int], values: list[Row]) -> None:
    rows = rows_at("1m", where, values)
    items = pack(table(rows), "1m")
    for key, body in items.items():
        alone = [one for one in rows if one["entity"] == key.entity and one["bucket_start"] // 1000 // SPAN_S["1m"] * SPAN_S["1m"] == key.start_s]
        assert pack(table(alone), "1m") == {key: body}


def test_items_lie_on_spans_of_the_epoch() -> None:
    week_s = 7 * 86_400
    for granularity, start_s in {"1m": DAY_S + 4 * 3600, "5m": DAY_S, "1h": DAY_S // week_s * week_s}.items():
        (key,) = pack(table([row("h1", 7 * 3600)]), granularity)
        assert key == ("acme", "h1", "cpu", "{}", start_s)
    assert {name: slots_of(name) for name in GRANULARITIES} == {"1m": 240, "5m": 288, "1h": 168}


def test_the_bytes_of_one_bucket_are_those_of_the_documentation() -> None:
    (body,) = pack(table([row("h1", 120, minutes=1, value=0.5, generation=7)]), "1m").values()
    forms = [2, 16, 1, 18, 18, 18, 18, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0]  # minutes INTS, count as minutes, sum RAW, four as sum, generation INTS
    inner = bytes(forms) + b"\x04" + bytes(29) + b"\x01\x01" + struct.pack("<d", 0.5) + b"\x01\x07"
    assert body == b"\x01\x01" + struct.pack("<IBHH", 9 + len(inner), 0, 240, 1) + inner


def test_runs_holes_and_narrow_numbers() -> None:
    rows = [
        row("h1", place * 60, value=None, sum=0.5, max=float(place), increase=None if place == 3 else place + 0.5, generation=1 << 40) for place in range(12)
    ]
    (body,) = pack(table(rows), "1m").values()
    forms = body[2 + 9 : 2 + 9 + 18]
    assert list(forms) == [3, 16, 3, 0, 2, 0, 0, 5, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0]
    sections = body[2 + 9 + 18 + 30 :]
    assert sections[:12] == struct.pack("<HHq", 1, 12, 1)
    assert sections[12:24] == struct.pack("<HHd", 1, 12, 0.5)
    assert sections[24:37] == b"\x01" + bytes(range(12))
    assert sections[37:39] == bytes([0b11110111, 0b1111])
    assert sections[39:127] == struct.pack("<11d", *(place + 0.5 for place in range(12) if place != 3))
    assert sections[127:] == struct.pack("<HHq", 1, 12, 1 << 40)


def test_a_gauge_takes_about_8_bytes_a_bucket() -> None:
    rows = [row("h1", place * 60, value=place / 7, generation=1_761_955_200_000) for place in range(240)]
    (body,) = pack(table(rows), "1m").values()
    assert len(body) == 240 * 8 + 2 + 9 + 18 + 30 + 12 + 12


def test_a_bucket_between_two_is_an_error() -> None:
    with pytest.raises(RollupsError, match="bucket_start 1761955260000 ms is no multiple of 300000 ms"):
        pack(table([row("h1", 60)]), "5m")


def golden_rollups() -> dict[str, object]:
    from scripts.oracle_kinds import Histogram

    samples = [
        Sample(10, 4.0, kind="counter", name="a", start=20.0),
        Sample(70, 9.5, kind="counter", name="a", start=20.0),
        Sample(10, 1.0, kind="delta", name="a"),
        Sample(10, 5.0, kind="gauge", name="a"),
        Sample(14_410, 0.1, kind="gauge", name="a"),
        Sample(10, kind="histogram", name="a", histogram=Histogram(5, 7.5, None, None, (1.0, 2.5), (0, 5, 0))),
    ]
    return dict(roll_up([slice_of(samples)], computed=WHOLE_DAY, average="cascade", generation=1_761_955_200_000).tables)


def golden_lines() -> list[str]:
    lines = []
    for granularity, rollups in golden_rollups().items():
        for key, body in pack(rollups, granularity).items():
            lines.append(f"{granularity} {key.start_s} {key.name} {body.hex()}")
    return lines


def test_format_1_writes_the_golden_bytes() -> None:
    assert golden_lines() == GOLDEN.read_text().splitlines()


def test_format_1_reads_the_golden_bytes() -> None:
    wanted = golden_rollups()
    (org,), (entity,), (labels,) = ({*wanted["1m"].column(name).to_pylist()} for name in ("org", "entity", "labels"))  # type: ignore[attr-defined]
    for granularity, rollups in wanted.items():
        lines = [line.split() for line in GOLDEN.read_text().splitlines()]
        items = [(ItemKey(org, entity, name, labels, int(start)), bytes.fromhex(body)) for one, start, name, body in lines if one == granularity]
        assert unpack(items, granularity).equals(rollups)


BROKEN = {
    "empty": (b"", "begins with nothing"),
    "a newer format": (b"\x02\x01", "begins with 0201, and format 1 is the one known"),
    "no block": (b"\x01\x00", "2 bytes and its 0 blocks end at 2"),
    "cut": (b"\x01\x01\x05", "it is cut"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_item_is_refused_with_its_series(name: str) -> None:
    body, message = BROKEN[name]
    with pytest.raises(RefusedError, match=rf"packed 1m item of acme/h1/cpu {{}} from {DAY_S}: .*{message}"):
        unpack([(KEY, body)], "1m")


@given(st.lists(columns, min_size=1, max_size=3), st.data())
@settings(max_examples=80)
def test_damaged_bytes_are_refused_or_read_but_never_anything_else(values: list[Row], data: st.DataObject) -> None:
    (body,) = pack(table(row("h1", place * 60, **one) for place, one in enumerate(values)), "1m").values()
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + data.draw(st.binary(max_size=4)) + body[at + data.draw(st.integers(0, 4)) :]
    with suppress(RefusedError):
        assert len(rows_of(unpack([(KEY, damaged)], "1m"))) <= 240
