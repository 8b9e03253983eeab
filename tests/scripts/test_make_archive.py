"""Generated archives: the same options give the same bytes, each option does what it says, and what should be plain is."""

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from scripts import make_archive, oracle
from scripts.archive_maker.corrupt import CORRUPTIONS
from scripts.archive_maker.odd import POINT_CHANGES
from scripts.archive_maker.options import ArchiveOptions, parse
from tests.scripts.archive_reading import KEY, Made, entity_of, key_time_s, made, values_of

EVERYTHING: dict[str, str | float] = {
    "roles": 1.5, "roles_absent": 0.1, "bare": 0.05, "duplicates": 0.05, "late": 0.05, "early": 0.05, "out_of_order": 0.05, "reposted_lower": 0.05,
    "ties": 0.05, "churn": 0.5, "nulls": 0.02, "odd": 0.05, "corrupt": 0.2, "compression": "mixed", "separator": "mixed",
}  # fmt: skip
START_S = ArchiveOptions.start_s


def digest(one: Made) -> str:
    sums = hashlib.sha256()
    for key, body in sorted(one.objects.items()):
        sums.update(key.encode() + b"\0" + body)
    return sums.hexdigest()


# --- determinism -----------------------------------------------------------------------------------------------------


def test_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    assert digest(made(tmp_path / "a", **EVERYTHING)) == digest(made(tmp_path / "b", **EVERYTHING))


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    assert digest(made(tmp_path / "a")) != digest(made(tmp_path / "b", seed=2))


def test_a_twist_leaves_the_other_postings_as_they_were(tmp_path: Path) -> None:
    without, with_duplicates = made(tmp_path / "a").postings, made(tmp_path / "b", duplicates=0.1).postings
    assert {json.dumps(one) for one in without} == {json.dumps(one) for one in with_duplicates}
    assert len(with_duplicates) > len(without)


# --- keys and objects ------------------------------------------------------------------------------------------------


def test_an_object_is_named_by_the_arrival_of_its_oldest_record(tmp_path: Path) -> None:
    one = made(tmp_path, prefix="fire/hose/", stream="metric-posts", out_of_order=0.2, duplicates=0.1, late=0.05)
    assert len(one.objects) > 20
    for key, text in one.texts.items():
        match = KEY.fullmatch(key)
        assert match is not None, key
        assert (match["prefix"], match["stream"], match["ext"]) == ("fire/hose/", "metric-posts", ".gz")
        assert match["time"].replace("-", "/")[:13] == match["folder"]
        assert key_time_s(key) == int(min(posting["receivedAt"] for posting in values_of(text)))


def test_an_object_spans_no_more_than_its_interval_and_disorder(tmp_path: Path) -> None:
    for text in made(tmp_path, out_of_order=0.2, duplicates=0.1, object_interval_s=300).texts.values():
        arrivals = [posting["receivedAt"] for posting in values_of(text)]
        assert max(arrivals) - min(arrivals) < 300 + 600 + 1800 < 2 * 3600


def test_size_closes_an_object(tmp_path: Path) -> None:
    one = made(tmp_path, object_bytes=10_000, object_interval_s=86_400)
    sizes = [len(text) for text in one.texts.values()]
    assert len(sizes) > 50
    assert max(sizes) < 11_000
    assert sorted(sizes)[1] >= 10_000, "but for the last they are full"


def test_number_of_records_closes_an_object(tmp_path: Path) -> None:
    counts = Counter(len(list(values_of(text))) for text in made(tmp_path, records_per_object=100, object_interval_s=86_400).texts.values())
    assert counts[100] >= sum(counts.values()) - 1


@pytest.mark.parametrize(("compression", "magic", "extension"), [("gzip", b"\x1f\x8b", ".gz"), ("zstd", b"\x28\xb5\x2f\xfd", ".zst"), ("none", b'{"', "")])
def test_compression(tmp_path: Path, compression: str, magic: bytes, extension: str) -> None:
    for key, body in made(tmp_path, compression=compression).objects.items():
        assert body.startswith(magic)
        assert key.removesuffix(extension)[-1].isalnum()
        assert key.endswith(extension)


def test_mixed_compression_has_members_and_wrong_extensions(tmp_path: Path) -> None:
    objects = made(tmp_path, compression="mixed", object_interval_s=120).objects
    kinds = {key: "gzip" if body.startswith(b"\x1f\x8b") else "zstd" if body.startswith(b"\x28") else "none" for key, body in objects.items()}
    assert set(kinds.values()) == {"gzip", "zstd", "none"}
    assert any(body.count(b"\x1f\x8b\x08\0\0\0\0\0") == 3 for body in objects.values())
    right = {"gzip": ".gz", "zstd": ".zst", "none": ""}
    wrong = sum(Path(key).suffix != right[kind] for key, kind in kinds.items())
    assert 0 < wrong < len(kinds) / 2


def test_gzip_level_makes_objects_smaller(tmp_path: Path) -> None:
    assert made(tmp_path / "a", gzip_level=9).summary["bytes"] < made(tmp_path / "b", gzip_level=1).summary["bytes"]


@pytest.mark.parametrize(("separator", "between"), [("newline", "}\n{"), ("none", "}{")])
def test_separator(tmp_path: Path, separator: str, between: str) -> None:
    one = made(tmp_path, separator=separator)
    assert all(text.count("]}" + between[1:]) == len(list(values_of(text))) - 1 for text in one.texts.values())


def test_mixed_separators(tmp_path: Path) -> None:
    one = made(tmp_path, separator="mixed", object_interval_s=120)
    tails = {text[len(text.rstrip()) :] for text in one.texts.values()}
    assert tails == {"\n", "", " ", "\r\n", "\n\n"}
    assert len(one.postings) == 22 * 360


# --- size ------------------------------------------------------------------------------------------------------------


def test_without_twists_every_series_has_each_minute_once(tmp_path: Path) -> None:
    one = made(tmp_path)
    minutes = Counter((entity, name, time // 60) for entity, name, _, time, _ in one.points)
    assert set(minutes.values()) == {1}
    assert {minute for *_, minute in minutes} == set(range(START_S // 60, START_S // 60 + 360))
    assert len(minutes) == 22 * 3 * 360 == one.summary["distinct_points"] == sum(one.summary["points"].values())
    assert one.summary["series"] == {"host": 60, "service": 6}
    assert one.summary["records"] == 22 * 360
    assert one.summary["twists"] == {}


def test_arrivals_follow_times_and_come_in_order(tmp_path: Path) -> None:
    one = made(tmp_path)
    assert all(0 < arrival - time < 21 for *_, arrival, time, _ in one.points)
    arrivals = [posting["receivedAt"] for posting in one.postings]
    assert arrivals == sorted(arrivals)


def test_values_are_short_and_change(tmp_path: Path) -> None:
    values = [value for entity, name, _, _, value in made(tmp_path, hosts=1, services=0).points if name == "loadavg1"]
    assert len(set(values)) > 100
    assert all(value == round(value, 3) >= 0 for value in values)


def test_posting_interval(tmp_path: Path) -> None:
    assert Counter(made(tmp_path / "a", interval_s=30).summary["points"])["host"] == 2 * 20 * 3 * 360
    per_minute = Counter((entity, name, time // 60) for entity, name, _, time, _ in made(tmp_path / "b", interval_s=30).points)
    assert set(per_minute.values()) == {2}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--points 1440000 --days 1", (18, 2)),
        ("--points 1440000 --days 1 --types host", (20, 0)),
        ("--points 1440000 --days 1 --types service", (0, 20)),
        ("--points 1440000 --days 2 --metrics-per-posting 25", (18, 2)),
        ("--hosts 7 --services 3", (7, 3)),
        ("--hosts 7 --services 3 --types host", (7, 0)),
        ("", (10, 1)),
    ],
)
def test_points_decide_hosts_and_services(arguments: str, expected: tuple[int, int]) -> None:
    options = parse(["folder", *arguments.split()])[1]
    assert (options.hosts, options.services) == expected


# --- twists ----------------------------------------------------------------------------------------------------------

POSTINGS = 22 * 360


def near(number: float, share: float) -> bool:
    """Within four standard deviations of so many among all postings."""
    return bool(abs(number - POSTINGS * share) < 4 * (POSTINGS * share) ** 0.5)


def test_duplicates_are_the_same_record_again(tmp_path: Path) -> None:
    one = made(tmp_path, duplicates=0.05)
    times = Counter(json.dumps(posting) for posting in one.postings)
    assert set(times.values()) == {1, 2}
    assert near(sum(number == 2 for number in times.values()), 0.05)
    where = {key: {json.dumps(posting) for posting in values_of(text)} for key, text in one.texts.items()}
    assert any(first & second for first, second in pairwise(where.values())), "some stand in two objects"


def test_late_postings_arrive_late_and_some_too_late(tmp_path: Path) -> None:
    delays = [posting["receivedAt"] - posting["metrics"][0]["time"] for posting in made(tmp_path, late=0.1).postings]
    late = [delay for delay in delays if delay > 60]
    assert near(len(late), 0.1)
    assert 600 <= min(late) < 3600
    assert 0.05 < sum(delay > 86_400 for delay in late) / len(late) < 0.15
    assert len(delays) == POSTINGS


def test_early_postings_carry_a_time_ahead_and_some_too_far(tmp_path: Path) -> None:
    ahead = [posting["metrics"][0]["time"] - posting["receivedAt"] for posting in made(tmp_path, early=0.1).postings]
    early = [one for one in ahead if one > 0]
    assert near(len(early), 0.1)
    assert 0.05 < sum(one > 86_400 for one in early) / len(early) < 0.15


def test_out_of_order_within_and_across_objects(tmp_path: Path) -> None:
    one = made(tmp_path, out_of_order=0.05, object_interval_s=120)
    by_key = [[posting["receivedAt"] for posting in values_of(text)] for _, text in sorted(one.texts.items())]
    assert any(arrivals != sorted(arrivals) for arrivals in by_key)
    assert any(max(earlier) > min(later) for earlier, later in pairwise(by_key))
    assert sum(map(len, by_key)) == POSTINGS


def test_reposted_values_are_lower_and_arrive_on_either_side(tmp_path: Path) -> None:
    by_minute: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for posting in made(tmp_path, reposted_lower=0.05).postings:
        by_minute.setdefault((entity_of(posting), posting["metrics"][0]["time"]), []).append(posting)
    pairs = [sorted(found, key=lambda one: one["receivedAt"]) for found in by_minute.values() if len(found) == 2]
    assert near(len(pairs), 0.05)
    sums = [[sum(point["value"] for point in one["metrics"]) for one in pair] for pair in pairs]
    assert any(first > last for first, last in sums)
    assert any(first < last for first, last in sums)
    assert all(max(pair) > min(pair) for pair in sums)


def test_ties_arrive_together_with_other_values(tmp_path: Path) -> None:
    by_arrival: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for posting in made(tmp_path, ties=0.05).postings:
        by_arrival.setdefault((entity_of(posting), posting["receivedAt"]), []).append(posting)
    tied = [found for found in by_arrival.values() if len(found) == 2]
    assert near(len(tied), 0.05)
    assert all(first["metrics"] != second["metrics"] and first["metrics"][0]["time"] == second["metrics"][0]["time"] for first, second in tied)


def test_churn_replaces_hosts_and_services(tmp_path: Path) -> None:
    one = made(tmp_path, churn=0.5, duration_s=2 * 86_400, interval_s=600)
    entities = {entity_of(posting) for posting in one.postings}
    assert 22 + 10 <= len(entities) <= 22 + 34
    assert sum(one.summary["series"].values()) == 3 * len(entities)
    assert len(one.postings) == 22 * 288


def test_roles_are_the_hosts_own_and_as_many_as_asked(tmp_path: Path) -> None:
    roles: dict[str, set[tuple[str, ...]]] = {}
    for posting in made(tmp_path, hosts=200, duration_s=600, roles=1.5).postings:
        if posting["type"] == "host":
            roles.setdefault(posting["hostId"], set()).add(tuple(posting["roles"]))
    assert all(len(found) == 1 for found in roles.values())
    counts = Counter(len(next(iter(found))) for found in roles.values())
    assert set(counts) == {1, 2}
    assert 60 < counts[2] < 140
    assert all(role.count(":") == 1 for found in roles.values() for role in next(iter(found)))
    assert len({role for found in roles.values() for role in next(iter(found))}) > 10


def test_many_roles_are_distinct(tmp_path: Path) -> None:
    assert all(len(set(posting["roles"])) == 20 for posting in made(tmp_path, services=0, duration_s=60, roles=20).postings)


def test_roles_absent_or_null(tmp_path: Path) -> None:
    hosts = made(tmp_path, roles_absent=0.2, services=0).postings
    missing, null = sum("roles" not in one for one in hosts), sum(one.get("roles", ()) is None for one in hosts)
    assert 0.15 < (missing + null) / len(hosts) < 0.25
    assert min(missing, null) > 100


def test_without_the_type_role_postings_name_none(tmp_path: Path) -> None:
    options = parse(["folder", "--types", "host,service"])[1]
    assert options.roles == 0
    assert all("roles" not in posting for posting in made(tmp_path, roles=0.0, duration_s=600).postings)


def test_bare_payloads(tmp_path: Path) -> None:
    bare = [record for record in made(tmp_path, bare=0.1).postings if isinstance(record, list)]
    assert near(len(bare), 0.1 * 20 / 22)
    assert all(set(point) == {"hostId", "name", "time", "value"} for record in bare for point in record)


def test_nulls(tmp_path: Path) -> None:
    one = made(tmp_path, nulls=0.05)
    values = [value for *_, value in one.points]
    nulls = sum(value is None for value in values)
    assert abs(nulls / len(values) - 0.05) < 0.005
    assert one.summary["twists"] == {"nulls": nulls}


def test_odd_postings_are_valid_json_of_many_kinds(tmp_path: Path) -> None:
    texts = "".join(made(tmp_path, odd=0.2).texts.values())
    for found in (
        "NaN",
        "Infinity",
        "1e400",
        "-0.0",
        "9007199254740993",
        '"unit":"ms"',
        '"agent"',
        "\\u00e9",
        "naïve.ü→\U0001f600",
        '"metrics":[]',
        '.9,"value"',
    ):
        assert found in texts, found
    assert any("receivedAt" not in record for record in values_of(texts))


@pytest.mark.parametrize("change", POINT_CHANGES)
def test_an_odd_point_is_another_text_but_still_a_point(change: Callable[[str], str]) -> None:
    plain = '{"name":"cpu.user","time":1762000000,"value":12.5}'
    odd = change(plain)
    assert odd != plain
    assert {"name", "time", "value"} <= set(json.loads(odd))


@pytest.mark.parametrize("cause", CORRUPTIONS)
def test_corruptions_change_a_record(cause: str, tmp_path: Path) -> None:
    text = '{"type":"host","hostId":"h","metrics":[{"name":"cpu.user","time":1762000000,"value":12.5}]}'
    assert CORRUPTIONS[cause](text) != text


def test_corrupt_objects_are_as_many_as_counted_and_the_others_are_whole(tmp_path: Path) -> None:
    one = made(tmp_path, corrupt=0.3, object_interval_s=120)
    clean = made(tmp_path / "clean", object_interval_s=120)
    causes = {name: number for name, number in one.summary["twists"].items() if name.startswith("corrupt: ")}
    assert set(causes) == {"corrupt: truncated", *(f"corrupt: {cause}" for cause in CORRUPTIONS)}
    assert one.summary["twists"]["corrupt"] == sum(causes.values())
    bodies = set(clean.objects.values())
    spoilt = [body for body in one.objects.values() if body not in bodies]
    assert len(spoilt) == sum(causes.values())
    assert 0.15 < len(spoilt) / len(one.objects) < 0.45


# --- expected rollups, membership, command line ----------------------------------------------------------------------


def run_script(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(Path(make_archive.__file__)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_script_writes_archive_expected_rollups_and_membership(tmp_path: Path) -> None:
    small = "--hosts 2 --services 1 --metrics-per-posting 2 --hours 2 --roles 2 --roles-absent 0.3 --late 0.1 --corrupt 0.2 --json"
    ended = run_script(tmp_path / "archive", *small.split(), "--expected", tmp_path / "expected.csv", "--membership", tmp_path / "membership.csv")
    assert (ended.returncode, ended.stderr) == (0, "")
    summary = json.loads(ended.stdout)
    assert summary["period"] == "2025-11-01T00:00:00Z/2025-11-01T02:00:00Z"
    with (tmp_path / "expected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    members = oracle.read_membership(str(tmp_path / "membership.csv"))
    assert len(members) == 4
    assert Counter(row["granularity"] for row in rows)["1h"] == (2 * 2 * 3 + 2) * 2
    wanted = oracle.expected_rows(str(tmp_path / "archive"), periods_s=[(START_S, START_S + 7200)], membership=members)
    assert [(row["name"], row["bucket_start"], row["avg"]) for row in rows] == [(row["name"], row["bucket_start"], repr(row["avg"])) for row in wanted]


def test_membership_agrees_with_the_roles_in_postings(tmp_path: Path) -> None:
    everything = ["--hosts", "3", "--services", "0", "--hours", "1", "--metrics-per-posting", "5", "--roles", "1.5"]
    make_archive.main([str(tmp_path / "a"), *everything, "--expected", str(tmp_path / "a.csv")])
    make_archive.main([str(tmp_path / "b"), *everything, "--roles-absent", "1", "--membership", str(tmp_path / "m.csv"), "--expected", str(tmp_path / "b.csv")])
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_summary_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_archive.main([str(tmp_path / "a"), "--hours", "1"])
    assert "distinct points: 33000\n" in capsys.readouterr().out


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    ended = run_script(tmp_path, "--hours", "1")
    assert ended.returncode == 2
    assert ended.stderr == f"{tmp_path}: holds files already; name a new or empty folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--points 1000 --hosts 3", "--points decides the numbers of hosts and services"),
        ("--late 1.5", "1.5: a share lies between 0 and 1"),
        ("--start 2025-11-01T00:00", "a time carries an offset or Z"),
        ("--start 2025-11-01T00:00:30Z", "expected a whole minute"),
        ("--types host,labeled", "labeled: expected some of service,role,host"),
        ("--hours 0.001", "hold no posting interval of 60 s"),
        ("--days 0", "0: expected more than 0"),
        ("--metrics-per-posting 0", "0: expected at least 1"),
        ("--gzip-level 10", "--gzip-level 10: expected 1 to 9"),
        ("--poin 3", "unrecognized arguments: --poin"),
    ],
)
def test_wrong_options(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["folder", *arguments.split()])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
