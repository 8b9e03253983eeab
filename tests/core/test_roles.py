"""Which host postings are copied to which roles: those they name, else those of the membership table at arrival."""

import numpy as np
import pyarrow as pa
from hypothesis import given, strategies as st

from tests.builders import Posting, postings_of
from transforms.core.roles import Membership, role_copies

Member = tuple[str, str, str, int, int]
"""org, host, role, from_us, to_us."""


def membership(*members: Member) -> Membership:
    org, host, role = (pa.array([one[place] for one in members], pa.string()) for place in range(3))
    return Membership(org, host, role, *(np.array([one[place] for one in members], np.int64) for place in (3, 4)))


def copies(postings: list[Posting], table: Membership | None = None) -> list[tuple[int, str]]:
    found = role_copies(postings_of(postings), table)
    return list(zip(found.posting.tolist(), found.role.to_pylist(), strict=True))


def at(arrival_us: int, roles: tuple[str, ...] | None = None, host: str = "h1", org: str = "acme", metric_type: str = "host") -> Posting:
    return Posting(metric_type, org, host, roles, arrival_us)


def test_roles_in_the_posting_count() -> None:
    found = copies([at(0, ("web:app",)), at(0, ("web:db", "web:app"))])
    assert [number for number, _ in found] == [0, 1, 1]
    assert sorted(found) == [(0, "web:app"), (1, "web:app"), (1, "web:db")]


def test_a_role_that_is_named_twice_is_copied_once() -> None:
    assert copies([at(0, ("web:app", "web:app"))]) == [(0, "web:app")]


def test_an_empty_list_means_none_whatever_the_table_says() -> None:
    table = membership(("acme", "h1", "web:app", 0, 100))
    assert copies([at(5, ())], table) == []
    assert copies([at(5, None)], table) == [(0, "web:app")]


def test_roles_of_the_posting_replace_those_of_the_table() -> None:
    assert copies([at(5, ("db:main",))], membership(("acme", "h1", "web:app", 0, 100))) == [(0, "db:main")]


def test_membership_begins_with_its_first_and_ends_before_its_last_microsecond() -> None:
    table = membership(("acme", "h1", "web:app", 1_762_000_000_000_001, 1_762_000_000_000_003))
    arrivals = [1_762_000_000_000_000 + more for more in range(5)]
    assert copies([at(one) for one in arrivals], table) == [(1, "web:app"), (2, "web:app")]


def test_a_host_that_changes_its_role_is_in_one_at_a_time() -> None:
    table = membership(("acme", "h1", "web:app", 0, 100), ("acme", "h1", "web:db", 100, 200))
    assert copies([at(99), at(100), at(200)], table) == [(0, "web:app"), (1, "web:db")]


def test_rows_that_overlap_copy_once() -> None:
    table = membership(("acme", "h1", "web:app", 0, 100), ("acme", "h1", "web:app", 50, 150))
    assert copies([at(75), at(120)], table) == [(0, "web:app"), (1, "web:app")]


def test_hosts_of_other_orgs_and_other_types_have_no_part() -> None:
    table = membership(("acme", "h1", "web:app", 0, 100), ("acme", "h3", "web:app", 0, 100))
    postings = [at(5, org="other"), at(5, host="h2"), at(5, metric_type="service"), at(5, ("web:db",), metric_type="service"), at(5)]
    assert copies(postings, table) == [(4, "web:app")]


def test_nothing_gives_nothing() -> None:
    assert copies([]) == []
    assert copies([], membership()) == []
    assert copies([at(5)]) == []
    assert copies([at(5)], membership()) == []


hosts = st.sampled_from(["h1", "h2", "é"])
orgs = st.sampled_from(["acme", ""])
roles = st.sampled_from(["web:app", "web:db", "ü:x"])
times = st.integers(0, 6)
postings = st.builds(Posting, st.sampled_from(["host", "host", "service"]), orgs, hosts, st.none() | st.none() | st.lists(roles, max_size=3).map(tuple), times)
members = st.tuples(orgs, hosts, roles, times, times)


@given(st.lists(postings, max_size=8), st.none() | st.lists(members, max_size=8))
def test_copies_are_those_of_a_loop(asked: list[Posting], table: list[Member] | None) -> None:
    expected = set()
    for number, one in enumerate(asked):
        if one.metric_type != "host":
            continue
        if one.roles is not None:
            expected |= {(number, role) for role in one.roles}
        for org, host, role, from_us, to_us in table or ():
            if one.roles is None and (org, host) == (one.org, one.entity) and from_us <= one.arrival_us < to_us:
                expected.add((number, role))
    found = copies(asked, None if table is None else membership(*table))
    assert set(found) == expected
    assert len(found) == len(expected), "each pair once"
    assert [number for number, _ in found] == sorted(number for number, _ in found), "ordered by posting"
