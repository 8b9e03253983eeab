"""An inspection for people: short lines, what matters first, nothing that the archive holds written raw to a terminal."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pipelines.inspected import SHOWN_RAW_BYTES, Inspection, dropped, lateness, series_sample
from pipelines.outcome import human_bytes, human_duration, human_number, table
from transforms.core.model import labels_text
from transforms.core.survey import Survey
from transforms.core.time import format_time

_WIDTH: Final = 12
_RAW_CHARS: Final = 100


def inspection_text(found: Inspection) -> str:
    """The inspection as text."""
    lines = [*(_object(found) if found.is_object else _archive(found)), *_contents(found.survey), *_dead_letters(found), *_advice(found)]
    return "\n".join(line.rstrip() for line in lines)


def _line(label: str, text: str) -> str:
    return label.ljust(_WIDTH) + text


def _object(found: Inspection) -> Iterator[str]:
    ((form, tally),) = found.forms.items()
    yield _line("object", printable(found.target))
    inflated = "" if form.container == "none" else f", {human_bytes(tally.inflated_bytes)} inflated"
    yield _line("size", human_bytes(tally.object_bytes) + inflated)
    yield _line("container", form.container)
    yield _line("framing", form.framing)
    yield _line("schema", form.schema)
    if found.listing.named:
        yield _line("named", f"{format_time(found.listing.named[0])} by its file name or folders")


def _archive(found: Inspection) -> Iterator[str]:
    listing = found.listing
    yield _line("archive", printable(found.target))
    yield _line("objects", f"{human_number(listing.objects)}, {human_bytes(listing.object_bytes)}")
    if listing.named:
        yield _line("named", f"{format_time(listing.named[0])} to {format_time(listing.named[1])}")
    which = "all" if len(found.sampled) == listing.objects else "some of every shape of key, --objects N decodes more"
    yield _line("decoded", f"{human_number(len(found.sampled))} of them: {which}")
    yield from (_line("", printable(key)) for key in found.sampled)
    yield from map(_line, _labels("unreadable"), (f"{printable(key)}: {printable(problem)}" for key, problem in found.unreadable.items()))
    yield ""
    rows = [
        (form.container, form.framing, form.schema, *map(human_number, (tally.objects, tally.records, tally.points, tally.dead_letters)))
        for form, tally in found.forms.items()
    ]
    yield table(("container", "framing", "schema", "objects", "records", "points", "dead letters"), rows)
    yield ""


def _contents(survey: Survey) -> Iterator[str]:
    read, decoded, dead = map(human_number, (survey.records, survey.decoded_records, survey.dead_records))
    yield _line("records", f"{read} = {decoded} decoded + {dead} dead letters")
    yield _line("points", _numbers(survey.points) or "none")
    if reasons := dropped(survey):
        yield _line("dropped", _numbers(reasons))
    if survey.inexact:
        yield _line("inexact", f"{human_number(survey.inexact)} of magnitude 2^53 and more, kept as the nearest number")
    if survey.kinds:
        yield _line("kinds", _numbers(survey.kinds))
    if survey.times:
        yield _line("times", " to ".join(map(format_time, survey.times)))
    if survey.arrivals_us:
        yield _line("arrivals", " to ".join(format_time(one // 1_000_000) for one in survey.arrivals_us))
    if late := lateness(survey):
        words = {"min": "min", "median": "median", "p99": "99 % up to", "max": "max"}
        yield _line("lateness", ", ".join(f"{words[name]} {_signed(number)}" for name, number in late.items()) + " (arrival - time)")
    if survey.series:
        yield from _series(survey)


def _series(survey: Survey) -> Iterator[str]:
    sample = series_sample(survey)
    yield _line("series", human_number(len(survey.series)) + (", such as" if len(sample) < len(survey.series) else ""))
    for one in sample:
        yield _line("", printable("/".join(one[:4]) + (" " + labels_text(one.labels) if one.labels else "")))


def _numbers(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {human_number(number)}" for name, number in sorted(numbers.items()))


def _signed(seconds: int) -> str:
    return f"-{human_duration(-seconds)}" if seconds < 0 else human_duration(seconds)


def _dead_letters(found: Inspection) -> Iterator[str]:
    survey = found.survey
    for label, (cause, number) in zip(_labels("dead"), sorted(survey.causes.items()), strict=False):
        example = survey.examples[cause]
        yield _line(label, f"{cause}: {human_number(number)}")
        where = "" if found.is_object else f" of {printable(example.object)}"
        yield _line("", f"  at byte {human_number(example.offset)}{where}: {printable(example.detail)}")
        if example.raw:
            shown = printable(example.raw[:SHOWN_RAW_BYTES].decode("utf-8", "backslashreplace"))
            yield _line("", f"  {shown[:_RAW_CHARS]}{' …' if len(shown) > _RAW_CHARS or len(example.raw) > SHOWN_RAW_BYTES else ''}")


def _advice(found: Inspection) -> Iterator[str]:
    advice = found.advice
    yield ""
    yield from map(_line, _labels("know"), advice.notes)
    for label, one in zip(_labels("options"), advice.options, strict=False):
        yield _line(label, f"{one.option}{'' if one.needed else ' (if you want)'}: {one.why}")
    if advice.words:
        yield _line("next", f" \\\n{'':{_WIDTH}}  ".join(map(printable, advice.words)))
    else:
        yield _line("next", "nothing to restore: no point of it counts")


def _labels(first: str) -> Iterable[str]:
    """The label of the first line, none for those after it."""
    yield first
    while True:
        yield ""


def printable(text: str) -> str:
    """The text with everything escaped that could move a terminal's cursor or can't be written as UTF-8."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
