"""One option: its name, its help, and how a value of it is read, wherever it is written."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transforms.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. `name` is written `--like-this` in commands and `like_this` in YAML.

    `parse` turns one written value into the value or raises UsageError; `mapping` turns a mapping that stands in
    YAML into it; `many` options may be given several times and become a tuple; a `flag` takes no value. `job_field` is the job's field where the name is a
    word of Python.
    """

    name: str
    help: str
    parse: Callable[[str], Any] = str
    default: Any = None
    metavar: str = "VALUE"
    many: bool = False
    flag: bool = False
    required: bool = False
    mapping: Callable[[Mapping[object, object]], Any] | None = None
    job_field: str = ""

    @property
    def key(self) -> str:
        """Name in YAML."""
        return self.name.replace("-", "_")

    @property
    def field(self) -> str:
        """Name in jobs."""
        return self.job_field or self.key


def one_of(what: str, allowed: Iterable[str]) -> Callable[[str], str]:
    """Accepts exactly the allowed words."""
    words = tuple(allowed)

    def parse(text: str) -> str:
        if text not in words:
            msg = f"{text!r} is no {what}: choose {', '.join(words)}"
            raise UsageError(msg)
        return text

    return parse


def folder(text: str) -> str:
    """Accepts a path."""
    if "://" in text:
        raise UsageError(f"{text!r} is a URL: name a folder of this machine, or one that is mounted")
    return text


def share(text: str) -> float:
    """Accepts a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        msg = f"{text!r} is no number from 0 to 1"
        raise UsageError(msg)
    return number


def list_of(what: str, allowed: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Accepts a comma-separated list of distinct allowed words and keeps its order."""
    word = one_of(what, allowed)

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word(part.strip()) for part in text.split(","))
        if len(set(words)) != len(words):
            msg = f"{text!r} names a {what} twice"
            raise UsageError(msg)
        return words

    return parse


def whole_number(minimum: int) -> Callable[[str], int]:
    """Accepts a whole number that is not below the minimum."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.removeprefix("-").isdigit() or int(text) < minimum:
            msg = f"{text!r} is no whole number of at least {minimum}"
            raise UsageError(msg)
        return int(text)

    return parse


def durations(what: str, allowed: Iterable[str]) -> Callable[[str], tuple[tuple[str, int], ...]]:
    """Accepts a comma-separated list of `word=duration`, each word at most once, and gives seconds: `1m=15d,5m=36h`."""
    word = one_of(what, allowed)

    def parse(text: str) -> tuple[tuple[str, int], ...]:
        pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
        words = [word(name) for name, _, _ in pairs]
        if len(set(words)) != len(words):
            msg = f"{text!r} names a {what} twice"
            raise UsageError(msg)
        return tuple((name, _seconds(duration)) for name, _, duration in pairs)

    return parse


def _seconds(text: str) -> int:
    """Seconds of `90s`, `30m`, `36h` or `15d`."""
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(text[-1:])
    number = text[:-1]
    if unit is None or not number.isascii() or not number.isdigit() or not int(number):
        msg = f"{text!r} is no duration such as 36h or 15d"
        raise UsageError(msg)
    return int(number) * unit


def parse_value(option: Option, written: object, place: str) -> object:
    """The value of an option as written on the command line or in YAML. Raises UsageError that names the place."""
    if option.flag:
        if not isinstance(written, bool):
            msg = f"{place}: {written!r} is neither true nor false"
            raise UsageError(msg)
        return written
    if option.many:
        values = written if isinstance(written, list) else [written]
        return tuple(_parse_one(option, value, place) for value in values)
    if isinstance(written, dict) and option.mapping:
        return _placed(option.mapping, written, place)
    if isinstance(written, list):
        written = ",".join(map(str, written))
    return _parse_one(option, written, place)


def _parse_one(option: Option, written: object, place: str) -> object:
    if isinstance(written, (bool, dict, list)) or written is None:
        msg = f"{place}: {written!r} is not a value for {option.metavar}"
        raise UsageError(msg)
    return _placed(option.parse, str(written), place)


def _placed(parse: Callable[[Any], Any], written: object, place: str) -> Any:  # noqa: ANN401 - the option's value
    """The parsed value. Raises UsageError that names the place."""
    try:
        return parse(written)
    except UsageError as error:
        msg = f"{place}: {error}"
        raise UsageError(msg) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a mistyped word: `; did you mean --period?`, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def defaults(options: Iterable[Option]) -> Mapping[str, object]:
    """Values of options that are given nowhere."""
    return {one.key: () if one.many else one.default for one in options}
