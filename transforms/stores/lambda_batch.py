"""What travels to a writer function and back, as JSON. No NumPy and no Arrow here: the writer function does without them.

    batch    {"format": 1, "key": "…", "run_id": "nov-1", "unit": ["host", "2025-10-30", 3], "granularity": "1m", "table": "rollups", "items": […]}
             perhaps with "undo_s": before-images expire after so many seconds
    item     {"series": SeriesKey as text, "item": "1m#2025-11-01T04:00", "seen": …, "body": base64 of the packed item or null, "expires": seconds or null}
             seen: null, the item was not there; {"version": 7}; or, where its writer does not count versions, {"sha256": "…"} of its body
             body null: the item shall be removed
    answer   {"format": 1, "key": "…", "consumed": write request units, "items": an answer for each item, in their order}
             {"outcome": "written"}   it was what had been seen, is kept as a before-image of the run, and is now what was asked for
             {"outcome": "equal"}     it is already what was asked for
             {"outcome": "refused"}   it is something else by now: read it, merge, send again
             {"outcome": "rejected", "cause": "…", "again": true}   not written; whether it may go well in another batch
    or       {"format": 1, "cause": "…"}   nothing was looked at: the function can't take such batches

`key` is the SHA-256 of run id, unit, granularity, table and items: the same batch sent twice has the same key. The writer needs it for its logs only, since
an item is written only while it is what was seen.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from transforms.core.errors import UsageError
from transforms.core.units import Unit
from transforms.stores.dynamodb_calls import ItemAt
from transforms.stores.dynamodb_layout import Found, Series, series_of
from transforms.stores.dynamodb_writing import ItemChange

FORMAT: Final = 1

MOST_BYTES: Final = 6_000_000
"""A batch has fewer: Lambda takes 6 MB in a synchronous invocation (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

Outcome = Literal["written", "equal", "refused", "rejected"]
OUTCOMES: Final = ("written", "equal", "refused", "rejected")


class Head(NamedTuple):
    """For whom the items of a batch are written, and where; before-images live for so many seconds, for ever if that is 0."""

    run_id: str
    unit: Unit
    granularity: str
    table: str
    undo_s: int = 0

    def data(self) -> dict[str, Any]:
        """As a batch has it."""
        named = {"run_id": self.run_id, "unit": list(self.unit), "granularity": self.granularity, "table": self.table}
        return named | ({"undo_s": self.undo_s} if self.undo_s else {})


class Answer(NamedTuple):
    """What became of an item. `again`: it may go well in another batch."""

    outcome: Outcome
    cause: str = ""
    again: bool = False

    def data(self) -> dict[str, Any]:
        """As an answer has it."""
        return {"outcome": self.outcome} | ({"cause": self.cause, "again": self.again} if self.outcome == "rejected" else {})


class Asked(NamedTuple):
    """An item of a batch as the function reads it."""

    series: Series
    name: str
    seen: Mapping[str, Any] | None
    body: bytes | None
    expires_s: int | None

    @property
    def at(self) -> ItemAt:
        """Where it lies."""
        return self.series.key, self.name

    def was_seen(self, item: Found | None) -> bool:
        """Whether the item is still what the sender saw."""
        return self.seen == seen_of(item)

    def is_done(self, item: Found | None) -> bool:
        """Whether the item is already what is asked for."""
        return item is None if self.body is None else item is not None and (item.body, item.expires_s) == (self.body, self.expires_s)


def seen_of(item: Found | None) -> dict[str, Any] | None:
    """What tells this version of an item from others."""
    if item is None:
        return None
    return {"sha256": hashlib.sha256(item.body or b"").hexdigest()} if item.version is None else {"version": item.version}


def item_text(change: ItemChange) -> str:
    """An item of a batch."""
    body = None if change.body is None else base64.b64encode(change.body).decode()
    data = {"series": change.series.text, "item": change.name, "seen": seen_of(change.before), "body": body, "expires": change.expires_s}
    return json.dumps(data, separators=(",", ":"))


def batch_bytes(head: Head, items: Sequence[str]) -> bytes:
    """The batch of these items."""
    rest = f'{json.dumps(head.data(), separators=(",", ":"))[1:-1]},"items":[{",".join(items)}]}}'
    key = hashlib.sha256(rest.encode()).hexdigest()
    return f'{{"format":{FORMAT},"key":"{key}",{rest}'.encode()


def head_of(batch: object) -> Head:
    """Of a batch as the function gets it. Raises UsageError for what is none."""
    if not isinstance(batch, dict) or batch.get("format") != FORMAT or not isinstance(batch.get("items"), list):
        raise UsageError(f"this is no batch of rollups of format {FORMAT}: caller and function must be of one version")
    names = [batch.get(one) for one in ("run_id", "granularity", "table", "key")]
    unit = batch.get("unit")
    if not all(isinstance(one, str) and one for one in names) or not isinstance(unit, list) or list(map(type, unit)) != [str, str, int]:
        raise UsageError(f"run_id, granularity, table and key of the batch are {names!r:.300}, its unit is {unit!r:.100}")
    undo_s = batch.get("undo_s", 0)
    if type(undo_s) is not int or undo_s < 0:
        raise UsageError(f"undo_s of the batch is {undo_s!r:.100}, not a number of seconds")
    return Head(batch["run_id"], Unit(*unit), batch["granularity"], batch["table"], undo_s)


def asked_of(item: object, granularity: str) -> Asked:
    """An item of a batch. Raises UsageError, with the cause, for what is none."""
    if not isinstance(item, dict):
        raise UsageError(f"{item!r:.100} is no object")
    series, name, seen, body, expires = (item.get(one) for one in ("series", "item", "seen", "body", "expires"))
    if not isinstance(series, str) or not series.startswith("["):
        raise UsageError(f"series is {series!r:.100}, not a SeriesKey")
    if not isinstance(name, str) or not name.startswith(f"{granularity}#") or name.count("#") != 1:
        raise UsageError(f"item is {name!r:.100}, not of the form {granularity}#2025-11-01T04:00")
    if not (expires is None or isinstance(expires, int)) or not (seen is None or (isinstance(seen, dict) and len(seen) == 1)):
        raise UsageError(f"expires is {expires!r:.100} and seen {seen!r:.100}")
    return Asked(series_of(series), name, seen, None if body is None else _decoded(body), expires)


def _decoded(body: object) -> bytes:
    try:
        decoded = base64.b64decode(str(body), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"body is no base64: {error}") from error
    if not decoded:
        raise UsageError("body is empty")
    return decoded


def answer_data(key: str, consumed: float, answers: Sequence[Answer]) -> dict[str, Any]:
    """The function's answer."""
    return {"format": FORMAT, "key": key, "consumed": consumed, "items": [one.data() for one in answers]}


def cause_data(cause: str) -> dict[str, Any]:
    """The answer of a function that can't take such batches."""
    return {"format": FORMAT, "cause": cause}


def answers_of(payload: bytes, items: int) -> tuple[float, list[Answer]]:
    """Units consumed and answers of so many items.

    Raises UsageError if the function can't take such batches, and ValueError if this is no answer to a batch of so many items.
    """
    data = json.loads(payload)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"it is no answer of format {FORMAT}: {payload[:200]!r}")
    if "cause" in data:
        raise UsageError(str(data["cause"]))
    answers = [Answer(one["outcome"], str(one.get("cause", "")), bool(one.get("again", False))) for one in data["items"]]
    if len(answers) != items or any(one.outcome not in OUTCOMES for one in answers):
        raise ValueError(f"{items} items were sent, and {len(answers)} answers came: {payload[:200]!r}")
    return float(data.get("consumed", 0)), answers
