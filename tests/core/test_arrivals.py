"""Arrivals add up to the same in any order and grouping, and to what a dict makes of the records."""

import random

from hypothesis import given, settings, strategies as st

from tests.builders import NOON_S, Origin, of_origins
from transforms.core.arrivals import NO_SHARDS, Arrivals, hour_of, in_hour, sequence_number, united

_settings = settings(max_examples=200, deadline=None, derandomize=True, database=None)

_origins = st.lists(
    st.builds(
        Origin,
        st.sampled_from(["shardId-000000000000", "shardId-000000000001", "s/shardId-000000000001"]),
        st.one_of(st.none(), st.integers(0, 10**129 - 1).map(str)),
        st.integers(NOON_S * 1_000_000, (NOON_S + 10_800) * 1_000_000 - 1),
    ),
    max_size=30,
)
_parts = st.lists(st.tuples(_origins, st.dictionaries(st.sampled_from([0, 3600]), st.integers(1, 5))), max_size=6)


def expected(origins: list[Origin]) -> list[tuple[object, ...]]:
    """Rows of SHARD_HOURS, by loops."""
    cells: dict[tuple[str, int], list[Origin]] = {}
    for one in origins:
        cells.setdefault((one.shard, one.arrival_us // 3_600_000_000 * 3600), []).append(one)
    rows: list[tuple[object, ...]] = []
    for (shard, hour), found in sorted(cells.items()):
        told = [one.arrival_us for one in found]
        minutes = sum(1 << minute for minute in {one // 60_000_000 % 60 for one in told})
        sequences = [int(one.sequence) for one in found if one.sequence is not None]
        ends = (str(min(sequences)), str(max(sequences))) if sequences else (None, None)
        rows.append((shard, hour, len(found), min(told), max(told), minutes, *ends))
    return rows


def rows_of(arrivals: Arrivals) -> list[tuple[object, ...]]:
    return [(*row[:6], *map(sequence_number, row[6:])) for row in zip(*(column.to_pylist() for column in arrivals.shards.columns), strict=True)]


@_settings
@given(_parts, st.randoms(use_true_random=False))
def test_any_order_and_grouping_is_the_same(parts: list[tuple[list[Origin], dict[int, int]]], chance: random.Random) -> None:
    values = [Arrivals(hours, {}, of_origins(origins), frozenset(map(str, hours))) for origins, hours in parts]
    at_once = united(values)
    assert rows_of(at_once) == expected([one for origins, _ in parts for one in origins])
    assert at_once.records == {hour: number for hour in (0, 3600) if (number := sum(hours.get(hour, 0) for _, hours in parts))}
    assert at_once.undecoded == {str(hour) for _, hours in parts for hour in hours}
    while len(values) > 1:
        one, other = (values.pop(chance.randrange(len(values))) for _ in range(2))
        values.append(united([one, other]))
    assert united([*values, Arrivals()]) == at_once


def test_nothing_is_nothing() -> None:
    assert united([]) == Arrivals()
    assert of_origins([]) == NO_SHARDS
    assert in_hour(3600, 0, 0) == Arrivals()
    assert in_hour(3600, 3, 1) == Arrivals({3600: 3}, {3600: 1})
    assert hour_of((NOON_S + 3599) * 1_000_000 + 999_999) == NOON_S


def test_many_rows_are_added_up_before_the_end() -> None:
    part = Arrivals(shards=of_origins([Origin(f"s{number}", None, NOON_S * 1_000_000) for number in range(30_000)]))
    assert united([part] * 4).shards["records"].to_pylist() == [4] * 30_000
