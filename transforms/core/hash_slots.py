"""Hash slots of a Redis or Valkey cluster: on which of them the hot tier's key of a series lies.

`HASH_SLOT = CRC16(key) mod 16384`, CRC16 being XMODEM's (polynomial 0x1021, initial value 0, nothing reflected; of "123456789" it is 0x31C3). Of a key that has
a `}` after its first `{`, with anything between them, only what stands between the first `{` and the first `}` after it is hashed (cluster specification, "Hash
tags").
"""

import json
import re
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Final

from transforms.core.errors import UsageError

SLOTS: Final = 16_384

FIELDS: Final = ("type", "org", "entity", "name", "labels", "host")
"""What a key template may name: the parts of a series. `labels` is compact JSON with sorted keys, `{}` if none; `host` the value of the label `host`, empty
where there is none (role series have one; a host series has its host as `entity`)."""

_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)

SlotRange = tuple[int, int]
"""First and last slot, both included, as clusters write them."""


def slot_of_key(key: bytes) -> int:
    """What `CLUSTER KEYSLOT key` answers."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    return crc_hqx(key[start + 1 : end] if end > start + 1 else key, 0) % SLOTS


def parse_slots(text: str) -> tuple[SlotRange, ...]:
    """The ranges of a list such as `0-5460,10923,12000-12010`, with commas or spaces between them (`CLUSTER NODES` writes spaces), sorted and united.

    Raises UsageError naming the range and what would be right.
    """
    ranges = sorted(map(_slot_range, text.replace(",", " ").split()))
    united: list[SlotRange] = []
    for first, last in ranges:
        if united and first <= united[-1][1] + 1:
            united[-1] = united[-1][0], max(last, united[-1][1])
        else:
            united.append((first, last))
    if not united:
        msg = f"{text!r} names no hash slot: write ranges such as 0-5460,10923-16383"
        raise UsageError(msg)
    return tuple(united)


def _slot_range(text: str) -> SlotRange:
    found = _RANGE.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last or last >= SLOTS:
        msg = f"{text!r} is no range of hash slots: write FIRST-LAST or one slot, from 0 to {SLOTS - 1}, such as 0-5460"
        raise UsageError(msg)
    return first, last


def format_slots(ranges: tuple[SlotRange, ...]) -> str:
    """Inverse of `parse_slots`."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def check_template(template: str, fields: Sequence[str] = FIELDS) -> str:
    """The template itself. Raises UsageError unless it is text with at least one of the fields in braces, `{{` and `}}` standing for braces of the key."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        msg = f"the hash key {template!r} can't be read ({error}): fields stand in braces, as in metric:{{org}}:{{name}}; a brace of the key is written twice"
        raise UsageError(msg) from None
    named = [name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") for _, name, spec, conversion in parts if name is not None]
    if unknown := [one for one in named if one not in fields]:
        msg = (
            f"the hash key {template!r} names the field {unknown[0]!r}: there are {', '.join(fields)}, each in braces; "
            f"a brace of the key is written twice, such as {{{{{{org}}}}}} for a hash tag"
        )
        raise UsageError(msg)
    if not named:
        msg = f"the hash key {template!r} names no field, so that all series would have one slot: name some of {', '.join(fields)} in braces"
        raise UsageError(msg)
    return template


@dataclass(frozen=True, kw_only=True)
class HashSlots:
    """Slots of the hot tier's cluster, and how the key of a series is written there: a template as `check_template` accepts."""

    ranges: tuple[SlotRange, ...]
    template: str

    def holds(self, metric_type: str, org: str, entity: str, name: str, labels: str) -> bool:
        """Whether the key of this series lies in one of the slots; `labels` as `labels_text` writes them."""
        return self._is_held[slot_of_key(self.key(metric_type, org, entity, name, labels))] == 1

    def key(self, metric_type: str, org: str, entity: str, name: str, labels: str) -> bytes:
        """The series' key, in UTF-8."""
        return "".join([part(metric_type, org, entity, name, labels) for part in self._parts]).encode()

    @cached_property
    def _is_held(self) -> bytes:
        """A byte per slot, 1 if it is one of ours."""
        held = bytearray(SLOTS)
        for first, last in self.ranges:
            held[first : last + 1] = b"\1" * (last + 1 - first)
        return bytes(held)

    @cached_property
    def _parts(self) -> list[Callable[..., str]]:
        parts: list[Callable[..., str]] = []
        for text, name, _, _ in Formatter().parse(self.template):
            parts.append(lambda *_, text=text: text)
            if name is not None:
                parts.append(_READERS[name])
        return parts


def host_of(labels: str) -> str:
    """What `{host}` stands for: the value of the label `host`, empty where there is none."""
    return str(json.loads(labels).get("host", "")) if '"host"' in labels else ""


_READERS: Final[dict[str, Callable[..., str]]] = {
    "type": lambda *series: series[0],
    "org": lambda *series: series[1],
    "entity": lambda *series: series[2],
    "name": lambda *series: series[3],
    "labels": lambda *series: series[4],
    "host": lambda *series: host_of(series[4]),
}
