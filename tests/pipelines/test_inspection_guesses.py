"""What `rollups inspect` guesses: folders that the key pattern does not know, their time zone, what the fields of flat rows are; and that its command works."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from scripts.encoders.containers import orc, parquet
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


# --- flat rows --------------------------------------------------------------------------------------------------------

MAPPING = "time=ts,value=v,name=metric,time_unit=ms,labels=site+room,entity=device"


def flat_rows(number: int = 40) -> list[dict[str, Any]]:
    """A row a minute of two metrics."""
    names, rooms = ("cpu", "mem"), ("x", "y")
    return [
        {"ts": (NOON_S + 60 * place) * 1000, "v": place + 0.5, "metric": names[place % 2], "device": "d", "site": "s", "room": rooms[place % 2]}
        for place in range(number)
    ]


FORMS = {
    "NDJSON": lambda rows: as_lines(*rows),
    "an array": lambda rows: json.dumps(rows).encode(),
    "Parquet": lambda rows: parquet(pa.Table.from_pylist(rows)),
    "ORC": lambda rows: orc(pa.Table.from_pylist(rows)),
    "Lambda records": lambda rows: as_lines(*(lambda_record(json.dumps(one).encode(), approximateArrivalTimestamp=one["ts"] / 1000 + 1) for one in rows)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_mapping_of_unknown_rows_is_guessed_and_works(tmp_path: Path, form: str) -> None:
    archive = write_archive(tmp_path / "a", {f"{folder('%Y/%m/%d/%H', NOON_S)}/x": [FORMS[form](flat_rows())]})
    result = inspect(archive, code=5)
    assert result.err == f"rollups: {str(archive)!r} holds rows of no known schema; --flat {MAPPING} would read them: see the options\n"
    assert f"options     --flat {MAPPING}: a guess by the fields' names and values, which reads 40 of 40 rows" in result.out.splitlines()
    found = data(archive, code=5)
    assert found["flat_guess"]["flat"] == {
        "time": "ts", "time_unit": "ms", "value": "v", "name": "metric", "labels": ["site", "room"], "entity": "device",
    }  # fmt: skip
    assert (found["points"], options(found)) == ({}, [f"--flat {MAPPING}", "--default-org NAME"])
    assert suggested(found, tmp_path)["points"]["labeled"]["stored"] == 40
    again = data(archive, "--flat", MAPPING, "--default-org", "acme")
    assert (again["points"], again["flat_guess"]) == ({"labeled": 40}, None)


def test_a_mapping_that_only_yaml_can_write_is_shown(tmp_path: Path) -> None:
    rows = [{"ts,ms": NOON_S * 1000 + place, "value": 1.5, "metric": "cpu"} for place in range(3)]
    archive = write_archive(tmp_path / "a", {f"{folder('%Y/%m/%d/%H', NOON_S)}/x": [as_lines(*rows)]})
    found = data(archive, code=5)
    assert options(found)[0] == "--config FILE.yaml"
    (note,) = (one for one in found["advice"]["notes"] if one.startswith("FILE.yaml must say "))
    (tmp_path / "flat.yaml").write_text(note.removeprefix("FILE.yaml must say "))
    assert data(archive, "--config", str(tmp_path / "flat.yaml"))["points"] == {"labeled": 3}


def test_postings_beside_unknown_rows_stay_postings(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {f"{folder('%Y/%m/%d/%H', NOON_S)}/x": [gauge("cpu", [1.0], at=5), b"\n", as_lines(*flat_rows(3))]})
    found = data(archive)
    assert (found["points"], options(found)[0].split(" ")[0]) == ({"host": 1}, "--flat")
    report = suggested(found, tmp_path)
    assert {name: report["points"][name]["stored"] for name in ("host", "labeled")} == {"host": 1, "labeled": 3}


def test_no_mapping_is_guessed_that_takes_other_points_away(tmp_path: Path) -> None:
    """An array of bare host points would be one of flat rows."""
    hosts = [json.loads(bare(NOON_S + place))[0] for place in range(9)]
    archive = write_archive(tmp_path / "a", {f"{folder('%Y/%m/%d/%H', NOON_S)}/x": [json.dumps([*hosts, *flat_rows(3)]).encode()]})
    found = data(archive)
    assert (found["points"], found["flat_guess"]) == ({"host": 9}, None)


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (gauge("cpu", [None], at=5), 0, ""),
        (as_lines({"type": "host", "hostId": "h", "metrics": [{"name": "n", "time": 5, "value": 1}]}), 5, "only dead letters (broken point: time: 1)"),
        (as_lines({"type": "host", "hostId": "h", "metrics": []}), 5, "there is no point in "),
        (b"oops\n", 5, "its form is none of those that are known, or it is damaged"),
    ],
)
def test_exit_codes(tmp_path: Path, body: bytes, code: int, says: str) -> None:
    (tmp_path / "x").write_bytes(body)
    assert says in inspect(tmp_path / "x", code=code).err
