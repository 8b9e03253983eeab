"""Keys of the hot tier's items: written and read back, and what lies beside them in the same slot."""

import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import RefusedError, UsageError
from transforms.core.hash_slots import slot_of_key
from transforms.core.item_keys import ItemKeys, Series, beside, check_item_template, check_span
from transforms.core.store_settings import DEFAULT_TEMPLATE

CPU = Series("acme", "h1", "cpu", "{}")
START_S = 1_761_955_200


@pytest.mark.parametrize(
    ("template", "key"),
    [
        (DEFAULT_TEMPLATE, b"metric:{host|acme|h1|cpu|{}}:gauge:1761955200"),
        ("{org}/{name}@{span}", b"acme/cpu@1761955200"),
        ("{{{org}}}{host}{span}", b"{acme}1761955200"),
    ],
)
def test_a_key_is_written_by_its_template(template: str, key: bytes) -> None:
    assert ItemKeys(template).item("host", CPU, "gauge", START_S).key == key


def test_the_host_is_the_label() -> None:
    series = Series("acme", "web:app", "cpu", '{"host":"h1"}')
    assert ItemKeys("{type}.{host}.{span}").item("role", series, "gauge", 60).key == b"role.h1.60"


@pytest.mark.parametrize(
    "series", [CPU, Series("", "", "", "{}"), Series("a:b", "c{d}", "\0é", '{"k":"v}","l":"{"}'), Series("acme", "web:app", "cpu", '{"host":"h|1"}')]
)
def test_a_key_that_can_be_cut_in_one_way_tells_its_item(series: Series) -> None:
    item = ItemKeys().item("role", series, "counter", START_S)
    told = ItemKeys().told(item.key)
    assert told
    assert (told.span_s, told.item) == (START_S, item)
    assert ItemKeys().tells(item)


@pytest.mark.parametrize(
    ("template", "series"),
    [
        (DEFAULT_TEMPLATE, Series("acme", "h|1", "cpu", "{}")),
        ("{type}:{org}:{entity}:{name}:{labels}:{span}", Series("acme", "web:app", "cpu", "{}")),
        ("{type}:{org}:{entity}:{name}:{span}", CPU),
        ("{org}:{entity}:{name}:{labels}:{span}", CPU),
        ("{type}{org}{entity}|{name}|{labels}{span}", CPU),
    ],
)
def test_a_key_that_does_not_tell_its_series_still_tells_the_span(template: str, series: Series) -> None:
    keys = ItemKeys(template)
    item = keys.item("role", series, "gauge", START_S)
    told = keys.told(item.key)
    assert told
    assert (told.span_s, told.item, keys.tells(item)) == (START_S, None, False)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"metric:{disk|acme|h1|cpu|{}}:gauge:60",
        b"metric:{host|acme|h1|cpu|{}}:rate:60",
        b"metric:{host|acme|h1|cpu|{}}:gauge:x",
        b"metric:{host|acme|h1|cpu|{}}:gauge:60#rollups",
        b"metric:{host|acme|h1|cpu}:gauge:60",
        b"metric:{host|\xff|h1|cpu|{}}:gauge:60",
        b"xmetric:{host|acme|h1|cpu|{}}:gauge:60",
    ],
)
def test_other_keys_are_no_items(key: bytes) -> None:
    assert ItemKeys().told(key) is None


def test_labels_that_are_no_object_tell_no_series() -> None:
    told = ItemKeys().told(b"metric:{host|acme|h1|cpu|{x}}:gauge:60")
    assert told
    assert told.item is None


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(
    st.builds(Series, names, names, names, st.sampled_from(["{}", '{"a":"}"}', '{"host":"h"}'])), st.integers(0, 10**10), st.sampled_from(["gauge", "delta"])
)
def test_what_a_key_tells_is_what_it_was_made_of(series: Series, span_s: int, kind: str) -> None:
    item = ItemKeys().item("host", series, kind, span_s)
    told = ItemKeys().told(item.key)
    assert told
    assert told.span_s == span_s
    assert told.item in (None, item)
    assert slot_of_key(item.key) == slot_of_key(beside(item.key)) == slot_of_key(beside(item.key, ":before:run"))
    assert not {None, *map(ItemKeys().told, (beside(item.key), beside(item.key, ":x")))} - {None}


@pytest.mark.parametrize(
    ("key", "other"),
    [
        (b"a:{b}:c", b"a:{b}:c#rollups"),
        (b"a:b", b"{a:b}#rollups"),
        (b"a:{b", b"{a:{b}#rollups"),
    ],
)
def test_what_lies_beside_is_in_the_same_slot(key: bytes, other: bytes) -> None:
    assert beside(key) == other
    assert slot_of_key(key) == slot_of_key(other)


def test_a_pattern_takes_what_globs_mean_as_it_is() -> None:
    assert ItemKeys("m*[{type}]?\\{org}:{span}").glob("host") == b"m\\*\\[host\\]\\?\\\\*:*"
    assert ItemKeys().glob("role") == b"metric:{role|*|*|*|*}:*:*"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("metric:{org}", "does not name {span}"),
        ("metric:{org}:{day}", "names the field 'day': there are type, org, entity, name, labels, host, kind, span"),
        ("metric#rollups:{span}", "holds '#rollups'"),
        ("metric:{span", "can't be read"),
    ],
)
def test_a_template_that_is_none(template: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_item_template(template)
    assert told in str(raised.value)


@pytest.mark.parametrize("span_s", [0, 59, 90, 7 * 60, 2 * 86_400])
def test_a_span_divides_a_day_in_minutes(span_s: int) -> None:
    with pytest.raises(UsageError) as raised:
        check_span(span_s)
    assert f"a span of {span_s} s" in str(raised.value)


def test_a_series_whose_key_looks_like_one_beside_is_refused() -> None:
    with pytest.raises(RefusedError) as raised:
        ItemKeys().item("host", Series("acme", "h1", "cpu#rollups", "{}"), "gauge", 60)
    assert "series host/acme/h1/cpu#rollups" in str(raised.value)
