"""What only the DynamoDB store does: request units, throttling answers, batches taken in part, items at their limit, expiry. On ministack, behind a proxy."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.contracts.harness import UNIT, overlapped, put, read
from tests.core.rollup_tables import DAY_S, Row, row, rows_of, table
from tests.limits import limits
from tests.stores.dynamodb_proxy import Proxy, proxied, throttled
from tests.stores.dynamodb_servers import DynamoPlace, items_of, new_place
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.capacity import ITEM_LIMIT_BYTES, item_bytes
from transforms.core.errors import ServiceUnavailable, UsageError
from transforms.core.store_settings import StoreSettings
from transforms.core.throttle import Allowance, Pacer
from transforms.core.versions import Verdict
from transforms.stores.dynamodb import DynamoStore
from transforms.stores.dynamodb_calls import Pace
from transforms.stores.dynamodb_layout import cut, part_names, series_of
from transforms.stores.dynamodb_place import Place
from transforms.stores.files import no_failpoint
from transforms.stores.protocol import UndoCounts


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxied(server) as one:
        yield one


class CountingPacer(Pacer):
    """Takes no time, and knows what was taken before calls and what was settled after."""

    def __init__(self) -> None:
        super().__init__([Allowance(1.0)], lambda: 0.0, lambda _: None)
        self.taken: list[float] = []
        self.settled: list[float] = []

    def take(self, units: float = 1.0) -> float:
        self.taken.append(units)
        return 0.0

    def sent(self, _units: float, taken_s: float) -> float:
        return taken_s

    def answered(self, units: float, taken_s: float) -> None:
        pass

    def settle(self, units: float) -> None:
        self.settled.append(units)


def waiting(slept: list[float] | None = None) -> Waiting:
    return Waiting(sleep=(slept if slept is not None else []).append, random=lambda: 0.5, say=lambda _: None, backoff=Backoff(attempts=4))


def store_of(place: Place, *, clock_s: float = DAY_S + 86_400, slept: list[float] | None = None, **settings: Any) -> DynamoStore:
    return DynamoStore(place, StoreSettings(**settings), limits=limits(waiting(slept)), failpoint=no_failpoint, clock=lambda: clock_s)


def pauses(slept: list[float]) -> list[float]:
    """But for the moments that keeping the rate takes."""
    return [seconds for seconds in slept if seconds > 0.01]


def counted(store: DynamoStore) -> tuple[CountingPacer, CountingPacer]:
    reads, writes = CountingPacer(), CountingPacer()
    store.backend.calls.pace = Pace(reads, writes)  # type: ignore[attr-defined]
    return reads, writes


def many_rows(series: int, value: float = 0.1, generation: int = 1, hours: int = 24) -> list[Row]:
    return [row(f"h{one}", minute * 60, value=value + minute / 7, generation=generation) for one in range(series) for minute in range(hours * 60)]


def rollups_of(place: Place) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["series"]["S"], one["item"]["S"]): one for one in items_of(place) if one["series"]["S"].startswith("[")}


class TestRequestUnits:
    def test_what_the_pacer_took_is_what_the_service_charged(self, proxy: Proxy) -> None:
        store = store_of(new_place(proxy.url))
        reads, writes = counted(store)
        for generation in (1, 2):
            put(store, many_rows(3, generation=generation, value=generation), run_id=f"run{generation}")
        store.undo("run2", generation=2, now_generation=3)
        assert sum(reads.taken) + sum(reads.settled) == proxy.reads
        assert sum(writes.taken) + sum(writes.settled) == proxy.writes
        assert proxy.writes > 3 * 6 * 2 * 4

    def test_writes_are_known_before_they_are_made(self, proxy: Proxy) -> None:
        store = store_of(new_place(proxy.url))
        put(store, many_rows(3))
        _, writes = counted(store)
        before = proxy.writes
        put(store, many_rows(3, value=5.0, generation=2))
        assert sum(writes.taken) == proxy.writes - before
        assert set(writes.settled) == {0.0}

    def test_a_failed_condition_is_counted(self, proxy: Proxy) -> None:
        place = new_place(proxy.url)
        put(store_of(place), many_rows(1, hours=4))
        store = store_of(place)
        _, writes = counted(store)
        before = proxy.writes

        def rival(operation: str, request: dict[str, Any]) -> None:
            if operation == "PutItem" and request["Item"]["series"]["S"].startswith("["):
                proxy.instead = lambda *_: None
                proxy.lock.release()
                put(DynamoStore(place, limits=limits()), [row("h0", 60, 1, 7.0, 5)], run_id="rival")
                proxy.lock.acquire()
                spent.append(proxy.writes - before)

        spent: list[float] = []
        proxy.instead = rival
        put(store, [row("h0", 120, 1, 8.0, 6)])
        lost = proxy.named("PutItem")[-2:]
        assert [one["Item"]["item"]["S"] for one in lost] == ["1m#2025-11-01T00:00"] * 2
        assert read(store)["h0", 60][1:] == (7.0, 5)
        assert read(store)["h0", 120][1:] == (8.0, 6)
        assert writes.taken.count(3.0) >= 3  # the image, the put that failed, the second one

    def test_reads_of_many_items_of_a_series_are_one_query(self, proxy: Proxy) -> None:
        store = store_of(new_place(proxy.url))
        put(store, many_rows(2))
        del proxy.requests[:]
        put(store, many_rows(2))
        rollups = [one for one in proxy.named("Query") if one["ExpressionAttributeValues"][":series"]["S"].startswith("[")]
        assert len(rollups) == 2
        assert all(one["ConsistentRead"] for one in rollups)
        assert {name for name, _ in proxy.requests} == {"BatchGetItem", "Query"}

    def test_the_rate_is_kept(self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transforms.stores.dynamodb_reading.THREADS", 1)  # or calls would be on their way for as long as others wait
        now = [0.0]
        waits = Waiting(clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds), random=lambda: 0.0)
        store = DynamoStore(new_place(proxy.url), limits=limits(waits, dynamodb_wru_per_s=10))
        put(store, many_rows(1))
        last = 3.0
        assert now[0] == pytest.approx((proxy.writes - last) / (10 * 0.95), abs=1.0)

    def test_the_rate_begins_as_a_new_table_needs_it_and_doubles_in_half_an_hour(self) -> None:
        now = [0.0]
        waits = Waiting(clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
        pace = Pace.of(limits(waits, dynamodb_rru_per_s=60_000, dynamodb_wru_per_s=40_000), "table")
        for pacer, first in ((pace.writes, 2_000), (pace.reads, 6_000)):
            begin = now[0]
            pacer.take(first * 0.95)
            pacer.take(0)
            assert now[0] - begin == pytest.approx(1.0, abs=0.03)
        for _ in range(18):  # in use all the time
            now[0] += 100
            pace.writes.take(0)
        begin = now[0]
        pace.writes.take(4_000 * 0.95)
        pace.writes.take(0)
        assert now[0] - begin == pytest.approx(1.0, abs=0.03)


class TestThrottling:
    def test_a_hot_key_waits_while_others_go_on(self, proxy: Proxy) -> None:
        place, slept = new_place(proxy.url), []  # type: tuple[Place, list[float]]
        hot, left = '["host","acme","h1","cpu",[]]', [3]

        def refuse(operation: str, request: dict[str, Any]) -> Any:
            if operation == "PutItem" and request["Item"]["series"]["S"] == hot and left[0]:
                left[0] -= 1
                return throttled("TableWriteKeyRangeThroughputExceeded")
            return None

        proxy.instead = refuse
        store = store_of(place, slept=slept)
        put(store, [row(f"h{one}", 0, value=1.0) for one in range(4)])
        series = [one for one, _ in proxy.written() if one.startswith("[")]
        assert series.count(hot) == 4
        assert series[-3:] == [hot] * 3
        assert pauses(slept) == [0.1, 0.2]
        assert store.backend.calls.pace.writes.refusals == 0  # type: ignore[attr-defined]
        assert (store.repeated(), store.repeated()) == ({f"{place.name} KeyRangeThroughputExceeded": 3}, {})
        assert len(read(store)) == 4

    def test_a_key_that_stays_hot_ends_the_unit_and_nothing_is_lost(self, proxy: Proxy) -> None:
        place = new_place(proxy.url)
        proxy.instead = lambda operation, request: (
            throttled("TableWriteKeyRangeThroughputExceeded") if operation == "PutItem" and '"h1"' in request["Item"]["series"]["S"] else None
        )
        with pytest.raises(ServiceUnavailable, match="too much for a part of the table: the service put them back 4 times in a row"):
            put(store_of(place), [row(f"h{one}", 0, value=1.0) for one in range(4)])
        proxy.instead = lambda *_: None
        put(store_of(place), [row(f"h{one}", 0, value=1.0) for one in range(4)])
        assert len(read(store_of(place))) == 4

    @pytest.mark.parametrize("reason", ["TableWriteAccountLimitExceeded", "TableWriteMaxOnDemandThroughputExceeded"])
    def test_a_limit_of_account_or_table_slows_everything_down(self, proxy: Proxy, reason: str) -> None:
        place, left, slept = new_place(proxy.url), [2], []  # type: tuple[Place, list[int], list[float]]

        def refuse(operation: str, _request: dict[str, Any]) -> Any:
            if operation == "BatchWriteItem" and left[0]:
                left[0] -= 1
                return throttled(reason)
            return None

        store = store_of(place, slept=slept)
        proxy.instead = refuse
        put(store, [row()])
        assert store.backend.calls.pace.writes.refusals == 2  # type: ignore[attr-defined]
        assert store.backend.calls.pace.reads.refusals == 0  # type: ignore[attr-defined]
        assert pauses(slept) == [0.1, 0.2]
        assert store.repeated() == {f"{place.name} ProvisionedThroughputExceededException": 2}
        assert read(store) == {("h1", 0): (1, 1.0, 1)}


class TestBatches:
    def test_what_a_batch_leaves_is_written_again(self, proxy: Proxy) -> None:
        place = new_place(proxy.url)
        store = store_of(place)
        proxy.keep_back = lambda requests: requests[1:]
        put(store, many_rows(2))
        assert store.repeated() == {f"{place.name} UnprocessedItems": 2}  # roster and before-images of two series, one taken at a time
        put(store, many_rows(2, value=7.0, generation=2), run_id="second")
        proxy.keep_back = lambda _: []
        assert store.undo("second", generation=2, now_generation=3).restored == {"1m": 2 * 1440}

    def test_a_service_that_takes_nothing_ends_the_unit(self, proxy: Proxy) -> None:
        place = new_place(proxy.url)
        proxy.keep_back = lambda requests: requests
        with pytest.raises(ServiceUnavailable, match=r"writing 1 items into dynamodb://.*: the service put them back 4 times in a row"):
            put(store_of(place), [row()])
        assert rollups_of(place) == {}

    def test_only_a_fresh_table_is_written_without_conditions(self, proxy: Proxy) -> None:
        place = new_place(proxy.url)
        proxy.keep_back = lambda requests: requests[20:]
        put(store_of(place, dynamodb_fresh=True), many_rows(5))
        assert [one for one, _ in proxy.written() if one.startswith("[")] == []
        assert len(rollups_of(place)) == 30
        put(store_of(place, dynamodb_fresh=True), many_rows(5, value=9.0, generation=2), run_id="second")
        assert len([one for one, _ in proxy.written() if one.startswith("[")]) == 30
        assert store_of(place).undo("second", generation=2, now_generation=3).restored == {"1m": 7200}

    def test_conditions_that_fail_in_part_lose_nothing(self, server: str) -> None:
        place = DynamoPlace(new_place(server))
        first, second = many_rows(3, value=1.0, hours=5), many_rows(2, value=2.0, generation=2, hours=9)
        overlapped(place, lambda store: put(store, second, run_id="b"), lambda store: put(store, first, run_id="a"))
        stored = read(place.open())
        assert len(stored) == 2 * 540 + 300
        assert {version[2] for (entity, _), version in stored.items() if entity != "h2"} == {2}


class TestWritesThatMayHaveHappened:
    def test_an_answer_that_is_lost_is_found_out_by_the_compare(self, proxy: Proxy) -> None:
        place, dropped = new_place(proxy.url), []  # type: tuple[Place, list[str]]

        def drop_first(operation: str, request: dict[str, Any]) -> bool:
            is_first = operation == "PutItem" and (at := request["Item"]["item"]["S"]) not in dropped
            if is_first:
                dropped.append(at)
            return is_first

        proxy.drop = drop_first
        store = store_of(place)
        put(store, [row("h1", 0), row("h1", 5 * 3600)])
        assert len(dropped) == 4  # the partition's text, the mark of before-images and two items
        assert read(store) == {("h1", 0): (1, 1.0, 1), ("h1", 5 * 3600): (1, 1.0, 1)}
        proxy.drop = lambda *_: False
        assert store.undo("run", generation=1, now_generation=3).removed == {"1m": 2}
        assert rollups_of(place) == {}

    @pytest.mark.parametrize("fresh", [False, True])
    def test_further_parts_are_there_before_the_item_that_tells_of_them(self, proxy: Proxy, fresh: bool) -> None:
        place = new_place(proxy.url)
        for generation in (1, 2):
            put(store_of(place, dynamodb_fresh=fresh), histograms(generation, generation), run_id=f"run{generation}")
        seen: set[str] = set()
        batches = [
            one["PutRequest"]["Item"] for batch in proxy.named("BatchWriteItem") for one in next(iter(batch["RequestItems"].values())) if "PutRequest" in one
        ]
        assert sum("parts" in one for one in batches) == 1 + fresh  # the before-image, and the first item into a fresh table
        for operation, request in proxy.requests:
            items = [request["Item"]] if operation == "PutItem" else []
            if operation == "BatchWriteItem":
                items = [one["PutRequest"]["Item"] for one in next(iter(request["RequestItems"].values())) if "PutRequest" in one]
            for item in items:
                assert {f"{item['series']['S']} {name}" for name in part_names(item)} <= seen
            seen |= {f"{item['series']['S']} {item['item']['S']}" for item in items}


def histograms(seed: int, generation: int, bounds: int = 300) -> list[Row]:
    """Minutes of four hours, together more than an item takes."""
    counts = np.random.default_rng(seed).integers(1 << 40, 1 << 50, (240, bounds + 1)).tolist()
    more = {"kind": "histogram", "bounds": [float(one) for one in range(bounds)], "value": None, "generation": generation}
    return [row("h1", minute * 60, bucket_counts=one, **more) for minute, one in enumerate(counts)]


class TestItemsAtTheirLimit:
    SERIES = '["host","acme","h1","cpu",[]]'

    def item(self, size: int) -> list[dict[str, Any]]:
        bare = {"series": {"S": self.SERIES}, "item": {"S": "1m#2025-11-01T00:00"}, "version": {"N": "1762000000000"}}
        return cut(bare, bytes(size - item_bytes({**bare, "body": {"B": b""}})), "0f0f")

    def test_the_limit_is_the_service_s(self, server: str) -> None:
        place = new_place(server)
        (whole,) = self.item(ITEM_LIMIT_BYTES)
        place.client().put_item(TableName=place.table, Item=whole)
        with pytest.raises(place.client().exceptions.ClientError, match="Item size has exceeded"):
            place.client().put_item(TableName=place.table, Item=whole | {"body": {"B": whole["body"]["B"] + b"x"}})

    def test_one_byte_more_makes_two_parts(self, server: str) -> None:
        place = new_place(server)
        part, head = self.item(ITEM_LIMIT_BYTES + 1)
        assert part["item"]["S"] == "1m#2025-11-01T00:00#0f0f#0001"
        assert head["parts"] == {"S": "0f0f#1"}
        assert item_bytes(head) <= ITEM_LIMIT_BYTES
        for one in (part, head):
            place.client().put_item(TableName=place.table, Item=one)

    def test_an_item_beyond_it_is_cut_replaced_and_brought_back(self, server: str) -> None:
        place = new_place(server)
        large, larger = histograms(1, 1), histograms(2, 2, 500)
        put(store_of(place), large, run_id="first")
        names = [name for _, name in rollups_of(place)]
        assert len(names) == 2
        assert store_of(place).read_unit(UNIT, "1m").equals(table(large))
        put(store_of(place), larger, run_id="second")
        assert len(rollups_of(place)) == 3
        assert store_of(place).read_unit(UNIT, "1m").equals(table(larger))
        (piece,) = [piece for _, piece in store_of(place).scan("1m")]
        assert piece.equals(table(larger))
        counts = store_of(place).undo("second", generation=2, now_generation=3)
        assert counts == UndoCounts(restored={"1m": 240}, removed={"1m": 0}, left_alone={"1m": 0})
        wanted = table([one | {"generation": 3} for one in large])
        assert store_of(place).read_unit(UNIT, "1m").equals(wanted)
        assert len(rollups_of(place)) == 2

    def test_two_writers_of_a_large_item_in_one_millisecond_lose_nothing(self, server: str) -> None:
        place = DynamoPlace(new_place(server), partial(DynamoStore, clock=lambda: 1_762_000_000.0))  # type: ignore[arg-type]
        large = histograms(1, 1, 500)
        overlapped(place, lambda store: put(store, large[:200], run_id="a"), lambda store: put(store, large[100:], run_id="b"))
        assert place.open().read_unit(UNIT, "1m").equals(table(large))
        (head,) = [one for one in rollups_of(place.place).values() if "parts" in one]
        assert sorted(name for _, name in rollups_of(place.place)) == [head["item"]["S"], *part_names(head)]

    def test_a_large_item_whose_answer_was_lost_stays_whole(self, proxy: Proxy) -> None:
        place, dropped = new_place(proxy.url), []  # type: tuple[Place, list[str]]
        proxy.drop = lambda operation, request: operation == "PutItem" and "parts" in request["Item"] and not dropped and not dropped.append("")  # type: ignore[func-returns-value]
        large = histograms(1, 1)
        put(store_of(place), large)
        assert len(dropped) == 1
        assert store_of(place).read_unit(UNIT, "1m").equals(table(large))


class TestSeries:
    def test_a_long_series_is_keyed_by_its_digest_and_keeps_its_text(self, server: str) -> None:
        place, labels = new_place(server), '{"k":"' + "ä" * 1_500 + '"}'
        put(store_of(place), [row("h1", labels=labels), row("h2")])
        (long,) = [one for (series, _), one in rollups_of(place).items() if series.startswith("[#")]
        assert len(long["series"]["S"]) == 66
        assert long["text"]["S"] == '["host","acme","h1","cpu",[["k","' + "ä" * 1_500 + '"]]]'
        assert [one["labels"] for one in rows_of(store_of(place).read_unit(UNIT, "1m"))] == [labels, "{}"]
        assert [one["labels"] for _, piece in store_of(place).scan("1m") for one in rows_of(piece)] == [labels, "{}"]

    def test_1900_bytes_are_the_last_that_are_a_key(self) -> None:
        assert series_of("[" + "x" * 1_899).key == "[" + "x" * 1_899
        assert series_of("[" + "x" * 1_900).key.startswith("[#")


class TestExpiry:
    def test_items_expire_by_rule_from_the_end_of_their_span(self, server: str) -> None:
        place = new_place(server)
        store = store_of(place, dynamodb_ttl=(("1m", 86_400 * 15),))
        put(store, [row("h1", 0)])
        put(store, [row("h1", 0)], granularity="5m")
        expires = {name: one.get("expires") for (_, name), one in rollups_of(place).items()}
        assert expires == {"1m#2025-11-01T00:00": {"N": str(DAY_S + 4 * 3600 + 15 * 86_400)}, "5m#2025-11-01T00:00": None}

    def test_what_has_expired_is_refused_with_its_cause_and_the_rest_is_written(self, server: str) -> None:
        place = new_place(server)
        store = store_of(place, clock_s=DAY_S + 15 * 86_400 + 8 * 3600 - 1, dynamodb_ttl=(("1m", 86_400 * 15),))
        merged = put(store, [row("h1", 0), row("h1", 4 * 3600 - 60), row("h1", 4 * 3600)])
        assert merged.verdicts.tolist() == [Verdict.REFUSED, Verdict.REFUSED, Verdict.ADDED]
        assert merged.lapsed is not None
        assert merged.lapsed.tolist() == [True, True, False]
        assert list(read(store)) == [("h1", 4 * 3600)]
        later = store_of(place, clock_s=DAY_S + 15 * 86_400 + 8 * 3600, dynamodb_ttl=(("1m", 86_400 * 15),))
        assert put(later, [row("h1", 4 * 3600, value=2.0, generation=2)]).verdicts.tolist() == [Verdict.REFUSED]

    def test_without_a_rule_an_expiry_stays_unless_it_has_passed(self, server: str) -> None:
        place, expires = new_place(server), str(DAY_S + 2 * 86_400)
        put(store_of(place), [row("h1", 0)])
        (item,) = rollups_of(place).values()
        for clock_s, wanted in ((DAY_S + 86_400, {"N": expires}), (DAY_S + 3 * 86_400, None)):
            place.client().put_item(TableName=place.table, Item=item | {"expires": {"N": expires}})
            put(store_of(place, clock_s=clock_s), [row("h1", 60)])
            assert [one.get("expires") for one in rollups_of(place).values()] == [wanted]


class TestBeforeImages:
    NOW_S = DAY_S + 86_400

    def marks(self, place: Place) -> dict[str, str | None]:
        """When everything that is kept of the run `run` expires, by where it lies."""
        kept = [one for one in items_of(place) if one["series"]["S"].startswith("before/run") or one["series"]["S"] == "runs"]
        return {f"{one['series']['S']} {one['item']['S']}": one.get("expires", {}).get("N") for one in kept}

    def test_they_and_what_tells_of_them_live_for_thirty_days(self, server: str) -> None:
        place = new_place(server)
        put(store_of(place), [row("h1", 0)], run_id="first")
        put(store_of(place), [row("h1", 0, value=2.0, generation=2), row("h2", 0, generation=2)])
        marks = self.marks(place)
        assert [one.split("/")[0].split()[0] for one in sorted(marks)] == ["before"] * 3 + ["runs"] * 2
        assert set(marks.values()) == {str(self.NOW_S + 30 * 86_400)}
        assert all("expires" not in one for one in rollups_of(place).values())

    def test_or_for_as_long_as_asked_for(self, server: str) -> None:
        for days, wanted in ((1, str(self.NOW_S + 86_400)), (0, None)):
            place = new_place(server)
            put(store_of(place, dynamodb_undo_days=days), [row()])
            assert set(self.marks(place).values()) == {wanted}

    def test_the_parts_of_a_large_one_expire_as_well(self, server: str) -> None:
        place = new_place(server)
        put(store_of(place), histograms(1, 1), run_id="first")
        put(store_of(place), histograms(2, 2, 500))
        parts = [one for one in items_of(place) if one["series"]["S"].startswith("before/run/") and one["item"]["S"].count("#") > 1]
        assert len(parts) > 0
        assert {one["expires"]["N"] for one in parts} == {str(self.NOW_S + 30 * 86_400)}

    def test_a_unit_can_be_undone_until_its_first_images_expire_whole_or_not_at_all(self, server: str) -> None:
        place, days = new_place(server), 86_400
        put(store_of(place), [row("h1", 0)])
        put(store_of(place, clock_s=self.NOW_S + 20 * days), [row("h2", 0)])
        last_s = self.NOW_S + 30 * days
        assert self.marks(place)[f"before/run {UNIT}/1m"] == str(last_s)
        assert self.marks(place)["runs run"] == str(last_s + 20 * days)
        late = store_of(place, clock_s=last_s).undo("run", generation=1, now_generation=2)
        assert (late, late.units, len(read(store_of(place)))) == (UndoCounts(), frozenset(), 2)
        undone = store_of(place, clock_s=last_s - 1).undo("run", generation=1, now_generation=3)
        assert (undone.removed, undone.units, read(store_of(place))) == ({"1m": 2}, {(UNIT, "1m")}, {})


class TestOtherWriters:
    def test_an_item_of_a_writer_who_counts_no_versions_is_replaced_only_as_it_was_read(self, proxy: Proxy) -> None:
        place = new_place(proxy.url)
        put(store_of(place), [row("h1", 0, 1, 9.0, None)])
        (item,) = rollups_of(place).values()
        live = {name: value for name, value in item.items() if name != "version"}
        place.client().put_item(TableName=place.table, Item=live)
        put(store_of(place), [row("h1", 60, 1, 1.0, 5)])
        condition = proxy.named("PutItem")[-1]["ConditionExpression"]
        assert condition == "attribute_not_exists(version) AND body = :body"
        assert read(store_of(place)) == {("h1", 0): (1, 9.0, None), ("h1", 60): (1, 1.0, 5)}

    def test_a_preview_sees_items_of_series_that_are_in_no_roster(self, server: str) -> None:
        place = new_place(server)
        put(store_of(place), [row("h1", 0, 3, 9.0, None)])
        for item in items_of(place):
            if item["series"]["S"].startswith("roster/"):
                place.client().delete_item(TableName=place.table, Key={name: item[name] for name in ("series", "item")})
        previewed = store_of(place).preview(UNIT, {"1m": table([row("h1", 0, 2, 1.0, 7)])}, allow_fewer=False)
        assert previewed["1m"].verdicts.tolist() == [Verdict.REFUSED]


def test_a_table_that_is_not_there_is_told_with_the_command_that_makes_it(server: str) -> None:
    place = Place(table="nothing-here", endpoint_url=server, region="us-east-1")
    with pytest.raises(UsageError, match="there is no table 'nothing-here': make it with `rollups store create --store dynamodb://nothing-here`"):
        store_of(place).last_generation()
