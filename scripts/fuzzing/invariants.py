"""What must hold of every decoded object, whatever the bytes were."""

from collections import Counter

import numpy as np

from transforms.core.model import DecodedObject
from transforms.decode.causes import CAUSES
from transforms.decode.scalars import TIME_FROM_S, TIME_TO_S


def broken_promise(decoded: DecodedObject, body: bytes) -> str:
    """A sentence about the first promise that does not hold; empty if all do."""
    return _about_records(decoded) or _about_points(decoded) or _about_letters(decoded, body)


def _about_records(decoded: DecodedObject) -> str:
    tally = decoded.tally
    if tally.records != tally.decoded_records + tally.dead_records:
        return f"{tally.records} records, {tally.decoded_records} decoded and {tally.dead_records} dead"
    if len(decoded.dead_letters) != tally.dead_records + tally.dead_points:
        return f"{len(decoded.dead_letters)} dead letters, counted {tally.dead_records} + {tally.dead_points}"
    records, dead = decoded.arrivals.records, decoded.arrivals.dead_records
    if (sum(records.values()), sum(dead.values())) != (tally.records, tally.dead_records):
        return f"{tally.records} records, {tally.dead_records} dead; by hour {dict(records)}, dead {dict(dead)}"
    if any(not 0 <= number <= records.get(hour, 0) for hour, number in dead.items()):
        return f"an hour has fewer records {dict(records)} than dead ones {dict(dead)}"
    return ""


def _about_points(decoded: DecodedObject) -> str:
    points, tally = decoded.points, decoded.tally
    types = decoded.postings.metric_type.take(points.posting).to_pylist() if len(points.posting) else []
    counted = Counter({name: number - sum(of.get(name, 0) for of in tally.dropped.values()) for name, number in tally.points.items()})
    if +counted != Counter(types):
        return f"kept points by type: counted {dict(counted)}, there are {dict(Counter(types))}"
    if not np.isfinite(points.value).all():
        return "a kept value is not finite"
    if len(points.time_s) and not (points.time_s.min() >= TIME_FROM_S and points.time_s.max() < TIME_TO_S):
        return "a kept time is outside the years 2000 to 2100"
    return ""


def _about_letters(decoded: DecodedObject, body: bytes) -> str:
    for letter in decoded.dead_letters:
        if letter.cause not in CAUSES:
            return f"{letter.cause!r} is no cause"
        if letter.offset < 0 or (not body and letter.raw):
            return f"a dead letter at {letter.offset} with {len(letter.raw)} bytes"
    return ""
