"""A survey of decoded objects against dicts and loops over their points; quantiles of counts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from tests.builders import NOON_S, Point, Posting, decoded
from transforms.core.model import DeadLetter, DecodeTally, SeriesKey
from transforms.core.selection import Reach
from transforms.core.survey import Span, Survey, quantile

REACH = Reach(late_s=100, early_s=50)

postings = st.builds(
    Posting,
    metric_type=st.sampled_from(["host", "service"]),
    org=st.sampled_from(["", "acme"]),
    entity=st.sampled_from(["h1", "h2"]),
    roles=st.sampled_from([None, (), ("a:b",)]),
    arrival_us=st.integers(-200_000_000, 200_000_000).map(lambda after: NOON_S * 1_000_000 + after),
)


@st.composite
def objects(draw: st.DrawFn) -> tuple[list[Posting], list[Point]]:
    rows = draw(st.lists(postings, min_size=1, max_size=4))
    fields = st.tuples(st.integers(0, len(rows) - 1), st.sampled_from(["x", "y"]), st.integers(NOON_S - 60, NOON_S + 60))
    return rows, [Point(*one) for one in draw(st.lists(fields, max_size=10))]


@given(st.lists(objects(), max_size=4))
def test_a_survey_says_what_loops_say(given_objects: list[tuple[list[Posting], list[Point]]]) -> None:
    survey = Survey(REACH)
    for rows, points in given_objects:
        survey.add(decoded(rows, points), named_us=NOON_S * 1_000_000)
    every = [(rows[one.posting], one) for rows, points in given_objects for one in points]
    lags_us = [posting.arrival_us - point.time_s * 1_000_000 for posting, point in every]
    arrivals = [posting.arrival_us for rows, _ in given_objects for posting in rows]
    assert survey.records == survey.decoded_records == len(given_objects)
    assert survey.points == Counter(posting.metric_type for posting, _ in every)
    assert survey.kinds == Counter({"gauge": len(every)} if every else {})
    assert survey.series == Counter(SeriesKey(posting.metric_type, posting.org, posting.entity, point.name) for posting, point in every)
    assert survey.lateness == Counter(lag // 1_000_000 for lag in lags_us)
    assert (survey.late, survey.early) == (sum(lag > 100_000_000 for lag in lags_us), sum(lag < -50_000_000 for lag in lags_us))
    assert survey.times == span([point.time_s for _, point in every])
    assert survey.counted == span([point.time_s for (_, point), lag in zip(every, lags_us, strict=True) if -50_000_000 <= lag <= 100_000_000])
    assert survey.arrivals_us == span(arrivals)
    assert survey.delays_us == span([one - NOON_S * 1_000_000 for one in arrivals])
    assert survey.unsaid_roles == sum(one.metric_type == "host" and one.roles is None for rows, _ in given_objects for one in rows)
    assert survey.unsaid_orgs == sum(not posting.org for posting, _ in every)


def span(numbers: list[int]) -> Span | None:
    return Span(min(numbers), max(numbers)) if numbers else None


def test_dead_letters_are_counted_by_cause_with_the_first_as_example() -> None:
    letters = [DeadLetter("a", place, cause, "", b"") for place, cause in enumerate(["bad JSON", "unknown type", "bad JSON"])]
    tally = DecodeTally(records=4, decoded_records=1, dead_records=2, dead_points=1, dropped={"null": {"host": 2, "service": 1}}, inexact={"host": 5})
    survey = Survey()
    survey.add(decoded([], [], tally, letters))
    assert survey.causes == {"bad JSON": 2, "unknown type": 1}
    assert survey.examples == {"bad JSON": letters[0], "unknown type": letters[1]}
    assert (survey.records, survey.decoded_records, survey.dead_records, survey.dead_points) == (4, 1, 2, 1)
    assert (survey.dropped, survey.inexact) == ({"null": 3}, 5)
    assert (survey.times, survey.counted, survey.arrivals_us, survey.delays_us) == (None, None, None, None)


def test_without_a_time_in_the_key_there_is_no_delay() -> None:
    survey = Survey()
    survey.add(decoded([Posting()], [Point()]))
    assert survey.delays_us is None
    assert survey.arrivals_us == (NOON_S * 1_000_000, NOON_S * 1_000_000)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=50), st.sampled_from([0.5, 0.99, 1.0]))
def test_quantiles_are_those_of_the_written_out_numbers(numbers: list[int], share: float) -> None:
    assert quantile(Counter(numbers), share) == int(np.quantile(numbers, share, method="inverted_cdf"))


def test_nothing_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        quantile(Counter(), 0.5)


def test_labels_and_kinds_of_points_are_told_apart() -> None:
    whole = decoded([Posting(metric_type="labeled")], [Point(name="x"), Point(name="x"), Point(name="x")])
    labels = pa.array(['{"a":"1"}', "{}", '{"a":"1"}'], pa.string()).dictionary_encode()
    survey = Survey()
    survey.add(replace(whole, points=replace(whole.points, labels=labels, kind=np.array([0, 1, 4], np.int8))))
    assert survey.kinds == {"gauge": 1, "counter": 1, "cumulative histogram": 1}
    assert survey.series == {SeriesKey("labeled", "acme", "h1", "x", (("a", "1"),)): 2, SeriesKey("labeled", "acme", "h1", "x"): 1}
