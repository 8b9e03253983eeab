"""When the records in envelopes arrived: which of a Kinesis stream's shards they came from, and the hours of those that were decoded together."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.arrivals import NO_SHARDS, Arrivals, hour_of, in_hour, shard_hours
from transforms.core.granularity import HOUR_S
from transforms.core.model import DecodedObject, Ints
from transforms.decode.causes import is_of_point
from transforms.decode.payload import Payload
from transforms.decode.scalars import Json

_NAME: Final = re.compile("[a-zA-Z0-9_.-]{1,128}")
_STREAM: Final = re.compile(":stream/([a-zA-Z0-9_.-]{1,128})(?:/|$)")
_SEQUENCE: Final = "^(?:0|[1-9][0-9]{0,128})$"
"""What a shard, a stream in its ARN and a sequence number may be (Kinesis API Reference)."""


class Origins:
    """Collects where records entered their streams, as their envelopes tell it: anything that JSON can be."""

    def __init__(self) -> None:
        """None yet."""
        self._places: list[tuple[str | None, str]] = []
        self._sequences: list[str | None] = []
        self._arrivals_us: list[int] = []

    def add(self, arn: Json, shard: Json, sequence: Json, arrival_us: int) -> None:
        """A record; one that names no shard is not counted."""
        if isinstance(shard, str):
            self._places.append((arn if isinstance(arn, str) else None, shard))
            self._sequences.append(sequence if isinstance(sequence, str) and sequence.isascii() else None)
            self._arrivals_us.append(arrival_us)

    def shards(self) -> pa.Table:
        """Rows of SHARD_HOURS."""
        if not self._places:
            return NO_SHARDS
        names = {place: _name(*place) for place in set(self._places)}
        named = [names[place] for place in self._places]
        sequences = pa.array(self._sequences, pa.string())
        sequences = pc.if_else(pc.match_substring_regex(sequences, _SEQUENCE), sequences, None)
        arrivals_us = np.array(self._arrivals_us, np.int64)
        if None in names.values():
            kept = np.array([name is not None for name in named], bool)
            named, sequences, arrivals_us = [name for name in named if name], sequences.filter(pa.array(kept)), arrivals_us[kept]
        return shard_hours(named, sequences, arrivals_us)


def _name(arn: str | None, shard: str) -> str | None:
    """`stream/shard id`, the id alone if no stream is told, None if it is no id."""
    if not _NAME.fullmatch(shard):
        return None
    stream = _STREAM.search(arn) if arn else None
    return f"{stream[1]}/{shard}" if stream else shard


def timed(part: DecodedObject, payloads: Sequence[Payload]) -> DecodedObject:
    """The part that these payloads, at least one, were decoded to, with its records by hour.

    Where the payloads are of several hours, dead records are told by where their payload stands, and the others are spread as the payloads are: that is exact
    if each payload is one record, as nearly all are.
    """
    tally = part.tally
    hours = np.array([one.arrival_us for one in payloads], np.int64) // (HOUR_S * 1_000_000) * HOUR_S
    if hours.min() == hours.max():
        return replace(part, arrivals=in_hour(hour_of(payloads[0].arrival_us), tally.records, tally.dead_records))
    distinct, place = np.unique(hours, return_inverse=True)
    of_payloads = np.bincount(place)
    dead = _apportioned(tally.dead_records, _letters(part, payloads, place, len(distinct)), of_payloads)
    others = _apportioned(tally.records - tally.dead_records, np.maximum(of_payloads - dead, 0), of_payloads)
    records = dict(zip(distinct.tolist(), (dead + others).tolist(), strict=True))
    return replace(part, arrivals=Arrivals(records, {hour: number for hour, number in zip(distinct.tolist(), dead.tolist(), strict=True) if number}))


def _letters(part: DecodedObject, payloads: Sequence[Payload], place: Ints, hours: int) -> Ints:
    """How many dead letters that are records there are in each hour."""
    hour_at = {one.offset: hour for one, hour in zip(payloads, place.tolist(), strict=True)} if part.dead_letters else {}
    found = [hour_at[one.offset] for one in part.dead_letters if not is_of_point(one.cause) and one.offset in hour_at]
    return np.bincount(np.array(found, np.int64), minlength=hours)


def _apportioned(number: int, weights: Ints, otherwise: Ints) -> Ints:
    """The number in integer parts as the weights are, as they are if they add up to it; as `otherwise` says if they are all zero."""
    running = np.cumsum(weights if weights.any() else otherwise)
    parts: Ints = np.diff(np.rint(number * running / running[-1]).astype(np.int64), prepend=0)
    return parts
