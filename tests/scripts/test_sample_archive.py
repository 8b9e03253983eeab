"""The demo's archive is made of the real measurements in tests/data, and is an archive like any other."""

import csv
import json
from pathlib import Path

import pytest

from scripts.archive_maker.sample import DATA, make_sample
from tests.scripts.archive_reading import Made, entity_of

END_S = 1_763_000_040


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("sample")
    summary = make_sample(folder, days=1, end_s=END_S, seed=1).summary
    return Made(folder, summary, {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()})


def test_same_arguments_give_the_same_archive(sample: Made, tmp_path: Path) -> None:
    make_sample(tmp_path, days=1, end_s=END_S, seed=1)
    assert {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == sample.objects


def test_it_covers_the_days_before_its_end(sample: Made) -> None:
    minutes = {time for *_, time, _ in sample.points}
    assert minutes == set(range(END_S - 86_400, END_S, 60))
    assert sample.summary["distinct_points"] == (4 * 28 + 13) * 1440


def test_services_replay_the_benchmark_series_a_minute_apart(sample: Made) -> None:
    with (DATA / "nab" / "speed_7578.csv").open(encoding="utf-8", newline="") as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    replayed = {time: value for entity, name, _, time, value in reversed(sample.points) if (entity, name) == ("traffic", "speed_7578")}
    in_order = [value for _, value in sorted(replayed.items())]
    twice = (values * 2)[:1440]
    assert sum(a == b for a, b in zip(in_order, twice, strict=True)) > 0.99 * 1440, "but for values that were posted again"


def test_hosts_replay_the_agents_postings(sample: Made) -> None:
    posted = [json.loads(json.loads(line)["body"]) for line in (DATA / "agent-posts.ndjson").read_text().splitlines()]
    known = {(point["name"], point["value"]) for body in posted for point in body}
    points = [
        (name, value) for posting in sample.postings if posting["type"] == "host" for name, value in ((p["name"], p["value"]) for p in posting["metrics"])
    ]
    assert sum(point in known for point in points) > 0.99 * len(points)


def test_services_and_hosts_with_none_one_and_two_roles(sample: Made) -> None:
    assert {entity_of(posting) for posting in sample.postings if posting["type"] == "service"} == {"traffic", "ads"}
    roles = {posting["hostId"]: len(posting["roles"]) for posting in sample.postings if posting["type"] == "host"}
    assert sorted(roles.values()) == [0, 1, 1, 2]


def test_something_goes_wrong_in_it(sample: Made) -> None:
    assert set(sample.summary["twists"]) == {"duplicates", "late", "out_of_order", "reposted_lower"}
