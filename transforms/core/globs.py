"""Globs of series, `type/org/entity/name` as fnmatchcase understands them: many at once, and the files that list them."""

import re
from fnmatch import translate
from functools import lru_cache
from typing import Final

from transforms.core.errors import UsageError
from transforms.core.model import METRIC_TYPES

_BOM: Final = b"\xef\xbb\xbf"
_SPECIAL: Final = re.compile(r"[*?\[]")
_SLASHES: Final = 3
"""Between type, org, entity and name."""


@lru_cache(maxsize=8)
def matcher(globs: tuple[str, ...]) -> "Matcher":
    """The matcher of these globs, made once."""
    return Matcher(globs)


class Matcher:
    """Whether a path matches one of many globs.

    As quick for a thousand as for one, if they are literal up to a third slash: only those that agree with the path up to there are tried.
    """

    def __init__(self, globs: tuple[str, ...]) -> None:
        """Sorts the globs; each pattern is compiled when it is first needed."""
        self._literal = frozenset(one for one in globs if not _SPECIAL.search(one))
        self._by_head: dict[str, list[str]] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}
        for one in globs:
            if one not in self._literal:
                self._by_head.setdefault(_head(_SPECIAL.split(one)[0]), []).append(one)

    def __call__(self, path: str) -> bool:
        """Tells it."""
        return path in self._literal or self._matches(_head(path), path) or self._matches("", path)

    def _matches(self, head: str, path: str) -> bool:
        if head not in self._by_head:
            return False
        if head not in self._patterns:
            self._patterns[head] = re.compile("|".join(map(translate, self._by_head[head])))
        return self._patterns[head].match(path) is not None


def _head(text: str) -> str:
    """The text up to its third slash, empty if it has fewer."""
    parts = text.split("/", _SLASHES)
    return "/".join(parts[:_SLASHES]) if len(parts) > _SLASHES else ""


def read_series_file(body: bytes, path: str) -> tuple[str, ...]:
    """The globs of a series file: one a line, without empty lines and those that begin with `#`, each once.

    A byte-order mark, CR LF line ends, and spaces around a line are passed over; a space at a glob's end is written `[ ]`. Raises UsageError naming file, line
    and what would be right for a line that can match no series, and for a file without any glob.
    """
    globs: dict[str, None] = {}
    for number, line in enumerate(body.removeprefix(_BOM).split(b"\n"), 1):
        glob = _text(line, path, number)
        if glob and not glob.startswith("#"):
            _check(glob, path, number)
            globs[glob] = None
    if not globs:
        msg = f"the series file {path!r} names no series: put type/org/entity/name on a line each, such as host/acme/*/loadavg5, or leave --series-file out"
        raise UsageError(msg)
    return tuple(globs)


def _text(line: bytes, path: str, number: int) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        msg = f"the series file {path!r}, line {number}: {line[:40]!r} is not UTF-8: save the file as UTF-8 text"
        raise UsageError(msg)
    return text.strip(" \t\r")


def _check(glob: str, path: str, number: int) -> None:
    """A `*` may stand for anything, `?` and `[…]` for one slash."""
    problem = ""
    head = re.split(r"[*?\[/]", glob, maxsplit=1)[0]
    if glob[len(head) : len(head) + 1] == "/" and head not in METRIC_TYPES:
        problem = f"begins with the type {head!r}"
    elif "*" not in glob and sum(map(glob.count, "/?[")) < _SLASHES:
        problem = "can match no series"
    if problem:
        msg = (
            f"the series file {path!r}, line {number}: {glob!r} {problem}: "
            f"a line is type/org/entity/name, the type one of {', '.join(METRIC_TYPES)}, such as host/acme/*/loadavg5"
        )
        raise UsageError(msg)
