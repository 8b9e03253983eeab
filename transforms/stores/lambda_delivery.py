"""Items on their way through a writer function: in batches; those that fail again in halves, until what is left is one item, which becomes a dead letter."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from transforms.calls.waiting import Waiting
from transforms.core.capacity import item_bytes, write_units
from transforms.core.packed import unpack
from transforms.core.undelivered import WriteDeadLetter
from transforms.stores.dynamodb_calls import ItemAt, TableCalls
from transforms.stores.dynamodb_keys import item_key
from transforms.stores.dynamodb_layout import Found
from transforms.stores.dynamodb_reading import in_threads, read_items
from transforms.stores.dynamodb_writing import ItemChange
from transforms.stores.lambda_batch import MOST_BYTES, Answer, Head, answers_of, batch_bytes, item_text, seen_of
from transforms.stores.lambda_calls import Failed, FunctionCalls

BATCH_ITEMS: Final = 1_000
"""A function writes so many within seconds."""

TRIES_OF_ONE: Final = 3
"""How often an item is sent alone before it is a dead letter."""

REJECTED: Final = "items not taken"
"""Why invocations are repeated with fewer items, or with the one that is left."""

ITEM_REST_BYTES: Final = 150
"""About what an item has beside its body and its series."""


class Sent(NamedTuple):
    """An item as it is sent."""

    change: ItemChange
    text: str


class Dead(NamedTuple):
    """An item that was not taken, and why."""

    change: ItemChange
    cause: str


class FunctionWriter:
    """A `Writer` through a function. What the function does not take is in `dead`, and counts as written for who asked: it is to be looked at afterwards."""

    def __init__(self, function: FunctionCalls, table: TableCalls, head: Head, waiting: Waiting) -> None:
        """Touches nothing. The table is only read: what an item that was refused is by now."""
        self._function, self._table, self._head, self._waiting = function, table, head, waiting
        self.dead: list[Dead] = []

    def write(self, changes: Sequence[ItemChange]) -> Mapping[ItemAt, Found | None]:
        """As the protocol says."""
        items = [Sent(one, item_text(one)) for one in changes]
        refused = [one for some in in_threads(self._deliver, list(batches(items, len(batch_bytes(self._head, []))))) for one in some]
        now = read_items(self._table, [one.at for one in refused]) if refused else {}
        same = {one.at for one in refused if seen_of(now.get(one.at)) == seen_of(one.before)}
        cause = f"the function finds another version of the item than {self._table.place.name} shows: does it write the table that is read?"
        self.dead += [Dead(one, cause) for one in refused if one.at in same]
        return {one.at: now.get(one.at) for one in refused if one.at not in same}

    def _deliver(self, batch: list[Sent]) -> list[ItemChange]:
        """Sends a batch and what of it failed in halves; those that were refused."""
        refused: list[ItemChange] = []
        pending = [(batch, 1)]
        while pending:
            items, tries = pending.pop()
            answers = self._answers(items)
            refused += [one.change for one, answer in zip(items, answers, strict=True) if answer.outcome == "refused"]
            failed = [(one, answer) for one, answer in zip(items, answers, strict=True) if answer.outcome == "rejected"]
            self.dead += [Dead(one.change, answer.cause) for one, answer in failed if not answer.again]
            left = [one for one, answer in failed if answer.again]
            if len(left) > 1:
                self._function.repeats.add(REJECTED, 2)
                pending += [(left[len(left) // 2 :], 1), (left[: len(left) // 2], 1)]
            elif left and tries < TRIES_OF_ONE:
                self._function.repeats.add(REJECTED)
                self._waiting.sleep(self._waiting.backoff.delay_s(tries, self._waiting.random()) or 0.0)
                pending.append((left, tries + 1 if len(items) == 1 else 1))
            elif left:
                self.dead.append(Dead(left[0].change, next(answer.cause for _, answer in failed if answer.again)))
        return refused

    def _answers(self, items: Sequence[Sent]) -> list[Answer]:
        """An answer for each item; the same rejection for all of them if the function failed."""
        writes, units = self._table.pace.writes, sum(map(_units, items))
        writes.take(units)
        answer = self._function.invoke(batch_bytes(self._head, [one.text for one in items]))
        try:
            consumed, answers = (0.0, _failed(answer, len(items))) if isinstance(answer, Failed) else answers_of(answer, len(items))
        except (ValueError, KeyError, TypeError) as error:
            consumed, answers = 0.0, _failed(Failed(f"its answer is not understood ({error})"), len(items))
        writes.settle(consumed - units if consumed else 0.0)
        self._function.note(answers[0].cause if all(one.outcome == "rejected" and one.again for one in answers) else "")
        return answers


def _failed(failure: Failed, items: int) -> list[Answer]:
    return [Answer("rejected", failure.cause, again=True)] * items


def _units(item: Sent) -> int:
    """Write request units of an item and its before-image, about."""
    before = item_bytes(item.change.before.item) if item.change.before else 0
    return write_units(ITEM_REST_BYTES + len(item.change.series.text) + len(item.change.body or b""), before) + write_units(before)


def batches(items: Iterable[Sent], head_bytes: int) -> Iterator[list[Sent]]:
    """The items in batches of fewer bytes than an invocation takes, as far as one item alone does not have more."""
    batch: list[Sent] = []
    size = head_bytes
    for item in items:
        if batch and (len(batch) == BATCH_ITEMS or size + len(item.text) + 1 >= MOST_BYTES):
            yield batch
            batch, size = [], head_bytes
        batch.append(item)
        size += len(item.text) + 1
    if batch:
        yield batch


def letters_of(head: Head, dead: Iterable[Dead]) -> Iterator[WriteDeadLetter]:
    """The dead letters, with the buckets in which what is stored and what should be differ."""
    for change, cause in dead:
        key = item_key(change.series.text, change.name)[1]
        before = change.before.body if change.before else None
        rows = [
            {(int(row["bucket_start"].timestamp()), repr(row)) for row in unpack([(key, body)], head.granularity).to_pylist()} if body else set()
            for body in (before, change.body)
        ]
        buckets = sorted({start for start, _ in rows[0] ^ rows[1]})
        yield WriteDeadLetter(head.unit, head.granularity, (key.org, key.entity, key.name, key.labels), tuple(buckets), cause)
