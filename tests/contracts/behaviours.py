"""What every store does when it is written and read: one function per behaviour, each with as many empty stores as it asks for. `test_store` runs them all."""

import itertools
from collections.abc import Callable

from tests.contracts.harness import (
    EMPTY,
    SHARDS,
    UNIT,
    NewPlace,
    Place,
    Steps,
    calls_of,
    every_granularity,
    in_processes,
    killed,
    overlapped,
    put,
    put_all,
    read,
)
from tests.core.rollup_tables import DAY, DAY_S, row, rows_of, table
from transforms.core.errors import RollupsError
from transforms.core.restored import COMPARED
from transforms.core.units import Unit
from transforms.core.versions import Verdict
from transforms.stores.files import Failpoint
from transforms.stores.protocol import RollupStore, UndoCounts

RUNS = {
    "a": [row("h1", 0, 5, 9.0, 10), row("h1", 300, 3, 9.0, 10), row("h2", 0, 1, 9.0, 10), row("h4", 0, 2, 9.0, 10)],
    "b": [row("h1", 0, 5, 3.0, 20), row("h1", 300, 5, 8.0, 20), row("h3", 0, 1, 8.0, 20), row("h4", 0, 2, 9.0, 20)],
    "c": [row("h1", 0, 4, 7.0, 30), row("h1", 300, 5, 7.0, 30), row("h2", 0, 1, 2.0, 30)],
}
"""Three runs over the same buckets: newer and lower, newer with fewer minutes, the same again, buckets of one run only."""

MAXIMUM = {("h1", 0): (5, 3.0, 20), ("h1", 300): (5, 7.0, 30), ("h2", 0): (1, 2.0, 30), ("h3", 0): (1, 8.0, 20), ("h4", 0): (2, 9.0, 20)}
LATEST = MAXIMUM | {("h1", 0): (4, 7.0, 30)}


def a_repeated_upsert_writes_nothing(new_place: NewPlace) -> None:
    place, steps = new_place(), Steps()
    put(place.open(), RUNS["a"])
    before = place.stored()
    merged = put(place.open(steps), RUNS["a"])
    assert set(merged.verdicts) == {Verdict.EQUAL}
    assert place.stored() == before
    assert not [name for name in steps.calls if "write" in name]


def three_runs_end_alike_in_every_order(new_place: NewPlace) -> None:
    for allow_fewer, wanted in ((False, MAXIMUM), (True, LATEST)):
        ends = []
        for order in itertools.permutations(RUNS):
            place = new_place()
            for name in order:
                put(place.open(), RUNS[name], run_id=name, allow_fewer=allow_fewer)
            assert read(place.open()) == wanted
            ends.append(place.stored())
        assert all(end == ends[0] for end in ends)


def a_run_written_in_pieces_ends_like_one_written_at_once(new_place: NewPlace) -> None:
    whole, pieces = new_place(), new_place()
    put(whole.open(), RUNS["a"])
    for piece in (RUNS["a"][2:], RUNS["a"][1:3], RUNS["a"][:2]):
        put(pieces.open(), piece)
    assert pieces.stored() == whole.stored()


def two_writers_between_read_and_replace_lose_nothing(new_place: NewPlace) -> None:
    for one, other in itertools.permutations(RUNS, 2):
        (third,) = {*RUNS} - {one, other}
        place, undisturbed = new_place(), new_place()
        for target in (place, undisturbed):
            put(target.open(), RUNS[third], run_id=third)
        overlapped(place, _writer(one), _writer(other))
        for name in (other, one):
            put(undisturbed.open(), RUNS[name], run_id=name)
        assert read(place.open()) == MAXIMUM
        assert place.stored() == undisturbed.stored()


def _writer(name: str) -> Callable[[RollupStore], object]:
    return lambda store: put(store, RUNS[name], run_id=name)


def neighbours_stay_byte_for_byte(new_place: NewPlace) -> None:
    place = new_place()
    place.open().open_partition("host", DAY, 2)
    neighbours = [UNIT._replace(shard=1), UNIT._replace(window="2025-11-02"), UNIT._replace(metric_type="service")]
    for unit in neighbours:
        shift = 86_400 if unit.window != DAY else 0
        put(place.open(), [row("n1" if unit.shard else "h1", shift, 1, 5.0, None)], unit=unit)
    for granularity in place.granularities[1:]:
        put(place.open(), [row("h1", 0, 1, 5.0, None)], granularity=granularity)
    before = place.stored()
    put(place.open(), RUNS["a"])
    after = place.stored()
    assert {where: after[where] for where in before} == before
    assert len(after) > len(before)


def buckets_that_a_run_does_not_have_stay(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row("h1", 0, 1, 5.0, None), row("h1", 60, 1, 5.0, None), row("h0", 60, 1, 5.0, 7)])
    merged = put(place.open(), [row("h1", 60, 1, 6.0, 9)])
    assert read(place.open()) == {("h0", 60): (1, 5.0, 7), ("h1", 0): (1, 5.0, None), ("h1", 60): (1, 6.0, 9)}
    assert merged.unmatched.tolist()[-2:] == [True, False]  # whoever reads all of a unit also met h0


def a_lower_value_of_a_newer_generation_wins(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row(minutes=5, value=9.0, generation=1)])
    assert put(place.open(), [row(minutes=5, value=3.0, generation=2)]).verdicts.tolist() == [Verdict.CHANGED]
    assert read(place.open()) == {("h1", 0): (5, 3.0, 2)}


def an_older_generation_does_not_replace_a_newer_one(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row(minutes=5, value=3.0, generation=2)])
    assert put(place.open(), [row(minutes=5, value=9.0, generation=1)]).verdicts.tolist() == [Verdict.NEWER]
    assert read(place.open()) == {("h1", 0): (5, 3.0, 2)}


def fewer_minutes_are_refused_unless_allowed(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row(minutes=5, value=9.0, generation=1), row(bucket_s=300, minutes=4, generation=1)])
    before = place.stored()
    merged = put(place.open(), [row(minutes=4, value=3.0, generation=2)])
    assert merged.verdicts.tolist() == [Verdict.REFUSED]
    assert [(one["minutes"], one["sum"]) for one in rows_of(merged.stored)] == [(5, 9.0)]
    assert place.stored() == before
    assert put(place.open(), [row(minutes=4, value=3.0, generation=2)], allow_fewer=True).verdicts.tolist() == [Verdict.CHANGED]
    assert read(place.open())["h1", 0] == (4, 3.0, 2)


def rows_without_a_generation_count_as_0(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row("h1", generation=None), row("h2", generation=None)])
    put(place.open(), [row("h1", value=2.0, generation=1)])
    assert put(place.open(), [row("h1", value=3.0, generation=None)]).verdicts.tolist() == [Verdict.NEWER]
    assert read(place.open()) == {("h1", 0): (1, 2.0, 1), ("h2", 0): (1, 1.0, None)}


def an_upsert_killed_at_any_call_is_repeated_to_the_same_bytes(new_place: NewPlace) -> None:
    def replay(place: Place) -> Callable[[Failpoint], object]:
        return lambda failpoint: put_all(place.open(failpoint), rollups, "late")

    seeded = new_place()
    rollups = every_granularity(seeded, 20, 2.0)
    seeded.open().open_partition("host", DAY, 2)
    put_all(seeded.open(), every_granularity(seeded, 10, 9.0, ("h1", "h0")), "early")
    put(seeded.open(), [row("n1", 0, 1, 5.0, None)], unit=UNIT._replace(shard=1))
    before, undisturbed = seeded.stored(), seeded.copy()
    calls = calls_of(replay(undisturbed))
    for call in range(calls):
        place = seeded.copy()
        assert killed(replay(place), call)
        assert place.stored().keys() >= before.keys()
        put_all(place.open(), rollups, "late")
        assert place.stored() == undisturbed.stored()
    assert calls > 4 * len(rollups)
    counts = place.open().undo("late", generation=20, now_generation=30)
    assert counts == UndoCounts(restored=dict.fromkeys(rollups, 2), removed=dict.fromkeys(rollups, 2), left_alone=dict.fromkeys(rollups, 0))


def generations_increase_even_if_the_clock_does_not(new_place: NewPlace) -> None:
    store = new_place().open()
    assert store.last_generation() == 0
    issued = [store.issue_generation(now_ms) for now_ms in (1000, 1000, 500, 2000)]
    assert issued == [1000, 1001, 1002, 2000]
    assert store.last_generation() == 2000


def generations_are_unique_among_processes(new_place: NewPlace) -> None:
    place = new_place()
    issued = in_processes(8, lambda _: [place.open().issue_generation(1000) for _ in range(5)])
    assert sorted(itertools.chain(*issued)) == list(range(1000, 1040))  # type: ignore[arg-type]


def a_partition_keeps_the_number_of_shards_it_was_opened_with(new_place: NewPlace) -> None:
    place = new_place()
    assert place.open().shard_count("host", DAY) is None
    answers = in_processes(8, lambda number: place.open().open_partition("host", DAY, number + 1))
    assert len(set(answers)) == 1
    assert place.open().shard_count("host", DAY) == answers[0]
    assert place.open().open_partition("host", DAY, 99) == answers[0]
    assert place.open().shard_count("host", "2025-11-02") is None


def partitions_and_generations_survive_being_killed_at_any_call(new_place: NewPlace) -> None:
    def begin(place: Place, shards: int) -> Callable[[Failpoint], object]:
        return lambda failpoint: (place.open(failpoint).open_partition("host", DAY, shards), place.open(failpoint).issue_generation(1000))

    for call in range(calls_of(begin(new_place(), 4))):
        place = new_place()
        assert killed(begin(place, 4), call)
        opened, last = place.open().shard_count("host", DAY), place.open().last_generation()
        assert (opened, last) in {(None, 0), (4, 0), (4, 1000)}
        assert place.open().open_partition("host", DAY, 5) == opened or 5
        assert place.open().issue_generation(1000) == max(1000, last + 1)


def a_unit_of_a_partition_that_is_not_open_is_an_error(new_place: NewPlace) -> None:
    store = new_place().open()
    for shard, opened in ((0, False), (SHARDS, True)):
        if opened:
            store.open_partition("host", DAY, SHARDS)
        message = ""
        try:
            store.upsert(UNIT._replace(shard=shard), {"1m": table([row()])}, run_id="run", allow_fewer=False)
        except RollupsError as error:
            message = str(error)
        assert "planned for another store" in message


def a_preview_answers_like_the_upsert_and_changes_nothing(new_place: NewPlace) -> None:
    place = new_place()
    first = place.open().preview(UNIT, {"1m": table(RUNS["a"])}, allow_fewer=False)["1m"]
    assert set(first.verdicts) == {Verdict.ADDED}
    assert place.stored() == {}
    assert place.open().shard_count("host", DAY) is None
    put(place.open(), RUNS["a"])
    before = place.stored()
    for allow_fewer in (False, True):
        preview = place.open().preview(UNIT, {"1m": table(RUNS["c"])}, allow_fewer=allow_fewer)["1m"]
        assert place.stored() == before
        wanted = [Verdict.CHANGED if allow_fewer else Verdict.REFUSED, Verdict.CHANGED, Verdict.CHANGED]
        assert preview.verdicts.tolist() == wanted
    assert preview.verdicts.tolist() == put(place.open(), RUNS["c"], allow_fewer=True).verdicts.tolist()


def no_rows_make_no_trace(new_place: NewPlace) -> None:
    place = new_place()
    assert put(place.open(), []).verdicts.tolist() == []
    assert place.stored() == {}
    put(place.open(), RUNS["a"])
    before = place.stored()
    assert put(place.open(), []).unmatched.all()
    assert place.stored() == before
    assert place.open().read_unit(UNIT, "5m").equals(EMPTY)  # also where none can be stored


def names_are_any_text_and_sorted_by_code_point(new_place: NewPlace) -> None:
    names = ["", " ", "a/b", "é", "e\u0301", "\uffff", "\U0001f600", "\u0000", "長い名前" * 40]
    place = new_place()
    put(place.open(), [row(name, labels='{"k":"ü"}', org=name, generation=5) for name in names])
    assert [entity for entity, _ in read(place.open())] == sorted(names)
    scanned = [one["entity"] for _, piece in place.open().scan("1m") for one in rows_of(piece)]
    assert scanned == sorted(names)


def every_column_comes_back_as_it_was(new_place: NewPlace) -> None:
    rows = [
        row("h1", kind="histogram", value=None, minutes=3, count=7, sum=1.5, p50=0.1, p90=0.2, p95=0.3, p99=0.4, bounds=[0.1, 0.5], bucket_counts=[1, 2, 4]),
        row("h2", kind="counter", increase=3.0, first_value=1.0, last_value=2.0**60, start_time=(DAY_S - 5) * 1000 + 1),
        row("h3", value=5e-324, generation=2**53 + 1),
        row("h4", value=float("inf"), bounds=[], bucket_counts=[]),
    ]
    place = new_place()
    put(place.open(), rows)
    assert place.open().read_unit(UNIT, "1m").equals(table(rows))
    assert place.open().read_unit(UNIT, "1m", COMPARED).equals(table(rows).select(COMPARED))
    assert place.open().read_unit(UNIT, "5m", COMPARED).equals(EMPTY.select(COMPARED))
    assert put(place.open(), rows).verdicts.tolist() == [Verdict.EQUAL] * 4


def a_scan_unites_shards_and_windows_in_order(new_place: NewPlace) -> None:
    place, entities, shards = new_place(), [f"h{number:02d}" for number in range(12)], 3
    *others, coarsest = place.granularities
    for metric_type, day, shard in itertools.product(("service", "host"), (0, 1, 2), range(shards)):
        unit = Unit(metric_type, f"2025-11-0{1 + day}", shard)
        place.open().open_partition(metric_type, unit.window, shards)
        rows = [row(entity, day * 86_400 + bucket_s, generation=1) for entity in entities[shard::shards] for bucket_s in (0, 3600)]
        put(place.open(), rows, unit=unit, granularity=coarsest)
    found = [(metric_type, one["entity"], one["bucket_start"] // 1000 - DAY_S) for metric_type, piece in place.open().scan(coarsest) for one in rows_of(piece)]
    times = [day * 86_400 + bucket_s for day in (0, 1, 2) for bucket_s in (0, 3600)]
    assert found == list(itertools.product(("host", "service"), entities, times))
    asked = place.open().scan(
        coarsest,
        metric_types=["service"],
        periods=[(DAY_S + 3600 + 58, DAY_S + 3600 + 59), (DAY_S + 86_400, DAY_S + 86_401)],
        wanted=lambda metric_type, org, entity, name, _labels: (metric_type, org, entity, name) == ("service", "acme", "h07", "cpu"),
        columns=["sum", "bucket_start"],
    )
    pieces = [(metric_type, piece.column_names, piece.column("bucket_start").cast("int64").to_pylist()) for metric_type, piece in asked]
    assert pieces == [("service", ["bucket_start", "sum"], [(DAY_S + 3600) * 1000, (DAY_S + 86_400) * 1000])]
    assert all(list(place.open().scan(name)) == [] for name in others)
