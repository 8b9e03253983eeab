"""What `inspect` found, and the same as data for `--json`."""

import base64
from dataclasses import dataclass, field
from typing import Any, Final

from pipelines.advice import Advice, advice, with_mapping
from pipelines.sampling import Listing
from transforms.core.flat import settings
from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.model import DeadLetter, SeriesKey
from transforms.core.survey import Span, Survey, quantile
from transforms.core.time import format_time
from transforms.decode.flat_guess import Guess
from transforms.decode.forms import Form

SHOWN_SERIES: Final = 5
SHOWN_RAW_BYTES: Final = 120


@dataclass(slots=True)
class FormTally:
    """Objects of one form, and what was in them; `example` is the key of the first."""

    example: str
    objects: int = 0
    object_bytes: int = 0
    inflated_bytes: int = 0
    records: int = 0
    points: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that was found. `archive` is the URL for a run, `is_object` whether one object was asked for, `given` the options that a run needs, too.

    `keys` is how the user said that keys show times; `listing.layout` is how they do. `sampled` are the keys of the objects that were decoded;
    `unreadable` tells what is wrong with those of the sample that could not be had, by key.
    `unknown` are rows of no known schema. If a guess of their mapping reads more points, `mapped` is the same inspection by it, from which the advice is taken.
    `firsts` are of those whose records tell their arrival: the first of these (µs), and the seconds that the key shows.
    """

    target: str
    archive: str
    is_object: bool
    listing: Listing
    survey: Survey
    given: tuple[str, ...] = ()
    forms: dict[Form, FormTally] = field(default_factory=dict)
    sampled: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    keys: KeyLayout = FIREHOSE
    firsts: list[tuple[int, Range]] = field(default_factory=list)
    unknown: list[dict[str, Any]] = field(default_factory=list)
    mapped: "Mapped | None" = None

    @property
    def advice(self) -> Advice:
        """What to type next."""
        if self.mapped:
            return with_mapping(self.mapped.found.advice, self.mapped.guess)
        return advice(self.survey, self.listing, self.archive, sampled=len(self.sampled), given=self.given, keys=self.keys)


@dataclass(frozen=True)
class Mapped:
    """A guess of what the fields of unknown rows are, and what is found by it."""

    guess: Guess
    found: Inspection


def inspection_data(found: Inspection) -> dict[str, Any]:
    """The inspection for `--json`."""
    survey, listing, advised = found.survey, found.listing, found.advice
    return {
        "object" if found.is_object else "archive": _text(found.target),
        "objects": listing.objects,
        "object_bytes": listing.object_bytes,
        "untimed_objects": listing.untimed,
        "named": None if listing.named is None else list(map(format_time, listing.named)),
        "sampled": list(map(_text, found.sampled)),
        "unreadable": {_text(key): _text(problem) for key, problem in found.unreadable.items()},
        "forms": [_form(form, tally) for form, tally in found.forms.items()],
        "records": {"read": survey.records, "decoded": survey.decoded_records, "dead_letters": survey.dead_records},
        "points": dict(sorted(survey.points.items())),
        "kinds": dict(sorted(survey.kinds.items())),
        "dropped": dropped(survey),
        "inexact_values": survey.inexact,
        "times": _times(survey.times),
        "arrivals": _arrivals(survey.arrivals_us),
        "lateness_s": lateness(survey),
        "series": len(survey.series),
        "series_sample": [_series(one) for one in series_sample(survey)],
        "dead_letters": {"total": survey.dead_records + survey.dead_points, "by_cause": [_cause(survey, one) for one in sorted(survey.causes)]},
        "flat_guess": None if found.mapped is None else _guess(found.mapped),
        "advice": {"command": " ".join(advised.words), "options": [one._asdict() for one in advised.options], "notes": list(advised.notes)},
    }


def dropped(survey: Survey) -> dict[str, int]:
    """Points that a run would drop, by reason."""
    reasons = dict(survey.dropped) | {"late": survey.late, "early": survey.early}
    return {reason: number for reason, number in sorted(reasons.items()) if number}


def lateness(survey: Survey) -> dict[str, int] | None:
    """Arrival - time of the points, in whole seconds; None if there are none."""
    counts = survey.lateness
    if not counts:
        return None
    return {"min": min(counts), "median": quantile(counts, 0.5), "p99": quantile(counts, 0.99), "max": max(counts)}


def series_sample(survey: Survey) -> list[SeriesKey]:
    """A few series, evenly spread over all in order."""
    every = sorted(survey.series)
    number = min(SHOWN_SERIES, len(every))
    return [every[place * (len(every) - 1) // max(1, number - 1)] for place in range(number)]


def _form(form: Form, tally: FormTally) -> dict[str, Any]:
    return form._asdict() | {name: getattr(tally, name) for name in FormTally.__slots__} | {"example": _text(tally.example)}


def _guess(mapped: Mapped) -> dict[str, Any]:
    """The keys of the mapping are those of `flat` in a configuration."""
    guess = mapped.guess
    return {"flat": settings(guess.mapping), "rows": guess.rows, "good_rows": guess.good_rows, "other_numbers": list(guess.other_numbers)}


def _series(key: SeriesKey) -> dict[str, Any]:
    return key._asdict() | {"labels": dict(key.labels)}


def _cause(survey: Survey, cause: str) -> dict[str, Any]:
    example: DeadLetter = survey.examples[cause]
    raw = base64.b64encode(example.raw[:SHOWN_RAW_BYTES]).decode()
    shown = {"object": _text(example.object), "offset": example.offset, "detail": _text(example.detail), "raw_bytes": len(example.raw), "raw_beginning": raw}
    return {"cause": cause, "number": survey.causes[cause], "example": shown}


def _text(text: str) -> str:
    """What stood in no UTF-8 is escaped: bytes of a file's name, lone surrogates in a detail."""
    return text.encode("utf-8", "backslashreplace").decode()


def _times(span: Span | None) -> list[str] | None:
    return None if span is None else [format_time(one) for one in span]


def _arrivals(span: Span | None) -> list[str] | None:
    return None if span is None else [format_time(one // 1_000_000) for one in span]
