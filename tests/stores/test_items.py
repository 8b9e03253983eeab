"""The compare-and-set loop over a store of dicts in which other writers come between at chosen moments."""

from collections.abc import Callable, Collection, Mapping

import pyarrow as pa
from hypothesis import given, strategies as st

from tests.core.rollup_tables import DAY_S, Row, row, rows_of, table
from transforms.core.versions import Verdict, merge
from transforms.stores.backend import Change
from transforms.stores.items import Held, change_items

Key = tuple[str, int]
Body = tuple[tuple[tuple[str, object], ...], ...]


class Dicts:
    """Items of an entity's hour; `rivals` are called before each write, one by one."""

    def __init__(self, rivals: Collection[Callable[["Dicts"], None]] = ()) -> None:
        self.items: dict[Key, tuple[Body, int]] = {}
        self.images: list[tuple[Key, object]] = []
        self.rivals = list(rivals)

    def encode(self, given: pa.Table) -> Mapping[Key, Body]:
        items: dict[Key, list[tuple[tuple[str, object], ...]]] = {}
        for one in rows_of(given):
            items.setdefault((one["entity"], one["bucket_start"] // 3_600_000), []).append(tuple(sorted(one.items(), key=str)))
        return {key: tuple(rows) for key, rows in items.items()}

    def decode(self, held: Mapping[Key, Held]) -> pa.Table:
        return table(dict(one) for item in held.values() for one in (item.body or ()))  # type: ignore[attr-defined]

    def read(self, keys: Collection[Key]) -> Mapping[Key, Held]:
        return {key: Held(*self.items.get(key, (None, 0))) for key in keys}

    def write(self, changes: Mapping[Key, tuple[Held, Body | None]]) -> Mapping[Key, Held]:
        if self.rivals:
            self.rivals.pop(0)(self)
        lost = {}
        for key, (held, body) in changes.items():
            now = self.items.get(key, (None, 0))
            if now[1] != held.version:
                lost[key] = Held(*now)
            else:
                self.images.append((key, held.body))
                self.put(key, body)
        return lost

    def put(self, key: Key, body: Body | None) -> None:
        if body:
            self.items[key] = body, self.items.get(key, (None, 0))[1] + 1
        else:
            self.items.pop(key, None)

    def all(self) -> pa.Table:
        return self.decode({key: Held(*item) for key, item in self.items.items()})


class Merging:
    def __init__(self, rows: list[Row]) -> None:
        self.new = table(rows)
        self.calls = 0

    def make(self, stored: pa.Table) -> pa.Table | None:
        self.calls += 1
        self.merged = merge(stored, self.new, allow_fewer=False)
        return self.merged.table if self.merged.changed else None


def upsert(store: Dicts, rows: list[Row]) -> Merging:
    merging = Merging(rows)
    change_items(store, Change(merging.new, merging.make))
    return merging


def test_equal_rows_write_nothing() -> None:
    store = Dicts()
    upsert(store, [row("h1", 0), row("h1", 7200)])
    before = dict(store.items)
    assert upsert(store, [row("h1", 0), row("h1", 7200)]).calls == 1
    assert store.items == before
    assert len(store.images) == 2


def test_only_items_that_change_are_written() -> None:
    store = Dicts()
    upsert(store, [row("h1", 0), row("h1", 3600), row("h2", 0)])
    versions = {key: version for key, (_, version) in store.items.items()}
    upsert(store, [row("h1", 3600, value=2.0, generation=2)])
    assert [key for key, (_, version) in store.items.items() if version != versions[key]] == [("h1", DAY_S // 3600 + 1)]


def test_a_rival_is_merged_and_verdicts_are_those_of_what_was_replaced() -> None:
    rival = [row("h1", 60, minutes=1, value=9.0, generation=5), row("h1", 0, value=9.0, generation=5)]
    store = Dicts([lambda one: change_items(one, Change(table(rival), Merging(rival).make))])
    merging = upsert(store, [row("h1", 0, value=1.0, generation=3), row("h2", 0, value=1.0, generation=3)])
    assert merging.merged.verdicts.tolist() == [Verdict.NEWER, Verdict.ADDED]
    assert merging.calls == 2
    assert [(one["entity"], one["sum"], one["generation"]) for one in rows_of(store.all())] == [("h1", 9.0, 5), ("h1", 9.0, 5), ("h2", 1.0, 3)]


rows = st.builds(
    row,
    st.sampled_from(("h1", "h2")),
    st.sampled_from((0, 60, 3600)),
    st.integers(1, 3),
    st.sampled_from((1.0, 2.0)),
    st.integers(1, 4),
)


def distinct(some: list[Row]) -> list[Row]:
    return list({(one["entity"], one["bucket_start"]): one for one in some}.values())


@given(st.lists(st.lists(rows, max_size=5).map(distinct), min_size=1, max_size=4))
def test_writers_in_each_others_way_end_like_one_after_the_other(writers: list[list[Row]]) -> None:
    def rivals(left: list[list[Row]]) -> list[Callable[[Dicts], None]]:
        return [lambda store, mine=mine: upsert(store, mine) for mine in left]  # type: ignore[misc]

    crossed, plain = Dicts(rivals(writers[1:])), Dicts()
    upsert(crossed, writers[0])
    while crossed.rivals:
        crossed.rivals.pop(0)(crossed)
    for mine in writers:
        upsert(plain, mine)
    assert rows_of(crossed.all()) == rows_of(plain.all())
