"""Computed buckets under every edge policy, against a loop over all buckets; which series and objects a run takes."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import UsageError
from transforms.core.granularity import WIDTH_S, Range, within
from transforms.core.selection import Edge, Reach, Selection, computed_ranges, edge_buckets
from transforms.core.time import unite

T = 1_761_955_200
"""2025-11-01T00:00:00Z."""

GRANULARITIES = ("1m", "5m", "1h")

instants = st.one_of(st.integers(-9_000, 9_000), st.integers(-30, 30).map(lambda n: n * 300), st.integers(-3, 3).map(lambda n: n * 3_600))
periods = st.lists(st.tuples(instants, instants).filter(lambda one: one[0] < one[1]), min_size=1, max_size=4).map(
    lambda some: unite((T + a, T + b) for a, b in some)
)


def buckets(ranges: tuple[Range, ...], width_s: int) -> set[int]:
    """Starts of the aligned buckets that the ranges are made of."""
    assert all(edge % width_s == 0 for one in ranges for edge in one), "aligned"
    assert unite(ranges) == ranges, "sorted, disjoint"
    return {start for from_s, to_s in ranges for start in range(from_s, to_s, width_s)}


def overlap_s(start_s: int, width_s: int, asked: tuple[Range, ...]) -> int:
    """Seconds of the bucket that lie in the periods."""
    return sum(max(0, min(start_s + width_s, to_s) - max(start_s, from_s)) for from_s, to_s in asked)


def all_buckets(width_s: int) -> range:
    return range(T - 4 * 3_600, T + 4 * 3_600, width_s)


@given(periods, st.sampled_from(GRANULARITIES))
def test_expand_computes_every_bucket_that_a_period_touches(asked: tuple[Range, ...], granularity: str) -> None:
    width_s = WIDTH_S[granularity]
    expected = {start for start in all_buckets(width_s) if overlap_s(start, width_s, asked)}
    assert buckets(computed_ranges(asked, granularity, "expand"), width_s) == expected


@given(periods, st.sampled_from(GRANULARITIES))
def test_clip_computes_the_buckets_that_lie_wholly_inside(asked: tuple[Range, ...], granularity: str) -> None:
    width_s = WIDTH_S[granularity]
    expected = {start for start in all_buckets(width_s) if overlap_s(start, width_s, asked) == width_s}
    assert buckets(computed_ranges(asked, granularity, "clip"), width_s) == expected


@given(periods, st.sampled_from(GRANULARITIES))
def test_fail_accepts_whole_buckets_only(asked: tuple[Range, ...], granularity: str) -> None:
    width_s = WIDTH_S[granularity]
    if any(0 < overlap_s(start, width_s, asked) < width_s for start in all_buckets(width_s)):
        with pytest.raises(UsageError, match=f"cuts a {granularity} bucket and --edge fail was given"):
            computed_ranges(asked, granularity, "fail")
    else:
        assert computed_ranges(asked, granularity, "fail") == asked


@given(periods, st.sampled_from(GRANULARITIES))
def test_edge_buckets_are_those_partly_inside(asked: tuple[Range, ...], granularity: str) -> None:
    width_s = WIDTH_S[granularity]
    expected = [(start, start + width_s) for start in all_buckets(width_s) if 0 < overlap_s(start, width_s, asked) < width_s]
    assert list(edge_buckets(asked, granularity)) == expected


@pytest.mark.parametrize(
    ("granularity", "edge", "computed"),
    [
        ("1m", "expand", ((T, T + 7_260),)),
        ("5m", "expand", ((T, T + 7_500),)),
        ("1h", "expand", ((T, T + 10_800),)),
        ("1m", "clip", ((T + 60, T + 7_200),)),
        ("5m", "clip", ((T + 300, T + 7_200),)),
        ("1h", "clip", ((T + 3_600, T + 7_200),)),
    ],
)
def test_a_period_from_one_second_past_the_hour(granularity: str, edge: Edge, computed: tuple[Range, ...]) -> None:
    """00:00:01 to 02:00:01."""
    assert computed_ranges([(T + 1, T + 7_201)], granularity, edge) == computed


def test_a_granularity_that_clip_leaves_nothing_of_is_empty() -> None:
    assert computed_ranges([(T + 1, T + 3_600)], "1h", "clip") == ()
    assert computed_ranges([(T + 1, T + 59)], "1m", "clip") == ()


def test_a_bucket_cut_by_two_periods_is_computed_once_or_not_at_all() -> None:
    two = [(T, T + 100), (T + 200, T + 300)]
    assert computed_ranges(two, "5m", "expand") == ((T, T + 300),)
    assert computed_ranges(two, "5m", "clip") == ()
    assert edge_buckets(two, "5m") == ((T, T + 300),)


def test_the_refusal_names_the_period_and_what_would_be_right() -> None:
    with pytest.raises(UsageError) as caught:
        computed_ranges([(T, T + 600), (T + 1_830, T + 3_600)], "5m", "fail")
    assert str(caught.value) == (
        "the period 2025-11-01T00:30:30Z/2025-11-01T01:00:00Z cuts a 5m bucket and --edge fail was given: "
        "ask for 2025-11-01T00:30:00Z/2025-11-01T01:00:00Z, or for --edge expand or clip"
    )


def test_policies_are_these_three() -> None:
    assert get_args(Edge) == ("expand", "clip", "fail")


def test_needed_times_are_those_of_any_granularity() -> None:
    selection = Selection(metric_types=("host",), computed={"1m": ((T + 60, T + 120),), "5m": ((T, T + 300),), "1h": ((T + 3_600, T + 7_200),)})
    assert selection.needed() == ((T, T + 300), (T + 3_600, T + 7_200))
    assert Selection(metric_types=("host",), computed={"1m": ()}).needed() == ()


def test_objects_are_read_from_lead_in_early_and_span_before_to_late_after() -> None:
    """[S - L - F - B, E + P) of DESIGN §3."""
    assert Reach(lead_in_s=1, early_s=20, object_span_s=300, late_s=4_000).object_times((T, T + 60)) == (T - 321, T + 4_060)
    assert Reach().object_times((T, T + 3_600)) == (T - 600 - 86_400 - 7_200, T + 3_600 + 86_400)


@pytest.mark.parametrize(
    ("series", "orgs", "selected"),
    [
        ((), (), True),
        ((), ("acme",), True),
        ((), ("other", "acme"), True),
        ((), ("other",), False),
        ((), ("Acme",), False),
        (("host/acme/h1/cpu.user",), (), True),
        (("host/acme/h1/cpu",), (), False),
        (("host/acme/h1/CPU.user",), (), False),
        (("host/acme/*/cpu.*",), (), True),
        (("*",), (), True),
        (("host/*/cpu.user",), (), True),
        (("host/acme/h?/cpu.user",), (), True),
        (("host/acme/h[!1]/*",), (), False),
        (("host/acme/h[0-9]/*",), (), True),
        (("service/*", "*/cpu.user"), (), True),
        (("service/*", "role/*"), (), False),
        (("host/acme/h1/cpu.user ",), (), False),
        (("*/cpu.user",), ("other",), False),
    ],
)
def test_series_are_selected_by_org_and_globs(series: tuple[str, ...], orgs: tuple[str, ...], selected: bool) -> None:
    selection = Selection(metric_types=("host",), computed={}, orgs=orgs, series=series)
    assert selection.selects("host", "acme", "h1", "cpu.user") is selected
    assert not selection.selects("service", "acme", "h1", "cpu.user"), "a type that was not asked for"


def test_a_role_is_selected_by_service_and_role() -> None:
    selection = Selection(metric_types=("role",), computed={}, series=("role/*/web:*/load",))
    assert selection.selects("role", "acme", "web:app", "load")
    assert not selection.selects("role", "acme", "db:app", "load")


@given(st.lists(st.integers(-5, 25), max_size=30), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=4))
def test_within_is_half_open(times: list[int], cuts: list[tuple[int, int]]) -> None:
    ranges = unite((a, a + b) for a, b in cuts)
    expected = [any(from_s <= time < to_s for from_s, to_s in ranges) for time in times]
    assert within(np.array(times, np.int64), ranges).tolist() == expected


def test_a_window_computes_what_lies_in_it() -> None:
    selection = Selection(metric_types=("host",), computed={"1m": ((T - 60, T + 60), (T + 600, T + 660)), "5m": ((T - 300, T),), "1h": ()})
    assert selection.computed_within((T, T + 630)) == {"1m": ((T, T + 60), (T + 600, T + 630)), "5m": (), "1h": ()}
