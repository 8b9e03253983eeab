"""The project's exceptions.

    RollupsError
    ├── UsageError             wrong arguments or configuration          exit 2
    ├── RefusedError           a guard said no                           exit 5
    ├── IncompleteError        resumable: something is still missing     exit 3
    │   └── ObjectChanged      an archive object is not the planned one
    ├── ConservationError      counts that must be equal differ          exit 1
    └── DecodeError            bytes that can't be read as their format  (a dead letter, never the end of a run)

Messages hold the values and say what was being done. `exit_code` is the process's answer (DESIGN §4.9), `retryable` tells whether the same call may
succeed later.
"""


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


class ObjectChanged(IncompleteError):
    """An archive object differs from what the manifest recorded, or is gone."""

    retryable = False


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
