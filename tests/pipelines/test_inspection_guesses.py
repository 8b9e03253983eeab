"""What `rollups inspect` guesses: folders that the key pattern does not know, their time zone, what the fields of flat rows are; and that its command works."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.encoders.envelopes import as_lines, host, lambda_record
from tests.builders import NOON_S, write_archive
from tests.pipelines.test_inspection import data, inspect, suggested
from tests.pipelines.worlds import gauge

PATTERNS = {
    "dt=YYYY-MM-dd/hour=HH": "dt=%Y-%m-%d/hour=%H",
    "year=YYYY/month=MM/day=dd/hour=HH": "year=%Y/month=%m/day=%d/hour=%H",
    "YYYY-MM-dd/HH": "%Y-%m-%d/%H",
}


def folder(layout: str, at_s: int, zone_h: int = 0) -> str:
    return (datetime.fromtimestamp(at_s, UTC) + timedelta(hours=zone_h)).strftime(layout)


def bare(at_s: int) -> bytes:
    """A bare host array, which tells no arrival."""
    return b'[{"hostId":"h1","name":"cpu","time":%d,"value":1}]' % at_s


def options(found: Any) -> list[str]:
    return [one["option"] for one in found["advice"]["options"]]


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", ["", "raw/v2/"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_folders_are_told(tmp_path: Path, pattern: str, top: str) -> None:
    ats = [NOON_S + 1800 * place for place in range(6)]
    archive = write_archive(tmp_path / "a", {f"{top}{folder(PATTERNS[pattern], at)}/part-{at}": [bare(at + 60)] for at in ats})
    found = data(archive, "--default-org", "acme")
    assert (found["untimed_objects"], found["dropped"], options(found)[0]) == (0, {}, f"--key-pattern {pattern}")
    assert not any("--late-s" in one for one in options(found))
    assert found["named"] == ["2025-11-01T12:00:00Z", "2025-11-01T15:00:00Z"]
    assert f" --key-pattern {pattern} " in found["advice"]["command"]
    report = suggested(found, tmp_path)
    assert (report["untimed_objects"], report["points"]["host"]["stored"]) == (0, 6)


def test_the_folders_of_one_object_are_told(tmp_path: Path) -> None:
    at = folder(PATTERNS["dt=YYYY-MM-dd/hour=HH"], NOON_S)
    archive = write_archive(tmp_path / "a", {f"raw/{at}/x": [bare(NOON_S + 60)]})
    found = data(archive / "raw" / at / "x")
    assert f"--archive {(archive / 'raw').as_uri()} " in found["advice"]["command"]
    assert suggested(found, tmp_path)["points"]["host"]["stored"] == 1


def test_a_pattern_that_is_right_for_few_objects_is_not_taken(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {"dt=2025-11-01/hour=12/x": [bare(NOON_S)], "b/x": [bare(NOON_S)], "b/y": [bare(NOON_S)]})
    assert data(archive)["untimed_objects"] == 3


def test_a_pattern_that_was_given_and_fits_stays(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {"dt=2025-11-01/hour=12/x": [bare(NOON_S)]})
    assert options(data(archive, "--key-pattern", "dt=YYYY-MM-dd/hour=HH")) == ["--default-org NAME", "--role-membership FILE"]


@pytest.mark.parametrize(("zone_h", "zone"), [(9, "Etc/GMT-9"), (-5, "Etc/GMT+5")])
def test_the_time_zone_is_told_by_arrivals(tmp_path: Path, zone_h: int, zone: str) -> None:
    ats = [NOON_S + 600 * place for place in range(12)]
    archive = write_archive(
        tmp_path / "a", {f"{folder(PATTERNS['YYYY-MM-dd/HH'], at, zone_h)}/{at}": [gauge("cpu", {at - NOON_S: 1.0}, at=at - NOON_S + 5)] for at in ats}
    )
    found = data(archive, "--objects", "12")
    assert options(found)[:2] == ["--key-pattern YYYY-MM-dd/HH", f"--key-time-zone {zone}"]
    assert not any("--object-span-s" in one or "--early-s" in one for one in options(found))
    assert found["named"] == ["2025-11-01T12:00:00Z", "2025-11-01T14:00:00Z"]
    assert suggested(found, tmp_path)["points"]["host"]["stored"] == 12


@pytest.mark.parametrize("shift_s", [-9 * 3600 - 1800, -300, 0])
def test_no_time_zone_is_guessed_from_what_fits_none_or_utc(tmp_path: Path, shift_s: int) -> None:
    """Half hours are not of whole-hour zones: with objects all over the hour none fits."""
    ats = [NOON_S + 300 * place for place in range(12)]
    archive = write_archive(
        tmp_path / "a",
        {f"{folder(PATTERNS['YYYY-MM-dd/HH'], at)}/{at}": [gauge("cpu", {at + shift_s - NOON_S: 1.0}, at=at + shift_s - NOON_S)] for at in ats},
    )
    assert not any("--key-time-zone" in one for one in options(data(archive, "--objects", "12")))


def test_arrivals_that_nobody_told_tell_no_time_zone(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {f"{folder(PATTERNS['YYYY-MM-dd/HH'], NOON_S, 9)}/x": [bare(NOON_S)]})
    assert not any("--key-time-zone" in one for one in options(data(archive)))


def test_arrivals_of_envelopes_tell_the_time_zone(tmp_path: Path) -> None:
    ats = [NOON_S + 600 * place for place in range(6)]
    records = [
        as_lines(lambda_record(host("a", metrics=[{"name": "n", "time": at, "value": 1}], receivedAt=None), approximateArrivalTimestamp=at + 1.5)) for at in ats
    ]
    archive = write_archive(tmp_path / "a", {f"{folder(PATTERNS['YYYY-MM-dd/HH'], at, 9)}/{at}": [record] for at, record in zip(ats, records, strict=True)})
    assert "--key-time-zone Etc/GMT-9" in options(data(archive))


def test_points_that_all_come_late_can_be_restored_if_that_is_accepted(tmp_path: Path) -> None:
    """Without a time in keys and records every one of them arrived when its object was last changed."""
    archive = write_archive(tmp_path / "a", {"x/y": [bare(NOON_S)], "x/z": [bare(NOON_S + 60)]})
    found = data(archive)
    assert found["dropped"] == {"late": 2}
    assert " --late-s " in found["advice"]["command"]
    assert suggested(found, tmp_path)["points"]["host"]["stored"] == 2
    assert "(if you want): 2 points" not in inspect(archive).out
