"""Folders that show a date and perhaps an hour are told from those that don't."""

import pytest

from transforms.core.key_patterns import pattern_of
from transforms.core.keys import KeyLayout


@pytest.mark.parametrize(
    ("folders", "pattern"),
    [
        ("dt=2025-11-01/hour=21", "dt=YYYY-MM-dd/hour=HH"),
        ("raw/v2/dt=2025-11-01/hour=21", "dt=YYYY-MM-dd/hour=HH"),
        ("a/year=2025/month=11/day=01/hour=21", "year=YYYY/month=MM/day=dd/hour=HH"),
        ("2025-11-01/21", "YYYY-MM-dd/HH"),
        ("2025/11/01/21", "YYYY/MM/dd/HH"),
        ("2025/11/01", "YYYY/MM/dd"),
        ("dt=2025-11-01", "dt=YYYY-MM-dd"),
        ("dt=20251101/h=05", "dt=YYYYMMdd/h=HH"),
        ("x/2025-11-01-21", "YYYY-MM-dd-HH"),
        ("dt=2025-11-01T21Z", "dt=YYYY-MM-ddTHHZ"),
        ("dt=2025-11-01/hour=21/minute=05", None),
        ("dt=2025-02-30/hour=21", None),
        ("dt=2025-13-01", None),
        ("2025/11", None),
        ("MM=2025-11-01", None),
        ("Added=2025-11-01", None),
        ("12345678", None),
        ("metrics/host", None),
        ("", None),
    ],
)
def test_patterns(folders: str, pattern: str | None) -> None:
    key = f"{folders}/part-0001.gz" if folders else "part-0001.gz"
    assert pattern_of(key) == pattern
    if pattern:
        assert KeyLayout(pattern).times(key) is not None
