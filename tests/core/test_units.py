"""Units' names and the fixed hash that spreads series over shards."""

import zlib

import pytest
from hypothesis import given, strategies as st

from transforms.core.model import SeriesKey, labels_pairs, labels_text
from transforms.core.units import SHARD_HASH, Unit, shard_of

texts = st.text(max_size=8)


def test_the_hash_is_crc32_of_the_key_and_never_changes() -> None:
    """A store's shards are found by these numbers for as long as it lives."""
    assert SHARD_HASH == "crc32"
    assert zlib.crc32(b"123456789") == 0xCBF43926, "the check value of CRC-32/ISO-HDLC"
    assert SeriesKey("host", "acme", "h1", "cpu").encode() == b'["host","acme","h1","cpu",[]]'
    assert shard_of(b'["host","acme","h1","cpu",[]]', 1) == 0
    assert shard_of(b'["host","acme","h1","cpu",[]]', 1000) == zlib.crc32(b'["host","acme","h1","cpu",[]]') % 1000
    assert shard_of(b"123456789", 1000) == 3_421_780_262 % 1000 == 262


def test_a_key_is_compact_json_in_utf8() -> None:
    key = SeriesKey("role", "ácme", "web:app", 'a"b\\c\n', (("host", "h\u2028/\U0001f600"),))
    assert key.encode() == '["role","ácme","web:app","a\\"b\\\\c\\n",[["host","h\u2028/\U0001f600"]]]'.encode()
    assert SeriesKey("host", "e\u0301", "", "").encode() != SeriesKey("host", "\u00e9", "", "").encode(), "no normalisation"


@given(st.binary(max_size=20), st.integers(1, 10_000))
def test_a_shard_is_below_the_number_of_shards(key: bytes, shards: int) -> None:
    assert shard_of(key, shards) == zlib.crc32(key) % shards
    assert 0 <= shard_of(key, shards) < shards


def test_a_unit_is_named_like_a_file_that_sorts_like_it() -> None:
    units = [Unit("host", "2025-11-01", 3), Unit("host", "2025-11-01", 12), Unit("host", "2025-11-02", 0), Unit("role", "2025-10-31", 0)]
    assert [str(one) for one in units] == ["host-2025-11-01-0003", "host-2025-11-01-0012", "host-2025-11-02-0000", "role-2025-10-31-0000"]
    assert sorted(units) == units
    assert sorted(map(str, units)) == list(map(str, units))


@pytest.mark.parametrize(
    ("labels", "text"),
    [((), "{}"), ((("host", "h1"),), '{"host":"h1"}'), ((("a", "é"), ("b", '"')), '{"a":"é","b":"\\""}')],
)
def test_labels_are_a_compact_object_with_sorted_keys(labels: tuple[tuple[str, str], ...], text: str) -> None:
    assert labels_text(labels) == text
    assert labels_text(tuple(reversed(labels))) == text
    assert labels_pairs(text) == labels


@given(st.dictionaries(texts, texts, max_size=4))
def test_labels_survive_being_written(labels: dict[str, str]) -> None:
    pairs = tuple(sorted(labels.items()))
    assert labels_pairs(labels_text(pairs)) == pairs
