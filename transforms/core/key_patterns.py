"""The pattern of dated folders that nobody named, guessed from object keys: what `--key-pattern` would have to be."""

import re
from functools import lru_cache
from typing import Final

from transforms.core.errors import UsageError
from transforms.core.keys import KeyLayout

_TEXT: Final = r"[^/\d]*"
_BETWEEN: Final = rf"{_TEXT}(?:/{_TEXT})?"
_DATED: Final = re.compile(
    rf"(?:^|/)(?P<before>{_TEXT})(?P<year>20\d\d)(?P<month>{_BETWEEN})(?:0[1-9]|1[0-2])(?P<day>{_BETWEEN})(?:0[1-9]|[12]\d|3[01])"
    rf"(?:(?P<hour>{_BETWEEN})(?:[01]\d|2[0-3]))?(?P<after>{_TEXT})$"
)


def pattern_of(key: str) -> str | None:
    """Such as `dt=YYYY-MM-dd/hour=HH` for `raw/dt=2025-11-01/hour=21/x.gz`: the folders right above the object are a date and perhaps an hour.

    None if they are not, or no KeyLayout can say them (text between that holds `MM`, folders of minutes below).
    """
    return _pattern(key[: key.rfind("/")]) if "/" in key else None


@lru_cache(maxsize=4096)
def _pattern(folders: str) -> str | None:
    found = _DATED.search(folders)
    if found is None:
        return None
    hour = "" if found["hour"] is None else f"{found['hour']}HH"
    pattern = f"{found['before']}YYYY{found['month']}MM{found['day']}dd{hour}{found['after']}"
    try:
        return pattern if KeyLayout(pattern).times(f"{folders}/") else None
    except UsageError:
        return None
