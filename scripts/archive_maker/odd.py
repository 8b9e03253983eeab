"""Postings that look wrong and are right: what a decoder must read as a strict reader does (DESIGN §3, "Not broken")."""

import json
from collections.abc import Callable
from typing import Final

import numpy as np

from scripts.archive_maker.senders import Sender, arrival_text

_Change = Callable[[str], str]


def _value_as_string(point: str) -> str:
    head, _, value = point.rpartition(":")
    return f'{head}:"{value[:-1]}"}}'


def _value(text: str) -> _Change:
    def changed(point: str) -> str:
        return f"{point.rpartition(':')[0]}:{text}}}"

    return changed


def _time_as_string(point: str) -> str:
    head, _, rest = point.partition('"time":')
    time, _, tail = rest.partition(",")
    return f'{head}"time":"{time}",{tail}'


def _time_with_fraction(point: str) -> str:
    head, _, rest = point.partition('"time":')
    time, _, tail = rest.partition(",")
    return f'{head}"time":{time}.9,{tail}'


def _extra_field(point: str) -> str:
    return f'{{"unit":"ms","tags":{{"a":[1,"}}]"]}},{point[1:]}'


def _repeated_key(point: str) -> str:
    return f'{{"value":-1,{point[1:]}'


def _spaced(point: str) -> str:
    return point.replace('":', '" : ', 3)


def _reordered(point: str) -> str:
    return json.dumps(dict(reversed(json.loads(point).items())))


def _other_name(name: str) -> _Change:
    def changed(point: str) -> str:
        head, _, rest = point.partition('"name":"')
        return f'{head}"name":{name},{rest.partition(",")[2]}'

    return changed


POINT_CHANGES: Final[tuple[_Change, ...]] = (
    _value_as_string, _time_as_string, _time_with_fraction, _extra_field, _repeated_key, _spaced, _reordered,
    _value("NaN"), _value("Infinity"), _value("1e400"), _value('"NaN"'), _value("-0.0"), _value("-0"), _value("1E2"), _value("9007199254740993"),
    _value("123456789012345678901234567890"), _value("5e-324"), _value("0.1000000000000000055511151231257827"),
    _other_name('"naïve.ü→\U0001f600"'), _other_name('"escaped.\\u00e9\\/\\"quoted\\""'), _other_name('"a,b:c{d}"'), _other_name('""'),
)  # fmt: skip
"""Each turns the text of one point into an odd but valid one."""


def odd_text(sender: Sender, arrival_us: int, points: list[str], roles: str, random: np.random.Generator) -> str:
    """The posting with one odd point, an odd envelope, or no points at all."""
    head = sender.head(arrival_text(arrival_us), roles)
    choice = int(random.integers(len(POINT_CHANGES) + 4))
    if choice < len(POINT_CHANGES):
        where = int(random.integers(len(points)))
        points = [*points[:where], POINT_CHANGES[choice](points[where]), *points[where + 1 :]]
        return f"{head}{','.join(points)}]}}"
    return (
        lambda: f"{head}]}}",
        lambda: f'{head}{",".join(points)}],"agent":{{"version":"1.2","metrics":[]}}}}',
        lambda: sender.head("null", roles).replace('"receivedAt":null,', "") + ",".join(points) + "]}",
        lambda: f"{head}{','.join(reversed(points))},{points[0]}]}}",
    )[choice - len(POINT_CHANGES)]()
