"""How object keys show when the records in them arrived: by the second in a file name, or by folders of years, months, days and hours.

Firehose names objects `<prefix>YYYY/MM/dd/HH/<stream>-<version>-YYYY-MM-DD-HH-MM-SS-<uuid><ext>` by the arrival of the oldest record; both times are in UTC
or in the stream's CustomTimeZone (https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from transforms.core.errors import UsageError
from transforms.core.granularity import Range

PATTERN: Final = "YYYY/MM/dd/HH"

ALWAYS: Final[Range] = (-(1 << 62), 1 << 62)

_TOKEN: Final = re.compile("(YYYY|MM|dd|HH)")
_DIGITS: Final = {"YYYY": r"(\d{4})", "MM": r"(\d\d)", "dd": r"(\d\d)", "HH": r"(\d\d)"}
_FILE_TIME: Final = re.compile(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)(?!\d)")
_WIDTHS: Final = {3: timedelta(days=1), 4: timedelta(hours=1), 6: timedelta(seconds=1)}


@dataclass(frozen=True)
class KeyLayout:
    """The folders of an archive: `pattern` with YYYY, MM, dd and perhaps HH in this order between other text, in the time of an IANA `time_zone`.

    Raises UsageError for a pattern or zone that is none.
    """

    pattern: str = PATTERN
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Check both."""
        if _TOKEN.findall(self.pattern) not in (["YYYY", "MM", "dd"], ["YYYY", "MM", "dd", "HH"]) or "" in self.pattern.split("/"):
            msg = (
                f"the key pattern {self.pattern!r} is not of folders with YYYY, MM, dd and perhaps HH in this order, such as {PATTERN} or dt=YYYY-MM-dd/hour=HH"
            )
            raise UsageError(msg)
        _zone(self.time_zone)

    @cached_property
    def _levels(self) -> tuple[re.Pattern[str], ...]:
        """For each depth the folders that the pattern has there, whole and with the slash at their end."""
        parts = self.pattern.split("/")
        return tuple(re.compile(_regex("/".join(parts[: depth + 1])) + "/") for depth in range(len(parts)))

    @cached_property
    def _folder(self) -> re.Pattern[str]:
        return re.compile(f"(?:^|/){_regex(self.pattern)}/[^/]*$")

    def times(self, key: str) -> Range | None:
        """Between which times the object's oldest record arrived: a second by the file name, an hour or day by the folder, None by neither.

        Where clocks are set back, a local time means both of its times, and the range holds both.
        """
        for match in (_FILE_TIME.search(key, key.rfind("/") + 1), self._folder.search(key)):
            if match and (span := _span(match.groups(), self.time_zone)):
                return span
        return None

    def root_of(self, key: str) -> str | None:
        """What stands before the pattern's folders in an object's key; None if it lies in none."""
        found = self._folder.search(key)
        return None if found is None else key[: found.start()]

    def folder_times(self, folder: str) -> Range | None:
        """What a folder of the archive, such as `2025/11/`, covers. None if the pattern has no such folder at that depth."""
        depth = folder.count("/")
        match = self._levels[depth - 1].fullmatch(folder) if 0 < depth <= len(self._levels) else None
        if match is None:
            return None
        return _span(match.groups(), self.time_zone) if match.groups() else ALWAYS

    def folders_times(self, key: str) -> Range | None:
        """What the object's folders cover, from the archive's top on as deep as the pattern knows them; None if it does not know the first."""
        return _folders_span(self, key[: key.rfind("/") + 1])

    def may_hold(self, key: str, ranges: Sequence[Range]) -> bool:
        """Whether the object may have been named by a record that arrived in one of the ranges: neither its own time nor its folders' lies outside.

        So the objects of a run are the same wherever the archive is: folders outside are not listed where listing is dear.
        """
        return touches(self.times(key), ranges) and touches(self.folders_times(key), ranges)

    def is_deepest(self, folder: str) -> bool:
        """Whether the pattern goes no further than this folder."""
        return folder.count("/") >= len(self._levels)


def touches(span: Range | None, ranges: Sequence[Range]) -> bool:
    """Whether a span lies in part in one of the ranges; None is anywhere."""
    return span is None or any(span[0] < to_s and from_s < span[1] for from_s, to_s in ranges)


@lru_cache(maxsize=65_536)
def _folders_span(layout: KeyLayout, path: str) -> Range | None:
    folder, span = "", None
    for name in path.split("/")[:-1]:
        folder += name + "/"
        if (narrower := layout.folder_times(folder)) is None:
            break
        span = narrower
    return span


def _regex(pattern: str) -> str:
    return "".join(_DIGITS.get(part) or re.escape(part) for part in _TOKEN.split(pattern))


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        msg = f"there is no time zone {name!r}: give an IANA name such as Asia/Tokyo"
        raise UsageError(msg) from None


@lru_cache(maxsize=65_536)
def _span(fields: tuple[str, ...], zone_name: str) -> Range | None:
    """The UTC seconds of a local year, month, day, hour or second given as digits; None if there is no such date."""
    try:
        first = datetime(*map(int, (*fields, *("1", "1", "1")[len(fields) :])))  # type: ignore[arg-type]  # noqa: DTZ001 - local, the zone comes below
        end = _end(first, len(fields))
    except (ValueError, OverflowError):
        return None
    zone = _zone(zone_name)
    starts, lasts = ([int(one.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1)] for one in (first, end - timedelta(seconds=1)))
    return min(starts), max(lasts) + 1


def _end(first: datetime, fields: int) -> datetime:
    if fields == 1:
        return first.replace(year=first.year + 1)
    if fields == 2:
        return (first + timedelta(days=32)).replace(day=1)
    return first + _WIDTHS[fields]


FIREHOSE: Final = KeyLayout()
"""What Firehose does unless it is told otherwise."""
