"""Keys of other layouts: folder patterns and time zones, with the hours of a day when clocks are set."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import UsageError
from transforms.core.granularity import Range
from transforms.core.keys import ALWAYS, FIREHOSE, KeyLayout
from transforms.core.manifest import ArchiveObject

T = 1_761_955_200
"""2025-11-01T00:00:00Z."""

HOUR, DAY = 3600, 86_400
TOKYO = KeyLayout(time_zone="Asia/Tokyo")
BERLIN = KeyLayout(time_zone="Europe/Berlin")
HIVE = KeyLayout(pattern="dt=YYYY-MM-dd/hour=HH")
DAYS = KeyLayout(pattern="YYYY/MM/dd")


@pytest.mark.parametrize(
    ("layout", "key", "times"),
    [
        (TOKYO, "2025/11/01/09/posts", (T, T + HOUR)),
        (TOKYO, "2025/11/01/09/posts-1-2025-11-01-09-00-05-x", (T + 5, T + 6)),
        (KeyLayout(time_zone="Asia/Kolkata"), "2025/11/01/05/posts", (T - 1800, T + 1800)),
        (HIVE, "a/dt=2025-11-01/hour=05/posts", (T + 5 * HOUR, T + 6 * HOUR)),
        (HIVE, "2025/11/01/05/posts", None),
        (HIVE, "dt=2025-11-01/hour=24/posts", None),
        (DAYS, "2025/11/01/posts", (T, T + DAY)),
        (DAYS, "2025/11/01/05/posts", None),
        (KeyLayout(pattern="metrics-YYYY/MM/dd/HH"), "metrics-2025/11/01/05/posts", (T + 5 * HOUR, T + 6 * HOUR)),
        (KeyLayout(pattern="v1.0/YYYYMMdd"), "v1.0/20251101/posts", (T, T + DAY)),
        (KeyLayout(pattern="v1.0/YYYYMMdd"), "v1x0/20251101/posts", None),
        # 2025-10-26 03:00+02:00 is 02:00+01:00: the hour from 02:00 comes twice, 00:00Z to 02:00Z.
        (BERLIN, "2025/10/26/01/posts", (1_761_436_800 - HOUR, 1_761_436_800)),
        (BERLIN, "2025/10/26/02/posts", (1_761_436_800, 1_761_436_800 + 2 * HOUR)),
        (BERLIN, "2025/10/26/03/posts", (1_761_436_800 + 2 * HOUR, 1_761_436_800 + 3 * HOUR)),
        (KeyLayout(pattern="YYYY/MM/dd", time_zone="Europe/Berlin"), "2025/10/26/posts", (1_761_429_600, 1_761_429_600 + 25 * HOUR)),
        (KeyLayout(pattern="YYYY/MM/dd", time_zone="Europe/Berlin"), "2025/03/30/posts", (1_743_289_200, 1_743_289_200 + 23 * HOUR)),
    ],
)
def test_a_key_shows_its_time_by_the_layout(layout: KeyLayout, key: str, times: Range | None) -> None:
    assert layout.times(key) == times


@pytest.mark.parametrize(
    ("layout", "folder", "times", "deepest"),
    [
        (FIREHOSE, "2025/", (1_735_689_600, 1_767_225_600), False),
        (FIREHOSE, "2025/11/", (T, T + 30 * DAY), False),
        (FIREHOSE, "2025/12/", (T + 30 * DAY, T + 61 * DAY), False),
        (FIREHOSE, "2025/11/01/", (T, T + DAY), False),
        (FIREHOSE, "2025/11/01/00/", (T, T + HOUR), True),
        (FIREHOSE, "2025/11/01/00/deeper/", None, True),
        (FIREHOSE, "metrics/", None, False),
        (FIREHOSE, "2025/13/", None, False),
        (FIREHOSE, "20255/", None, False),
        (FIREHOSE, "9999/", None, False),
        (HIVE, "dt=2025-11-01/", (T, T + DAY), False),
        (HIVE, "dt=2025-11-01/hour=01/", (T + HOUR, T + 2 * HOUR), True),
        (DAYS, "2025/11/01/", (T, T + DAY), True),
        (KeyLayout(pattern="raw/YYYY/MM/dd"), "raw/", ALWAYS, False),
        (TOKYO, "2025/11/", (T - 9 * HOUR, T + 30 * DAY - 9 * HOUR), False),
    ],
)
def test_a_folder_covers_its_time(layout: KeyLayout, folder: str, times: Range | None, deepest: bool) -> None:
    assert (layout.folder_times(folder), layout.is_deepest(folder)) == (times, deepest)


@given(
    st.integers(946_684_800, 4_102_444_799),
    st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_every_folder_on_the_way_to_an_instant_covers_it(time_s: int, zone: str) -> None:
    layout = KeyLayout(time_zone=zone)
    at = datetime.fromtimestamp(time_s, ZoneInfo(zone))
    folders = [f"{at:%Y}/", f"{at:%Y/%m}/", f"{at:%Y/%m/%d}/", f"{at:%Y/%m/%d/%H}/"]
    spans = [layout.folder_times(folder) for folder in folders] + [layout.times(f"{at:%Y/%m/%d/%H}/s-1-{at:%Y-%m-%d-%H-%M-%S}-x")]
    assert all(span is not None and span[0] <= time_s < span[1] for span in spans)


def test_arrival_of_what_has_none_follows_the_layout() -> None:
    assert ArchiveObject("2025/11/01/09/posts", 1, "e", 7).arrival_in(TOKYO) == T * 1_000_000
    assert ArchiveObject("posts", 1, "e", 7).arrival_in(TOKYO) == 7_000_000


@pytest.mark.parametrize("pattern", ["", "YYYY", "YYYY/MM", "MM/dd/YYYY", "YYYY/MM/dd/HH/HH", "/YYYY/MM/dd", "YYYY/MM/dd/", "YYYY//MM/dd", "YYYY/MM/HH"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"the key pattern .* is not of folders with YYYY, MM, dd"):
        KeyLayout(pattern=pattern)


@pytest.mark.parametrize("zone", ["Asia/Tokio", "", "../etc/passwd", "/etc/localtime"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(UsageError, match="there is no time zone"):
        KeyLayout(time_zone=zone)
