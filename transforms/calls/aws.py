"""Calls to AWS: one attempt each by botocore, repeated here, where every repetition is counted and waits as long as it is told to."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError as NotConnected,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    LoginError,
    ProxyConnectionError,
    ResponseStreamingError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from transforms.calls.repeats import Repeats
from transforms.calls.waiting import Waiting
from transforms.core.errors import CredentialsExpired, ServiceUnavailable, UsageError

if TYPE_CHECKING:
    from transforms.calls.meter import Meter

T = TypeVar("T")

EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "InvalidToken"})
"""Codes of answers to a session that has ended."""

BUSY: Final = frozenset({"SlowDown", "RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete", "BandwidthLimitExceeded", "RequestLimitExceeded"})
"""Codes that botocore's standard mode would try again, beside those with `Throttl` or `ThroughputExceeded` in them and the statuses 429 and 5xx."""

RENEWAL_CHECK_S: Final = 15.0
RENEWAL_WAIT_S: Final = 600.0
"""How long calls wait for expired credentials to be renewed, and how often they look."""

MOST_HOLD_S: Final = 300.0
"""However long a service asks to wait, it is asked again after that."""

SAID_FROM: Final = 3
SAID_EVERY_S: Final = 20.0
"""A call that ended so often in vain is told of, and no other for so long."""

_BROKEN: Final[Mapping[tuple[type[BotoCoreError], ...], str]] = {
    (IncompleteReadError, ResponseStreamingError): "truncated body",
    (FlexibleChecksumError,): "checksum",
    (HTTPClientError, NotConnected): "connection",
}
_UNREACHED: Final = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)
_NO_SESSION: Final = (SSOError, TokenRetrievalError, CredentialRetrievalError, LoginError)

_log = logging.getLogger(__name__)


class Gate(Protocol):
    """What every attempt of a call passes: it keeps calls under a rate."""

    def enter(self) -> None:
        """Return when the attempt may be made."""

    def sent(self) -> None:
        """The attempt goes out on the wire as soon as this returns."""

    def answered(self) -> None:
        """The service has got the attempt. May be said more than once."""

    def refused(self, reason: str, hold_s: float) -> None:
        """The service said that it gets too much, and that nobody should call it for so long (0: nothing of that): the call is made again, later."""


class AwsCalls:
    """Calls of any number of threads to one place. The client is made on the first call in a process, and anew when credentials have expired."""

    def __init__(self, new_client: Callable[[], Any], waiting: Waiting | None = None, meter: "Meter | None" = None) -> None:
        """Remember how a client is made, in a session of its own and for one attempt a call, and who counts its calls; nothing is opened."""
        self._new_client = partial(self._hooked, new_client, meter)
        self._calling = threading.local()
        self._waiting = waiting or Waiting()
        self._lock = threading.Lock()
        self._client: Any = None
        self._pid = 0
        self.repeats = Repeats()
        self._expired_since: float | None = None
        self._has_answered = False
        self._said_at: float | None = None

    def call(self, doing: str, use: Callable[[Any], T], gate: Gate | None = None) -> T:
        """What `use` returns, given the client; `doing` says what that is. Every attempt passes the gate.

        Raises ServiceUnavailable after as many attempts as are allowed, CredentialsExpired when nobody renewed the session, UsageError without credentials,
        with a token that never worked or with a place that can't be; other answers come out as ClientError.
        """
        failed = 0
        while True:
            client = self._current()
            if gate:
                gate.enter()
            try:
                answer = self._attempt(use, client, gate)
            except (ClientError, BotoCoreError) as error:
                if is_expired(error):
                    self._check_once_valid(doing, error)
                    self._await_renewal(client, doing, error)
                    continue
                failed += 1
                self._pause(doing, error, failed, gate)
            else:
                self._expired_since, self._has_answered = None, True
                return answer

    def _attempt(self, use: Callable[[Any], T], client: Any, gate: Gate | None) -> T:  # noqa: ANN401 - botocore makes its classes at run time
        self._calling.gate = gate
        try:
            return use(client)
        finally:
            self._calling.gate = None
            if gate:
                gate.answered()

    def _hooked(self, new_client: Callable[[], Any], meter: "Meter | None") -> Any:  # noqa: ANN401 - botocore makes its classes at run time
        """A client whose calls are counted by the meter and tell their gate when they go out."""
        client = new_client()
        if meter:
            meter.attach(client)
        client.meta.events.register_first("before-send", self._sending)
        return client

    def _sending(self, **_: object) -> None:
        if gate := getattr(self._calling, "gate", None):
            gate.sent()

    def _pause(self, doing: str, error: ClientError | BotoCoreError, failed: int, gate: Gate | None) -> None:
        """Waits before the call is repeated; raises if it shall not be."""
        reason = retry_reason(error)
        if reason is None:
            if isinstance(error, ClientError):
                raise error
            raise UsageError(f"{doing}: {error}") from error
        hold_s = retry_after_s(error)
        if gate and is_throttled(error):
            gate.refused(reason, hold_s)
        delay_s = self._waiting.backoff.delay_s(failed, self._waiting.random())
        if delay_s is None:
            raise ServiceUnavailable(f"{doing}: {failed} attempts, the last one ended with {reason} ({error})") from error
        self.repeats.add(reason)
        with self._lock:
            is_told = self._is_worth_telling(failed)
        if is_told:
            self._waiting.say(f"{doing}: {failed} attempts of {self._waiting.backoff.attempts} ended with {reason} ({error}); trying again")
        self._waiting.sleep(max(delay_s, hold_s))

    def _is_worth_telling(self, failed: int) -> bool:
        now = self._waiting.clock()
        if failed < SAID_FROM or (self._said_at is not None and now - self._said_at < SAID_EVERY_S):
            return False
        self._said_at = now
        return True

    def _check_once_valid(self, doing: str, error: ClientError | BotoCoreError) -> None:
        """Raises UsageError for a token that is none and with which nothing was answered yet: waiting is for one that was good and has ended."""
        if isinstance(error, ClientError) and error_code(error) == "InvalidToken" and not self._has_answered:
            told = error.response["Error"].get("Message", "")
            msg = f"{doing}: InvalidToken: {told}; these credentials never worked: correct AWS_SESSION_TOKEN or the profile, or leave an old token out"
            raise UsageError(msg) from error

    def _await_renewal(self, used: object, doing: str, error: Exception) -> None:
        """One thread waits and makes a client with the credentials that are there then; the others wait for it."""
        waiting = self._waiting
        with self._lock:
            if self._client is not used:
                return
            now = waiting.clock()
            since = self._expired_since  # another thread's success may clear it at any moment
            if since is None:
                since = self._expired_since = now
                waiting.say(f"{doing}: {_said(error)}. Paused: renew the credentials (such as by `aws sso login`); waiting up to {RENEWAL_WAIT_S:.0f} s")
            if now - since >= RENEWAL_WAIT_S:
                msg = f"{doing}: {_said(error)}, and nobody renewed the credentials for {RENEWAL_WAIT_S:.0f} s: renew them and repeat the command to go on"
                raise CredentialsExpired(msg) from error
            waiting.sleep(RENEWAL_CHECK_S)
            self.repeats.add(_said(error))
            self._client = self._new_client()

    def _current(self) -> Any:  # noqa: ANN401 - botocore makes its classes at run time
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client, self._pid = self._new_client(), os.getpid()
            return self._client


def is_expired(error: Exception) -> bool:
    """Whether the session has ended: waiting for another is worth it, repeating the call is not."""
    return error_code(error) in EXPIRED or isinstance(error, _NO_SESSION)


def retry_reason(error: Exception) -> str | None:
    """Why a call may go well when it is repeated, as it is counted; None if it would not."""
    if isinstance(error, ClientError):
        code, status = error_code(error), http_status(error)
        return code if code in BUSY or is_throttled(error) or status >= 500 else None
    for classes, reason in _BROKEN.items():
        if isinstance(error, classes):
            return reason
    return None


def is_throttled(error: Exception) -> bool:
    """Whether the service said that it gets more than it takes."""
    code = error_code(error)
    is_named = code == "SlowDown" or "Throttl" in code or "ThroughputExceeded" in code or code.endswith("LimitExceeded") or code == "TooManyRequestsException"
    return is_named or (isinstance(error, ClientError) and http_status(error) == 429)


def retry_after_s(error: Exception) -> float:
    """How long the answer asks to wait (its header Retry-After, RFC 9110 section 10.2.3: seconds, or a date, of which the answer's own is taken off).

    At most MOST_HOLD_S; 0.0 if it asks for nothing, or for what can't be read.
    """
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}) if isinstance(error, ClientError) else {}
    text = str(headers.get("retry-after", ""))
    if text.isdecimal():
        return min(float(text), MOST_HOLD_S)
    try:
        asked_s = (_utc(text) - _utc(str(headers.get("date", "")))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, asked_s), MOST_HOLD_S)


def _utc(text: str) -> datetime:
    """A date of HTTP, which is in UTC also where it does not say so."""
    return parsedate_to_datetime(text).replace(tzinfo=UTC)


def is_of_service(error: Exception) -> bool:
    """Whether a call failed for what concerns every call: the service was not reached, or said that it gets too much or has a rest (429, 503)."""
    return isinstance(error, _UNREACHED) or is_throttled(error) or (isinstance(error, ClientError) and http_status(error) == 503)


def error_code(error: Exception) -> str:
    """The service's code; empty if it did not say anything."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def http_status(error: ClientError) -> int:
    """The answer's status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _said(error: Exception) -> str:
    return error_code(error) or type(error).__name__
