"""What archives and stores take their pacers, gates and slots from."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.limits import LOOSE, limits
from transforms.calls.control import LOOK_EVERY_S, FileControl, FixedControl, Wishes
from transforms.calls.limits import FOLDERS, Limits, S3Gates
from transforms.calls.s3_folder import S3Location
from transforms.calls.waiting import Waiting
from transforms.core.limits import LIMITS, Rates, changed
from transforms.core.throttle import CAP, LIMIT, PACED_SHARE, PAUSED

GET = "s3-get-per-s"
PLACE = "http://s3"


class Time:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @property
    def waiting(self) -> Waiting:
        return Waiting(clock=lambda: self.now_s, sleep=self.wait, random=lambda: 0.0)


def pace(time: Time, held: Limits, key: str = "2025/11/01/a") -> float:
    """Seconds between two GETs."""
    gates = S3Gates(held, S3Location(bucket="b", endpoint_url=PLACE))
    for number in range(9):
        begin = time.now_s if number == 8 else 0.0
        gate = gates.get(key)
        gate.enter()
        gate.answered()
    return time.now_s - begin


def test_defaults_are_a_quarter_of_what_is_documented() -> None:
    for one in LIMITS:
        if one.documented:
            assert getattr(Rates(), one.key) == one.documented // 4, one.name
            assert one.source.startswith("docs.aws.amazon.com/")


def test_two_that_name_a_work_dir_share_a_limit_and_others_do_not(tmp_path: Path) -> None:
    time = Time()
    one, other = (limits(time.waiting, tmp_path, s3_get_per_s=10) for _ in range(2))
    apart = limits(time.waiting, tmp_path / "other", s3_get_per_s=10)
    one.pacer(GET, PLACE).take()
    apart.pacer(GET, PLACE).take()
    one.pacer(GET, "http://elsewhere").take()
    assert time.now_s == 1000.0
    other.pacer(GET, PLACE).take()
    assert time.now_s - 1000 == pytest.approx(1 / (10 * PACED_SHARE))


def test_a_folder_has_a_limit_of_its_own_where_it_is_smaller(tmp_path: Path) -> None:
    time = Time()
    held = limits(time.waiting, tmp_path, s3_get_per_s=100, s3_prefix_get_per_s=10)
    pace(time, held)
    time.now_s += 10
    assert pace(time, held) == pytest.approx(1 / (10 * PACED_SHARE), rel=0.01)
    for folder in range(5):
        gate = S3Gates(held, S3Location(bucket="b", endpoint_url=PLACE)).get(f"2025/11/0{folder + 2}/a")
        begin = time.now_s
        gate.enter()
        assert time.now_s - begin < 0.05


def test_pacers_of_folders_do_not_pile_up_and_what_they_waited_is_kept(tmp_path: Path) -> None:
    time = Time()
    held = limits(time.waiting, tmp_path, s3_prefix_get_per_s=10)
    for folder in range(3 * FOLDERS):
        for _ in range(3):
            held.pacer(GET, PLACE, f"b/{folder}").take()
    assert len(held._pacers) == FOLDERS
    assert held.waits()["s3", LIMIT] == pytest.approx(3 * FOLDERS * 2 / (10 * PACED_SHARE), rel=0.01)
    assert held.waits() == {}


def test_a_run_that_is_throttled_or_paused_follows_within_seconds(tmp_path: Path) -> None:
    time = Time()
    file = tmp_path / "control.json"
    wishes = Wishes(rates=Rates(**LOOSE | {"s3_get_per_s": 100}))
    file.write_bytes(wishes.to_json())
    held = Limits(tmp_path, FileControl(file, lambda: time.now_s), time.waiting)
    pace(time, held)
    time.now_s += 10
    assert pace(time, held) == pytest.approx(1 / (100 * PACED_SHARE), rel=0.01)
    _replace(file, replace(wishes, rates=changed(wishes.rates, {"s3_get_per_s": 20})))
    time.now_s += LOOK_EVERY_S
    assert pace(time, held) == pytest.approx(1 / (20 * PACED_SHARE), rel=0.01)
    _replace(file, replace(wishes, pauses={"user": "by me"}))
    held.waits()
    asked: list[float] = []

    def resumed(seconds: float) -> None:
        asked.append(seconds)
        time.now_s += seconds
        if time.now_s > 1060:
            _replace(file, wishes)

    paused = Limits(tmp_path, FileControl(file, lambda: time.now_s), Waiting(clock=lambda: time.now_s, sleep=resumed))
    paused.pacer(GET, PLACE).take()
    assert 1060 <= time.now_s <= 1060 + 2 * LOOK_EVERY_S
    assert [*paused.waits()] == [("s3", PAUSED)]


def _replace(file: Path, wishes: Wishes) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_bytes(wishes.to_json())
    fresh.replace(file)


def test_a_run_that_is_to_end_is_not_held_up_by_its_pause(tmp_path: Path) -> None:
    time = Time()
    held = Limits(tmp_path, FixedControl(Wishes(rates=Rates(**LOOSE), pauses={"user": "by me"}, stop=True)), time.waiting)
    held.pacer(GET, PLACE).take()
    with held.slots("lambda-concurrency", PLACE).one():
        assert time.now_s == 1000.0


def test_bytes_are_paced_where_they_are_limited(tmp_path: Path) -> None:
    time = Time()
    held = limits(time.waiting, tmp_path, bytes_per_s=1_000_000)
    gates = S3Gates(held, S3Location(bucket="b", endpoint_url=PLACE))
    gates.get("a", 1).enter()
    time.now_s += 10
    for _ in range(12):
        gate = gates.get("a", 500_000)
        gate.enter()
        gate.answered()
    assert time.now_s - 1010 == pytest.approx(11 * 0.5 / PACED_SHARE, rel=0.1)
    assert {service for service, _ in held.waits()} == {"network"}


def test_a_cap_holds_for_slots_and_for_rates(tmp_path: Path) -> None:
    time = Time()
    held = limits(time.waiting, tmp_path, lambda_concurrency=5, s3_get_per_s=100)
    pace(time, held)
    time.now_s += 10
    held.cap(GET, PLACE, 10)
    assert pace(time, held) == pytest.approx(1 / (10 * PACED_SHARE), rel=0.01)
    held.cap("lambda-concurrency", PLACE, 1)
    slots = held.slots("lambda-concurrency", PLACE)
    with slots.one():
        assert slots._number() == (1, CAP)
        assert slots._free(1) is None


def test_a_full_account_stops_all_who_share_it_and_leaves_them_the_least(tmp_path: Path) -> None:
    time = Time()
    one, other = (limits(time.waiting, tmp_path, lambda_concurrency=8) for _ in range(2))
    number = other.slots("lambda-concurrency", PLACE)._number
    assert number()[0] == 8
    one.refused("lambda-concurrency", PLACE, 10.0)
    assert number() == (0, PAUSED)
    time.now_s += 10
    assert number()[0] == 1
    time.now_s += 60
    assert number()[0] == 4
