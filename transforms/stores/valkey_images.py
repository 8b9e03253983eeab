"""Before-images of items, and by which run and of which unit they are.

Before a run writes an item it notes run, unit and item; the image itself is kept by the script that writes the item. What is noted may have no image, but no
image is without a note.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from transforms.calls.valkey import Command, ValkeyCalls, on
from transforms.core.granularity import DAY_S
from transforms.core.item_keys import Item, ItemKeys, Series
from transforms.core.units import Unit
from transforms.stores.valkey_items import Body, ItemForm, Raw, held, image_key, raw_of
from transforms.stores.valkey_scripts import NOTE_RUN, NOTE_SERIES
from transforms.stores.valkey_texts import Step

IMAGE_S: Final = 30 * DAY_S
"""Before-images live as long as their item, and at most so long."""

LEAST_S: Final = 3600
"""An item that is written lives at least so long, so that the live writer can still take it up and a run can be checked and undone."""


@dataclass(frozen=True)
class Expiry:
    """How long an item lives: so many seconds past the end of its span."""

    past_end_s: int = 25 * 3600
    now: Callable[[], float] = time.time

    def left_s(self, end_s: int) -> int:
        """Seconds from now on of an item whose span ends then."""
        return max(LEAST_S, round(end_s + self.past_end_s - self.now()))


@dataclass(frozen=True)
class Images:
    """The before-images of a store."""

    calls: ValkeyCalls
    keys: ItemKeys
    own: str
    step: Step
    expiry: Expiry

    def note(self, run_id: str, unit: Unit, items: Collection[Item]) -> None:
        """Note that the run may replace these items."""
        now_s = round(self.expiry.now())
        run = on(NOTE_RUN, [self._key("own", "runs"), self._key("own", "units", run_id)], run_id, now_s, now_s + IMAGE_S, IMAGE_S, str(unit))
        series = on(NOTE_SERIES, [self._key(str(unit), "series", run_id)], IMAGE_S, *_series_texts(items))
        with self.step("images.write"):
            self.calls.each(f"noting that {run_id} writes", [run])
        with self.step("images.write"):
            self.calls.each(f"noting what {run_id} writes", [series])

    def runs(self) -> list[str]:
        """Runs that may have before-images, sorted."""
        key = self._key("own", "runs")
        return sorted(self._read("listing runs", Command(("ZRANGEBYSCORE", key, round(self.expiry.now()), "+inf"), key)))

    def units(self, run_id: str) -> list[Unit]:
        """Units of which the run may have before-images, sorted."""
        return sorted(map(_unit_of, self._members("own", "units", run_id)))

    def items(self, run_id: str, unit: Unit) -> list[Item]:
        """Items of which there may be before-images."""
        found = set()
        for text in self._members(str(unit), "series", run_id):
            *series, kind, spans_s = json.loads(text)
            found |= {self.keys.item(unit.metric_type, Series(*series), kind, span_s) for span_s in spans_s}
        return sorted(found)

    def tables(self, run_id: str, unit: Unit) -> Iterator[pa.Table]:
        """The n-th newest images of all items, newest first."""
        form = ItemForm(self.keys, unit.metric_type)
        lists = {item: images for item, images in self._lists(run_id, self.items(run_id, unit)).items() if images}
        for number in range(max(map(len, lists.values()), default=0)):
            yield form.decode({item: _body(item, images[-1 - number]) for item, images in lists.items() if number < len(images)})

    def _lists(self, run_id: str, items: Sequence[Item]) -> Mapping[Item, list[bytes]]:
        keys = [image_key(item, run_id) for item in items]
        with self.step("images.read"):
            answers = self.calls.each(f"reading before-images of {run_id}", [Command(("LRANGE", key, 0, -1), key) for key in keys])
        return dict(zip(items, answers, strict=True))

    def _members(self, tag: str, *parts: str) -> list[str]:
        key = self._key(tag, *parts)
        return sorted(self._read(f"reading {key.decode()}", Command(("SMEMBERS", key), key)))

    def _read(self, doing: str, command: Command) -> list[str]:
        with self.step("images.read"):
            (found,) = self.calls.each(doing, [command])
        return [bytes(one).decode() for one in found]

    def _key(self, tag: str, *parts: str) -> bytes:
        return ":".join((self.own, f"{{{tag}}}", *parts)).encode()


def _series_texts(items: Collection[Item]) -> list[str]:
    """Each series with the starts of its items' spans, as JSON."""
    spans: dict[tuple[Series, str], list[int]] = {}
    for item in sorted(items):
        spans.setdefault((item.series, item.kind), []).append(item.span_s)
    return [json.dumps([*series, kind, starts], ensure_ascii=False, separators=(",", ":")) for (series, kind), starts in spans.items()]


def _unit_of(text: str) -> Unit:
    metric_type, _, rest = text.partition("-")
    window, _, shard = rest.rpartition("-")
    return Unit(metric_type, window, int(shard))


def _body(item: Item, image: bytes) -> Body:
    """The item as a before-image tells it; Lua writes an empty list as an object."""
    texts, others = (raw_of([one.encode() for one in part], item) for part in json.loads(image))
    return held(item, Raw(texts, others)).body or {}  # type: ignore[return-value]
