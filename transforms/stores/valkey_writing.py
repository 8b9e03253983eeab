"""Items of a unit, read, and replaced by compare-and-set."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import cast

import pyarrow as pa

from transforms.calls.valkey import Command, ValkeyCalls, on
from transforms.core.errors import RefusedError
from transforms.core.hash_slots import slot_of_key
from transforms.core.item_keys import Item, ItemKeys
from transforms.core.units import Unit
from transforms.stores.items import Held
from transforms.stores.valkey_images import IMAGE_S, Expiry, Images
from transforms.stores.valkey_items import Body, FieldChange, ItemForm, Raw, beside_item, field_changes, held, image_key, keys_of, named, raw_of, series_text
from transforms.stores.valkey_memory import check_room
from transforms.stores.valkey_scripts import WRITE_ITEM
from transforms.stores.valkey_texts import Step

_DONE, _OTHER = 1, 2


def read_items(calls: ValkeyCalls, step: Step, items: Collection[Item], batch: int) -> dict[Item, Held]:
    """What the items hold, also those that are not there."""
    found: dict[Item, Held] = {}
    waiting = iter(items)
    while some := list(islice(waiting, batch)):
        with step("items.read"):
            answers = calls.each("reading items", [Command(("HGETALL", key), key) for key in keys_of(some)])
        for item, texts, others in zip(some, answers[::2], answers[1::2], strict=True):
            found[item] = held(item, Raw(raw_of(texts, item), raw_of(others, item)))
    return found


def rows_of(form: ItemForm, items: Mapping[Item, Held]) -> pa.Table:
    """All rows of items that were read, canonical and in order."""
    return form.decode({item: cast(Body, one.body) for item, one in items.items() if one.body})


@dataclass(frozen=True)
class UnitItems:
    """The items of a unit as an `ItemStore`, written by a run."""

    calls: ValkeyCalls
    images: Images
    step: Step
    batch: int
    unit: Unit
    run_id: str

    @property
    def keys(self) -> ItemKeys:
        """How items are named."""
        return self.images.keys

    @property
    def expiry(self) -> Expiry:
        """How long items live."""
        return self.images.expiry

    @property
    def form(self) -> ItemForm:
        """How rows and items are made of each other."""
        return ItemForm(self.keys, self.unit.metric_type)

    def encode(self, table: pa.Table) -> Mapping[Item, Body]:
        """As the protocol says."""
        return self.form.encode(table)

    def decode(self, held: Mapping[Item, Held]) -> pa.Table:
        """As the protocol says."""
        return rows_of(self.form, held)

    def read(self, keys: Collection[Item]) -> Mapping[Item, Held]:
        """As the protocol says."""
        return read_items(self.calls, self.step, sorted(keys), self.batch)

    def write(self, changes: Mapping[Item, tuple[Held, Body | None]]) -> Mapping[Item, Held]:
        """As the protocol says. Raises StoreFull, with what is written by then kept, before a server has no room left."""
        raw = {item: cast(Raw, was.version) for item, (was, _) in sorted(changes.items())}
        wanted = {item: fields for item in raw if (fields := field_changes(raw[item], changes[item][1]))}
        lost: dict[Item, Held] = {}
        waiting, is_noted = iter(wanted.items()), False
        while some := list(islice(waiting, self.batch)):
            check_room(self.calls, ((item.key, raw[item].size_bytes + sum(map(len, chain(*fields)))) for item, fields in some))
            if not is_noted:
                self.images.note(self.run_id, self.unit, wanted)
                is_noted = True
            lost |= self._written(some)
        return lost

    def _written(self, some: Sequence[tuple[Item, list[FieldChange]]]) -> dict[Item, Held]:
        commands = [self._command(item, fields) for item, fields in some]
        with self.step("items.write"):
            answers = self.calls.each(f"writing items of {self.unit}", commands)
        lost = {}
        for (item, _), answer in zip(some, answers, strict=True):
            if answer[0] == _OTHER:
                held(item, Raw({}, {"series": bytes(answer[1]).decode()}))
            if answer[0] != _DONE:
                lost[item] = held(item, Raw(raw_of(answer[1], item), raw_of(answer[2], item)))
        return lost

    def _command(self, item: Item, fields: Sequence[FieldChange]) -> Command:
        keys = [item.key, beside_item(item), image_key(item, self.run_id)]
        if self.calls.is_cluster and len(set(map(slot_of_key, keys))) > 1:
            msg = f"writing {named(item)}: what lies beside it would be in another hash slot; have --valkey-key begin with a hash tag before other braces"
            raise RefusedError(msg)
        series = "" if self.keys.tells(item) else series_text(item)
        changes = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return on(WRITE_ITEM, keys, changes, series, self.expiry.left_s(item.span_s + self.keys.span_s), IMAGE_S)
