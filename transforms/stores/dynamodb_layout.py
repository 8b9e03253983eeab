"""Where everything lies in a table.

    series (S, partition key)      item (S, sort key)                  attributes
    SeriesKey as text              1m#2025-11-01T04:00                 body (B), version (N), perhaps expires (N), text (S), parts (S)
                                   1m#2025-11-01T04:00#TOKEN#0001      body: more bytes of a body that is too long for one item
    text                           partition/host/2025-10-30 …         text (S): shards of a partition, last generation, undos
    runs                           RUN                                 nothing: the run has before-images
    before/RUN                     host-2025-10-30-0003/1m             nothing: the run has before-images of this unit and granularity
    before/RUN/host-…-0003/1m      SERIES DIGEST/1m#…/NUMBER           text (S): the series; body (B), version (N), parts (S): an item before
                                   SERIES DIGEST/-/NUMBER/CRC          text (S): the series; absent (S): items that were not there before, with commas
    roster/host-2025-10-30-0003    SERIES DIGEST                       text (S): a series of which something was written by this software

`body` is the packed item (`core.packed`). A SeriesKey begins with `[` and is a JSON array; one of more than 1,900 bytes is replaced by `[#` and the
hexadecimal SHA-256 of its text, and the text is an attribute. `version` grows whenever the item is written: milliseconds since the epoch, or one more than the
version before. A body that is too long is cut: the first bytes are the item's body; `parts` (`TOKEN#3`) tells under which token, drawn for this write, and how
many further ones there are. They are written first and never changed, so that an item is always whole. NUMBER is the version of the item that the before-image
shows, or the time where it had none, so that images of an item sort by age. They, and what tells that there are some, have `expires` (N), unless by rule they
stay; the mark of a unit and granularity keeps that of its first images: without it they count as gone.

No NumPy and no Arrow here nor in what is imported: the writer function (`lambda_writer`) does without them.
"""

import hashlib
import zlib
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from transforms.core.capacity import ITEM_LIMIT_BYTES, Attributes, item_bytes
from transforms.stores.dynamodb_calls import ItemAt

LONGEST_KEY_BYTES: Final = 1_900
"""Of a partition key that is the series' text; the service's limit is 2,048."""

TEXT: Final = "text"
RUNS: Final = "runs"
AFTER: Final = "\U0010ffff"
"""Sorts after everything that a key goes on with."""


class Series(NamedTuple):
    """A series as a table keys it."""

    key: str
    text: str

    @property
    def digest(self) -> str:
        """Names it in sort keys, which take 1,024 bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    @property
    def attributes(self) -> dict[str, Any]:
        """What its items hold beside the key."""
        return {} if self.key == self.text else {"text": {"S": self.text}}


def series_of(text: str) -> Series:
    """The series of that SeriesKey as text."""
    encoded = text.encode()
    return Series(text if len(encoded) <= LONGEST_KEY_BYTES else f"[#{hashlib.sha256(encoded).hexdigest()}", text)


def part_name(name: str, token: str, number: int) -> str:
    """Sort key of a further part of a body."""
    return f"{name}#{token}#{number:04d}"


def is_part(name: str) -> bool:
    """Whether a sort key is that of a further part of an item of rollups."""
    return name.count("#") > 1


def cut(item: Mapping[str, Any], body: bytes, token: str) -> list[dict[str, Any]]:
    """The item with its body, and before it the further parts that the body needs, each within the limit."""
    whole = {**item, "body": {"B": body}}
    if item_bytes(whole) <= ITEM_LIMIT_BYTES:
        return [whole]
    name = item["item"]["S"]
    room = ITEM_LIMIT_BYTES - item_bytes({**item, "item": {"S": part_name(name, token, 1)}, "body": {"B": b""}, "parts": {"S": f"{token}#9999"}})
    chunks = [body[at : at + room] for at in range(0, len(body), room)]
    bare = {key: item[key] for key in ("series", "expires") if key in item}
    parts = [{**bare, "item": {"S": part_name(name, token, number)}, "body": {"B": chunk}} for number, chunk in enumerate(chunks[1:], 1)]
    return [*parts, {**item, "body": {"B": chunks[0]}, "parts": {"S": f"{token}#{len(parts)}"}}]


def part_names(item: Attributes) -> list[str]:
    """Sort keys of the further parts of an item."""
    if "parts" not in item:
        return []
    token, _, number = str(item["parts"]["S"]).partition("#")
    return [part_name(str(item["item"]["S"]), token, one) for one in range(1, int(number) + 1)]


class Found(NamedTuple):
    """An item as it was read: its whole body, None if parts of it are gone; the version, None if its writer does not count; when it expires; its parts."""

    item: Attributes
    body: bytes | None
    version: int | None
    expires_s: int | None
    part_names: list[str]


def found(item: Attributes, parts: Mapping[ItemAt, Attributes] | None = None) -> Found:
    """An item with the parts that were read beside it."""
    numbers = {name: int(item[name]["N"]) if name in item else None for name in ("version", "expires")}
    whole = Found(item, _bytes(item), numbers["version"], numbers["expires"], part_names(item))
    if not whole.part_names:
        return whole
    others = [(parts or {}).get((item["series"]["S"], name)) for name in whole.part_names]
    return whole._replace(body=_bytes(item) + b"".join(_bytes(one) for one in others if one) if all(others) else None)


def _bytes(item: Attributes) -> bytes:
    return bytes(item["body"]["B"]) if "body" in item else b""


def text_of(item: Attributes) -> str:
    """The SeriesKey of an item of rollups."""
    return str(item.get("text", item["series"])["S"])


def absent_image(place: str, series: Series, names: Collection[str], now_ms: int) -> dict[str, Any]:
    """The before-image of items that were not there."""
    absent = ",".join(sorted(names))
    name = f"{series.digest}/-/{now_ms:013d}/{zlib.crc32(absent.encode()):08x}"
    return {"series": {"S": place}, "item": {"S": name}, "text": {"S": series.text}, "absent": {"S": absent}}
