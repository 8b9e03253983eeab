"""What every store does when a run is undone; as in `behaviours`."""

from collections.abc import Callable

from tests.contracts.behaviours import RUNS
from tests.contracts.harness import NewPlace, Place, calls_of, every_granularity, killed, put, put_all, read
from tests.core.rollup_tables import row
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.protocol import UndoCounts


def undo_brings_back_what_the_run_replaced(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row("h1", 0, 5, 9.0, None), row("h1", 300, 5, 9.0, 7), row("h2", 0, 1, 9.0, 7)], run_id="before")
    put(place.open(), [row("h1", 0, 5, 3.0, 20), row("h1", 300, 5, 3.0, 20), row("h3", 0, 1, 3.0, 20)], run_id="wrong")
    counts = place.open().undo("wrong", generation=20, now_generation=30)
    assert counts == UndoCounts(restored={"1m": 2}, removed={"1m": 1}, left_alone={"1m": 0})
    assert read(place.open()) == {("h1", 0): (5, 9.0, 30), ("h1", 300): (5, 9.0, 30), ("h2", 0): (1, 9.0, 7)}
    before = place.stored()
    assert place.open().undo("wrong", generation=20, now_generation=40) == UndoCounts(restored={"1m": 0}, removed={"1m": 0}, left_alone={"1m": 0})
    assert place.stored() == before


def undo_of_a_run_on_nothing_leaves_nothing(new_place: NewPlace) -> None:
    place = new_place()
    put_all(place.open(), every_granularity(place, 20), "first")
    place.open().undo("first", generation=20, now_generation=30)
    assert place.stored() == {}
    assert place.open().undo("never", generation=25, now_generation=40) == UndoCounts()


def undo_of_the_middle_run_leaves_later_repairs(new_place: NewPlace) -> None:
    place = new_place()
    for name, rows in RUNS.items():
        put(place.open(), rows, run_id=name)
    counts = place.open().undo("b", generation=20, now_generation=40)
    wanted = {("h1", 0): (5, 9.0, 40), ("h1", 300): (5, 7.0, 30), ("h2", 0): (1, 2.0, 30), ("h4", 0): (2, 9.0, 40)}
    assert read(place.open()) == wanted
    assert counts == UndoCounts(restored={"1m": 2}, removed={"1m": 1}, left_alone={"1m": 1})


def runs_undone_newest_first_bring_back_the_beginning(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row("h1", 0, 4, 1.0, None), row("h2", 0, 1, 1.0, None)], run_id="seed")
    seed = {where: version[:2] for where, version in read(place.open()).items()}
    for name, rows in RUNS.items():
        put(place.open(), rows, run_id=name)
    for now_generation, (name, generation) in enumerate((("c", 30), ("b", 20), ("a", 10)), start=40):
        counts = place.open().undo(name, generation=generation, now_generation=now_generation)
        assert counts.left_alone == {"1m": 0}
    assert {where: version[:2] for where, version in read(place.open()).items()} == seed


def undo_sees_through_several_writes_of_one_run(new_place: NewPlace) -> None:
    place = new_place()
    put(place.open(), [row("h1", 0, 1, 9.0, None)], run_id="seed")
    put(place.open(), [row("h1", 0, 2, 5.0, 20)], run_id="wrong")
    put(place.open(), [row("h2", 0, 1, 5.0, 20)], run_id="wrong")
    put(place.open(), [row("h1", 0, 3, 4.0, 20)], run_id="wrong")
    place.open().undo("wrong", generation=20, now_generation=30)
    assert read(place.open()) == {("h1", 0): (1, 9.0, 30)}


def undo_of_a_run_killed_half_way_takes_back_what_it_wrote(new_place: NewPlace) -> None:
    def replay(place: Place) -> Callable[[Failpoint], object]:
        return lambda failpoint: put_all(place.open(failpoint), every_granularity(place, 20, 2.0), "late")

    seeded = new_place()
    put_all(seeded.open(), every_granularity(seeded, 10, 9.0), "early")
    for call in range(0, calls_of(replay(seeded.copy())), 3):
        place = seeded.copy()
        killed(replay(place), call)
        place.open().undo("late", generation=20, now_generation=30)
        found = {version[:2] for granularity in place.granularities for version in read(place.open(), granularity=granularity).values()}
        assert found == {(1, 9.0)}


def an_undo_killed_at_any_call_is_repeated_to_the_same_bytes(new_place: NewPlace) -> None:
    def undo(place: Place, now_generation: int) -> Callable[[Failpoint], object]:
        return lambda failpoint: place.open(failpoint).undo("wrong", generation=20, now_generation=now_generation)

    seeded = new_place()
    put(seeded.open(), [row("h1", 0, 1, 9.0, 10)])
    for granularity in seeded.granularities[:2]:  # a version to restore, a table to remove
        put(seeded.open(), [row("h1", 0, 1, 2.0, 20), row("h2", 0, 1, 2.0, 20)], run_id="wrong", granularity=granularity)
    undisturbed, begun_again = seeded.copy(), seeded.copy()
    calls = calls_of(undo(undisturbed, 30))
    undo(begun_again, 31)(no_failpoint)
    ends = []
    for call in range(calls):
        place = seeded.copy()
        assert killed(undo(place, 30), call)
        undo(place, 31)(no_failpoint)
        ends.append([undisturbed.stored(), begun_again.stored()].index(place.stored()))
    assert ends == sorted(ends, reverse=True)
    assert sum(ends) < 10  # killed before it noted that it had begun


def runs_undone_oldest_first_need_the_oldest_once_more(new_place: NewPlace) -> None:
    place = new_place()
    for name, version in (("seed", (1.0, None)), ("a", (2.0, 10)), ("b", (3.0, 20))):
        put(place.open(), [row("h1", 0, 1, *version)], run_id=name)
    assert place.open().undo("a", generation=10, now_generation=30).left_alone == {"1m": 1}
    assert place.open().undo("b", generation=20, now_generation=40).restored == {"1m": 1}
    assert read(place.open()) == {("h1", 0): (1, 2.0, 40)}
    assert place.open().undo("a", generation=10, now_generation=50).restored == {"1m": 1}
    assert read(place.open()) == {("h1", 0): (1, 1.0, 50)}
