"""Numbers in JSON, many at once: what is taken is what the reader of one after the other takes, what isn't sure is refused."""

import json

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import DecodeError
from transforms.decode import otlp_json
from transforms.decode.json_numbers import count_lists, distinct_texts, doubles, integers


def strict_counts(text: str) -> list[int] | None:
    try:
        return list(otlp_json._counts({"bucketCounts": json.loads(text)}))
    except DecodeError:
        return None


def found_counts(texts: list[str]) -> list[list[int]] | None:
    try:
        flat, sizes = count_lists([msgspec.Raw(text.encode()) for text in texts])
    except ValueError:
        return None
    numbers = iter(flat.tolist())
    lists = [[next(numbers) for _ in range(size)] for size in sizes.tolist()]
    assert next(numbers, None) is None
    return lists


@pytest.mark.parametrize(
    "texts",
    [
        ["[1,2]", "[]", "[3]"],
        ['["1","2"]', '["3"]'],
        ['[ "1" , "2" ]', "[\n]", "[ ]"],
        ["[1, 2]", "[\t3\r\n]"],
        ["[0]", "[00012]".replace("000", "")],
        ["[999999999999999999]"],
    ],
)
def test_counts(texts: list[str]) -> None:
    found = found_counts(texts)
    assert found in (None, [strict_counts(text) for text in texts])
    assert found is not None or "[\n]" in texts


@pytest.mark.parametrize(
    "text",
    [
        '["1 2"]', '[" 1"]', '["1 "]', '["1,2"]', '["1,2",3]', '["1, 2","3"]', '["1",2]', "[[1]]", '["]"]', '["[1]"]', "[-1]", "[1.0]", "[1e3]", '["x"]',
        "[true]", "[null]", "null", "{}", '""', '"12"', "123", '["\\u0031"]', "[1000000000000000000000]", '["",""]', '["1","","2"]',
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    assert found_counts([text]) is None
    assert found_counts(["[1]", text, '["2"]']) is None


@given(st.lists(st.lists(st.sampled_from(["1", '"1"', '"23"', '"1,2"', '"]"', "[4]", '""', '" 5"', "-1", "1.5"]), max_size=4), max_size=4), st.booleans())
def test_lists_of_any_elements(lists: list[list[str]], spaced: bool) -> None:
    texts = ["[" + (" , " if spaced else ",").join(one) + "]" for one in lists]
    assert found_counts(texts) in (None, [strict_counts(text) for text in texts])


@given(st.lists(st.one_of(st.none(), st.integers(-9, 2**63 - 1), st.sampled_from(["0", "5", "-5", "007", "+5", " 5", "", "-", "1-2", "5.0", "٣", "0" * 21]))))
def test_integers(values: list[int | str | None]) -> None:
    try:
        expected: list[int] | None = [otlp_json._integer({"x": one}, "x", lowest=-(1 << 63)) for one in values]
    except DecodeError:
        expected = None
    try:
        found = integers(values, pa.int64()).tolist()
    except ValueError:
        found = None
    assert found in (None, expected)
    assert found is not None or any(isinstance(one, str) for one in values)


def test_doubles() -> None:
    value, has = doubles([1, None, "NaN", "-Infinity", 2.5])
    assert value.tolist()[3:] == [-float("inf"), 2.5]
    assert has.tolist() == [True, False, True, True, True]
    with pytest.raises(ValueError, match="may be numbers"):
        doubles([1.5, "1.5"])


def test_distinct_texts() -> None:
    codes, texts = distinct_texts([msgspec.Raw(one) for one in (b"[1]", b"", b"[1]")])
    assert [texts[code] for code in codes.tolist()] == [b"[1]", b"", b"[1]"]
    assert len(texts) == 2
