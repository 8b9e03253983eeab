"""`rollups backfill --dead-letters RUN_ID`: a run of just the buckets that another run's dead letters touch, now that they can be read."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence, Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np

from configs.jobs import BackfillJob
from pipelines.runtime import Runtime
from transforms.archive import Archive
from transforms.archive.reading import Reader
from transforms.core.errors import ObjectUnreadable, RefusedError, UsageError
from transforms.core.granularity import HOUR_S, MINUTE_S, Range
from transforms.core.keys import KeyLayout
from transforms.core.manifest import ArchiveObject, Manifest
from transforms.core.model import POINT_KINDS, DeadLetter, DecodedObject, Points
from transforms.core.plan import Plan, Request
from transforms.core.selection import Reach
from transforms.core.series import ACCUMULATING
from transforms.core.time import format_period, unite
from transforms.decode.causes import OF_CONTAINERS
from transforms.decode.objects import decode_object, rules_of
from transforms.steps.completion import dead_letters
from transforms.steps.ledger import Ledger

_ACCUMULATING: Final = [POINT_KINDS.index(one) for one in ACCUMULATING]


def narrowed(job: BackfillJob, runtime: Runtime) -> BackfillJob:
    """The job with the hours that the dead letters' points touch for its periods.

    The dead letters, or their objects if these were changed since, are decoded by the job's rules. Each hour with a point of theirs is computed again from the
    whole archive, as far as it belongs to the periods of the run that kept them, and so are those of the minutes after it, within the lead-in, whose increase
    or difference is to that point. So the store ends as if that run had read them in the first place. Raises UsageError if the run has no dead letters, and
    RefusedError if no point of them lies in its periods: then there is nothing to be gained.
    """
    ledger = runtime.ledger(job.work_dir, job.dead_letters)
    plan = ledger.plan()
    if job.period != plan.request.periods:
        msg = f"--dead-letters {plan.run_id} takes its periods from that run: leave --period out"
        raise UsageError(msg)
    letters = list(_letters(ledger, plan))
    if not letters:
        msg = f"the run {plan.run_id!r} has no dead letters: there is nothing to replay"
        raise UsageError(msg)
    request = job.request(membership_digest="", dry_run=False)
    points = _points(letters, ledger.manifest(plan), runtime.archive(job.archive, request.keys), request)
    periods = _within(unite(hours for one in points for hours in _touched(one, request.reach)), plan.periods)
    if not periods:
        msg = (
            f"of the {len(letters)} dead letters of run {plan.run_id!r} none gives a point in {', '.join(map(format_period, plan.periods))}: "
            f"see `rollups status {plan.run_id} --dead-letters`, and change what they need "
            "(another version, --default-org, --flat, --max-object-bytes, --read-firehose-errors, or the objects put back whole)"
        )
        raise RefusedError(msg)
    return replace(job, period=tuple(map(format_period, periods)))


def _letters(ledger: Ledger, plan: Plan) -> Iterator[DeadLetter]:
    """Those of a run that goes on are in its staging files, those of one that is over in a file of JSON lines."""
    stored = ledger.path / "dead_letters.jsonl"
    if not stored.exists():
        yield from dead_letters(plan, ledger)
        return
    with stored.open("rb") as lines:
        for line in lines:
            letter = DeadLetter(**json.loads(line))
            yield letter._replace(raw=base64.b64decode(letter.raw))


def _points(letters: Sequence[DeadLetter], manifest: Manifest, archive: Archive, request: Request) -> Iterator[Points]:
    """The points of what each dead letter kept. Where that can't be enough, those of the object as it is now: it was changed since, or its container is broken.

    Such an object that is as it was and still gives the same dead letters has no points that the run did not have.
    """
    before = {one.key: one for one in manifest.objects}
    now = _listed({one.object for one in letters}, archive, request.keys)
    whole: dict[ArchiveObject, set[DeadLetter]] = {}
    for one in letters:
        there = now.get(one.object)
        if there and (there != before[one.object] or not one.raw or one.cause in OF_CONTAINERS):
            whole.setdefault(there, set()).add(one)
        elif one.raw:
            yield _decoded(before[one.object], one.raw, request).points
    reader = Reader(archive, manifest.objects)
    for there, kept in whole.items():
        with suppress(ObjectUnreadable):
            decoded = _decoded(there, reader.read(there), request)
            if there != before[there.key] or not kept <= {*decoded.dead_letters}:
                yield decoded.points


def _listed(keys: AbstractSet[str], archive: Archive, layout: KeyLayout) -> dict[str, ArchiveObject]:
    """The objects of these keys as they are now, if they are; no folder is listed that has none of them."""
    folders = unite(span for key in keys if (span := layout.folders_times(key)))
    return {one.key: one for one in archive.objects(folders) if one.key in keys}


def _decoded(of: ArchiveObject, body: bytes, request: Request) -> DecodedObject:
    return decode_object(body, key=of.key, arrival_us=of.arrival_in(request.keys), rules=rules_of(request))


def _touched(points: Points, reach: Reach) -> list[Range]:
    """Hours that the points change: those of their minutes and, where values accumulate, of the minutes whose predecessor they may be."""
    first_s = points.time_s // MINUTE_S * MINUTE_S
    last_s = first_s if points.kind is None else first_s + np.isin(points.kind, _ACCUMULATING) * (reach.lead_in_s // MINUTE_S * MINUTE_S)
    hours = np.unique(np.stack([first_s, last_s]) // HOUR_S * HOUR_S, axis=1)
    return [(from_s, to_s + HOUR_S) for from_s, to_s in hours.T.tolist()]


def _within(ranges: Iterable[Range], periods: Iterable[Range]) -> tuple[Range, ...]:
    """The parts of the ranges that lie in a period."""
    outer = list(periods)
    parts = ((max(from_s, first_s), min(to_s, last_s)) for from_s, to_s in ranges for first_s, last_s in outer)
    return unite(part for part in parts if part[0] < part[1])
