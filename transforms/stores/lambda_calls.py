"""Synchronous invocations of one function: so many in flight, so many a second; what went wrong in the function is an answer, not an error."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError, ReadTimeoutError

from transforms.calls.aws import AwsCalls, error_code, http_status
from transforms.calls.limits import Limits
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.core.usage import Usage
from transforms.stores.files import Failpoint
from transforms.stores.lambda_batch import MOST_BYTES
from transforms.stores.lambda_place import Function

LONGEST_TIMEOUT_S: Final = 900
"""No function runs longer (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

MARGIN_S: Final = 20.0
"""So much longer than the function may take is its answer waited for: it may have to start first."""

RESERVED: Final = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT: Final = "ConcurrentInvocationLimitExceeded"
"""Reasons of 429: all that is reserved for the function is in use, by us or by others; the whole account is at its limit, and others suffer."""

RESERVED_WAIT_S: Final = 900.0
"""How long a free execution of the function is waited for."""

ACCOUNT_PAUSE_S: Final = 10.0
"""For so long nothing is sent after the account was found at its limit."""

FAILURES_IN_A_ROW: Final = 40
"""So many failed invocations without a good one between them are not the fault of what is sent: halving a batch of 1,000 down to three bad items takes 20."""


class Failed(NamedTuple):
    """The function did not answer what it was asked."""

    cause: str


class _DeniedError(UsageError):
    """We may not do that."""

    def __str__(self) -> str:
        return f"{super().__str__()}; docs/stores/lambda.md has the policy that is needed"


class _Busy(NamedTuple):
    """All that is reserved for the function is in use."""

    message: str


class _Gate:
    """What the attempts of one invocation pass (`calls.aws.Gate`)."""

    def __init__(self, calls: "FunctionCalls") -> None:
        self._calls = calls
        self._since_s = 0.0
        self.reason = ""

    def enter(self) -> None:
        self._since_s = self._calls.pacer.take()

    def sent(self) -> None:
        """An invocation counts when it begins: how long a function works says nothing of the service."""
        pacer = self._calls.pacer
        pacer.arrived(1.0, pacer.sent(1.0, self._since_s))

    def answered(self) -> None:
        """It counted when it was sent."""

    def refused(self, reason: str, hold_s: float) -> None:  # noqa: ARG002 - the answer's own reason says more
        self._calls.slow_down(is_account_full=self.reason == ACCOUNT, hold_s=hold_s)


class FunctionCalls:
    """A function, invoked by any number of threads."""

    def __init__(self, function: Function, limits: Limits, failpoint: Failpoint) -> None:
        """Opens nothing. `failpoint` is called around every call."""
        self.function, self._place = function, function.limits_place
        self.pacer = limits.pacer("lambda-invoke-per-s", self._place)
        self._slots = limits.slots("lambda-concurrency", self._place)
        self._limits, self._failpoint, self._waiting = limits, failpoint, limits.waiting
        self._asking = AwsCalls(function.client, limits.waiting, limits.meter)
        self._invoking = AwsCalls(lambda: function.client(self.timeout_s() + MARGIN_S), limits.waiting, limits.meter)
        self.repeats = self._asking.repeats = self._invoking.repeats
        self._failures, self._lock = 0, threading.Lock()

    def invoke(self, payload: bytes) -> bytes | Failed:
        """What the function answers. Raises ServiceUnavailable when it can't be had, or fails whatever it is given."""
        if len(payload) >= MOST_BYTES:
            return Failed(f"it makes {len(payload)} bytes, and an invocation takes fewer than {MOST_BYTES}")
        with self._slots.one(), self._step("invoke.write"):
            return self._patiently(payload)

    def slow_down(self, *, is_account_full: bool, hold_s: float) -> None:
        """The service refused an invocation. A full account means that somebody else is hurt: nothing is invoked for a while, next to nothing after that."""
        self.pacer.refused(is_hard=is_account_full)
        self.pacer.pause(max(hold_s, ACCOUNT_PAUSE_S if is_account_full else 0.0))
        if is_account_full:
            self._limits.refused("lambda-concurrency", self._place, ACCOUNT_PAUSE_S)
            self._limits.account_full(f"Lambda says that the whole account is at its limit of concurrent executions ({ACCOUNT})")

    def count_writes(self, units: float) -> None:
        """What the function is going to write costs the run as if it wrote by itself. Raises BudgetReached, as a call does."""
        if meter := self._limits.meter:
            meter.count(Usage(dynamodb_wru=units))

    def settle_writes(self, units: float) -> None:
        """It wrote so much more (less, if negative) than was counted."""
        if meter := self._limits.meter:
            meter.tally.add(Usage(dynamodb_wru=units))

    def note(self, failure: str) -> None:
        """Counts a failure, or with an empty text that an invocation went well. Raises ServiceUnavailable if there were too many in a row."""
        with self._lock:
            self._failures = self._failures + 1 if failure else 0
            if self._failures >= FAILURES_IN_A_ROW:
                raise ServiceUnavailable(f"{self.function.name} failed {self._failures} times in a row, whatever it was given; the last time: {failure}")

    def timeout_s(self) -> float:
        """The function's timeout as it is configured; the longest there is if we may not know."""
        try:
            with self._step("configuration.read"), _explained(self.function):
                name = self.function.function
                answer = self._asking.call(f"asking for {self.function.name}", lambda client: client.get_function_configuration(FunctionName=name))
        except _DeniedError:
            return LONGEST_TIMEOUT_S
        return float(answer["Timeout"])

    def _patiently(self, payload: bytes) -> bytes | Failed:
        """The answer, waiting while others use all that is reserved for the function."""
        since, tries = self._waiting.clock(), 0
        while True:
            answer = self._once(payload)
            if not isinstance(answer, _Busy):
                return answer
            waited_s, tries = self._waiting.clock() - since, tries + 1
            if waited_s >= RESERVED_WAIT_S:
                raise ServiceUnavailable(f"invoking {self.function.name}: all that is reserved for it was in use for {waited_s:.0f} s ({answer.message})")
            self.repeats.add(RESERVED)
            self._waiting.sleep(self._waiting.backoff.delay_s(min(tries, self._waiting.backoff.attempts - 1), self._waiting.random()) or 0.0)

    def _once(self, payload: bytes) -> bytes | Failed | _Busy:
        gate = _Gate(self)
        with _explained(self.function):
            return self._invoking.call(f"invoking {self.function.name}", partial(_invoked, self.function.function, payload, gate), gate)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._failpoint(f"before {name}")
        yield
        self._failpoint(f"after {name}")


def _invoked(function: str, payload: bytes, gate: _Gate, client: Any) -> bytes | Failed | _Busy:  # noqa: ANN401 - botocore makes its classes at run time
    """The answer of one attempt; what is worth the same attempt again comes out as an error."""
    try:
        response = client.invoke(FunctionName=function, InvocationType="RequestResponse", Payload=payload)
        answer: bytes = response["Payload"].read()
    except ReadTimeoutError:
        return Failed(f"no answer within {client.meta.config.read_timeout:g} s")
    except ClientError as error:
        gate.reason = str(error.response.get("Reason", ""))
        if http_status(error) == 413:
            return Failed(f"{error_code(error)}: {error}")
        if gate.reason == RESERVED:
            return _Busy(str(error))
        raise
    return Failed(_function_error(response["FunctionError"], answer)) if response.get("FunctionError") else answer


def _function_error(kind: str, payload: bytes) -> str:
    """What the function's error says, in one line."""
    try:
        data = json.loads(payload)
        said = f"{data.get('errorType', kind)}: {data.get('errorMessage', '')}"
    except (ValueError, AttributeError):
        said = f"{kind}: {payload[:200]!r}"
    return " ".join(f"function error {said}".split())[:500]


@contextmanager
def _explained(function: Function) -> Iterator[None]:
    """Answers that no repetition changes, as errors that say what would be right. Raises _DeniedError for what is denied."""
    try:
        yield
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            raise UsageError(f"there is no function {function.function!r} in that region and account: deploy scripts/writer.yaml, or name another") from error
        if "AccessDenied" in error_code(error) or error_code(error) == "UnrecognizedClientException":
            raise _DeniedError(f"{function.name}: {error}") from error
        raise RefusedError(f"{function.name}: {error}") from error
