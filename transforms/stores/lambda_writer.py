"""The reference writer: what the function behind `lambda://` does with a batch. No NumPy and no Arrow here nor in what is imported, so that it is small."""

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from transforms.calls.aws import AwsCalls
from transforms.calls.waiting import Waiting
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.core.throttle import Allowance, Pacer
from transforms.stores.dynamodb_calls import ItemAt, Pace, TableCalls
from transforms.stores.dynamodb_images import Images
from transforms.stores.dynamodb_layout import Found
from transforms.stores.dynamodb_place import Place
from transforms.stores.dynamodb_reading import read_items
from transforms.stores.dynamodb_writing import DirectWriter, ItemChange, Rules
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.lambda_batch import Answer, Asked, Head, answer_data, asked_of, cause_data, head_of

UNPACED_PER_S: Final = 1e9
"""Units a second: the callers pace what they send, a throttled call waits."""


class _Meter(Pacer):
    """Lets everything pass and adds up what it was."""

    def __init__(self) -> None:
        super().__init__([Allowance(UNPACED_PER_S)], lambda: 0.0, lambda _: None)
        self.units = 0.0

    def take(self, units: float = 1.0) -> float:
        self.units += units
        return 0.0

    def sent(self, units: float, taken_s: float) -> float:  # noqa: ARG002 - as its class has it
        return taken_s

    def answered(self, units: float, taken_s: float) -> None:
        """What was taken counts, whenever it was answered."""

    def settle(self, units: float) -> None:
        self.units += units


class BatchWriter:
    """Writes batches into the tables whose names match one of `tables` (as fnmatch; others are none of its business). Clients are kept for the next batch."""

    def __init__(
        self,
        tables: Sequence[str],
        new_place: Callable[[str], Place],
        waiting: Waiting,
        *,
        clock: Callable[[], float] = time.time,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        """Opens nothing. `failpoint` is called around every call."""
        self._tables, self._new_place, self._waiting, self._clock, self._failpoint = tables, new_place, waiting, clock, failpoint
        self._aws: dict[str, AwsCalls] = {}

    def answer(self, batch: object) -> dict[str, Any]:
        """The answer to a batch (`lambda_batch`). What written items were is kept as before-images of the batch's run first."""
        try:
            return self._answer(batch, head_of(batch))
        except UsageError as error:
            return cause_data(str(error))

    def _answer(self, batch: Any, head: Head) -> dict[str, Any]:  # noqa: ANN401 - JSON
        if not any(fnmatchcase(head.table, one) for one in self._tables):
            raise UsageError(f"it writes into {', '.join(self._tables)} and not into the table {head.table!r}")
        meter = _Meter()
        given = [_parsed(item, head.granularity) for item in batch["items"]]
        done = self._written(head, self._calls(head.table, meter), {one.at: one for one in given if isinstance(one, Asked)})
        return answer_data(batch["key"], meter.units, [done[one.at] if isinstance(one, Asked) else one for one in given])

    def _calls(self, table: str, meter: Pacer) -> TableCalls:
        place = self._new_place(table)
        aws = self._aws.setdefault(table, AwsCalls(place.client, self._waiting))
        return TableCalls(place, aws, Pace(_Meter(), meter), self._failpoint, self._waiting)

    def _written(self, head: Head, calls: TableCalls, asked: Mapping[ItemAt, Asked]) -> dict[ItemAt, Answer]:
        """What became of each item. What stops the writing is the answer to all of them, although some may have been written: sent again, they are equal."""
        rules = Rules({}, fresh=False, undo_s=head.undo_s, now_ms=lambda: round(self._clock() * 1000), token=lambda: secrets.token_hex(8))
        writer = DirectWriter(calls, rules, Images(calls, head.run_id, head.unit, head.granularity, rules))
        try:
            read = read_items(calls, asked.keys())
            now = {at: read.get(at) for at in asked}
            changes = [ItemChange(one.series, one.name, now[at], one.body, one.expires_s) for at, one in asked.items() if one.was_seen(now[at])]
            lost = writer.write(changes)
        except (RefusedError, ServiceUnavailable) as error:
            return dict.fromkeys(asked, Answer("rejected", str(error), again=True))
        written = {one.at for one in changes} - lost.keys()
        return _judged(asked, written, {**now, **lost})


def _parsed(item: object, granularity: str) -> Asked | Answer:
    try:
        return asked_of(item, granularity)
    except UsageError as error:
        return Answer("rejected", str(error))


def _judged(asked: Mapping[ItemAt, Asked], written: Collection[ItemAt], now: Mapping[ItemAt, Found | None]) -> dict[ItemAt, Answer]:
    def judge(at: ItemAt, one: Asked) -> Answer:
        if at in written:
            return Answer("written")
        return Answer("equal" if one.is_done(now[at]) else "refused")

    return {at: judge(at, one) for at, one in asked.items()}
