"""Which hours the records of payloads that were decoded together arrived in."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from transforms.core.arrivals import Arrivals, hour_of, in_hour
from transforms.core.granularity import HOUR_S
from transforms.core.model import DecodedObject, Ints
from transforms.decode.causes import is_of_point
from transforms.decode.payload import Payload


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
