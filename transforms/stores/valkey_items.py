"""Rollups of a unit as items: hashes of 1m values, and beside each the generations of those values that are not a live writer's.

What lies beside a field is `GENERATION TEXT`: the generation counts as long as the field still has that text. A live writer that replaces the value takes the
generation away without knowing of it.
"""

import json
import operator
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.canonical import bucket_ms, canonical, one_chunk, ordered, series_runs
from transforms.core.errors import RefusedError
from transforms.core.granularity import MINUTE_S
from transforms.core.item_keys import Item, ItemKeys, Series, beside
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.time import format_time
from transforms.stores.items import Held
from transforms.stores.valkey_values import columns_of, normal, texts_of

Body = dict[str, tuple[str, int | None]]
"""Text and generation by field."""

SERIES: Final = "series"
"""Field beside an item that names its series, where the key alone does not."""


class Raw(NamedTuple):
    """What a server holds of an item: its fields, and those beside it."""

    texts: dict[str, str]
    beside: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """Bytes of its texts, nearly: what a before-image of it takes."""
        return sum(map(len, chain(self.texts, self.texts.values(), self.beside, self.beside.values())))


class FieldChange(NamedTuple):
    """One field, as the script that writes items takes it; empty where there is none."""

    field: str
    text: str
    beside: str
    new_text: str
    new_beside: str


@dataclass(frozen=True)
class ItemForm:
    """How rows of a metric type and items are made of each other."""

    keys: ItemKeys
    metric_type: str

    def encode(self, table: pa.Table) -> dict[Item, Body]:
        """The items that hold these rows. Raises RefusedError if two series, or two kinds of one, would share an item's field."""
        items: dict[Item, Body] = {}
        owners: dict[bytes, Item] = {}
        starts_s = bucket_ms(table) // 1000
        kinds = one_chunk(table.column("kind")).cast(pa.string()).to_pylist() if table.num_rows else []
        implied = kinds if self.keys.tells_kind else ["gauge"] * len(kinds)
        texts, generations = texts_of(table, implied), one_chunk(table.column("generation")).to_pylist()
        fields = list(map(str, starts_s.tolist()))
        for item, first, end in self._stretches(table):
            if owners.setdefault(item.key, item) != item:
                raise RefusedError(f"the key {_shown(item.key)} is that of {named(owners[item.key])} and of {named(item)}: {_TELL_APART}")
            body = items.setdefault(item, {})
            new = dict(zip(fields[first:end], zip(texts[first:end], generations[first:end], strict=True), strict=True))
            if twice := body.keys() & new.keys():
                raise RefusedError(f"the key {_shown(item.key)} would hold two kinds of {named(item)} at {min(twice)}: {_TELL_APART}")
            body.update(new)
        return items

    def near(self, buckets: pa.Table) -> set[Item]:
        """The items in which buckets lie: those of a table in order that has the identity and bucket_start at least."""
        return {item for item, _, _ in self._stretches(buckets)}

    def decode(self, held: Mapping[Item, Body]) -> pa.Table:
        """The rows of items, canonical and in order. Raises RefusedError for what can't be read as rollups of the item's span."""
        filled = [(item, body) for item, body in held.items() if body]
        if not filled:
            return ROLLUP_SCHEMA.empty_table()
        fields = list(chain.from_iterable(body for _, body in filled))
        pairs = list(chain.from_iterable(body.values() for _, body in filled))
        texts, generations = (list(map(operator.itemgetter(part), pairs)) for part in (0, 1))
        lengths = [len(body) for _, body in filled]
        items = [item for item, _ in filled]
        owners = np.repeat(np.arange(len(items)), lengths)
        columns = self._columns(items, owners, fields, texts)
        for name in Series._fields:
            names = pa.array([getattr(item.series, name) for item in items], pa.string())
            columns[name] = names.dictionary_encode().take(pa.array(owners))
        columns["kind"] = columns["kind"].dictionary_encode()
        columns["generation"] = pa.array(generations, pa.int64())
        return canonical(ordered(canonical(pa.table([columns[name] for name in ROLLUP_SCHEMA.names], schema=ROLLUP_SCHEMA))))

    def _columns(self, items: Sequence[Item], owners: np.ndarray[tuple[int], np.dtype[np.int64]], fields: list[str], texts: list[str]) -> dict[str, pa.Array]:
        """The columns that fields and texts tell."""
        kinds = np.array([item.kind or "gauge" for item in items], object)[owners].tolist()
        try:
            columns = columns_of(texts, kinds)
        except ValueError as error:
            place, cause = error.args
            raise RefusedError(f"reading {named(items[owners[place]])}, field {fields[place]!r}: {texts[place][:100]!r} is no value, {cause}") from None
        spans_s = np.array([item.span_s for item in items], np.int64)[owners]
        starts_s = np.array([int(one) if _DIGITS(one) else -1 for one in fields], np.int64)
        wrong = np.flatnonzero((starts_s % MINUTE_S != 0) | (starts_s < spans_s) | (starts_s >= spans_s + self.keys.span_s))
        if len(wrong):
            item = items[owners[wrong[0]]]
            what = f"is no start in seconds of a minute of the {self.keys.span_s} s from {item.span_s} on ({format_time(item.span_s)})"
            raise RefusedError(f"reading {named(item)}: the field {fields[wrong[0]]!r} {what}; see --valkey-key and --valkey-span-s")
        return {**columns, "bucket_start": pa.array(starts_s * 1000).view(ROLLUP_SCHEMA.field("bucket_start").type)}

    def _stretches(self, table: pa.Table) -> Iterator[tuple[Item, int, int]]:
        """Items with their rows [first, end)."""
        runs = series_runs(table)
        spans_s = bucket_ms(table) // 1000 // self.keys.span_s * self.keys.span_s
        edges = np.union1d(runs.edges, np.flatnonzero(np.diff(spans_s)) + 1).tolist()
        owners = np.searchsorted(runs.edges, edges, side="right") - 1
        for (first, end), owner in zip(pairwise(edges), owners.tolist(), strict=False):
            *series, kind = runs.keys[owner]
            yield self.keys.item(self.metric_type, Series(*series), kind, int(spans_s[first])), first, end


_DIGITS: Final = re.compile("[0-9]{1,12}").fullmatch

_TELL_APART: Final = "name what tells them apart in --valkey-key"


def named(item: Item) -> str:
    """The item's series for messages."""
    return f"series {'/'.join((item.metric_type, *item.series[:3]))} {item.series.labels} in {_shown(item.key)}"


def _shown(key: bytes) -> str:
    return repr(key.decode(errors="backslashreplace"))


def series_text(item: Item) -> str:
    """The item's series as it is kept beside it."""
    return json.dumps([item.metric_type, *item.series, item.kind], ensure_ascii=False, separators=(",", ":"))


def raw_of(answer: Mapping[bytes, bytes] | Sequence[bytes], item: Item) -> dict[str, str]:
    """Fields that a server told, as a mapping or in turns. Raises RefusedError for what is no text."""
    pairs = answer if isinstance(answer, Mapping) else dict(zip(answer[::2], answer[1::2], strict=True))
    try:
        return dict(zip(map(bytes.decode, pairs), map(bytes.decode, pairs.values()), strict=True))
    except UnicodeDecodeError:
        raise RefusedError(f"reading {named(item)}: it holds bytes that are no UTF-8; see --valkey-key") from None


def held(item: Item, raw: Raw) -> Held:
    """The item as it was read. Raises RefusedError if it is another series'."""
    owner = raw.beside.get(SERIES)
    if owner is not None and owner != series_text(item):
        raise RefusedError(f"reading {named(item)}: it is that of the series {owner}; {_TELL_APART}")
    if not raw.texts:
        return Held(None, raw)
    if len(raw.beside) <= (owner is not None):
        return Held(dict(zip(raw.texts, zip(raw.texts.values(), repeat(None)), strict=False)), raw)
    return Held({field: (text, _generation(raw.beside.get(field, ""), text)) for field, text in raw.texts.items()}, raw)


def _generation(other: str, text: str) -> int | None:
    generation, _, of_text = other.partition(" ")
    return int(generation) if of_text == text and generation.isdecimal() else None


def field_changes(raw: Raw, body: Body | None) -> list[FieldChange]:
    """What makes of an item's fields, as they were read, those of the body. A text that says the same in another way stays."""
    new = body or {}
    changes = []
    for field in raw.texts.keys() | new.keys():
        text, other = raw.texts.get(field, ""), raw.beside.get(field, "")
        new_text, generation = new.get(field, ("", None))
        if generation == _generation(other, text) and text and normal(text) == new_text:
            continue
        changes.append(FieldChange(field, text, other, new_text, f"{generation} {new_text}" if generation is not None else ""))
    return sorted(changes)


def beside_item(item: Item) -> bytes:
    """The key of what lies beside an item."""
    return beside(item.key)


def image_key(item: Item, run_id: str) -> bytes:
    """The key of a run's before-images of an item."""
    return beside(item.key, f":before:{run_id}")


def keys_of(items: Collection[Item]) -> list[bytes]:
    """Two keys for each item: its own and that beside it."""
    return [key for item in items for key in (item.key, beside_item(item))]
