"""What to type next, from what an inspection found: a plan of the whole archive, the options it needs, and what to know before."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from configs.jobs import InspectJob
from configs.limit_options import LIMIT_KEYS
from configs.options import INSPECT_OPTIONS, PLAN_OPTIONS
from pipelines.outcome import human_duration, human_number
from pipelines.sampling import Listing
from transforms.core.flat import FlatMapping, settings, written
from transforms.core.granularity import HOUR_S, Range
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.survey import Survey
from transforms.core.time import format_period
from transforms.decode.causes import TOO_LARGE, TRUNCATED
from transforms.decode.flat_guess import Guess

STORE: Final = "parquet:///data/rollups"
_SHARED: Final = tuple(one for one in INSPECT_OPTIONS if one in PLAN_OPTIONS and one.key not in {"json", "config", "work_dir", *LIMIT_KEYS})
_US: Final = 1_000_000
_CLOCKS_APART_S: Final = 300
_SHOWN_FIELDS: Final = 8


class AdvisedOption(NamedTuple):
    """An option, as it would be written, and why. A `needed` one stands in the command; others change what is restored and are the user's choice."""

    option: str
    why: str
    needed: bool


@dataclass(frozen=True, kw_only=True)
class Advice:
    """`words` are the command and its options with their values, empty if there is no point for any run."""

    words: tuple[str, ...]
    options: tuple[AdvisedOption, ...]
    notes: tuple[str, ...]


def given_options(job: InspectJob) -> tuple[str, ...]:
    """The options by which an archive was looked at and which a run needs, too, as they are written on a command line."""
    words = [f"--{one.name}" + ("" if one.flag else f" {_value(getattr(job, one.key))}") for one in _SHARED if getattr(job, one.key) != one.default]
    return tuple("--config FILE.yaml" if one == "--flat " else one for one in words)


def _value(value: object) -> str:
    text = written(value) if isinstance(value, FlatMapping) else str(value)
    return shlex.quote(text) if text else ""


def advice(survey: Survey, listing: Listing, archive: str, *, sampled: int, given: tuple[str, ...] = (), keys: KeyLayout = FIREHOSE) -> Advice:
    """What to type next for the archive of this URL, of which `sampled` objects were decoded; `given` as by `given_options`.

    `keys` is the layout that the user named, which the listing's may differ from.
    """
    options = (*_key_options(listing, keys), *_options(survey))
    period = _period(survey, listing, is_whole=sampled == listing.objects)
    if period is None:
        return Advice(words=(), options=options, notes=tuple(_notes(survey, listing)))
    needed = [one.option for one in options if one.needed]
    kept = [one for one in given if one.split(" ")[0] not in {other.split(" ")[0] for other in needed}]
    words = ("rollups plan", f"--archive {shlex.quote(archive)}", f"--store {STORE}", f"--period {format_period(period)}", *needed, *kept)
    return Advice(words=words, options=options, notes=tuple(_notes(survey, listing)))


def with_mapping(advised: Advice, guess: Guess) -> Advice:
    """The advice that was given by a guessed mapping, with the mapping and what is to be known of it."""
    text, others = written(guess.mapping), guess.other_numbers
    why = f"a guess by the fields' names and values, which reads {human_number(guess.good_rows)} of {human_number(guess.rows)} rows"
    option = AdvisedOption(f"--flat {shlex.quote(text)}" if text else "--config FILE.yaml", why, needed=True)
    in_yaml = f"FILE.yaml must say flat: {json.dumps(settings(guess.mapping), ensure_ascii=False)}"
    other = f"other fields hold numbers, too: {_few(others)}; a mapping takes one of them"
    notes = (*(() if text else (in_yaml,)), *((other,) if others else ()))
    return Advice(words=advised.words, options=(option, *advised.options), notes=(*notes, *advised.notes))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_FIELDS]) + (f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else "")


def _period(survey: Survey, listing: Listing, *, is_whole: bool) -> Range | None:
    """Whole hours with the points that count and, unless every object was decoded, the times by which objects are named.

    If none counts, those that come too late or too early: the command accepts them.
    """
    times = survey.counted or survey.times
    if times is None:
        return None
    first, last = times.first, times.last + 1
    if listing.named and not is_whole:
        first, last = min(first, listing.named[0]), max(last, listing.named[1])
    return first // HOUR_S * HOUR_S, _up_to_hour(last)


def _up_to_hour(number: int) -> int:
    return -(-number // HOUR_S) * HOUR_S


def _key_options(listing: Listing, keys: KeyLayout) -> Iterator[AdvisedOption]:
    layout = listing.layout
    if layout.pattern != keys.pattern:
        yield AdvisedOption(f"--key-pattern {shlex.quote(layout.pattern)}", "so the folders show when records arrived", needed=True)
    if layout.time_zone != keys.time_zone:
        why = "by when records arrived; if it has daylight saving, name the zone itself, such as Europe/Paris"
        yield AdvisedOption(f"--key-time-zone {layout.time_zone}", why, needed=True)


def _options(survey: Survey) -> Iterator[AdvisedOption]:
    reach, is_all_outside = survey.reach, survey.counted is None
    if survey.unsaid_orgs:
        yield AdvisedOption("--default-org NAME", f"{human_number(survey.unsaid_orgs)} points name no organisation", needed=True)
    if survey.unsaid_roles:
        why = f"{human_number(survey.unsaid_roles)} host postings name no roles: a table of them restores role series"
        yield AdvisedOption("--role-membership FILE", why, needed=False)
    if survey.delays_us and survey.delays_us.last > reach.object_span_s * _US:
        delay_s = survey.delays_us.last // _US + 1
        why = f"records arrived up to {human_duration(delay_s)} after the time in their object's key"
        yield AdvisedOption(f"--object-span-s {_up_to_hour(delay_s)}", why, needed=True)
    if survey.late:
        why = f"{human_number(survey.late)} points came more than {human_duration(reach.late_s)} after their time and are dropped, the last after "
        yield AdvisedOption(f"--late-s {_up_to_hour(max(survey.lateness) + 1)}", why + human_duration(max(survey.lateness)), needed=is_all_outside)
    if survey.early:
        why = f"{human_number(survey.early)} points came more than {human_duration(reach.early_s)} before their time and are dropped, the first "
        yield AdvisedOption(f"--early-s {_up_to_hour(-min(survey.lateness))}", why + f"{human_duration(-min(survey.lateness))} before", needed=is_all_outside)
    if TOO_LARGE in survey.causes:
        yield AdvisedOption("--max-object-bytes BYTES", f"{survey.causes[TOO_LARGE]} objects are larger, decompressed", needed=True)


def _notes(survey: Survey, listing: Listing) -> Iterator[str]:
    if letters := survey.dead_records + survey.dead_points:
        yield f"a run with dead letters ends with exit code 3 until --max-dead-letters accepts them; here are {human_number(letters)}"
    if survey.delays_us and survey.delays_us.first < -_CLOCKS_APART_S * _US:
        early_s = -survey.delays_us.first // _US
        yield f"records arrived up to {human_duration(early_s)} before the time in their object's key: is it of another --key-time-zone?"
    if listing.untimed:
        yield f"{human_number(listing.untimed)} of {human_number(listing.objects)} objects show no time in their key: every run reads them,"
        yield "and their postings without a receivedAt count as arrived when the object was last changed"
    if TRUNCATED in survey.causes:
        yield "an object ends early: compare its size with the archive's before you take it for all there is"
