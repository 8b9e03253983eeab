"""What an object inflates to, and the bounds of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode.causes import CORRUPT, EXPANSION, TOO_LARGE, TRAILING, TRUNCATED

_ALWAYS_ALLOWED_BYTES: Final = 1 << 20
"""Small objects may expand to this size whatever the ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """Bounds of the inflated size: absolute, and as a multiple of the compressed size."""

    max_bytes: int = 1 << 30
    max_expansion: int = 1000

    def room(self, compressed_bytes: int) -> int:
        """Largest inflated size that is accepted."""
        return min(self.max_bytes, max(self.max_expansion * compressed_bytes, _ALWAYS_ALLOWED_BYTES))

    def exceeded(self, room: int) -> DecodeError:
        """The error for an object that inflates to more than `room` bytes."""
        if room == self.max_bytes:
            return DecodeError(TOO_LARGE, f"more than the limit of {self.max_bytes} bytes")
        return DecodeError(EXPANSION, f"more than {room} bytes, {self.max_expansion} times the compressed size")


class Lost(NamedTuple):
    """A part of a container that could not be read while what follows it could: its bytes as stored, and how many inflated bytes stand before it.

    `arrival_us` of None: when the object did.
    """

    offset: int
    problem: DecodeError
    raw: bytes
    arrival_us: int | None = None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of a container (containers.py says which there are).

    `problem` ends the reading of the container; `lost` are parts before that.
    """

    data: bytes
    container: str = "none"
    problem: DecodeError | None = None
    rest: bytes = b""
    lost: tuple[Lost, ...] = ()

    @property
    def is_cut(self) -> bool:
        """True if `data` may end in the middle of a record because the container does."""
        return self.problem is not None and self.problem.cause != TRAILING


class TooMuch(DecodeError):
    """The limit is exceeded: nothing of the object may be kept."""


@dataclass(slots=True)
class Inflated:
    """The inflated parts of one container as they are collected, within its room."""

    container: str
    body: bytes
    limits: UnpackLimits
    parts: list[bytes] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    size: int = 0

    @property
    def left(self) -> int:
        """Bytes that may still be added."""
        return self.limits.room(len(self.body)) - self.size

    def require_room(self, more: int) -> None:
        """Raise `TooMuch` if that many bytes more are beyond the limits."""
        if more > self.left:
            error = self.limits.exceeded(self.limits.room(len(self.body)))
            raise TooMuch(error.cause, error.detail)

    def add(self, part: bytes) -> None:
        """Keep a part."""
        self.require_room(len(part))
        self.parts.append(part)
        self.size += len(part)

    def truncated(self, what: str) -> DecodeError:
        """The error for a body that ends too early."""
        return DecodeError(TRUNCATED, f"{self.container} {what} ends after {len(self.body)} compressed bytes", len(self.body))

    def corrupt(self, at: int, why: str) -> DecodeError:
        """The error for damage at a byte of the body."""
        return DecodeError(CORRUPT, f"{self.container} at compressed byte {at}: {why}", at)

    def result(self, problem: DecodeError | None = None, rest: bytes = b"") -> Unpacked:
        """All that was collected."""
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        return Unpacked(data, self.container, problem, rest, tuple(self.lost))


def collected(container: str, body: bytes, limits: UnpackLimits, read: Callable[[Inflated], bytes]) -> Unpacked:
    """What `read` adds before it returns (the bytes that follow the container) or raises `DecodeError`; nothing if that is `TooMuch`."""
    inflated = Inflated(container, body, limits)
    try:
        rest = read(inflated)
    except TooMuch as error:
        return Unpacked(b"", container, DecodeError(error.cause, error.detail))
    except DecodeError as error:
        return inflated.result(error)
    if rest:
        at = len(body) - len(rest)
        return inflated.result(DecodeError(TRAILING, f"{len(rest)} bytes from compressed byte {at} on are no {container}", at), rest)
    return inflated.result()
