"""Items of a table with their further parts. No NumPy and no Arrow here: the writer function does without them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from transforms.core.capacity import Attributes
from transforms.core.errors import ServiceUnavailable
from transforms.stores.dynamodb_calls import BATCH_GET, ItemAt, TableCalls, at_of
from transforms.stores.dynamodb_layout import Found, found, is_part
from transforms.stores.dynamodb_place import THREADS

A = TypeVar("A")
B = TypeVar("B")

READS_OF_ONE: Final = 5
"""How often an item whose further parts are gone, because it was just replaced, is read again."""


def in_threads(work: Callable[[A], B], given: Sequence[A]) -> list[B]:
    """What the work answers for each, done by a few threads at once."""
    if len(given) < 2:
        return [work(one) for one in given]
    with ThreadPoolExecutor(min(THREADS, len(given))) as pool:
        return list(pool.map(work, given))


def read_items(calls: TableCalls, ats: Collection[ItemAt]) -> dict[ItemAt, Found]:
    """The items that are there, as they are now, by their keys."""
    listed = list(ats)
    slices = [listed[at : at + BATCH_GET] for at in range(0, len(listed), BATCH_GET)]
    items = {at: item for part in in_threads(lambda some: calls.get_many("item", some), slices) for at, item in part.items()}
    return {at: whole(calls, found(item)) for at, item in items.items()}


def whole(calls: TableCalls, one: Found) -> Found:
    """The item with its further parts, read until they are of one version."""
    for _ in range(READS_OF_ONE):
        if one.body is not None:
            return one
        series = one.item["series"]["S"]
        one = found(one.item, calls.get_many("part", [(series, name) for name in one.part_names]))
        if one.body is not None:
            return one
        now = calls.get("item", at_of(one.item))
        if now is None:
            return one._replace(body=None)
        one = found(now)
    raise ServiceUnavailable(f"reading {at_of(one.item)} of {calls.place.name}: its further parts are gone, in {READS_OF_ONE} versions one after another")


def assembled(calls: TableCalls, items: Iterable[Attributes]) -> Iterator[Found]:
    """The items of a query or a page of a scan, with the further parts found beside them, or else read for them."""
    listed = list(items)
    parts = {at_of(one): one for one in listed if is_part(one["item"]["S"])}
    for one in listed:
        if at_of(one) not in parts:
            item = found(one, parts)
            yield whole(calls, found(one)) if item.body is None else item
