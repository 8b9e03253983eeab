"""Limits that several runs, work dirs and machines keep together: rates and leases of calls in flight, in scripts on a Valkey or Redis server.

It adds to the limits of the work dir and replaces none: who gets a turn there asks here for one too. If the server is gone, the work dir's limits hold
alone, and it is asked again every `AGAIN_S`.

The server's clock tells the time. A rate has no burst: a turn is free when those before it are over, at 95 % of the limit, and is not reserved for who found it
taken. A lease ends by itself if nobody renews it, as of a worker that died. Of different limits for one thing the smallest that somebody used in the last two
seconds holds.
"""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from transforms.calls.valkey import Command, Script, Server, ValkeyCalls, on
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.core.throttle import CATCH_UP_S, LEAST_S, PACED_SHARE

PORT: Final = 6379
SCHEMES: Final = ("valkey", "redis", "valkeys", "rediss")

ANSWER_S: Final = 0.5
"""A limiter that takes longer to answer counts as gone."""

AGAIN_S: Final = 5.0

LEASE_S: Final = 30.0
"""A lease that was not renewed for so long is over; it is renewed after a third of that."""

_NEVER: Final = threading.Event()

_FORGET_MS: Final = 3_600_000

_NOW: Final = """
local told = redis.call('TIME')
local now = told[1] * 1000000 + told[2]
local function least(state, limit)
    local known, at = unpack(redis.call('HMGET', state, 'least', 'least_at'))
    if known and tonumber(known) < limit and now - tonumber(at) <= LEAST_US and now >= tonumber(at) then
        return tonumber(known)
    end
    redis.call('HSET', state, 'least', ARGV[1], 'least_at', string.format('%.0f', now))
    return limit
end
""".replace("LEAST_US", str(round(LEAST_S * 1e6)))

TURN: Final = Script(
    _NOW
    + """
local rate = least(KEYS[1], tonumber(ARGV[1])) * PACED
local free, span = unpack(redis.call('HMGET', KEYS[1], 'free', 'span'))
free, span = tonumber(free or 0), tonumber(span or 0)
if free - now > span then free = now + span end  -- the clock was set back
if free > now then return string.format('%.0f', math.ceil(free - now)) end
span = tonumber(ARGV[2]) * 1000000 / rate
free = math.max(free, now - CATCH_UP_US) + span
redis.call('HSET', KEYS[1], 'free', string.format('%.0f', free), 'span', string.format('%.0f', span))
redis.call('PEXPIRE', KEYS[1], FORGET_MS)
return '0'
""".replace("PACED", str(PACED_SHARE))
    .replace("CATCH_UP_US", str(round(CATCH_UP_S * 1e6)))
    .replace("FORGET_MS", str(_FORGET_MS))
)
"""KEYS: the rate's state. ARGV: limit a second, units. Microseconds until it may be asked again; 0: the turn is taken."""

LEASE: Final = Script(
    _NOW
    + """
local limit = least(KEYS[2], tonumber(ARGV[1]))
redis.call('PEXPIRE', KEYS[2], FORGET_MS)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now))
if not redis.call('ZSCORE', KEYS[1], ARGV[2]) and redis.call('ZCARD', KEYS[1]) >= limit then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3])), ARGV[2])
redis.call('PEXPIRE', KEYS[1], FORGET_MS)
return 1
""".replace("FORGET_MS", str(_FORGET_MS))
)
"""KEYS: leases by their ends, state. ARGV: limit, lease, microseconds it shall last. 1: it is held until then, anew or on; 0: all are taken."""


def limiter_server(url: str) -> Server:
    """The server that `valkey://HOST:PORT/DB` names (or redis://, with TLS valkeys:// or rediss://). Raises UsageError."""
    parts = urlsplit(url)
    shown = url.rpartition("@")[2] if "@" in url else url
    if "@" in parts.netloc:
        raise UsageError(f"the limiter at {shown} is given with a user name or password: leave it out, VALKEY_USERNAME and VALKEY_PASSWORD have them")
    db = parts.path.removeprefix("/") or "0"
    try:
        port = PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if parts.scheme not in SCHEMES or not parts.hostname or not port or not db.isdecimal() or not db.isascii() or parts.query or parts.fragment:
        raise UsageError(f"{shown!r} is no limiter: write valkey://HOST:PORT/DB, such as valkey://limits.internal:{PORT}/0")
    return Server(parts.hostname, port, int(db), tls=parts.scheme in ("valkeys", "rediss"))


class SharedLimiter:
    """A limiter as the threads of a process use it. It never fails: gone, it lets everything pass."""

    def __init__(self, url: str, waiting: Waiting, own: str = "rollups-limit") -> None:
        """Connects to nothing yet. `own` begins its keys."""
        once = Waiting(clock=waiting.clock, sleep=waiting.sleep, random=waiting.random, say=waiting.say, backoff=Backoff(attempts=1))
        self._calls = ValkeyCalls(limiter_server(url), waiting=once, call_s=ANSWER_S)
        self._waiting, self._own = waiting, own
        self._lock = threading.Lock()
        self._gone_until_s: float | None = None
        self._leases: dict[str, tuple[str, int]] = {}
        self._renewing_pid = 0

    def wait_s(self, name: str, limit_per_s: float, units: float) -> float:
        """0.0 if so many units may be used now, which then are; else when to ask again.

        Those who wait for the same turn ask at moments that chance spreads over what may be caught up with, so that each gets its share and no time is lost.
        """
        answer = self._asked(on(TURN, [self._key(name, "rate")], _number(limit_per_s), _number(units)))
        wait_us = 0 if answer is None else int(answer)
        return wait_us / 1e6 + self._waiting.random() * CATCH_UP_S if wait_us else 0.0

    @contextmanager
    def lease(self, name: str, limit: int) -> Iterator[bool]:
        """Whether one of so many is held; it is given back at the end."""
        lease = secrets.token_hex(12)
        held = self._renewed(name, limit, lease)
        if held:
            self._hold(lease, name, limit)
        try:
            yield held
        finally:
            if held:
                self._give_back(lease, name)

    def _renewed(self, name: str, limit: int, lease: str) -> bool:
        answer = self._asked(on(LEASE, [self._key(name, "leases"), self._key(name, "state")], limit, lease, round(LEASE_S * 1e6)))
        return answer is None or int(answer) == 1

    def _hold(self, lease: str, name: str, limit: int) -> None:
        with self._lock:
            self._leases[lease] = name, limit
            if self._renewing_pid != os.getpid():
                self._renewing_pid = os.getpid()
                threading.Thread(target=self._renew, daemon=True).start()

    def _give_back(self, lease: str, name: str) -> None:
        with self._lock:
            del self._leases[lease]
        key = self._key(name, "leases")
        self._asked(Command(("ZREM", key, lease), key))

    def _renew(self) -> None:
        """Renews all leases of this process as long as it lives; what can't be renewed ends on the server while its call goes on here."""
        while True:
            _NEVER.wait(LEASE_S / 3)
            with self._lock:
                held = list(self._leases.items())
            for lease, (name, limit) in held:
                self._renewed(name, limit, lease)

    def _asked(self, command: Command) -> bytes | None:
        """The server's answer, None while it is gone."""
        with self._lock:
            if self._gone_until_s is not None and self._waiting.clock() < self._gone_until_s:
                return None
        try:
            (answer,) = self._calls.each("asking the limiter for a turn", [command])
        except (ServiceUnavailable, RefusedError, UsageError) as problem:
            self._note_gone(str(problem))
            return None
        self._note_there()
        return bytes(answer) if isinstance(answer, bytes) else str(answer).encode()

    def _note_gone(self, why: str) -> None:
        with self._lock:
            is_news, self._gone_until_s = self._gone_until_s is None, self._waiting.clock() + AGAIN_S
        if is_news:
            self._waiting.say(f"the limiter is gone, the limits of the work dir hold alone; it is asked again every {AGAIN_S:g} s: {why}")

    def _note_there(self) -> None:
        with self._lock:
            is_news, self._gone_until_s = self._gone_until_s is not None, None
        if is_news:
            self._waiting.say("the limiter is there again")

    def _key(self, name: str, what: str) -> bytes:
        """Both keys of a limit lie in one slot of a cluster."""
        return f"{self._own}:{{{sha256(name.encode()).hexdigest()[:16]}}}:{what}".encode()


def _number(value: float) -> str:
    return repr(float(value))
