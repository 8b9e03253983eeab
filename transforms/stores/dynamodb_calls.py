"""Calls to one DynamoDB table, each paced in request units: taken before the call by the size that is known or assumed, settled by what the answer says."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from botocore.exceptions import ClientError

from transforms.calls.aws import AwsCalls, error_code, is_throttled
from transforms.calls.repeats import Repeats
from transforms.calls.waiting import Waiting
from transforms.core.capacity import DOUBLING_S, NEW_TABLE_READS, NEW_TABLE_WRITES, Attributes, first_share, item_bytes, item_read_units, write_units
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.core.throttle import Pacer, Ramp
from transforms.stores.dynamodb_place import Place
from transforms.stores.files import Failpoint

if TYPE_CHECKING:
    from transforms.calls.limits import Limits

T = TypeVar("T")

KEY: Final = ("series", "item")
"""Names of the partition key and the sort key."""

BATCH_GET: Final = 100
BATCH_WRITE: Final = 25
BATCH_WRITE_BYTES: Final = 11 << 20
"""Limits of BatchGetItem and BatchWriteItem; the latter's is 16 MB of JSON, with base64 11 MB of items."""

ASSUMED_ITEM_BYTES: Final = 2_048
ASSUMED_PAGE_UNITS: Final = 64
"""Taken before reads of unknown size: an item, a page of a Query or Scan."""

ItemAt = tuple[str, str]
"""Partition key and sort key."""


class Condition(NamedTuple):
    """Of a write: an expression, the values in it, and the names in it that are reserved words."""

    expression: str
    values: Mapping[str, Mapping[str, Any]] = {}
    names: Mapping[str, str] = {}

    def arguments(self) -> dict[str, Any]:
        """For a call."""
        used = {"ExpressionAttributeValues": dict(self.values), "ExpressionAttributeNames": dict(self.names)}
        given = {"ConditionExpression": self.expression, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        return given | {name: value for name, value in used.items() if value}


ABSENT: Final = Condition("attribute_not_exists(series)")

HOT: Final = "hot"
KEY_RANGE: Final = "KeyRangeThroughputExceeded"
"""Why writes that are hot are repeated."""


class Lost(NamedTuple):
    """A condition did not hold: what is there instead, None if nothing is."""

    item: Attributes | None


Written = Literal["written", "hot"] | Lost
"""What became of a write: done; put back, because its part of the table gets too much; lost."""


@dataclass(frozen=True)
class Pace:
    """How fast a table is read and written, by all threads of a process."""

    reads: Pacer
    writes: Pacer
    account_full: Callable[[str], None] = lambda _: None

    @classmethod
    def of(cls, limits: "Limits", place: str) -> "Pace":
        """Units a second of a table, reached as on-demand tables need it."""
        rates = limits.control.wishes().rates
        return cls(
            limits.pacer("dynamodb-rru-per-s", place, ramp=_ramp(rates.dynamodb_rru_per_s, NEW_TABLE_READS)),
            limits.pacer("dynamodb-wru-per-s", place, ramp=_ramp(rates.dynamodb_wru_per_s, NEW_TABLE_WRITES)),
            limits.account_full,
        )


def _ramp(limit_per_s: float, new_table_per_s: int) -> Ramp | None:
    """Of a limit above what a new table takes: no faster than it grows. Others are reached as any limit."""
    share = first_share(limit_per_s, new_table_per_s)
    return Ramp(first=share, double_s=DOUBLING_S) if share < 1 else None


class _Gate:
    """What the attempts of one call pass (`calls.aws.Gate`)."""

    def __init__(self, pacer: Pacer, units: float, account_full: Callable[[str], None]) -> None:
        self._pacer, self.units, self._account_full = pacer, units, account_full
        self.error: ClientError | None = None
        self._since_s: float | None = None

    def enter(self) -> None:
        self._since_s = self._pacer.take(self.units)

    def sent(self) -> None:
        if self._since_s is not None:
            self._since_s = self._pacer.sent(self.units, self._since_s)

    def answered(self) -> None:
        if self._since_s is not None:
            self._pacer.answered(self.units, self._since_s)
        self._since_s = None

    def refused(self, reason: str, hold_s: float) -> None:
        self._pacer.pause(hold_s)
        if self.error is None or not is_key_range(self.error):
            is_full = self.error is not None and is_of_account(self.error)
            self._pacer.refused(is_hard=is_full)
            if is_full:
                self._account_full(f"DynamoDB says that the whole account is at its limit ({reason})")

    def settle(self, consumed: float) -> None:
        self._pacer.settle(consumed - self.units)


class TableCalls:
    """A table's items. Methods of any number of threads."""

    def __init__(self, place: Place, calls: AwsCalls, pace: Pace, failpoint: Failpoint, waiting: Waiting) -> None:
        """Opens nothing. `failpoint` is called around every call."""
        self.place, self.pace = place, pace
        self._calls, self._failpoint, self._waiting = calls, failpoint, waiting

    @property
    def repeats(self) -> Repeats:
        """Calls that were repeated, and those for what the service put back."""
        return self._calls.repeats

    def get(self, name: str, at: ItemAt) -> Attributes | None:
        """An item as it is now."""
        return self.get_many(name, [at]).get(at)

    def get_many(self, name: str, keys: Collection[ItemAt]) -> dict[ItemAt, Attributes]:
        """The items that are there, as they are now."""
        found: dict[ItemAt, Attributes] = {}
        pending, tries = [_key(one) for one in keys], 0
        while pending:
            batch, pending = pending[:BATCH_GET], pending[BATCH_GET:]
            answer = self._get_batch(name, batch)
            found |= {at_of(one): one for one in answer["Responses"].get(self.place.table, [])}
            left = self._left(answer, "UnprocessedKeys", lambda told: told["Keys"])
            tries = self._pause(f"reading {len(left)} items of {self.place.name}", tries) if len(left) == len(batch) else 0
            pending += left
        return found

    def _get_batch(self, name: str, batch: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - JSON
        request = {self.place.table: {"Keys": batch, "ConsistentRead": True}}
        gate = self._gate(self.pace.reads, item_read_units([ASSUMED_ITEM_BYTES] * len(batch)))
        return self._call(f"{name}.read", gate, lambda client: client.batch_get_item(RequestItems=request, ReturnConsumedCapacity="TOTAL"))

    def query(self, name: str, series: str, low: str, high: str) -> list[Attributes]:
        """The items of a partition key with sort keys in [low, high], in order, as they are now."""
        arguments = {
            "TableName": self.place.table,
            "KeyConditionExpression": "series = :series AND #item BETWEEN :low AND :high",
            "ExpressionAttributeNames": {"#item": "item"},
            "ExpressionAttributeValues": {":series": {"S": series}, ":low": {"S": low}, ":high": {"S": high}},
            "ConsistentRead": True,
            "ReturnConsumedCapacity": "TOTAL",
        }
        found: list[Attributes] = []
        after: dict[str, Any] = {}
        while True:
            page = self.page(name, "query", arguments | after)
            found += page["Items"]
            if "LastEvaluatedKey" not in page:
                return found
            after = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def page(self, name: str, operation: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """One page of a query or scan."""
        return self._call(f"{name}.read", self._gate(self.pace.reads, ASSUMED_PAGE_UNITS), lambda client: getattr(client, operation)(**arguments))

    def put(self, name: str, item: Attributes, condition: Condition, replaced_bytes: int = 0) -> Written:
        """Store an item if the condition holds."""
        arguments = {"TableName": self.place.table, "Item": item, "ReturnConsumedCapacity": "TOTAL", **condition.arguments()}
        return self._write(name, write_units(item_bytes(item), replaced_bytes), lambda client: client.put_item(**arguments))

    def delete(self, name: str, at: ItemAt, condition: Condition, replaced_bytes: int = 0) -> Written:
        """Remove an item if the condition holds."""
        arguments = {"TableName": self.place.table, "Key": _key(at), "ReturnConsumedCapacity": "TOTAL", **condition.arguments()}
        return self._write(name, write_units(replaced_bytes), lambda client: client.delete_item(**arguments))

    def _write(self, name: str, units: int, use: Callable[[Any], Any]) -> Written:
        gate = self._gate(self.pace.writes, units)
        answer = self._call(f"{name}.write", gate, lambda client: _conditional(use, client))
        return answer if isinstance(answer, Lost) or answer == HOT else "written"

    def put_all(self, name: str, items: Sequence[Attributes]) -> None:
        """Store items whatever is there; in no order."""
        self._batches(name, [({"PutRequest": {"Item": one}}, item_bytes(one)) for one in items])

    def put_cut(self, name: str, items: Sequence[Sequence[Attributes]]) -> None:
        """As `put_all`, items that come after their further parts (`dynamodb_layout.cut`): all of these first, so that no item is without them."""
        self.put_all("part", [part for one in items for part in one[:-1]])
        self.put_all(name, [one[-1] for one in items])

    def delete_all(self, name: str, keys: Sequence[ItemAt], replaced_bytes: int) -> None:
        """Remove items of so many bytes each."""
        self._batches(name, [({"DeleteRequest": {"Key": _key(one)}}, replaced_bytes) for one in keys])

    def _batches(self, name: str, requests: Sequence[tuple[dict[str, Any], int]]) -> None:
        pending, tries = list(requests), 0
        while pending:
            batch = [pending.pop()]
            while pending and len(batch) < BATCH_WRITE and sum(size for _, size in batch) + pending[-1][1] < BATCH_WRITE_BYTES:
                batch.append(pending.pop())
            left = self._write_batch(name, batch)
            tries = self._pause(f"writing {len(left)} items into {self.place.name}", tries) if len(left) == len(batch) else 0
            pending += left

    def _write_batch(self, name: str, batch: list[tuple[dict[str, Any], int]]) -> list[tuple[dict[str, Any], int]]:
        """Those of the batch that the service did not take."""
        request = {self.place.table: [one for one, _ in batch]}
        gate = self._gate(self.pace.writes, sum(write_units(size) for _, size in batch))
        answer = self._call(f"{name}.write", gate, lambda client: client.batch_write_item(RequestItems=request, ReturnConsumedCapacity="TOTAL"))
        unprocessed = [_requested(one) for one in self._left(answer, "UnprocessedItems", lambda told: told)]
        return [(one, size) for one, size in batch if _requested(one) in unprocessed]

    def _left(self, answer: Mapping[str, Any], name: str, listed: Callable[[Any], list[Any]]) -> list[Any]:
        """What of a batch the service put back, which another call asks for once more."""
        told = answer.get(name, {}).get(self.place.table)
        if told:
            self.repeats.add(name)
        return listed(told) if told else []

    def _pause(self, doing: str, tries: int) -> int:
        """Waits because the service took nothing; how often that was in a row. Raises ServiceUnavailable when it has been often enough."""
        delay_s = self._waiting.backoff.delay_s(tries + 1, self._waiting.random())
        if delay_s is None:
            raise ServiceUnavailable(f"{doing}: the service put them back {tries + 1} times in a row")
        self._waiting.sleep(delay_s)
        return tries + 1

    def put_back(self, tries: int) -> int:
        """As `_pause`, where all writes that are left are hot."""
        return self._pause(f"writing into {self.place.name}, too much for a part of the table", tries)

    def _gate(self, pacer: Pacer, units: float) -> _Gate:
        return _Gate(pacer, units, self.pace.account_full)

    def _call(self, step: str, gate: _Gate, use: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - JSON
        def attempt(client: Any) -> Any:  # noqa: ANN401 - botocore makes its classes at run time
            try:
                return use(client)
            except ClientError as error:
                gate.error = error
                raise

        with self._step(step), _explained(self.place):
            answer = self._calls.call(f"{step} of {self.place.name}", attempt, gate)
        if isinstance(answer, dict):
            gate.settle(_consumed(answer))
        return answer

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._failpoint(f"before {name}")
        yield
        self._failpoint(f"after {name}")


def _conditional(use: Callable[[Any], Any], client: Any) -> Any:  # noqa: ANN401 - botocore makes its classes at run time
    """The answer, or Lost, or HOT."""
    try:
        return use(client)
    except ClientError as error:
        if error_code(error) == "ConditionalCheckFailedException":
            return Lost(error.response.get("Item") or None)
        if is_key_range(error):
            return HOT
        raise


def is_of_account(error: ClientError) -> bool:
    """Whether a throttling answer is about the account's throughput in the region: others are hurt.

    Its code is RequestLimitExceeded, or one of its reasons such as `TableWriteAccountLimitExceeded`
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/throttling-diagnosing-workflow.html).
    """
    return error_code(error) == "RequestLimitExceeded" or any("AccountLimit" in one for one in _reasons(error))


def is_key_range(error: ClientError) -> bool:
    """Whether all reasons of a throttling answer are about a part of the table (`TableWriteKeyRangeThroughputExceeded`): the rest of it takes more."""
    reasons = _reasons(error)
    return is_throttled(error) and bool(reasons) and all("KeyRange" in one for one in reasons)


def _reasons(error: ClientError) -> list[str]:
    return [str(one.get("reason", "")) for one in error.response.get("ThrottlingReasons") or []]


def _consumed(answer: Mapping[str, Any]) -> float:
    said = answer.get("ConsumedCapacity", [])
    return sum(float(one["CapacityUnits"]) for one in (said if isinstance(said, list) else [said]))


@contextmanager
def _explained(place: Place) -> Iterator[None]:
    """Answers that no repetition changes, as errors that say what would be right."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if code == "ResourceNotFoundException":
            raise UsageError(f"there is no table {place.table!r}: make it with `rollups store create --store {place.name}`") from error
        if code in ("AccessDeniedException", "UnrecognizedClientException"):
            raise UsageError(f"{place.name}: {error}; docs/stores/dynamodb.md has the policy that is needed") from error
        raise RefusedError(f"{place.name}: {error}") from error


def at_of(item: Attributes) -> ItemAt:
    """Where an item lies."""
    series, item_ = (str(item[name]["S"]) for name in KEY)
    return series, item_


def _key(at: ItemAt) -> dict[str, Any]:
    return {name: {"S": value} for name, value in zip(KEY, at, strict=True)}


def _requested(request: Mapping[str, Any]) -> ItemAt:
    """Which item a request of BatchWriteItem is about."""
    return at_of(request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"])
