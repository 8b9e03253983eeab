"""Shards that lack records: by their own habit, beside others, and not where they were closed."""

import random
from collections.abc import Iterable

import pytest

from tests.builders import NOON_S, Origin, of_origins
from transforms.core.arrivals import NO_SHARDS
from transforms.core.shard_gaps import ShardCoverage, shard_coverage

DAY = 1440


def judged(shards: dict[int, Iterable[float]], stream: str = "s/") -> ShardCoverage:
    """What minutes (after noon) of arrivals show, by the shard's number."""
    found = shard_coverage(
        of_origins([Origin(f"{stream}shardId-{number:012d}", None, round((NOON_S + 60 * at) * 1e6)) for number, minutes in shards.items() for at in minutes])
    )
    assert found
    return found


def lost(found: ShardCoverage) -> dict[int, list[tuple[int, int | None]]]:
    """For each number the minutes of the last record before its gaps, and of the first after."""
    gaps: dict[int, list[tuple[int, int | None]]] = {}
    for gap in found.gaps:
        first = None if gap.next_us is None else (gap.next_us // 1_000_000 - NOON_S) // 60
        gaps.setdefault(int(gap.shard[-3:]), []).append(((gap.last_us // 1_000_000 - NOON_S) // 60, first))
    return gaps


def shares(found: ShardCoverage) -> dict[int, float]:
    """By number of the hour, where it is not whole."""
    return {(hour - NOON_S) // 3600: one.share for hour, one in found.hours.items() if one.share < 1}


def without(minutes: Iterable[int], first: int, end: int) -> list[int]:
    return [one for one in minutes if not first <= one < end]


def random_minutes(seed: int, mean: float, until: int = DAY) -> list[float]:
    chance, at, found = random.Random(seed), 0.0, list[float]()
    while (at := at + chance.expovariate(1 / mean)) < until:
        found.append(at)
    return found


def test_no_shard_says_nothing() -> None:
    assert shard_coverage(NO_SHARDS) is None


@pytest.mark.parametrize("every", [1, 5, 30, 90])
def test_an_intact_archive_is_whole(every: int) -> None:
    found = judged({number: range(number, DAY, every) for number in range(4)})
    assert (found.shards, lost(found), shares(found)) == (4, {}, {})
    assert {one.share for one in found.hours.values()} == {1.0}


@pytest.mark.parametrize("mean", [0.2, 1, 5, 20, 60])
def test_records_at_random_are_no_loss(mean: float) -> None:
    found = [judged({number: random_minutes(seed * 10 + number, mean) for number in range(4)}) for seed in range(20)]
    assert [(lost(one), shares(one)) for one in found if lost(one) or shares(one)] == []


def test_bursts_at_random_are_no_loss() -> None:
    found = [judged({number: sorted(random_minutes(seed * 10 + number, 100) * 30) for number in range(4)}) for seed in range(40)]
    assert [(lost(one), shares(one)) for one in found if lost(one) or shares(one)] == []


@pytest.mark.parametrize("scale", [1, 5, 40])
def test_a_quiet_night_is_no_loss(scale: int) -> None:
    """One record a minute by day, every twentieth minute by night, and others with `scale` times as many."""

    def diurnal(seed: int, scale: float) -> list[float]:
        nights = [at for at in random_minutes(seed, 20 / scale, 2 * DAY) if at % DAY < 480]
        return sorted([*nights, *(at for at in random_minutes(seed + 1000, 1 / scale, 2 * DAY) if at % DAY >= 480)])

    found = [judged({0: diurnal(seed, 1), 1: diurnal(seed + 50, scale), 2: diurnal(seed + 90, scale)}) for seed in range(20)]
    assert [(lost(one), shares(one)) for one in found if lost(one) or shares(one)] == []
    day = judged({0: [at for at in diurnal(1, 1) if not 600 <= at < 720], 1: diurnal(2, scale)})
    assert {hour: share for hour, share in shares(day).items() if hour in (10, 11)} == {10: 0.5, 11: 0.5}


def test_bursts_are_a_habit() -> None:
    bursts = [at for at in range(DAY) if at % 180 < 20]
    assert lost(judged({0: range(DAY), 1: bursts})) == {}
    assert lost(judged({0: range(DAY), 1: without(bursts, 900, DAY)})) == {1: [(739, None)]}


@pytest.mark.parametrize(("every", "first"), [(1, 720), (5, 720), (15, 720)])
def test_a_tail_is_lost(every: int, first: int) -> None:
    found = judged({number: range(0, first if number == 2 else DAY, every) for number in range(4)})
    assert lost(found) == {2: [(first - every, None)]}
    assert shares(found) == dict.fromkeys(range(12, 24), 0.75)


def test_a_tail_that_begins_within_an_hour_takes_its_part_of_it() -> None:
    found = judged({0: range(DAY), 1: range(1350)})
    assert lost(found) == {1: [(1349, None)]}
    assert shares(found) == {22: 0.75, 23: 0.5}


def test_a_few_minutes_are_no_tail() -> None:
    assert lost(judged({0: range(DAY), 1: range(DAY - 12)})) == {}
    assert lost(judged({0: range(DAY), 1: range(DAY - 30)})) == {1: [(DAY - 31, None)]}


@pytest.mark.parametrize("every", [1, 5])
def test_a_hole_is_lost(every: int) -> None:
    found = judged({number: without(range(0, DAY, every), 300, 420) if number == 1 else range(0, DAY, every) for number in range(4)})
    assert lost(found) == {1: [(300 - every, 420)]}
    assert shares(found) == {5: 0.75, 6: 0.75}


def test_holes_do_not_excuse_each_other() -> None:
    minutes = without(without(without(range(DAY), 300, 360), 600, 660), 900, 960)
    assert lost(judged({0: range(DAY), 1: minutes})) == {1: [(299, 360), (599, 660), (899, 960)]}


def test_a_hole_that_holds_no_whole_clock_hour_takes_its_parts() -> None:
    found = judged({0: range(DAY), 1: without(range(DAY), 330, 410)})
    assert (lost(found), shares(found)) == ({1: [(329, 410)]}, {5: 0.75, 6: pytest.approx(1 - 50 / 60 / 2)})
    assert lost(judged({0: range(DAY), 1: without(range(DAY), 330, 385)})) == {}


def test_what_all_shards_lack_is_the_hours_and_no_shards() -> None:
    found = judged({number: without(range(DAY), 300, 360) for number in range(4)})
    assert (lost(found), shares(found)) == ({}, {5: 0.0})


@pytest.mark.parametrize("seed", range(10))
def test_what_all_uneven_shards_lack_is_the_hour(seed: int) -> None:
    found = judged({number: [one for one in random_minutes(seed * 10 + number, 2.0) if not 300 <= one < 360] for number in range(4)})
    assert (lost(found), shares(found)) == ({}, {5: 0.0})


def test_a_split_and_a_merge_are_no_loss() -> None:
    assert lost(judged({0: range(DAY), 1: range(700), 2: range(700, DAY), 3: range(701, DAY)})) == {}
    assert lost(judged({0: range(700), 1: range(699), 2: range(700, DAY)})) == {}
    twice = judged({0: range(400), 1: range(DAY), 2: range(400, 900), 3: range(400, DAY), 4: range(900, DAY)})
    assert (lost(twice), shares(twice)) == ({}, {})


def test_a_split_of_a_sparse_shard_is_no_loss() -> None:
    assert lost(judged({0: range(DAY), 1: range(0, 700, 50), 2: range(770, DAY, 30)})) == {}


def test_a_split_in_an_hour_that_all_lack_is_no_loss() -> None:
    assert lost(judged({0: without(range(DAY), 660, 720), 1: range(660), 2: range(720, DAY), 3: range(721, DAY)})) == {}


def test_only_a_later_shard_that_begins_then_closes_another() -> None:
    assert lost(judged({0: range(DAY), 1: range(700), 2: range(DAY)})) == {1: [(699, None)]}
    assert lost(judged({0: range(DAY), 1: range(700), 2: range(800, DAY)})) == {1: [(699, None)]}
    assert lost(judged({0: range(DAY), 1: range(700, DAY), 2: range(700)})) == {2: [(699, None)]}


def test_too_few_records_are_not_judged() -> None:
    assert lost(judged({0: range(DAY), 1: range(10)})) == {}
    assert lost(judged({0: range(DAY), 1: range(11)})) == {1: [(10, None)]}


def test_a_single_shard_has_no_neighbours() -> None:
    found = judged({0: without(range(DAY), 300, 360)})
    assert (lost(found), shares(found)) == ({}, {5: 0.0})


def test_streams_are_judged_apart() -> None:
    minutes = {"a/shardId-0": range(DAY), "a/shardId-1": range(DAY), "b/shardId-0": range(700), "b/shardId-1": range(700), "shardId-0": range(60)}
    found = shard_coverage(of_origins([Origin(name, None, (NOON_S + 60 * at) * 1_000_000) for name, of in minutes.items() for at in of]))
    assert found
    assert (found.shards, found.gaps, shares(found)) == (5, (), {})
    assert (found.first_s, found.last_s) == (NOON_S, NOON_S + 60 * (DAY - 1))
