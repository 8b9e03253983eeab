"""`rollups inspect`: what it says of an object, a folder and an archive, of what is damaged, and of what is not there."""

import gzip
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pipelines.inspected import FormTally, Inspection, inspection_data
from pipelines.inspection_text import inspection_text
from pipelines.sampling import Listing
from tests.builders import NOON_S, decoded, write_archive
from tests.decode.test_kpl import aggregate
from tests.pipelines.test_cli import refused
from tests.pipelines.worlds import Result, call, gauge, key, service_gauge
from transforms.archive.local import LocalArchive
from transforms.core.errors import ACCESS_DENIED, ObjectUnreadable
from transforms.core.manifest import ArchiveObject
from transforms.core.model import DeadLetter
from transforms.core.survey import Survey
from transforms.decode.forms import Form

DATA = Path(__file__).parents[1] / "data"
NOON = "2025-11-01T12:00:00Z"
ONE = key(NOON_S, "a", ".gz")
POSTINGS = (
    gauge("cpu", [1.0, 2.0, None], at=125, roles=["web:app"]),
    gauge("load", {0: 1e16}, at=90_000, host="h2"),
    service_gauge("orders", {0: 1, 60: 2}, at=65, org=None),
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive", {ONE: [b"\n".join(POSTINGS)], key(NOON_S + 3600, "b"): [gauge("cpu", {3600: 1.0}, at=3601), b"\noops\n"]})


def inspect(target: Path | str, *more: str, code: int = 0) -> Result:
    result = call(["inspect", str(target), *more])
    assert result.code == code, result
    return result


def data(target: Path | str, *more: str, code: int = 0) -> Any:
    return inspect(target, "--json", *more, code=code).data


def test_what_is_said_of_one_object(archive: Path) -> None:
    result = inspect(archive / ONE)
    assert result.err == ""
    size = (archive / ONE).stat().st_size
    assert result.out == (
        f"""\
object      {archive / ONE}
size        {size} B, {len(b" ".join(POSTINGS))} B inflated
container   gzip
framing     one JSON value a line
schema      host posting, service posting
named       {NOON} by its file name or folders
records     3 = 3 decoded + 0 dead letters
points      host 4, service 2
dropped     late 1, null 1
inexact     1 of magnitude 2^53 and more, kept as the nearest number
kinds       gauge 5
times       {NOON} to 2025-11-01T12:01:00Z
arrivals    2025-11-01T12:01:05Z to 2025-11-02T13:00:00Z
lateness    min 5 s, median 1 min 5 s, 99 % up to 1 d 1 h, max 1 d 1 h (arrival - time)
series      3
            host/acme/h1/cpu
            host/acme/h2/load
            service//shop/orders

options     --default-org NAME: 2 points name no organisation
            --role-membership FILE (if you want): 1 host postings name no roles: a table of them restores role series
            --object-span-s 93600: records arrived up to 1 d 1 h after the time in their object's key
            --late-s 93600 (if you want): 1 points came more than 1 d after their time and are dropped, the last after 1 d 1 h
next        rollups plan \\
              --archive {archive.as_uri()} \\
              --store parquet:///data/rollups \\
              --period {NOON}/2025-11-01T13:00:00Z \\
              --default-org NAME \\
              --object-span-s 93600
"""
    )


def test_the_same_as_data(archive: Path) -> None:
    found = data(archive / ONE)
    assert found["object"] == str(archive / ONE)
    assert found["forms"] == [
        {
            "container": "gzip",
            "framing": "one JSON value a line",
            "schema": "host posting, service posting",
            "example": (archive / ONE).as_posix().lstrip("/"),
            "objects": 1,
            "object_bytes": (archive / ONE).stat().st_size,
            "inflated_bytes": len(b" ".join(POSTINGS)),
            "records": 3,
            "points": 6,
            "dead_letters": 0,
        }
    ]
    assert found["points"] == {"host": 4, "service": 2}
    assert found["dropped"] == {"late": 1, "null": 1}
    assert found["lateness_s"] == {"min": 5, "median": 65, "p99": 90_000, "max": 90_000}
    assert found["times"] == [NOON, "2025-11-01T12:01:00Z"]
    assert found["series"] == 3
    assert found["series_sample"][0] == {"metric_type": "host", "org": "acme", "entity": "h1", "name": "cpu", "labels": {}}
    assert found["dead_letters"] == {"total": 0, "by_cause": []}
    assert [one["option"] for one in found["advice"]["options"]] == ["--default-org NAME", "--role-membership FILE", "--object-span-s 93600", "--late-s 93600"]


@pytest.mark.parametrize("as_url", [False, True])
def test_what_is_said_of_an_archive(archive: Path, as_url: bool) -> None:
    target = archive.as_uri() if as_url else str(archive)
    lines = inspect(target).out.splitlines()
    assert lines[:7] == [
        f"archive     {target}",
        f"objects     2, {sum(path.stat().st_size for path in archive.rglob('*') if path.is_file())} B",
        f"named       {NOON} to 2025-11-01T13:00:01Z",
        "decoded     2 of them: all",
        f"            {ONE}",
        f"            {key(NOON_S + 3600, 'b')}",
        "",
    ]
    assert [" ".join(line.split()) for line in lines[7:10]] == [
        "container framing schema objects records points dead letters",
        "gzip one JSON value a line host posting, service posting 1 3 6 0",
        "none one JSON value a line host posting 1 2 1 1",
    ]
    assert "records     5 = 4 decoded + 1 dead letters" in lines
    at = lines.index("dead        bad JSON: 1")
    assert lines[at + 1 : at + 3] == [
        f"              at byte {len(gauge('cpu', {3600: 1.0}, at=3601)) + 1} of {key(NOON_S + 3600, 'b')}: Expecting value at byte 0 of the record",
        "              oops",
    ]


def test_a_sample_is_named_and_the_whole_archive_is_planned(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {key(NOON_S + 3600 * hour): [gauge("x", {3600 * hour: 1.0}, at=3600 * hour + 1)] for hour in range(30)})
    found = data(archive, "--objects", "3")
    assert (found["objects"], len(found["sampled"])) == (30, 3)
    assert set(found["sampled"]) < {path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()}
    assert found["points"] == {"host": 3}
    assert f"--period {NOON}/2025-11-02T18:00:00Z" in found["advice"]["command"]
    assert "decoded     3 of them: some of every shape of key, --objects N decodes more" in inspect(archive, "--objects", "3").out


def test_the_suggested_command_restores_what_was_seen(archive: Path, tmp_path: Path) -> None:
    """As it stands, but for the placeholders."""
    command = data(archive)["advice"]["command"].replace("parquet:///data/rollups", (tmp_path / "store").as_uri().replace("file", "parquet"))
    words = shlex.split(command.replace(" NAME", " acme").replace("rollups plan", "backfill") + f" --work-dir {tmp_path / 'work'} --json")
    result = call([*words, "--max-dead-letters", "1"])
    assert result.code == 0, result.err
    assert {name: terms["stored"] for name, terms in result.data["points"].items() if terms} == {"host": 3, "role": 2, "service": 2}


def test_options_of_a_run_are_those_of_the_inspection(archive: Path) -> None:
    found = data(archive / ONE, "--default-org", "acme", "--late-s", "90000")
    assert found["dropped"] == {"null": 1}
    assert [one["option"] for one in found["advice"]["options"]] == ["--role-membership FILE", "--object-span-s 93600"]


HIVE_KEY = "dt=2025-11-01/hour=21/posts"
HIVE = ("--key-pattern", "dt=YYYY-MM-dd/hour=HH", "--key-time-zone", "Asia/Tokyo")


def suggested(found: Any, root: Path, *more: str) -> Any:
    """What the suggested command restores, as it stands but for the store and placeholders."""
    words = shlex.split(found["advice"]["command"].replace(" NAME", " acme").replace("parquet:///data/rollups", f"parquet://{root}/store"))
    assert words[:2] == ["rollups", "plan"]
    result = call(["backfill", *words[2:], "--work-dir", str(root / "work"), "--json", *more])
    assert result.code == 0, result.err
    return result.data


@pytest.mark.parametrize("target", ["", HIVE_KEY])
def test_folders_named_otherwise(tmp_path: Path, target: str) -> None:
    """An hour of Tokyo, without a receivedAt in the posting."""
    at_noon, before = (b'[{"hostId":"h1","name":"cpu","time":%d,"value":1}]' % (NOON_S + after) for after in (0, -60))
    archive = write_archive(tmp_path / "a", {HIVE_KEY: [at_noon], "dt=2025-11-01/hour=20/x": [before]})
    found = data(archive / target, *HIVE)
    assert (found["untimed_objects"], found["named"][1]) == (0, "2025-11-01T13:00:00Z")
    assert found["arrivals"][1] == NOON
    command = found["advice"]["command"]
    assert f"--archive {archive.as_uri()} " in command
    assert command.endswith("--default-org NAME --key-pattern dt=YYYY-MM-dd/hour=HH --key-time-zone Asia/Tokyo")
    report = suggested(found, tmp_path)
    assert (report["untimed_objects"], report["points"]["host"]["points"]) == (0, 2)
    assert "  --key-pattern dt=YYYY-MM-dd/hour=HH \\\n" in inspect(archive / target, *HIVE).out


def test_a_pattern_that_is_none() -> None:
    assert refused(["inspect", "x", "--key-pattern", "YYYY"]).startswith("the key pattern 'YYYY' is not of folders")


def test_options_that_were_given_stand_in_the_command(tmp_path: Path) -> None:
    rows = b'{"ts":1762000000000,"v":1.5,"n":"cpu load --x"}'
    archive = write_archive(tmp_path / "a", {key(NOON_S, "a"): [rows]})
    given = ("--default-org", "it's acme", "--flat", "time=ts,time_unit=ms,value=v,name=n,entity==e --e", "--late-s", "90000", "--max-object-bytes", "5000")
    found = data(archive, *given)
    assert found["advice"]["command"].split(" --default-org ")[1] == (
        "'it'\"'\"'s acme' --flat 'time=ts,value=v,name=n,time_unit=ms,entity==e --e' --late-s 90000 --max-object-bytes 5000"
    )
    assert suggested(found, tmp_path)["points"]["labeled"]["stored"] == 1
    assert "--flat 'time=ts,value=v,name=n,time_unit=ms,entity==e --e' \\\n" in inspect(archive, *given).out


def test_a_mapping_that_only_yaml_can_write_is_taken_from_there(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {key(NOON_S, "a"): [b'{"ts":1762000000,"v":1.5,"n":"cpu","a,b":"c"}']})
    config = tmp_path / "c d.yaml"
    config.write_text("default_org: acme\nflat: {time: ts, value: v, name: n, labels: ['a,b']}\n")
    found = data(archive, "--config", str(config))
    assert found["advice"]["command"].endswith(" --default-org acme --config FILE.yaml")
    found["advice"]["command"] = found["advice"]["command"].replace("FILE.yaml", shlex.quote(str(config)))
    assert suggested(found, tmp_path)["points"]["labeled"]["stored"] == 1


def test_aggregates_of_the_kpl(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", {key(NOON_S, "a"): [aggregate(*POSTINGS[:2])]})
    found = data(archive / key(NOON_S, "a"))
    assert (found["forms"][0]["framing"], found["forms"][0]["schema"], found["records"]["decoded"]) == ("KPL aggregate", "host posting", 2)
    assert suggested(found, tmp_path)["points"]["host"]["stored"] == 2


# --- damaged, unknown, hostile ----------------------------------------------------------------------------------------


def test_a_truncated_download(archive: Path, tmp_path: Path) -> None:
    body = gzip.compress(b"\n".join(gauge("cpu", [float(n)], host=f"h{n}") for n in range(2000)))
    (tmp_path / "cut.gz").write_bytes(body[: len(body) // 2])
    found = data(tmp_path / "cut.gz")
    assert found["forms"][0]["container"] == "gzip"
    assert 0 < found["records"]["decoded"] < 2000
    assert [one["cause"] for one in found["dead_letters"]["by_cause"]] == ["truncated container"]
    assert "an object ends early: compare its size with the archive's before you take it for all there is" in found["advice"]["notes"]


@pytest.mark.parametrize(
    ("body", "container", "schema"),
    [
        (b"\x00\xff\x01garbage", "none", "unknown, begins with 00 ff 01 67 61 72 62 61"),
        (b"PAR1....", "parquet", "table"),
        (b"time,value\n1,2\n", "none", "text, begins with 'time,value'"),
        (gzip.compress(b'{"body":1}', mtime=0), "gzip", "object of body"),
    ],
)
def test_what_cannot_be_decoded_is_shown_and_refused(tmp_path: Path, body: bytes, container: str, schema: str) -> None:
    (tmp_path / "x").write_bytes(body)
    result = inspect(tmp_path / "x", code=5)
    assert result.err == f"rollups: nothing of {str(tmp_path / 'x')!r} could be decoded: its form is none of those that are known, or it is damaged\n"
    assert f"container   {container}\n" in result.out
    assert f"schema      {schema}\n" in result.out
    assert result.out.endswith("next        nothing to restore: no point of it counts\n")


def test_real_posts_that_still_stand_in_their_envelope() -> None:
    found = data(DATA / "agent-posts.ndjson", code=5)
    assert found["forms"][0]["schema"] == "object of receivedAt, path, body"
    assert found["records"] == {"read": 22, "decoded": 0, "dead_letters": 22}


def test_real_posts(tmp_path: Path) -> None:
    bodies = [json.loads(line)["body"].encode() for line in (DATA / "agent-posts.ndjson").read_text().splitlines()]
    write_archive(tmp_path, {"posts": bodies})
    found = data(tmp_path / "posts", "--default-org", "acme")
    assert found["forms"][0]["schema"] == "bare host points"
    assert found["records"] == {"read": 22, "decoded": 22, "dead_letters": 0}
    assert found["points"] == {"host": sum(len(json.loads(body)) for body in bodies)}
    assert found["untimed_objects"] == 1


def test_nothing_of_the_archive_reaches_the_terminal_raw(tmp_path: Path) -> None:
    write_archive(tmp_path, {"x\x1b[2J": [b"\x1b]0;title\x07\n", gauge("a\x1b[31m\u202e", [1.0], host="h\r")]})
    for target in (tmp_path, tmp_path / "x\x1b[2J"):
        text = inspect(target).out
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "host/acme/h\\r/a\\x1b[31m\\u202e" in text


def test_lines_are_short(archive: Path) -> None:
    write_archive(archive, {key(NOON_S, "long"): [b"x" * 10_000]})
    shown = [line for line in inspect(archive).out.splitlines() if "named" not in line]
    assert max(map(len, shown)) <= 160


def test_a_dead_letter_without_text_is_still_json(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gauge("x", [1.0]) + b'\n{"type":"\xff\\ud800"}\n\xff\xfe')
    found = data(tmp_path / "x")
    assert [one["cause"] for one in found["dead_letters"]["by_cause"]] == ["bad JSON", "unknown type"]


def test_a_file_name_that_is_not_utf_8() -> None:
    """Made by hand: not every file system has such names."""
    name = "caf\udce9"
    listing, survey = Listing(1).add_all([ArchiveObject(name, 2, "", NOON_S)]), Survey()
    survey.add(decoded([], [], letters=[DeadLetter(name, 0, "bad JSON", "", b"")]))
    forms = {Form("none", "no JSON", "none"): FormTally(name, 1, 2, 2)}
    for is_object in (True, False):
        found = Inspection(
            target=name, archive="file:///x", is_object=is_object, listing=listing, sampled=[name], unreadable={name: name}, forms=forms, survey=survey
        )
        assert inspection_data(found)["forms"][0]["example"] == "caf\\udce9"
        assert b"caf\\udce9" in json.dumps(inspection_data(found), ensure_ascii=False).replace("\\\\", "\\").encode()
        assert b"caf\\udce9" in inspection_text(found).encode()


def test_an_object_that_cannot_be_had_does_not_keep_the_others_back(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = LocalArchive.read

    def denying(self: LocalArchive, planned: ArchiveObject, *more: Any) -> bytes:
        if planned.key == ONE:
            raise ObjectUnreadable(planned.key, ACCESS_DENIED)
        return read(self, planned, *more)

    monkeypatch.setattr(LocalArchive, "read", denying)
    found = data(archive)
    assert found["unreadable"] == {ONE: f"reading the archive object {ONE!r}: access denied"}
    assert (found["objects"], found["sampled"]) == (2, [key(NOON_S + 3600, "b")])
    assert f"unreadable  {ONE}: reading the archive object {ONE!r}: access denied" in inspect(archive).out.splitlines()


# --- nothing there ----------------------------------------------------------------------------------------------------


def test_nothing_there_is_wrong_usage(tmp_path: Path) -> None:
    right = "name a file, a folder, or an archive's URL such as file:///data/archive"
    for target in (str(tmp_path / "x"), (tmp_path / "x").as_uri()):
        assert refused(["inspect", target]) == f"{target!r} is not there: {right}"
    assert refused(["inspect", "ftp://x/y"]) == "the archive 'ftp://x/y' has the scheme 'ftp': write file:///abs/path or s3://bucket/prefix"
    assert "File name too long" in refused(["inspect", "x" * 5000])


def test_nothing_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.gz").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    empty, folder = str(tmp_path / "empty.gz"), str(tmp_path / "folder")
    assert refused(["inspect", empty], code=5) == f"{empty!r} is empty (0 bytes): there is nothing to inspect; was the download cut?"
    assert refused(["inspect", folder], code=5) == f"{folder!r} holds no object: name a file, or the folder above the YYYY/MM/dd/HH folders"


def test_a_target_must_be_named() -> None:
    assert "object" in refused(["inspect"]).lower()
