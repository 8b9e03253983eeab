"""Counts what a client's calls use, where they are sent: by hooks of botocore, which every request passes that goes over the wire, repetitions among them.

The most that a request may use is added before it is sent, and what it did use replaces that when it is answered. A request without an answer, or of a process
that was killed, has used the most: so the sum is never below what services count, and a budget holds whatever happens.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from transforms.calls.tally import MemoryTally, Tally
from transforms.core.capacity import ITEM_LIMIT_BYTES, item_bytes, read_units, write_units
from transforms.core.usage import NOTHING, Budget, Usage

UNKNOWN_BYTES: Final = 16_000_000
"""Of an object that is asked for whole, until it is known how large it is; larger than a read group's objects usually are."""

LONGEST_S: Final = 900.0
"""No function runs longer (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

USUAL_GB: Final = 1.0
"""Memory of scripts/writer.yaml; taken where the function's configuration may not be read."""

_PAGE_BYTES: Final = (1 << 20) + ITEM_LIMIT_BYTES
"""A Query or Scan reads up to 1 MB, and the item with which it gets there."""

_ITEM_WRITE: Final = write_units(ITEM_LIMIT_BYTES)
_ITEM_READ: Final = read_units(ITEM_LIMIT_BYTES)
_MARK: Final = "metric-rollups"
"""Name of ours in the context that botocore keeps of a call."""

Attempt = tuple[Usage, float]
"""What was added before a request was sent, and when."""


@dataclass
class Meter:
    """Adds what the calls of its clients use to a tally and keeps them in a budget; for any number of threads."""

    tally: Tally = field(default_factory=MemoryTally)
    budget: Budget = field(default_factory=Budget)
    clock: Callable[[], float] = time.monotonic
    _functions: dict[str, tuple[float, float]] = field(default_factory=dict)
    _noting: threading.Lock = field(default_factory=threading.Lock)

    def attach(self, client: Any) -> None:  # noqa: ANN401 - botocore makes its classes at run time
        """From now on the client's calls are counted, and those that would go beyond the budget raise BudgetReached and are not sent."""
        events = client.meta.events
        events.register_last("before-parameter-build", self._asked)
        events.register_last("request-created", self._sent)
        events.register("after-call", self._answered)

    def _asked(self, params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: object) -> None:  # noqa: ANN401 - of botocore
        """A call begins: how much one request of it may use is known from what is asked."""
        most = _MOST.get(model.service_model.service_name, _nothing)
        context[_MARK] = (most(self, model.name, params), params, [])

    def _sent(self, request: Any, **_: object) -> None:  # noqa: ANN401 - of botocore
        """Each request of a call, signed and about to be sent."""
        most, _, attempts = request.context.get(_MARK, (NOTHING, {}, []))
        if most == NOTHING:
            return
        self.count(most)
        attempts.append((most, self.clock()))

    def _answered(self, http_response: Any, parsed: Mapping[str, Any], model: Any, context: Mapping[str, Any], **_: object) -> None:  # noqa: ANN401 - of botocore
        """The last request of a call was answered, whatever the answer is."""
        _, params, attempts = context.get(_MARK, (NOTHING, {}, []))
        if model.name == "GetFunctionConfiguration" and "MemorySize" in parsed:
            with self._noting:
                self._functions[params["FunctionName"]] = float(parsed["Timeout"]), parsed["MemorySize"] / 1024
        if attempts:
            most, since_s = attempts[-1]
            used = _USED[model.service_model.service_name](self, _Answer(model.name, params, parsed, http_response, most, self.clock() - since_s))
            self.tally.add(used - most)

    def count(self, most: Usage) -> None:
        """Adds it, unless that is beyond the budget: then raises BudgetReached."""
        self.tally.add(most, lambda used: self.budget.check_sent(used, most))

    def function(self, name: str) -> tuple[float, float]:
        """The longest time that a function takes, and the GB it has, as far as we may know."""
        return self._functions.get(name, (LONGEST_S, USUAL_GB))


@dataclass(frozen=True)
class _Answer:
    operation: str
    params: Mapping[str, Any]
    parsed: Mapping[str, Any]
    http: Any
    most: Usage
    took_s: float

    @property
    def code(self) -> str:
        return str(self.parsed.get("Error", {}).get("Code", ""))

    @property
    def is_refused(self) -> bool:
        """Whether nothing was done: of an error of the service's own (5xx) nobody knows."""
        return bool(self.code) and self.http.status_code < 500


def _nothing(_meter: Meter, _operation: str, _params: Mapping[str, Any]) -> Usage:
    return NOTHING


def _most_s3(_meter: Meter, operation: str, params: Mapping[str, Any]) -> Usage:
    if operation.startswith("List"):
        return Usage(s3_list=1)
    if operation == "PutObject":
        return Usage(s3_put=1)
    if operation.startswith("Delete"):
        return NOTHING
    return Usage(s3_get=1, s3_bytes=_bytes_asked(params.get("Range", "")) if operation == "GetObject" else 0)


def _bytes_asked(text: str) -> int:
    """Of `bytes=0-99`."""
    first, _, last = text.removeprefix("bytes=").partition("-")
    return int(last) + 1 - int(first) if first and last else UNKNOWN_BYTES


def _used_s3(_meter: Meter, answer: _Answer) -> Usage:
    if not answer.most.s3_bytes:
        return answer.most
    return Usage(s3_get=1, s3_bytes=float(answer.http.headers.get("Content-Length", 0)))


def _most_lambda(meter: Meter, operation: str, params: Mapping[str, Any]) -> Usage:
    if operation != "Invoke":
        return NOTHING
    longest_s, memory_gb = meter.function(params["FunctionName"])
    return Usage(lambda_invoke=1, lambda_gb_s=longest_s * memory_gb)


def _used_lambda(meter: Meter, answer: _Answer) -> Usage:
    """The time until the answer is at least the function's; a refused invocation (4xx) has not run."""
    longest_s, memory_gb = meter.function(answer.params["FunctionName"])
    return Usage(lambda_invoke=1, lambda_gb_s=0.0 if answer.is_refused else min(longest_s, answer.took_s) * memory_gb)


def _most_dynamodb(_meter: Meter, operation: str, params: Mapping[str, Any]) -> Usage:
    if operation in ("PutItem", "UpdateItem", "DeleteItem"):
        return Usage(dynamodb_write=1, dynamodb_wru=_ITEM_WRITE)
    if operation == "BatchWriteItem":
        return Usage(dynamodb_write=1, dynamodb_wru=_ITEM_WRITE * sum(map(len, params["RequestItems"].values())))
    if operation == "BatchGetItem":
        return Usage(dynamodb_read=1, dynamodb_rru=_ITEM_READ * sum(len(one["Keys"]) for one in params["RequestItems"].values()))
    if operation in ("Query", "Scan"):
        return Usage(dynamodb_read=1, dynamodb_rru=read_units(_PAGE_BYTES))
    return Usage(dynamodb_read=1, dynamodb_rru=_ITEM_READ) if operation == "GetItem" else NOTHING


def _used_dynamodb(_meter: Meter, answer: _Answer) -> Usage:
    """The units that the answer tells. Of errors, a condition that did not hold costs as a write of the item that is there; what is throttled, nothing."""
    most = answer.most
    if answer.code == "ConditionalCheckFailedException":
        units = float(write_units(item_bytes(answer.params.get("Item", {})), item_bytes(answer.parsed.get("Item") or {})))
    elif answer.is_refused:
        units = 0.0
    elif (said := answer.parsed.get("ConsumedCapacity")) is None:
        return most
    else:
        units = sum(float(one["CapacityUnits"]) for one in (said if isinstance(said, list) else [said]))
    return Usage(dynamodb_write=1, dynamodb_wru=units) if most.dynamodb_write else Usage(dynamodb_read=1, dynamodb_rru=units)


_MOST: Final[Mapping[str, Callable[[Meter, str, Mapping[str, Any]], Usage]]] = {"s3": _most_s3, "lambda": _most_lambda, "dynamodb": _most_dynamodb}
_USED: Final[Mapping[str, Callable[[Meter, _Answer], Usage]]] = {"s3": _used_s3, "lambda": _used_lambda, "dynamodb": _used_dynamodb}
