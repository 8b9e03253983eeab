"""Hosts and services: who posts, which metrics, and what a posting's text looks like."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scripts.archive_maker.options import ArchiveOptions

_HOST_METRICS: Final = (
    "loadavg1", "loadavg5", "loadavg15", "cpu.user.percentage", "cpu.system.percentage", "cpu.idle.percentage", "cpu.iowait.percentage",
    "memory.used", "memory.free", "memory.cached", "interface.eth0.rxBytes.delta", "interface.eth0.txBytes.delta",
    "disk.vda.reads.delta", "disk.vda.writes.delta", "filesystem.vda1.size", "filesystem.vda1.used",
)  # fmt: skip
_SERVICE_METRICS: Final = ("orders.count", "orders.amount", "latency.p95", "latency.p99", "users.active", "carts.open", "payments.failed", "search.count")
_ID_LETTERS: Final = np.array(list("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"))
_SERVICES: Final = ("shop", "search", "billing", "mail", "api", "media")
_ROLES: Final = ("web", "app", "db", "cache", "proxy", "batch")


def arrival_text(arrival_us: int) -> str:
    """`receivedAt`: seconds with three decimals, six where the arrival is not a whole millisecond."""
    whole, rest = divmod(arrival_us, 1_000_000)
    return f"{whole}.{rest // 1000:03d}" if rest % 1000 == 0 else f"{whole}.{rest:06d}"


@dataclass(frozen=True)
class Sender:
    """One host or service and the fixed parts of its postings' text."""

    metric_type: str
    org: str
    entity: str
    names: tuple[str, ...]
    formats: tuple[str, ...]
    """How the value of each metric is written: `%r` or `%d`."""
    roles: tuple[str, ...] | None
    phase_s: int
    """Second of the posting interval in which it measures."""
    template: str
    """%-format of a posting with arrival, then time and value of every metric."""

    def head(self, arrival: str, roles: str) -> str:
        """Text of a posting up to the first point. `roles` is the JSON text of a list, `null`, or empty to leave the field out."""
        who = "hostId" if self.metric_type == "host" else "service"
        also = f'"roles":{roles},' if roles else ""
        return f'{{"type":"{self.metric_type}","org":{json.dumps(self.org)},"{who}":{json.dumps(self.entity)},{also}"receivedAt":{arrival},"metrics":['

    @property
    def roles_text(self) -> str:
        """JSON text of the roles; empty if postings name none."""
        return "" if self.roles is None else json.dumps(self.roles, separators=(",", ":"))

    def text(self, time_s: int, arrival_us: int, values: Sequence[float]) -> str:
        """A plain posting: every metric once, all at the same time."""
        pairs: list[object] = [str(time_s)] * (2 * len(values))
        pairs[1::2] = values
        return self.template % (arrival_text(arrival_us), *pairs)

    def points(self, time_s: int, values: Sequence[float]) -> list[str]:
        """Text of each point, for postings that are not plain."""
        texts = (shape % value for shape, value in zip(self.formats, values, strict=True))
        return [f'{{"name":{json.dumps(name)},"time":{time_s},"value":{value}}}' for name, value in zip(self.names, texts, strict=True)]

    def bare_text(self, time_s: int, values: Sequence[float]) -> str:
        """The points as a bare API payload of a host."""
        who = f'{{"hostId":{json.dumps(self.entity)},'
        return "[" + ",".join(who + point[1:] for point in self.points(time_s, values)) + "]"


def make_sender(metric_type: str, org: str, entity: str, names: Sequence[str], formats: Sequence[str], roles: tuple[str, ...] | None, phase_s: int) -> Sender:
    """A sender with its template filled in."""
    bare = Sender(metric_type, org, entity, tuple(names), tuple(formats), roles, phase_s, "")
    points = ",".join(f'{{"name":{_fixed(json.dumps(name))},"time":%s,"value":{shape}}}' for name, shape in zip(names, formats, strict=True))
    head = _fixed(bare.head("\0", bare.roles_text)).replace("\0", "%s")
    return Sender(metric_type, org, entity, bare.names, bare.formats, roles, phase_s, f"{head}{points}]}}")


def _fixed(text: str) -> str:
    return text.replace("%", "%%")


class Fleet:
    """The senders of an archive by slot: hosts first, then services. Replacing a slot's sender starts new series."""

    def __init__(self, options: ArchiveOptions, senders: Sequence[Sender] = ()) -> None:
        """Fill every slot, with these senders if there are any."""
        self._options = options
        self._random = np.random.default_rng([options.seed, 1])
        self._host_names = _names(_HOST_METRICS, options.metrics)
        self._service_names = _names(_SERVICE_METRICS, options.metrics)
        self.senders = list(senders) or [self._make(slot) for slot in range(options.hosts + options.services)]
        self.ever: list[tuple[int, Sender]] = [(options.start_s, sender) for sender in self.senders]
        """Every sender with the time from which it posts."""

    def replace(self, slot: int, from_s: int) -> None:
        """A new host or service takes the slot."""
        self.senders[slot] = self._make(slot)
        self.ever.append((from_s, self.senders[slot]))

    def _make(self, slot: int) -> Sender:
        options = self._options
        letters = "".join(self._random.choice(_ID_LETTERS, 8))
        phase_s = int(self._random.integers(options.interval_s))
        if slot < options.hosts:
            return make_sender("host", options.org, f"4Hk{letters}", self._host_names, _formats(self._host_names), self._roles(slot), phase_s)
        entity = f"{_SERVICES[slot % len(_SERVICES)]}-{letters}"
        return make_sender("service", options.org, entity, self._service_names, _formats(self._service_names), None, phase_s)

    def _roles(self, slot: int) -> tuple[str, ...] | None:
        whole = int(self._options.roles)
        extra = self._random.random() < self._options.roles - whole
        if self._options.roles == 0:
            return None
        return tuple(_role(slot, n) for n in range(whole + extra))


def _role(slot: int, n: int) -> str:
    """The n-th role of a slot's host; no host has a role twice."""
    role = _ROLES[(slot // len(_SERVICES) + n) % len(_ROLES)]
    return f"{_SERVICES[(slot + n) % len(_SERVICES)]}:{role}{n // len(_ROLES) or ''}"


def _names(known: Sequence[str], count: int) -> tuple[str, ...]:
    groups = ("queue", "cache", "http", "db", "jobs")
    more = (f"custom.{groups[n % len(groups)]}.value{n // len(groups)}" for n in range(count))
    return tuple([*known, *more][:count])


def _formats(names: Sequence[str]) -> tuple[str, ...]:
    return tuple("%d" if name.endswith((".count", ".size", ".used", ".free", ".cached", "active", "open", "failed")) else "%r" for name in names)
