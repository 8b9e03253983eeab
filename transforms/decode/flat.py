"""Flat rows: JSON objects, or arrays of them, of which a mapping tells what the fields mean.

A row is broken before it is dropped; what is looked at, in this order: object, org, type, entity, name, labels, time, value. Types are service, labeled and
host; hosts and services need an entity. Labels that are not strings become compact JSON, null and missing ones are none.
Times are numbers of the mapping's unit, exact if they are integers; values are numbers; numeric strings count as numbers, as in postings.
"""

import json
import math
import re
from typing import Any, Final

from transforms.core.errors import DecodeError
from transforms.core.flat import CONSTANT, UNITS, FlatMapping
from transforms.core.model import labels_text
from transforms.decode.causes import BAD_ELEMENT, BAD_ENTITY, BAD_LABELS, BAD_NAME, BAD_POINT_ORG, BAD_POINT_TYPE, BAD_TIME, BAD_VALUE
from transforms.decode.collecting import Envelope, Record
from transforms.decode.locating import Locator
from transforms.decode.otlp_rules import GAUGE, Row, valued
from transforms.decode.scalars import TIME_FROM_S, TIME_TO_S, is_numeric, is_text

TYPES: Final = ("service", "labeled", "host")
"""What a row may be; role series are made from hosts."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_US_PER_S: Final = 1_000_000


def exact(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The value of a record of valid JSON with integers as integers."""
    text = raw.decode("utf-8-sig", "surrogateescape")
    return json.loads(text.strip(" \t\r\n\x0b\x0c"), parse_int=lambda digits: int(digits) if len(digits) <= 20 else float(digits))


def read_record(envelope: Envelope, document: Any, mapping: FlatMapping) -> Record:  # noqa: ANN401 - any JSON
    """The rows of a record."""
    record, postings = Record(), dict[tuple[str, str, str], int]()
    is_array = isinstance(document, list)
    locator = Locator(envelope.raw)
    for place, row in enumerate(document if is_array else [document]):
        try:
            identity, found = read_row(row, mapping, envelope.org)
        except DecodeError as error:
            record.bury(error, locator.raw((place,)) if is_array else envelope.raw)
            continue
        if identity not in postings:
            postings[identity] = record.add_posting(*identity, envelope.arrival_us)
        record.rows.append((postings[identity], found))
    return record


def read_row(row: object, mapping: FlatMapping, default_org: str) -> tuple[tuple[str, str, str], Row]:
    """Type, org and entity of a row, and its point. Raises DecodeError for a broken one."""
    if not isinstance(row, dict):
        raise DecodeError(BAD_ELEMENT, f"{row!a:.80} is not an object")
    org = _text(row, mapping.org, BAD_POINT_ORG, default_org)
    metric_type = _text(row, mapping.type, BAD_POINT_TYPE, "labeled")
    if metric_type not in TYPES:
        raise DecodeError(BAD_POINT_TYPE, f"type {metric_type!a:.80}")
    entity = _text(row, mapping.entity, BAD_ENTITY, "" if metric_type == "labeled" else None)
    name = _text(row, mapping.name, BAD_NAME, None)
    labels = _labels(row, mapping)
    time_us = _time_us(_found(row, mapping.time), mapping.time_unit)
    blank = Row(name, labels, GAUGE, 0, time_us, 0.0)
    return (metric_type, org, entity), valued(blank, _value(_found(row, mapping.value)))


def has_time(row: dict[str, Any], mapping: FlatMapping) -> bool:
    """Whether an object has the field with a row's time, without which none is a row."""
    return _found(row, mapping.time) is not None


def time_us_of(units: float, unit: str) -> int | None:
    """Microseconds of a time, None outside the years 2000 to 2100; exact for integers."""
    per_s = UNITS[unit]
    if not math.isfinite(units) or not TIME_FROM_S * per_s <= units < TIME_TO_S * per_s:
        return None
    return units * _US_PER_S // per_s if isinstance(units, int) else math.floor(units * (_US_PER_S / per_s))


def _found(row: dict[str, Any], field: str) -> Any:  # noqa: ANN401 - any JSON
    return field.removeprefix(CONSTANT) if field.startswith(CONSTANT) else row.get(field)


def _text(row: dict[str, Any], field: str, cause: str, default: str | None) -> str:
    value = _found(row, field) if field else None
    if value is None and default is not None:
        return default
    if isinstance(value, str) and is_text(value):
        return value
    raise DecodeError(cause, f"{field} {value!a:.80} is not a text")


def _labels(row: dict[str, Any], mapping: FlatMapping) -> str:
    pairs = _found(row, mapping.labels) if isinstance(mapping.labels, str) else {name: row.get(name) for name in mapping.labels}
    if pairs is None:
        return "{}"
    if not isinstance(pairs, dict):
        raise DecodeError(BAD_LABELS, f"{mapping.labels} {pairs!a:.80} is not an object")
    texts = {key: _label(value) for key, value in pairs.items() if value is not None}
    if not all(is_text(key) and is_text(text) for key, text in texts.items()):
        raise DecodeError(BAD_LABELS, "a label is not text")
    return labels_text(tuple(texts.items()))


def _label(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _number(value: object) -> float | None:
    """A number, an int if it is written as one; None for anything else."""
    if isinstance(value, str) and _INTEGER.fullmatch(value) and is_numeric(value):
        return int(value)
    if isinstance(value, str) and is_numeric(value):
        return float(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _time_us(value: object, unit: str) -> int:
    units = _number(value)
    time_us = None if units is None else time_us_of(units, unit)
    if time_us is None:
        raise DecodeError(BAD_TIME, f"time {value!a:.80} is not a time in {unit} between the years 2000 and 2100")
    return time_us


def _value(value: object) -> float | None:
    found = _number(value)
    if value is not None and found is None:
        raise DecodeError(BAD_VALUE, f"value {value!a:.80} is not a number")
    return None if found is None else float(found)
