"""`rollups inspect OBJECT|PREFIX`: what an unknown archive, or one object of it, holds, and how to restore it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from configs.jobs import InspectJob
from pipelines.advice import given_options
from pipelines.inspected import FormTally, Inspection, Mapped, inspection_data
from pipelines.inspection_text import inspection_text
from pipelines.outcome import Outcome, human_number
from pipelines.runtime import Runtime
from pipelines.sampling import Listing
from pipelines.zones import zone_of
from transforms.archive import Archive
from transforms.archive.reading import Reader
from transforms.core.errors import ObjectUnreadable, RefusedError, UsageError
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.manifest import ArchiveObject
from transforms.core.model import DecodedObject
from transforms.core.selection import Reach
from transforms.core.survey import Survey
from transforms.decode.containers import unpack
from transforms.decode.flat_guess import Guess, guess, unknown_rows
from transforms.decode.forms import Form, form_of
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.unpacked import UnpackLimits

SHOWN_EVERY: Final = 1000
"""Objects."""

_SHOWN_CAUSES: Final = 3
_ENOUGH_ROWS: Final = 5000
"""After so many rows of no known schema no more of them are looked at."""


def run(job: InspectJob, runtime: Runtime) -> Outcome:
    """Decodes an object, or a sample of a folder's or archive's, and shows what it found.

    Exit code 0 if there are points in it, read as the job says; dead letters beside them are no failure. 5 if there is none, with what is known of it and, for
    rows of an unknown schema, the mapping by which there would be some; 2 if there is no such object or archive.
    """
    found = _inspect(job, runtime)
    code = 0
    if not sum(found.survey.points.values()):
        runtime.say(f"rollups: {_pointless(found)}")
        code = RefusedError.exit_code
    return Outcome(exit_code=code, data=inspection_data(found), text=inspection_text(found))


def _pointless(found: Inspection) -> str:
    """Why there is no point."""
    survey, target = found.survey, found.target
    if found.mapped:
        return f"{target!r} holds rows of no known schema; {found.advice.options[0].option} would read them: see the options"
    if not survey.decoded_records:
        return f"nothing of {target!r} could be decoded: its form is none of those that are known, or it is damaged"
    causes = "; ".join(f"{cause}: {human_number(number)}" for cause, number in survey.causes.most_common(_SHOWN_CAUSES))
    return f"there is no point in {target!r}" + (f", only dead letters ({causes})" if causes else "")


@dataclass(frozen=True, kw_only=True)
class _Target:
    """What is looked at: its listing, its objects' bodies (those that can't be had are noted in the inspection), and the archive's URL by a key layout."""

    is_object: bool
    listing: Listing
    bodies: Callable[[Inspection], Iterable[tuple[ArchiveObject, bytes]]]
    archive: Callable[[KeyLayout], str]


def _inspect(job: InspectJob, runtime: Runtime) -> Inspection:
    """By the layout of keys that the job names, else by the one that most keys have; in the time zone that arrivals tell, if the job names none."""
    target = _target(job, runtime)
    listing = target.listing.dated()
    found = _decoded(job, target, listing)
    if job.key_time_zone == FIREHOSE.time_zone and (zone := zone_of(found.firsts)):
        found = _decoded(job, target, listing.in_zone(zone))
    if job.flat is None and (guessed := guess(found.unknown)):
        return replace(found, mapped=_mapped(job, target, found, guessed))
    return found


def _mapped(job: InspectJob, target: _Target, found: Inspection, guessed: Guess) -> Mapped | None:
    """What there is by the guess; None if that is not more."""
    by_guess = _decoded(replace(job, flat=guessed.mapping), target, found.listing)
    before, after = found.survey.points, by_guess.survey.points
    return Mapped(guessed, by_guess) if not before - after and after != before else None


def _target(job: InspectJob, runtime: Runtime) -> _Target:
    path = local_path(job.object)
    if path is not None and not _is_there(path):
        msg = f"{job.object!r} is not there: name a file, a folder, or an archive's URL such as file:///data/archive"
        raise UsageError(msg)
    if path is not None and not path.is_dir():
        return _file(job, runtime, path)
    url = job.object if path is None else path.absolute().as_uri()
    archive = runtime.archive(url, job.keys)
    listing = Listing(job.objects, job.keys).add_all(_shown(archive.objects(), runtime))
    if not listing.objects:
        raise RefusedError(f"{job.object!r} holds no object: name a file, or the folder above the {job.key_pattern} folders")
    return _Target(is_object=False, listing=listing, bodies=lambda found: _bodies(archive, found, runtime), archive=lambda _: url)


def _survey(job: InspectJob) -> Survey:
    return Survey(Reach(late_s=job.late_s, early_s=job.early_s))


def local_path(target: str) -> Path | None:
    """The path of a local file or folder, written as a path or as a `file://` URL; None for another URL."""
    parts = urlsplit(target)
    if parts.scheme == "file" and not parts.netloc:
        return Path(unquote(parts.path))
    return None if "://" in target else Path(target)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        msg = f"looking for {str(path)[:200]!r}: {error.strerror}"
        raise UsageError(msg) from None


def _file(job: InspectJob, runtime: Runtime, path: Path) -> _Target:
    body = runtime.read_file(str(path), "object")
    if not body:
        raise RefusedError(f"{job.object!r} is empty (0 bytes): there is nothing to inspect; was the download cut?")
    runtime.show(f"decoding {path}")
    one = ArchiveObject(path.absolute().as_posix().lstrip("/"), len(body), "", int(path.stat().st_mtime))
    listing = Listing(1, job.keys).add_all([one])
    return _Target(is_object=True, listing=listing, bodies=lambda _: [(one, body)], archive=lambda keys: _archive_above(path.absolute(), keys))


def _archive_above(path: Path, keys: KeyLayout) -> str:
    """The folder above the dated folders, if the file lies in such, else its folder."""
    root = keys.root_of(path.as_posix())
    return (path.parent if root is None else Path(root or "/")).as_uri()


def _shown(objects: Iterator[ArchiveObject], runtime: Runtime) -> Iterator[ArchiveObject]:
    for number, one in enumerate(objects, 1):
        if number % SHOWN_EVERY == 0:
            runtime.show(f"listing: {human_number(number)} objects, at {one.key}")
        yield one


def _bodies(archive: Archive, found: Inspection, runtime: Runtime) -> Iterator[tuple[ArchiveObject, bytes]]:
    """The listing's chosen objects; one that can't be had, now or later, is noted in `found.unreadable`, and the others follow."""
    chosen = found.listing.chosen()
    reader = Reader(archive, chosen)
    for number, one in enumerate(chosen, 1):
        runtime.show(f"object {number} of {len(chosen)}: {one.key}")
        try:
            body = reader.read(one)
        except ObjectUnreadable as error:
            found.unreadable[one.key] = str(error)
        else:
            yield one, body


def _decoded(job: InspectJob, target: _Target, listing: Listing) -> Inspection:
    """What the listing's chosen objects hold."""
    keys, given = listing.layout, given_options(job)
    found = Inspection(
        target=job.object, archive=target.archive(keys), is_object=target.is_object, listing=listing, survey=_survey(job), given=given, keys=job.keys
    )
    rules = DecodeRules(org=job.default_org, flat=job.flat, max_object_bytes=job.max_object_bytes, read_error_output=job.read_firehose_errors)
    for one, body in target.bodies(found):
        form, inflated_bytes = _form(body, rules)
        arrival_us, span = one.arrival_in(keys), keys.times(one.key)
        decoded = decode_object(body, key=one.key, arrival_us=arrival_us, rules=rules)
        found.survey.add(decoded, named_us=None if span is None else span[0] * 1_000_000)
        told_us = decoded.postings.arrival_us[decoded.postings.arrival_us != arrival_us]
        if span and len(told_us):
            found.firsts.append((int(told_us.min()), span))
        if len(found.unknown) < _ENOUGH_ROWS:
            found.unknown.extend(unknown_rows(decoded.dead_letters))
        _count(found.forms.setdefault(form, FormTally(one.key)), len(body), inflated_bytes, decoded)
        found.sampled.append(one.key)
    return found


def _form(body: bytes, rules: DecodeRules) -> tuple[Form, int]:
    unpacked = unpack(body, UnpackLimits(max_bytes=rules.max_object_bytes, max_expansion=rules.max_expansion))
    return form_of(unpacked), len(unpacked.data)


def _count(tally: FormTally, stored_bytes: int, inflated_bytes: int, decoded: DecodedObject) -> None:
    tally.objects += 1
    tally.object_bytes += stored_bytes
    tally.inflated_bytes += inflated_bytes
    tally.records += decoded.tally.records
    tally.points += sum(decoded.tally.points.values())
    tally.dead_letters += len(decoded.dead_letters)


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("inspect")
