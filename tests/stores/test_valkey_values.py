"""Texts of 1m rollups: what is written, what is read, and what is neither."""

import json

import pytest

from tests.core.rollup_tables import DAY_S, Row, row, rows_of, table
from transforms.core.canonical import canonical, ordered
from transforms.core.errors import RefusedError
from transforms.core.item_keys import ItemKeys, Series
from transforms.stores.valkey_items import FieldChange, ItemForm, Raw, field_changes
from transforms.stores.valkey_values import normal, texts_of

KINDLESS = ItemKeys("{type}|{org}|{entity}|{name}|{labels}|{span}")


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (row(value=0.5), "0.5"),
        (row(value=12.0), "12.0"),
        (row(value=1e300), "1e+300"),
        (row(value=0.1 + 0.2), "0.30000000000000004"),
        (row(value=float("inf")), "inf"),
        (row(value=1.0, minutes=2), '{"kind":"gauge","minutes":2,"count":2,"value":1.0}'),
        (row(value=1.0, last=2.0), '{"kind":"gauge","minutes":1,"count":1,"sum":1.0,"min":1.0,"max":1.0,"avg":1.0,"last":2.0}'),
        (row(value=None, count=None), '{"kind":"gauge","minutes":1}'),
        (
            row(kind="counter", value=9.0, increase=5.0, first_value=9.0, last_value=9.0, start_time=DAY_S * 1000),
            '{"kind":"counter","minutes":1,"count":1,"value":9.0,"increase":5.0,"first_value":9.0,"last_value":9.0,"start_time":1761955200000}',
        ),
        (
            row(kind="histogram", value=None, count=5, sum=float("inf"), p50=1.5, bounds=[1.0, float("inf")], bucket_counts=[0, 5, 0]),
            '{"kind":"histogram","minutes":1,"count":5,"sum":"inf","p50":1.5,"bounds":[1.0,"inf"],"bucket_counts":[0,5,0]}',
        ),
    ],
)
def test_a_row_is_written_as(one: Row, text: str) -> None:
    assert texts_of(table([one]), ["gauge"]) == [text]


def test_the_kind_that_the_key_tells_needs_no_words() -> None:
    assert texts_of(table([row(kind="delta", value=2.0)]), ["delta"]) == ["2.0"]


def decoded(*fields: tuple[int, str], keys: ItemKeys = KINDLESS, kind: str = "gauge") -> list[Row]:
    item = keys.item("host", Series("acme", "h1", "cpu", "{}"), kind, DAY_S)
    return rows_of(ItemForm(keys, "host").decode({item: {str(DAY_S + at_s): (text, None) for at_s, text in fields}}))


def test_numbers_of_a_live_writer_are_read_however_they_are_written() -> None:
    texts = ["1", "1.50", "-2e3", "+4", "inf"]
    assert [one["sum"] for one in decoded(*((60 * place, text) for place, text in enumerate(texts)))] == [1.0, 1.5, -2000.0, 4.0, float("inf")]


def test_an_object_may_say_little() -> None:
    assert decoded((0, '{"value": 3, "kind": "counter", "increase": null}')) == [
        {
            **dict.fromkeys(("sum", "min", "max", "avg", "last"), 3.0),
            "org": "acme",
            "entity": "h1",
            "name": "cpu",
            "labels": "{}",
            "kind": "counter",
            "bucket_start": DAY_S * 1000,
            "minutes": 1,
        }
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no value, it is no number"),
        ("x", "'x' is no value, it is no number"),
        ("nan", "'nan' is no value, it is no number"),
        ("{", "it is no JSON"),
        ('{"value":1,"vaule":2}', "it has 'vaule', which no rollup has"),
        ('{"kind":"rate"}', "the kind 'rate' is none of gauge"),
        ('{"value":"x"}', "its sum 'x' is not as a rollup's is"),
        ('{"minutes":1.5}', "its minutes 1.5 is not as a rollup's is"),
        ('{"value":true}', "its sum True is not as a rollup's is"),
        ('{"bounds":[1,null]}', "its bounds [1, None] is not as a rollup's is"),
        ('{"bucket_counts":{}}', "its bucket_counts {} is not as a rollup's is"),
        ('{"count":9223372036854775808}', "its count 9223372036854775808 is not as a rollup's is"),
    ],
)
def test_what_is_no_value_is_named(text: str, told: str) -> None:
    with pytest.raises(RefusedError) as raised:
        decoded((0, "1"), (60, '{"value":2}'), (120, text))
    assert told in str(raised.value)
    assert f"series host/acme/h1/cpu {{}} in 'host|acme|h1|cpu|{{}}|{DAY_S}', field '{DAY_S + 120}'" in str(raised.value)


@pytest.mark.parametrize("at_s", [30, -60, 3600])
def test_fields_lie_in_the_span_and_begin_a_minute(at_s: int) -> None:
    with pytest.raises(RefusedError) as raised:
        decoded((at_s, "1"))
    assert f"the field '{DAY_S + at_s}' is no start in seconds of a minute of the 3600 s from {DAY_S} on (2025-11-01T00:00:00Z)" in str(raised.value)


def test_a_field_that_is_no_time() -> None:
    item = KINDLESS.item("host", Series("acme", "h1", "cpu", "{}"), "", DAY_S)
    with pytest.raises(RefusedError) as raised:
        ItemForm(KINDLESS, "host").decode({item: {"unit": ("ms", None)}})
    assert "no value" in str(raised.value)


def test_rows_come_back_from_items_of_every_span() -> None:
    rows = [row(entity, at_s, value=float(at_s), generation=generation) for entity in ("h1", "h|2") for at_s, generation in ((0, 1), (3540, None), (3600, 7))]
    form = ItemForm(ItemKeys(), "host")
    items = form.encode(table(rows))
    assert [(item.series.entity, item.span_s - DAY_S, len(body)) for item, body in items.items()] == [
        ("h1", 0, 2),
        ("h1", 3600, 1),
        ("h|2", 0, 2),
        ("h|2", 3600, 1),
    ]
    assert form.decode(items).equals(table(rows))


def test_kinds_and_series_that_would_share_a_field_are_refused() -> None:
    form = ItemForm(KINDLESS, "host")
    assert form.encode(table([row(bucket_s=0), row(kind="delta", bucket_s=60)])).keys() == form.encode(table([row()])).keys()
    with pytest.raises(RefusedError, match="would hold two kinds of series host/acme/h1/cpu"):
        form.encode(table([row(), row(kind="delta")]))
    with pytest.raises(RefusedError, match=r"is that of series host/a/b\|c/cpu .* and of series host/a\|b/c/cpu"):
        form.encode(canonical(ordered(canonical(table([row("b|c", org="a"), row("c", org="a|b")])))))


def test_fields_that_say_the_same_in_another_way_stay() -> None:
    raw = Raw({"60": "1.50", "120": "2", "180": "3.0", "240": "4"}, {"180": "7 3.0", "240": "7 4.0"})
    body = {"60": ("1.5", None), "120": ("2.0", 9), "180": ("3.0", 7)}
    assert field_changes(raw, body) == [FieldChange("120", "2", "", "2.0", "9 2.0"), FieldChange("240", "4", "7 4.0", "", "")]


def test_a_text_that_can_not_be_read_is_as_it_is() -> None:
    assert [normal(text) for text in ("1", "x", '{"a": 1}', "{")] == ["1.0", "x", '{"a":1}', "{"]
    assert json.loads(normal('{"a": 1}')) == {"a": 1}
