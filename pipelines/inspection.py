"""`rollups inspect OBJECT|PREFIX`: what an unknown archive, or one object of it, holds, and how to restore it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from configs.jobs import InspectJob
from pipelines.advice import given_options
from pipelines.inspected import FormTally, Inspection, inspection_data
from pipelines.inspection_text import inspection_text
from pipelines.outcome import Outcome, human_number
from pipelines.runtime import Runtime
from pipelines.sampling import Listing
from transforms.archive import Archive
from transforms.archive.reading import Reader
from transforms.core.errors import ObjectUnreadable, RefusedError, UsageError
from transforms.core.keys import KeyLayout
from transforms.core.manifest import ArchiveObject
from transforms.core.model import DecodedObject
from transforms.core.selection import Reach
from transforms.core.survey import Survey
from transforms.decode.containers import unpack
from transforms.decode.forms import Form, form_of
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.unpacked import UnpackLimits

SHOWN_EVERY: Final = 1000
"""Objects."""


def run(job: InspectJob, runtime: Runtime) -> Outcome:
    """Decodes an object, or a sample of a folder's or archive's, and shows what it found.

    Exit code 5 if nothing of it could be decoded or there is nothing to decode, 2 if there is no such object or archive; dead letters alone are no failure.
    """
    found = _inspect(job, runtime)
    code = 0
    if not found.survey.decoded_records:
        runtime.say(f"rollups: nothing of {job.object!r} could be decoded: its form is none of those that are known, or it is damaged")
        code = RefusedError.exit_code
    return Outcome(exit_code=code, data=inspection_data(found), text=inspection_text(found))


def _inspect(job: InspectJob, runtime: Runtime) -> Inspection:
    path = local_path(job.object)
    if path is not None and not _is_there(path):
        msg = f"{job.object!r} is not there: name a file, a folder, or an archive's URL such as file:///data/archive"
        raise UsageError(msg)
    if path is not None and not path.is_dir():
        return _inspect_file(job, runtime, path)
    url = job.object if path is None else path.absolute().as_uri()
    archive = runtime.archive(url, job.keys)
    listing = Listing(job.objects, job.keys).add_all(_shown(archive.objects(), runtime))
    if not listing.objects:
        raise RefusedError(f"{job.object!r} holds no object: name a file, or the folder above the {job.key_pattern} folders")
    found = Inspection(target=job.object, archive=url, is_object=False, listing=listing, survey=_survey(job), given=given_options(job))
    return _decoded(job, _bodies(archive, found, runtime), found)


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


def _inspect_file(job: InspectJob, runtime: Runtime, path: Path) -> Inspection:
    body = runtime.read_file(str(path), "object")
    if not body:
        raise RefusedError(f"{job.object!r} is empty (0 bytes): there is nothing to inspect; was the download cut?")
    runtime.show(f"decoding {path}")
    one = ArchiveObject(path.absolute().as_posix().lstrip("/"), len(body), "", int(path.stat().st_mtime))
    listing, archive = Listing(1, job.keys).add_all([one]), _archive_above(path.absolute(), job.keys)
    found = Inspection(target=job.object, archive=archive, is_object=True, listing=listing, survey=_survey(job), given=given_options(job))
    return _decoded(job, [(one, body)], found)


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


def _decoded(job: InspectJob, bodies: Iterable[tuple[ArchiveObject, bytes]], found: Inspection) -> Inspection:
    """The inspection with what the objects hold."""
    rules = DecodeRules(org=job.default_org, flat=job.flat, max_object_bytes=job.max_object_bytes, read_error_output=job.read_firehose_errors)
    for one, body in bodies:
        form, inflated_bytes = _form(body, rules)
        decoded = decode_object(body, key=one.key, arrival_us=one.arrival_in(job.keys), rules=rules)
        span = job.keys.times(one.key)
        found.survey.add(decoded, named_us=None if span is None else span[0] * 1_000_000)
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
