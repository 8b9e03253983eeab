"""Globs of series, `type/org/entity/name` as fnmatchcase understands them: many at once, and the files that list them."""

import re
from collections.abc import Callable
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
def matcher(globs: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path matches one of the globs; as quick for a thousand literal paths as for one."""
    literal = frozenset(one for one in globs if not _SPECIAL.search(one))
    others = [one for one in globs if one not in literal]
    if not others:
        return literal.__contains__
    pattern = re.compile("|".join(map(translate, others)))
    return lambda path: path in literal or pattern.match(path) is not None


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
