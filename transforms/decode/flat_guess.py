"""What the fields of rows that nobody knows seem to be: a mapping for people to look at. Decoding does not depend on it.

A field is told by its values first (times lie in the years 2000 to 2100 in one unit only, values are numbers, the rest are texts), then by the words in its
name, then by its place: `eventTime` holds the word `time`, `host_id` the word `host`. Rows that hold numbers in several fields and no metric's name are wide:
one of the fields is taken as the value, its own name as the metric's.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.core.flat import CONSTANT, UNITS, FlatMapping
from transforms.core.model import DeadLetter
from transforms.decode.causes import BAD_HOST, NOT_A_POSTING, UNKNOWN_TYPE, UNSUPPORTED_PAYLOAD
from transforms.decode.flat import NO_FIELD, TYPES, exact, iso_us, read_row, time_us_of
from transforms.decode.scalars import is_numeric, is_text

SEEN_ROWS: Final = 1000
"""So many rows of an object are looked at, at most."""

_CAUSES: Final = (UNKNOWN_TYPE, UNSUPPORTED_PAYLOAD, NOT_A_POSTING, BAD_HOST)
"""Why rows of no known schema are dead letters."""

_TIME: Final = ("time", "timestamp", "ts", "datetime", "date", "at", "epoch", "when", "t")
_LATER: Final = {"created", "updated", "received", "ingested", "ingestion", "processed", "arrival", "end", "expires"}
_VALUE: Final = ("value", "val", "v", "reading", "avg", "average", "mean", "sum")
_NAME: Final = ("metric", "metrics", "measurement", "measure", "name", "key", "series", "path", "m", "n")
_ENTITY: Final = ("host", "hostname", "instance", "device", "sensor", "entity", "node", "machine", "server", "service", "pod", "resource", "source", "agent")
_TYPE: Final = ("type", "kind")
_ORG: Final = ("org", "organization", "organisation", "tenant")
_NO_NAME: Final = {"unit", "units", "type", "kind", "stream", *_ENTITY}
_NO_VALUE: Final = {"id", "port", "pid", "version", "shard", "row", "index", "offset", "partition", "sequence", "year", "month", "day", "hour"}

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_MOST: Final = 0.9
_MANY_ROWS: Final = 20
_MAX_DEPTH: Final = 4
_MAX_FIELDS: Final = 200
_MAX_LABELS: Final = 10


class Guess(NamedTuple):
    """A mapping, how many `rows` were seen and how many of them it can read (`good_rows`), and fields of numbers that it leaves out."""

    mapping: FlatMapping
    rows: int
    good_rows: int
    other_numbers: tuple[str, ...]


@dataclass
class _Field:
    """A field and its values in the rows that have it, nulls left out; `words` are those in its name."""

    name: str
    values: list[Any] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return [word.lower() for word in _WORD.findall(self.name)]

    def are_most(self, good: Callable[[Any], bool]) -> bool:
        return sum(map(good, self.values)) >= _MOST * len(self.values)

    def rank(self, wanted: Sequence[str]) -> tuple[int, int] | None:
        """The first place among the wanted words of one in the name, then how many in the name are not wanted; None if none is in it."""
        places = [wanted.index(word) for word in self.words if word in wanted]
        return (min(places), len(self.words) - len(places)) if places else None


def unknown_rows(letters: Iterable[DeadLetter]) -> list[dict[str, Any]]:
    """The first rows of an object that are dead letters because nobody knows their schema."""
    found: list[dict[str, Any]] = []
    for letter in letters:
        if letter.cause in _CAUSES:
            found += map(_without_pairs, _objects(letter.raw)) if letter.cause == UNSUPPORTED_PAYLOAD else _objects(letter.raw)
        if len(found) >= SEEN_ROWS:
            break
    return found[:SEEN_ROWS]


def guess(rows: Sequence[dict[str, Any]]) -> Guess | None:
    """What the rows seem to be; None if no mapping reads the half of them."""
    columns = _columns(rows)
    time, unit = _time(columns)
    if time is None:
        return None
    columns.remove(time)
    mapping = _mapping(columns, time.name, unit)
    good_rows = 0 if mapping is None else sum(_is_good(row, mapping) for row in rows)
    if mapping is None or 2 * good_rows < len(rows):
        return None
    others = (one.name for one in columns if one.name not in mapping.field_names and one.are_most(_is_number) and not one.are_most(_is_word))
    return Guess(mapping, len(rows), good_rows, tuple(others))


def _objects(raw: bytes) -> list[dict[str, Any]]:
    try:
        value = exact(raw)
    except (ValueError, RecursionError):
        return []
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict) and one]


def _without_pairs(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a table, with its maps, which are written as lists of pairs, as objects."""
    maps = {name for name, value in row.items() if isinstance(value, list) and value and all(isinstance(one, list) and len(one) == 2 for one in value)}
    return {name: {str(key): inner for key, inner in value} if name in maps else value for name, value in row.items()}


def _columns(rows: Sequence[dict[str, Any]]) -> list[_Field]:
    """The fields that at least half of the rows have, as a mapping names them, in the order in which they first come."""
    found: dict[str, _Field] = {}
    for row in rows:
        for name, value in _leaves(row, "", 0):
            if name in found or len(found) < _MAX_FIELDS:
                found.setdefault(name, _Field(name)).values.append(value)
    return [one for one in found.values() if 2 * len(one.values) >= len(rows)]


def _leaves(row: dict[str, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Names and values of the fields, and of those within fields; those that no mapping can name, and nulls, are left out."""
    for name, value in row.items():
        if not name or name.startswith(CONSTANT) or not is_text(name) or (before and "." in name) or value is None:
            continue
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _leaves(value, f"{before}{name}.", depth + 1)
        elif not isinstance(value, (dict, list)):
            yield before + name, value


def _time(columns: Sequence[_Field]) -> tuple[_Field | None, str]:
    """The field with the time, and the unit of its numbers."""
    found = [(one, unit) for one in columns for unit in UNITS if one.are_most(_is_time_in(unit))]
    return min(found, key=lambda pair: (bool(_LATER & set(pair[0].words)), pair[0].rank(_TIME) or (len(_TIME), 0)), default=(None, ""))


def _is_time_in(unit: str) -> Callable[[Any], bool]:
    def is_time(value: Any) -> bool:  # noqa: ANN401 - any JSON
        if isinstance(value, str) and not is_numeric(value):
            return iso_us(value) is not None
        return _is_number(value) and time_us_of(float(value), unit) is not None

    return is_time


def _is_number(value: object) -> bool:
    return is_numeric(value) if isinstance(value, str) else isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and is_text(value)


def _is_name(value: object) -> bool:
    return _is_word(value) and not _is_number(value)


def _mapping(columns: Sequence[_Field], time: str, unit: str) -> FlatMapping | None:
    texts = [one for one in columns if one.are_most(_is_name)]
    name = _ranked([one for one in texts if not _NO_NAME & set(one.words)], _NAME)
    value = _value(columns)
    if value is None:
        return None
    known = {"entity": _ranked([one for one in columns if one is not name and one.are_most(_is_word) and one is not value], _ENTITY)}
    known["org"] = _ranked([one for one in texts if one not in (name, known["entity"])], _ORG)
    known["type"] = _ranked([one for one in texts if one.are_most(lambda text: text in TYPES)], _TYPE) if known["entity"] else None
    used = (name, value, *known.values())
    return FlatMapping(
        time=time, time_unit=unit, value=value.name, name=CONSTANT + value.name if name is None else name.name,
        labels=_labels([one for one in texts if one not in used and not one.are_most(lambda text: iso_us(text) is not None)]),
        **{key: one.name for key, one in known.items() if one},
    )  # fmt: skip


def _ranked(columns: Sequence[_Field], wanted: Sequence[str]) -> _Field | None:
    """The field of the best name, if one has any of the wanted words."""
    ranked = [(rank, place) for place, one in enumerate(columns) if (rank := one.rank(wanted))]
    return columns[min(ranked)[1]] if ranked else None


def _value(columns: Sequence[_Field]) -> _Field | None:
    """The field with the value: by its name, else the first that has fractions, else the first of numbers."""
    numbers = [one for one in columns if one.are_most(_is_number) and not _NO_VALUE & set(one.words)]
    with_fractions = (one for one in numbers if any(isinstance(value, float) and value % 1 for value in one.values))
    return _ranked(numbers, _VALUE) or next(with_fractions, None) or next(iter(numbers), None)


def _labels(texts: Sequence[_Field]) -> str | tuple[str, ...]:
    """Texts that repeat; if they are all of one field, that one as a whole."""
    few = [one.name for one in texts if len(one.values) < _MANY_ROWS or 2 * len(set(one.values)) <= len(one.values)]
    objects = {name.rpartition(".")[0] for name in few}
    return objects.pop() if len(objects) == 1 and "" not in objects else tuple(few[:_MAX_LABELS])


def _is_good(row: dict[str, Any], mapping: FlatMapping) -> bool:
    try:
        return read_row(row, mapping, "")[1].dropped != NO_FIELD
    except DecodeError:
        return False
