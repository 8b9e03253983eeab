"""The project's exceptions.

    RollupsError
    ├── UsageError             wrong arguments or configuration          exit 2
    ├── RefusedError           a guard said no                           exit 5
    ├── IncompleteError        resumable: something is still missing     exit 3
    │   ├── ObjectUnreadable   one archive object can't be had           (a dead letter, the rest of the run goes on)
    │   ├── StoreFull          the store has no room for more without losing what is live
    │   ├── ServiceUnavailable an archive or a store did not answer, or not whole, however often it was asked
    │   │   └── ObjectUndelivered  when it was asked for one archive object: other objects tell whose fault that is
    │   ├── Stopped            somebody asked the run to end
    │   └── CredentialsExpired nobody renewed the session while the run waited
    ├── ConservationError      counts that must be equal differ          exit 1
    └── DecodeError            bytes that can't be read as their format  (a dead letter, never the end of a run)

Messages hold the values and say what was being done. `exit_code` is the process's answer (DESIGN §4.9), `retryable` tells whether the same call may
succeed later.
"""

from typing import Final


class RollupsError(Exception):
    """Root of everything this project raises on purpose."""

    exit_code = 1
    retryable = False


class UsageError(RollupsError):
    """Wrong arguments or configuration, found before anything is read."""

    exit_code = 2


class RefusedError(RollupsError):
    """A guard kept the run, or a part of it, from happening."""

    exit_code = 5


class IncompleteError(RollupsError):
    """Work is missing; the same run id can go on from here."""

    exit_code = 3
    retryable = True


OBJECT_MISSING: Final = "object missing"
OBJECT_ARCHIVED: Final = "object archived"
ACCESS_DENIED: Final = "access denied"
OBJECT_REFUSED: Final = "object refused"
OBJECT_CHANGED: Final = "object changed"


class ObjectUnreadable(IncompleteError):
    """One archive object can't be had, now or when asked again, while others can: the run notes it as a dead letter and does the rest.

    `cause` is one of OBJECT_MISSING, OBJECT_ARCHIVED, ACCESS_DENIED, OBJECT_REFUSED (by an answer, or in every attempt) and OBJECT_CHANGED (it differs from
    what the manifest recorded), `key` the object's in the archive.
    """

    retryable = False

    def __init__(self, key: str, cause: str = OBJECT_REFUSED, detail: str = "") -> None:
        """Keep the parts for the dead letter."""
        super().__init__(key, cause, detail)
        self.key = key
        self.cause = cause
        self.detail = detail

    def __str__(self) -> str:
        return f"reading the archive object {self.key!r}: {self.cause}" + (f" ({self.detail})" if self.detail else "")


class StoreFull(IncompleteError):
    """A store has no room for what is to be written without losing what is live. The run goes on from here when there is room."""

    retryable = False


class ServiceUnavailable(IncompleteError):
    """An archive or a store did not answer, or not whole, however often it was asked."""


class ObjectUndelivered(ServiceUnavailable):
    """One archive object was not handed out whole in any attempt, for a reason that may be its own; `detail` tells it."""

    def __init__(self, message: str, detail: str = "") -> None:
        """Keep the reason for a dead letter."""
        super().__init__(message, detail)
        self.detail = detail

    def __str__(self) -> str:
        return str(self.args[0])


class Stopped(IncompleteError):
    """Somebody asked the run to end: what was begun is finished, nothing new begins."""

    retryable = False


class CredentialsExpired(IncompleteError):
    """The session's credentials have expired and were not renewed while the run waited."""


class ConservationError(RollupsError):
    """Counts that must balance (DESIGN §4.2) differ: something was lost or counted twice."""


class DecodeError(RollupsError):
    """Bytes can't be read as the format they claim to be.

    `cause` is one of the short phrases dead letters are listed by, `offset` the byte where reading stopped.
    """

    def __init__(self, cause: str, detail: str, offset: int = 0) -> None:
        """Keep the parts for the dead letter."""
        super().__init__(f"{cause} at byte {offset}: {detail}")
        self.cause = cause
        self.detail = detail
        self.offset = offset
