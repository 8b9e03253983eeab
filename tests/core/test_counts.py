"""Counts are added term by term, and must balance per metric type."""

from hypothesis import given, strategies as st

from transforms.core.counts import Counts, add_counts, count, imbalances, total

TERMS = ("points", "role_copies", "lead_in_copies", "staged", "dropped.late", "dropped.null", "outside.time")


def test_zeros_leave_no_trace() -> None:
    counts: Counts = {}
    count(counts, "points", "host", 0)
    assert counts == {}
    count(counts, "points", "host", 2)
    count(counts, "points", "host", 3)
    count(counts, "points", "role", 1)
    assert counts == {"points": {"host": 5, "role": 1}}


def test_parts_are_added_and_left_as_they_are() -> None:
    one, other = {"points": {"host": 1}}, {"points": {"host": 2, "role": 4}, "staged": {"host": 8}}
    assert add_counts([one, other, {}]) == {"points": {"host": 3, "role": 4}, "staged": {"host": 8}}
    assert (one, other) == ({"points": {"host": 1}}, {"points": {"host": 2, "role": 4}, "staged": {"host": 8}})
    assert add_counts([]) == {}


def test_a_prefix_is_a_whole_word() -> None:
    counts = {"dropped": {"host": 1}, "dropped.late": {"host": 2, "role": 4}, "dropped_records": {"host": 8}, "staged": {"host": 16}}
    assert total(counts, "dropped") == 7
    assert total(counts, "dropped", metric_type="host") == 3
    assert total(counts, "dropped", "staged", metric_type="host") == 19
    assert total(counts, "dropped.late") == 6
    assert total(counts, "drop") == 0


counts_of_any = st.dictionaries(st.sampled_from(TERMS), st.dictionaries(st.sampled_from(["host", "role"]), st.integers(1, 4), min_size=1))


@given(st.lists(counts_of_any, max_size=4))
def test_the_sum_of_totals_is_the_total_of_the_sum(parts: list[Counts]) -> None:
    for term in TERMS:
        assert total(add_counts(parts), term) == sum(total(one, term) for one in parts)


@given(counts_of_any)
def test_an_imbalance_is_found_in_exactly_the_types_that_have_one(counts: Counts) -> None:
    expected = []
    for name in ("host", "role"):
        came = sum(counts.get(term, {}).get(name, 0) for term in ("points", "role_copies", "lead_in_copies"))
        went = sum(counts.get(term, {}).get(name, 0) for term in ("staged", "dropped.late", "dropped.null", "outside.time"))
        if came != went:
            expected.append(f"{name}: {came} points came in and {went} are accounted for")
    assert [sentence.partition(" (")[0] for sentence in imbalances(counts, ("staged", "dropped", "outside"))] == expected


def test_an_imbalance_tells_every_term() -> None:
    counts = {"points": {"host": 5}, "staged": {"host": 2, "role": 1}, "dropped.late": {"host": 2}, "role_copies": {"role": 1}, "inexact": {"host": 1}}
    assert imbalances(counts, ("staged", "dropped")) == ("host: 5 points came in and 4 are accounted for (dropped.late 2, inexact 1, points 5, staged 2)",)


def test_nothing_balances() -> None:
    assert imbalances({}, ("staged",)) == ()
    assert imbalances({"records": {"records": 3}}, ("staged",)) == ()
