"""How a plan is made: list, select, sample, cut, estimate. Used by `plan` and `backfill`."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import pyarrow as pa

from configs.jobs import PlanJob
from pipelines.costs import planning_within_budget
from pipelines.listing import Listed, list_archive, say_retries
from pipelines.outcome import human_bytes
from pipelines.runtime import Runtime, check_granularities
from transforms.archive import Archive
from transforms.archive.reading import Reader
from transforms.core.counts import total
from transforms.core.coverage import HourCoverage, coverage, over_by
from transforms.core.errors import ObjectUnreadable, RefusedError
from transforms.core.forecast import load_of, of_objects
from transforms.core.globs import read_series_file
from transforms.core.granularity import Range
from transforms.core.keys import KeyLayout
from transforms.core.live import left_to_live_writer
from transforms.core.manifest import ArchiveObject, Manifest, cut_groups
from transforms.core.plan import Estimate, Plan, Request, object_times
from transforms.core.selection import Selection
from transforms.core.slices import GroupColumns, GroupSlices
from transforms.core.time import format_period, format_time, parse_period, unite
from transforms.core.usage import NOTHING, Usage
from transforms.core.weights import points_bytes, row_weights
from transforms.decode.containers import WHOLE_ONLY, unpack
from transforms.decode.envelopes import seems_envelope
from transforms.decode.framing import whole_records
from transforms.decode.objects import DecodeRules, decode_object, rules_of
from transforms.decode.unpacked import UnpackLimits
from transforms.steps.membership import membership_from_arrow, read_membership
from transforms.stores.expected import expected_of_store
from transforms.stores.protocol import RollupStore

GROUP_BYTES: Final = 6 << 20
"""Stored bytes of a read group, about a million points with role copies: it bounds what a worker holds at once."""

MAX_GROUP_BYTES: Final = 16 << 20

MANY_GROUPS: Final = 512
"""An archive that would have more gets larger ones, up to MAX_GROUP_BYTES: a unit reads a slice of nearly every group of its day."""

GROUPS_PER_WORKER: Final = 4
SERIES_PER_SHARD: Final = 600
"""With a day of points for each of so many gauges, or of as many histograms as weigh the same (core.weights), a unit takes as much memory as a read group;
where store windows are longer, so many series-days."""

SAMPLE_OBJECTS: Final = 6
SAMPLE_BYTES: Final = 1 << 18
"""Of each sampled object so many stored bytes are decoded."""

START_S: Final = 2.0
"""Start of interpreter and Beam, seconds."""

WORK_PER_DECODE: Final = 2.0
"""CPU of a whole run over that of decoding the samples, which costs more than later objects do; by `scripts/benchmark`."""


@dataclass(frozen=True)
class Planned:
    """A plan and the data that are stored beside it."""

    plan: Plan
    manifest: Manifest
    membership: pa.Table | None


@dataclass(frozen=True)
class Sample:
    """What a few decoded objects show.

    They are of those named in the computed times, which hold `near_bytes` in all. `object_bytes` of them were decoded, in `decode_s` CPU seconds if the median
    object stands for all: the first one also warms up. `series` is the largest number of series seen in one store window, by type; `weights` the same in
    gauges, of which a series of histograms weighs several; `others` are points of the computed times whose series were not asked for.
    """

    objects: int
    object_bytes: int
    near_bytes: int
    points: int
    staged_bytes: int
    series: dict[str, int]
    weights: dict[str, int]
    decode_s: float
    records: int
    dead_records: int
    shards: int
    others: int
    late: int
    early: int


def resolve(job: PlanJob, runtime: Runtime, *, dry_run: bool) -> tuple[Request, tuple[Range, ...], pa.Table | None]:
    """What the job asks for, with its periods as times, checked without looking at archive or store."""
    now_s = runtime.now_s()
    periods = unite(parse_period(text, now_s) for text in job.period)
    body = runtime.read_file(job.role_membership, "role membership") if job.role_membership else b""
    membership = read_membership(body, job.role_membership) if job.role_membership else None
    listed = runtime.read_file(job.series_file, "series file") if job.series_file else b""
    request = job.request(
        membership_digest=_digest(body) if job.role_membership else "",
        series_file_digest=_digest(listed) if job.series_file else "",
        file_globs=read_series_file(listed, job.series_file) if job.series_file else (),
        dry_run=dry_run,
    )
    request.selection(periods)
    return request, periods, membership


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def make_plan(job: PlanJob, runtime: Runtime, run_id: str, *, dry_run: bool, meanwhile: Callable[[int], None] = lambda _: None) -> Planned:
    """The plan of a job as archive and store are now. Nothing is written but the store's last issued generation, and in a dry run not even that.

    `meanwhile` is called with the bytes to read when the job has turned out to be sound, before the sample is decoded.
    Raises UsageError for what is wrong in the job, RefusedError if there is nothing to read, no room to stage it, or not enough of a budget.
    """
    with planning_within_budget():
        return _made(job, runtime, run_id, dry_run=dry_run, meanwhile=meanwhile)


def _made(job: PlanJob, runtime: Runtime, run_id: str, *, dry_run: bool, meanwhile: Callable[[int], None]) -> Planned:
    request, periods, membership = resolve(job, runtime, dry_run=dry_run)
    store = runtime.store(job.store, request.settings)
    check_granularities(request.granularities, store, job.store)
    archive = runtime.archive(job.archive, request.keys)
    selection = request.selection(periods)
    times = object_times(selection, request.reach)
    listed = list_archive(archive, request.keys, times, runtime)
    manifest = listed.manifest
    if not manifest.objects and not job.allow_empty:
        raise RefusedError(_nothing_there(request, listed, times))
    meanwhile(manifest.size_bytes)
    sample = take_sample(request, selection, archive, manifest, membership, runtime)
    say_retries(archive, runtime)
    workers = runtime.workers(job.workers)
    plan = Plan(
        run_id=run_id,
        created_s=runtime.now_s(),
        request=request,
        periods=periods,
        generation=0,
        manifest_digest=manifest.digest(),
        object_bytes=manifest.size_bytes,
        listed_objects=listed.objects,
        untimed_objects=sum(request.keys.times(one.key) is None for one in manifest.objects),
        object_times=times,
        groups=_groups(manifest, GROUPS_PER_WORKER * workers),
        window_days=store.traits.windows.days,
        left=() if request.include_live else left_to_live_writer(store.traits.live, runtime.now_s()),
        shards={},
        estimate=_estimate(sample, manifest, workers, runtime.runs_dir(job.work_dir)),
        coverage=_coverage(manifest, request.keys, selection, runtime.now_s()),
    )
    _check_room(plan, runtime.runs_dir(job.work_dir))
    shards, new = _shards(plan, sample, store)
    plan = replace(plan, shards=shards, generation=_generation(store, runtime, dry_run=dry_run))
    plan = replace(plan, expected=expected_of_run(plan, new, workers, runtime))
    return Planned(plan, manifest, membership)


def expected_of_run(plan: Plan, new: int, workers: int, runtime: Runtime) -> Usage:
    """What the run, so many of whose partitions are new, will use, with what planning it has used. Raises RefusedError if the budget does not allow it."""
    request = plan.request
    objects = of_objects(sum(number for _, number in plan.groups), plan.object_bytes) if request.archive.startswith("s3://") else NOTHING
    rates = runtime.limits.control.wishes().rates
    to_come = objects + expected_of_store(request.store, load_of(plan, new), rates, workers)
    if meter := runtime.limits.meter:
        meter.budget.check_planned(to_come, runtime.used())
    return to_come + runtime.used()


def take_sample(request: Request, selection: Selection, archive: Archive, manifest: Manifest, membership: pa.Table | None, runtime: Runtime) -> Sample:
    """Decodes the beginning of a few objects, evenly spread over those named in the computed times; over all, if there is none."""
    near = [one for one in manifest.objects if request.keys.may_hold(one.key, selection.needed())] or manifest.objects
    number = min(SAMPLE_OBJECTS, len(near))
    chosen = [near[(2 * place + 1) * len(near) // (2 * number)] for place in range(number)]
    columns = GroupColumns(selection, request.reach, lambda _type, _window: 1, membership_from_arrow(membership) if membership is not None else None)
    rules = rules_of(request)
    cpu_s: list[float] = []
    object_bytes = 0
    read: list[ArchiveObject] = []
    for planned, body, stored_bytes in _beginnings(Reader(archive, manifest.objects), chosen, rules):
        object_bytes += stored_bytes
        started = runtime.cpu_clock()
        columns.add(decode_object(body, key=planned.key, arrival_us=planned.arrival_in(request.keys), rules=rules))
        cpu_s.append(runtime.cpu_clock() - started)
        read.append(planned)
    staged = columns.slices()
    series, weights = _series(staged)
    return Sample(
        objects=len(read),
        object_bytes=object_bytes,
        near_bytes=sum(one.size_bytes for one in near),
        points=total(staged.counts, "points"),
        staged_bytes=points_bytes(staged.batch),
        series=series,
        weights=weights,
        decode_s=median(cpu_s) * len(read) if read else 0.0,
        records=total(staged.counts, "records"),
        dead_records=total(staged.counts, "dead_records"),
        others=total(staged.counts, "outside.series"),
        shards=len(staged.arrivals.shards["shard"].unique()),
        late=total(staged.counts, "dropped.late"),
        early=total(staged.counts, "dropped.early"),
    )


def _series(staged: GroupSlices) -> tuple[dict[str, int], dict[str, int]]:
    """`series` and `weights` of a Sample."""
    series: dict[str, int] = {}
    weights: dict[str, int] = {}
    weight_of_row = row_weights(staged.batch)
    for one in staged.index:
        of_points = int(weight_of_row[one.first_row : one.first_row + one.rows].sum())
        series[one.unit.metric_type] = max(series.get(one.unit.metric_type, 0), one.rows)
        weights[one.unit.metric_type] = max(weights.get(one.unit.metric_type, 0), one.rows * of_points // one.points)
    return series, weights


def _beginnings(reader: Reader, chosen: Sequence[ArchiveObject], rules: DecodeRules) -> Iterator[tuple[ArchiveObject, bytes, int]]:
    """The objects with as much of them as is decoded, and how many stored bytes that is. Those that can't be had are left to the run."""
    for planned in chosen:
        with suppress(ObjectUnreadable):
            yield (planned, *_beginning(reader, planned, rules))


def _beginning(reader: Reader, planned: ArchiveObject, rules: DecodeRules) -> tuple[bytes, int]:
    """An object's first SAMPLE_BYTES, of those that are longer inflated and without the record that was cut; all of it if nothing can be read of a part."""
    body = reader.read(planned, first_bytes=SAMPLE_BYTES)
    if planned.size_bytes <= SAMPLE_BYTES:
        return body, len(body)
    unpacked = unpack(body, UnpackLimits(max_bytes=rules.max_object_bytes, max_expansion=rules.max_expansion))
    records = whole_records(unpacked.data)
    is_one_envelope = len(records) == len(unpacked.data) and seems_envelope(records, 0)
    if unpacked.container in WHOLE_ONLY or is_one_envelope:
        return reader.read(planned), planned.size_bytes
    return records, len(body)


def _groups(manifest: Manifest, min_groups: int) -> tuple[tuple[int, int], ...]:
    max_bytes = min(MAX_GROUP_BYTES, max(GROUP_BYTES, manifest.size_bytes // MANY_GROUPS))
    return cut_groups([one.size_bytes for one in manifest.objects], max_bytes=max_bytes, min_groups=min_groups)


def _estimate(sample: Sample, manifest: Manifest, workers: int, work_dir: Path) -> Estimate:
    scale = manifest.size_bytes / max(1, sample.object_bytes)
    points = round(sample.points * scale)
    cpu_s = sample.decode_s * scale * WORK_PER_DECODE
    duration_s = START_S + cpu_s / workers
    return Estimate(
        sampled_objects=sample.objects,
        points=points,
        series=sum(sample.series.values()),
        staging_bytes=round(sample.staged_bytes * sample.near_bytes / max(1, sample.object_bytes)),
        free_bytes=_free_bytes(work_dir),
        duration_s=duration_s,
        points_per_s=points / duration_s,
        sampled_records=sample.records,
        sampled_dead_records=sample.dead_records,
        sampled_shards=sample.shards,
        sampled_others=sample.others,
        sampled_points=sample.points,
        sampled_late=sample.late,
        sampled_early=sample.early,
    )


def _coverage(manifest: Manifest, keys: KeyLayout, selection: Selection, now_s: int) -> tuple[HourCoverage, ...]:
    timed_s = [span[0] for one in manifest.objects if (span := keys.times(one.key))]
    return coverage(timed_s, over_by(selection.needed(), now_s)) if timed_s else ()


def _free_bytes(folder: Path) -> int:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(there).free


def _check_room(plan: Plan, work_dir: Path) -> None:
    needed, free = plan.estimate.staging_bytes, plan.estimate.free_bytes
    if needed > free:
        msg = (
            f"staging needs about {human_bytes(needed)} and {str(work_dir)!r} has {human_bytes(free)} free: "
            "make room, name another --work-dir, or ask for a shorter period"
        )
        raise RefusedError(msg)


def _shards(plan: Plan, sample: Sample, store: RollupStore) -> tuple[dict[str, dict[str, int]], int]:
    """What the store has, or else as many as the sample's series need by their weight, each as many times as a window has days; how many it does not have."""
    held = {name: {window: store.shard_count(name, window) for window in plan.touched_windows()} for name in plan.request.metric_types}
    shards = {
        name: {window: number or _shard_count(sample.weights.get(name, 0) * plan.window_days) for window, number in of_type.items()}
        for name, of_type in held.items()
    }
    return shards, sum(not number for of_type in held.values() for number in of_type.values())


def _shard_count(series: int) -> int:
    """With at most SERIES_PER_SHARD series each. An even number, if not one: the next type waits for this one's last unit, and workers are mostly even."""
    return 1 if series <= SERIES_PER_SHARD else 2 * -(-series // (2 * SERIES_PER_SHARD))


def _generation(store: RollupStore, runtime: Runtime, *, dry_run: bool) -> int:
    now_ms = round(runtime.clock() * 1000)
    return max(now_ms, store.last_generation() + 1) if dry_run else store.issue_generation(now_ms)


def _nothing_there(request: Request, listed: Listed, times: tuple[Range, ...]) -> str:
    asked = f"{', '.join(map(format_period, times))} (the period with room for late, early and long objects)"
    if listed.span is None:
        return (
            f"the archive {request.archive} holds no object that may be of {asked}: "
            f"give the folder above the {request.key_pattern} folders, another period, or --allow-empty if that is expected"
        )
    first, last = listed.span
    return (
        f"the archive {request.archive} has no object named between {asked}; "
        f"the first one listed is of {format_time(first)}, the last of {format_time(last)}: ask for another period, or --allow-empty if that is expected"
    )
