"""Writing items of rollups: what they are is kept, then they are replaced if they are still that.

`Writer` is the step of the DynamoDB store that can be done elsewhere: `DirectWriter` does it here, `lambda_delivery` lets a function do it, which does it with
a `DirectWriter`. No NumPy and no Arrow here: the writer function does without them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from transforms.core.capacity import item_bytes
from transforms.stores.dynamodb_calls import ABSENT, HOT, KEY_RANGE, Condition, ItemAt, Lost, TableCalls, Written, at_of
from transforms.stores.dynamodb_images import Images
from transforms.stores.dynamodb_layout import Found, Series, cut, found, part_names
from transforms.stores.dynamodb_reading import in_threads, whole


@dataclass(frozen=True)
class Rules:
    """How items are written: `ttl_s` by granularity; into a `fresh` table without conditions. Before-images live for `undo_s`, for ever if that is 0.

    `now_ms` is the clock, `token` gives another text each time.
    """

    ttl_s: Mapping[str, int]
    fresh: bool
    undo_s: int
    now_ms: Callable[[], int]
    token: Callable[[], str]


class ItemChange(NamedTuple):
    """An item of a series to be written. `before`: what it was when it was read, None if it was not there; `body`: what it shall be, None: it is removed."""

    series: Series
    name: str
    before: Found | None
    body: bytes | None
    expires_s: int | None

    @property
    def at(self) -> ItemAt:
        """Where it lies."""
        return self.series.key, self.name


class Writer(Protocol):
    """Writes items of one run, unit and granularity."""

    def write(self, changes: Sequence[ItemChange]) -> Mapping[ItemAt, Found | None]:
        """Keep what each item is as a before-image, then replace it, unless it is another version by now.

        Answers what those that were not replaced are, None if they are not there.
        """


class DirectWriter:
    """A `Writer` by conditional writes."""

    def __init__(self, calls: TableCalls, rules: Rules, images: Images) -> None:
        """Touches nothing."""
        self._calls, self._rules, self._images = calls, rules, images

    def write(self, changes: Sequence[ItemChange]) -> Mapping[ItemAt, Found | None]:
        """As the protocol says."""
        self._images.keep([(one.series, one.name, one.before) for one in changes])
        self._calls.put_cut("item", [self._items(one) for one in changes if self._is_fresh(one)])
        return self._by_condition([one for one in changes if not self._is_fresh(one)])

    def _is_fresh(self, change: ItemChange) -> bool:
        return self._rules.fresh and change.before is None and change.body is not None

    def _by_condition(self, changes: Sequence[ItemChange]) -> dict[ItemAt, Found | None]:
        """Those that were lost; what is hot waits for the others."""
        lost: dict[ItemAt, Found | None] = {}
        pending, tries = list(changes), 0
        while pending:
            answers = list(zip(pending, in_threads(self._replace, pending), strict=True))
            lost |= {change.at: whole(self._calls, found(one.item)) if one.item else None for change, one in answers if isinstance(one, Lost)}
            hot = [change for change, one in answers if one == HOT]
            self._calls.repeats.add(KEY_RANGE, len(hot))
            tries = self._calls.put_back(tries) if hot and len(hot) == len(pending) else 0
            pending = hot
        return lost

    def _replace(self, change: ItemChange) -> Written:
        before = change.before
        condition, size = _unchanged(before), item_bytes(before.item) if before else 0
        if change.body is None:
            written = self._calls.delete("item", change.at, condition, size)
        else:
            *parts, item = self._items(change)
            self._calls.put_all("part", parts)
            written = self._calls.put("item", item, condition, size)
            if isinstance(written, Lost) and (written.item is None or part_names(written.item) != part_names(item)):  # or it is this very write, made before
                self._calls.delete_all("part", [at_of(one) for one in parts], item_bytes(item))
        if written == "written" and before and before.part_names:
            self._calls.delete_all("part", [(change.series.key, name) for name in before.part_names], size)
        return written

    def _items(self, change: ItemChange) -> list[dict[str, Any]]:
        """The item to write, after its further parts."""
        number = max(self._rules.now_ms(), (change.before.version or 0) + 1 if change.before else 0)
        item = {
            "series": {"S": change.series.key},
            "item": {"S": change.name},
            **change.series.attributes,
            "version": {"N": str(number)},
            **({} if change.expires_s is None else {"expires": {"N": str(change.expires_s)}}),
        }
        return cut(item, change.body or b"", self._rules.token())


def _unchanged(before: Found | None) -> Condition:
    """Holds while the item is that version; where its writer does not count versions, while it has the same bytes."""
    if before is None:
        return ABSENT
    if before.version is None:
        return Condition("attribute_not_exists(version) AND body = :body", {":body": before.item["body"]})
    return Condition("version = :version", {":version": {"N": str(before.version)}})
