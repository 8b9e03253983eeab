"""Keys of the hot tier's items: one hash for each series and span of time, named by a template, and what lies beside it in the same hash slot.

A key is read back by its template. Where a key can be cut in several ways (`a:b:c` by `{org}:{entity}`), or the template leaves a part of the series out, the
key alone does not tell the series.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Final, NamedTuple

from transforms.core.errors import RefusedError, UsageError
from transforms.core.granularity import DAY_S, MINUTE_S
from transforms.core.hash_slots import FIELDS, check_template, host_of
from transforms.core.model import KINDS, METRIC_TYPES
from transforms.core.store_settings import DEFAULT_TEMPLATE

ITEM_FIELDS: Final = (*FIELDS, "kind", "span")
"""What the template of an item's key may name: beside the parts of a series its kind, and the span's start in seconds since the epoch."""

MARK: Final = "#rollups"
"""How what lies beside an item's key ends or goes on; no item's key may hold it."""

_GLOB: Final = re.compile(r"([*?\[\]\\^-])")

_GROUPS: Final = {
    "type": "|".join(METRIC_TYPES),
    "kind": "|".join(KINDS),
    "span": r"[0-9]+",
    "labels": r"\{.*\}",
}


class Series(NamedTuple):
    """A series of a metric type, as rows name it: `labels` is text."""

    org: str
    entity: str
    name: str
    labels: str


class Item(NamedTuple):
    """One item. `kind` is empty where the key does not tell it: then its values do."""

    key: bytes
    metric_type: str
    series: Series
    kind: str
    span_s: int


class Told(NamedTuple):
    """What a key says: the span, and the item unless the key alone does not tell it."""

    span_s: int
    item: Item | None


def check_item_template(template: str) -> str:
    """The template itself. Raises UsageError for one that names an unknown field, or not the span."""
    check_template(template, ITEM_FIELDS)
    if "span" not in _named(template):
        msg = f"the key {template!r} does not name {{span}}, the start of an item's span in seconds: a series' items would all have one key"
        raise UsageError(msg)
    if MARK in template:
        msg = f"the key {template!r} holds {MARK!r}, by which keys beside the items are known: choose another"
        raise UsageError(msg)
    return template


def check_span(span_s: int) -> int:
    """The span itself. Raises UsageError unless days can be cut into such spans of whole minutes."""
    if span_s < MINUTE_S or DAY_S % span_s or span_s % MINUTE_S:
        msg = f"a span of {span_s} s: an item's span is a whole number of minutes that divides a day, such as 3600"
        raise UsageError(msg)
    return span_s


@dataclass(frozen=True)
class ItemKeys:
    """How items are named: a template as `check_item_template` accepts, and the span in seconds as `check_span` does."""

    template: str = DEFAULT_TEMPLATE
    span_s: int = 3600

    def item(self, metric_type: str, series: Series, kind: str, span_s: int) -> Item:
        """The item of a series, kind and span. Raises RefusedError if its key would look like one beside an item."""
        host = host_of(series.labels) if "host" in self._fields else ""
        parts = {"type": metric_type, **series._asdict(), "host": host, "kind": kind, "span": span_s}
        key = self.template.format_map(parts)
        if MARK in key:
            msg = f"the key {key!r} of series {'/'.join((metric_type, *series))} holds {MARK!r}, by which keys beside items are known: leave this series out"
            raise RefusedError(msg)
        return Item(key.encode(), metric_type, series, kind if self.tells_kind else "", span_s)

    def told(self, key: bytes) -> Told | None:
        """What the key says, None if it is no item's."""
        try:
            text = key.decode()
        except UnicodeDecodeError:
            return None
        lazy, greedy = (pattern.fullmatch(text) for pattern in self._patterns)
        if not lazy or not greedy or MARK in text:
            return None
        parts = lazy.groupdict()
        span_s = int(parts["span"])
        if parts != greedy.groupdict() or not {"type", *Series._fields} <= parts.keys() or not _is_object(parts["labels"]):
            return Told(span_s, None)
        item = self.item(parts["type"], Series(*(parts[name] for name in Series._fields)), parts.get("kind", ""), span_s)
        return Told(span_s, item) if item.key == key else None

    def tells(self, item: Item) -> bool:
        """Whether the item's key alone tells its series."""
        told = self.told(item.key)
        return told is not None and told.item is not None

    @property
    def tells_kind(self) -> bool:
        """Whether keys tell the kind."""
        return "kind" in self._fields

    def glob(self, metric_type: str) -> bytes:
        """A pattern for SCAN that all keys of a type match, and others as well."""
        parts = []
        for text, name, _, _ in Formatter().parse(self.template):
            parts.append(_GLOB.sub(r"\\\1", text))
            if name is not None:
                parts.append(metric_type if name == "type" else "*")
        return "".join(parts).encode()

    @cached_property
    def _fields(self) -> frozenset[str]:
        return frozenset(_named(self.template))

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """Patterns that find the shortest first parts, and the longest: where both agree, there is but one way to cut a key."""
        return self._pattern(lazy=True), self._pattern(lazy=False)

    def _pattern(self, *, lazy: bool) -> re.Pattern[str]:
        parts: list[str] = []
        seen: set[str] = set()
        for text, name, _, _ in Formatter().parse(self.template):
            parts.append(re.escape(text))
            if name is not None:
                group = _GROUPS.get(name, ".*")
                parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{group.replace('.*', '.*?') if lazy else group})")
                seen.add(name)
        return re.compile("".join(parts), re.DOTALL)


def beside(key: bytes, what: str = "") -> bytes:
    """A key in the same hash slot, as far as the key has a hash tag or no braces: `#rollups` with or without more after it."""
    start = key.find(b"{")
    has_tag = start >= 0 and key.find(b"}", start + 1) > start + 1
    return (key if has_tag else b"{" + key + b"}") + MARK.encode() + what.encode()


def _is_object(text: str) -> bool:
    try:
        return text == "{}" or isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _named(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]
