"""What only the store behind a function does: batches on the wire, halves where it fails, dead letters, limits. Over a scripted endpoint and ministack."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from scripts.dynamodb_cost import UNIT as WEEK_UNIT, week_of
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.contracts.harness import UNIT, put, read
from tests.core.rollup_tables import DAY_S, Row, row
from tests.limits import limits
from tests.stores.dynamodb_proxy import proxied
from tests.stores.dynamodb_servers import DynamoPlace, new_place
from tests.stores.lambda_endpoint import DENIED, NO_ANSWER, Endpoint, Reply, endpoint, function_error, too_large, too_many
from tests.stores.lambda_servers import QuickFunction
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.core.undelivered import Undelivered, WriteDeadLetter
from transforms.stores import lambda_calls, lambda_delivery
from transforms.stores.files import no_failpoint
from transforms.stores.lambda_batch import MOST_BYTES
from transforms.stores.lambda_calls import ACCOUNT, ACCOUNT_PAUSE_S, FAILURES_IN_A_ROW, RESERVED, RESERVED_WAIT_S, Failed, FunctionCalls
from transforms.stores.lambda_store import LambdaStore

SERIES = 16
ROWS = [row(f"h{one:02d}", minute * 60, value=one + minute / 7) for one in range(SERIES) for minute in range(3)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


@pytest.fixture
def function(server: str) -> Iterator[Endpoint]:
    with endpoint(new_place(server)) as one:
        yield one


class Time:
    """A clock that goes on by what is slept."""

    def __init__(self) -> None:
        self.now_s, self.slept = 0.0, []  # type: float, list[float]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def waiting(self, attempts: int = 4) -> Waiting:
        return Waiting(clock=lambda: self.now_s, sleep=self.sleep, random=lambda: 0.5, say=lambda _: None, backoff=Backoff(attempts=attempts))


def store_of(function: Endpoint, folder: Path, waiting: Waiting | None = None, **rates: int) -> LambdaStore:
    """The store behind the endpoint, with its table in ministack."""
    named = QuickFunction(function="writer", endpoint_url=function.url, region="us-east-1")
    return LambdaStore(named, function.place, limits=limits(waiting or Time().waiting(), folder, **{"lambda_concurrency": 8} | rates))


def hosts(batch: dict[str, Any]) -> set[str]:
    return {one["series"].split('"')[5] for one in batch["items"]}


def stored(function: Endpoint) -> dict[str, bytes]:
    return DynamoPlace(function.place).stored()


def undisturbed(server: str, rows: list[Row]) -> dict[str, bytes]:
    place = DynamoPlace(new_place(server))
    put(place.open(), rows)
    return place.stored()


class TestBatches:
    def test_they_have_fewer_than_6_mb_on_the_wire(self, function: Endpoint, tmp_path: Path) -> None:
        store = store_of(function, tmp_path)
        week = week_of(70, generation=1)["5m"]
        store.open_partition(*WEEK_UNIT[:2], 1)
        merged = store.upsert(WEEK_UNIT, {"5m": week}, run_id="run", allow_fewer=False)["5m"]
        assert len(merged.verdicts) == 70 * 7 * 288
        assert max(function.lengths) < 6_000_000
        assert sum(function.lengths) > 6_000_000
        assert sum(function.sizes) == 70 * 7
        assert len(function.batches) == 2
        assert store.read_unit(WEEK_UNIT, "5m").equals(week)

    def test_no_larger_one_is_sent(self, function: Endpoint, tmp_path: Path) -> None:
        calls = FunctionCalls(QuickFunction(function="writer", endpoint_url=function.url), limits(Time().waiting(), tmp_path), no_failpoint)
        failed = calls.invoke(b" " * MOST_BYTES)
        assert failed == Failed("it makes 6000000 bytes, and an invocation takes fewer than 6000000")
        assert function.batches == []

    def test_many_small_items_are_several_batches(self, function: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lambda_delivery, "BATCH_ITEMS", 5)
        put(store_of(function, tmp_path), ROWS)
        assert sorted(function.sizes) == [1, 5, 5, 5]

    def test_a_batch_has_a_key_by_run_and_content(self, function: Endpoint, tmp_path: Path) -> None:
        function.instead = lambda _: Reply(200, {"format": 1, "cause": "not today"})
        for run_id, generation in (("one", 1), ("one", 1), ("two", 1), ("one", 2)):
            with pytest.raises(UsageError, match="not today"):
                put(store_of(function, tmp_path), [row("h1", 0, generation=generation)], run_id=run_id)
        keys = [one["key"] for one in function.batches]
        assert [len(one) for one in keys] == [64] * 4
        assert keys[0] == keys[1]
        assert len(set(keys)) == 3

    def test_in_flight_are_no_more_than_the_slots(self, function: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lambda_delivery, "BATCH_ITEMS", 1)
        put(store_of(function, tmp_path, lambda_concurrency=2), ROWS)
        assert function.sizes == [1] * SERIES
        assert function.most_in_flight == 2

    def test_the_function_is_shown_with_its_table(self, function: Endpoint, tmp_path: Path) -> None:
        assert store_of(function, tmp_path).facts()[:4] == (
            ("function", "writer"),
            ("account", "000000000000"),
            ("region", "us-east-1"),
            ("table", function.place.table),
        )

    def test_only_texts_are_written_directly(self, function: Endpoint, server: str, tmp_path: Path) -> None:
        with proxied(server) as proxy:
            named = QuickFunction(function="writer", endpoint_url=function.url, region="us-east-1")
            place = replace(function.place, endpoint_url=proxy.url)
            store = LambdaStore(named, place, limits=limits(Time().waiting(), tmp_path))
            for generation in (1, 2):
                put(store, [row("h1", 0, value=generation, generation=generation)], run_id=f"run{generation}")
            store.undo("run2", generation=2, now_generation=3)
            assert list(store.scan("1m"))
            assert {name for name, _ in proxy.requests} == {"BatchGetItem", "Query", "Scan", "PutItem"}
            assert {one["Item"]["series"]["S"] for one in proxy.named("PutItem")} == {"text"}
        assert function.sizes == [1, 1, 1]

    def test_what_they_write_is_paced(self, function: Endpoint, tmp_path: Path) -> None:
        store = store_of(function, tmp_path)
        taken: list[float] = []
        pace = store.backend.calls.pace.writes  # type: ignore[attr-defined]
        pace.take, pace.settle = taken.append, taken.append
        put(store, ROWS)
        charged = 2 + 3 * SERIES  # index, roster, images and items
        assert taken == [1, 0.0, 2 * SERIES, charged - 2 * SERIES]  # after the partition's text


class TestFailures:
    def test_where_the_function_fails_halves_are_sent(self, function: Endpoint, server: str, tmp_path: Path) -> None:
        function.instead = lambda batch: function_error("out of memory", "Runtime.ExitError") if len(batch["items"]) > 4 else None
        put(store_of(function, tmp_path), ROWS)
        assert function.sizes == [16, 8, 4, 4, 8, 4, 4]
        assert stored(function) == undisturbed(server, ROWS)

    def test_a_payload_that_is_too_large_is_sent_in_halves(self, function: Endpoint, server: str, tmp_path: Path) -> None:
        function.instead = lambda batch: too_large() if len(batch["items"]) > 8 else None
        put(store_of(function, tmp_path), ROWS)
        assert function.sizes == [16, 8, 8]
        assert stored(function) == undisturbed(server, ROWS)

    def test_no_answer_in_time_is_a_failure(self, function: Endpoint, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lambda_calls, "MARGIN_S", -0.5)
        function.configuration = Reply(200, {"FunctionName": "writer", "Timeout": 1})
        function.instead = lambda batch: NO_ANSWER if len(batch["items"]) > 8 else None
        put(store_of(function, tmp_path), ROWS)
        assert function.sizes == [16, 8, 8]
        assert stored(function) == undisturbed(server, ROWS)

    def test_a_batch_that_was_written_before_its_answer_was_lost_is_equal(self, function: Endpoint, server: str, tmp_path: Path) -> None:
        def lose(batch: dict[str, Any]) -> Reply | None:
            function.instead = lambda _: None
            function.reply(batch)
            return function_error("lost")

        function.instead = lose
        store = store_of(function, tmp_path)
        put(store, ROWS)
        assert stored(function) == undisturbed(server, ROWS)
        assert store.undo("run", generation=1, now_generation=2).removed == {"1m": len(ROWS)}
        assert stored(function) == {}

    def test_an_item_that_fails_alone_is_a_dead_letter_and_all_others_are_written(self, function: Endpoint, server: str, tmp_path: Path) -> None:
        function.instead = lambda batch: function_error("division by zero") if "h05" in hosts(batch) else None
        store = store_of(function, tmp_path)
        with pytest.raises(Undelivered, match=r"writing host-2025-11-01-0000 into lambda://writer: 3 buckets were not taken") as caught:
            put(store, ROWS)
        cause = "function error RuntimeError: division by zero"
        assert caught.value.letters == (WriteDeadLetter(UNIT, "1m", ("acme", "h05", "cpu", "{}"), (DAY_S, DAY_S + 60, DAY_S + 120), cause),)
        assert caught.value.exit_code == 3
        assert stored(function) == undisturbed(server, [one for one in ROWS if one["entity"] != "h05"])
        assert function.sizes.count(1) == 3 + 1  # three tries, and its neighbour
        assert store.repeated() == {f"{store.backend.name} items not taken": len(function.sizes) - 1}
        function.instead = lambda _: None
        put(store, ROWS)
        assert stored(function) == undisturbed(server, ROWS)

    def test_only_buckets_that_differ_are_in_a_dead_letter(self, function: Endpoint, tmp_path: Path) -> None:
        store = store_of(function, tmp_path)
        put(store, [row("h1", 0, value=1.0), row("h1", 60, value=1.0)])
        function.instead = lambda _: Reply(200, {"format": 1, "items": [{"outcome": "rejected", "cause": "I won't"}]})
        with pytest.raises(Undelivered) as caught:
            put(store, [row("h1", 0, value=1.0), row("h1", 60, value=2.0, generation=2), row("h1", 120, generation=2)])
        assert caught.value.letters == (WriteDeadLetter(UNIT, "1m", ("acme", "h1", "cpu", "{}"), (DAY_S + 60, DAY_S + 120), "I won't"),)
        assert len(function.batches) == 2  # what will not go well in another batch is not sent again

    def test_a_function_that_always_fails_ends_the_run(self, function: Endpoint, tmp_path: Path) -> None:
        function.instead = lambda _: function_error("No module named 'pipelines'", "Runtime.ImportModuleError")
        with pytest.raises(
            ServiceUnavailable, match=r"failed 40 times in a row, whatever it was given; the last time: function error Runtime\.ImportModuleError"
        ):
            put(store_of(function, tmp_path), [row(f"h{one}", 0) for one in range(200)])
        assert len(function.batches) == FAILURES_IN_A_ROW

    def test_a_function_that_sees_another_table_is_found_out(self, function: Endpoint, tmp_path: Path) -> None:
        function.instead = lambda batch: Reply(200, {"format": 1, "items": [{"outcome": "refused"}] * len(batch["items"])})
        with pytest.raises(Undelivered, match="does it write the table that is read"):
            put(store_of(function, tmp_path), ROWS)
        assert function.sizes == [SERIES]

    @pytest.mark.parametrize("answer", [{}, [], "ok", {"format": 1, "items": []}, {"format": 1, "items": [{"outcome": "perhaps"}]}])
    def test_an_answer_that_is_none_is_a_failure(self, function: Endpoint, tmp_path: Path, answer: Any) -> None:
        function.instead = lambda _: Reply(200, answer)
        with pytest.raises(Undelivered, match="its answer is not understood"):
            put(store_of(function, tmp_path), [row("h1", 0)])
        assert function.sizes == [1, 1, 1]

    def test_undo_tells_what_was_not_taken_and_goes_on_later(self, function: Endpoint, tmp_path: Path) -> None:
        store = store_of(function, tmp_path)
        put(store, ROWS)
        function.instead = lambda batch: function_error("no") if "h05" in hosts(batch) else None
        with pytest.raises(Undelivered):
            store.undo("run", generation=1, now_generation=2)
        assert {entity for entity, _ in read(store)} == {"h05"}
        function.instead = lambda _: None
        store.undo("run", generation=1, now_generation=3)
        assert stored(function) == {}


class TestLimits:
    def test_who_finds_the_function_busy_waits_at_full_rate(self, function: Endpoint, tmp_path: Path) -> None:
        busy = iter([too_many(RESERVED)] * 30)
        function.instead = lambda _: next(busy, None)
        time = Time()
        store = store_of(function, tmp_path, time.waiting())
        put(store, ROWS)
        assert function.sizes == [16] * 31
        assert [one for one in time.slept if one >= 0.05][:4] == [0.1, 0.2, 0.4, 0.4]
        assert store.repeated() == {f"{store.backend.name} {RESERVED}": 30}
        assert store.backend.function.pacer.refusals == 0  # type: ignore[attr-defined]

    def test_it_does_not_wait_for_ever(self, function: Endpoint, tmp_path: Path) -> None:
        function.instead = lambda _: too_many(RESERVED)
        time = Time()
        with pytest.raises(ServiceUnavailable, match=r"all that is reserved for it was in use for 9\d\d s"):
            put(store_of(function, tmp_path, time.waiting(attempts=10)), ROWS)
        assert RESERVED_WAIT_S <= time.now_s < RESERVED_WAIT_S + 20

    def test_an_account_at_its_limit_is_left_alone(self, function: Endpoint, tmp_path: Path) -> None:
        busy = iter([too_many(ACCOUNT)] * 2)
        function.instead = lambda _: next(busy, None)
        time = Time()
        store = store_of(function, tmp_path, time.waiting(), lambda_invoke_per_s=10)
        put(store, ROWS)
        pacer = store.backend.function.pacer  # type: ignore[attr-defined]
        assert pacer.refusals == 2
        assert function.sizes == [16] * 3
        assert time.now_s >= 2 * ACCOUNT_PAUSE_S - 1

    def test_a_service_that_says_how_long_to_wait_is_not_called_before_by_anybody(self, function: Endpoint, tmp_path: Path) -> None:
        busy = iter([too_many("CallerRateLimitExceeded")._replace(headers={"x-amzn-ErrorType": "TooManyRequestsException", "Retry-After": "7"})])
        function.instead = lambda _: next(busy, None)
        time = Time()
        store = store_of(function, tmp_path, time.waiting())
        began_s = time.now_s
        put(store, ROWS)
        assert function.sizes == [16] * 2
        assert 7 <= time.now_s - began_s < 8
        assert store.backend.function.pacer.refusals == 1  # type: ignore[attr-defined]

    def test_who_waits_longer_than_the_function_may_take(self, function: Endpoint, tmp_path: Path) -> None:
        waited = []

        class Noting(QuickFunction):
            def client(self, read_timeout_s: float = 30.0) -> Any:
                waited.append(read_timeout_s)
                return super().client(read_timeout_s)

        for configuration, expected in ((Reply(200, {"Timeout": 60}), 80.0), (DENIED, 920.0)):
            function.configuration = configuration
            calls = FunctionCalls(Noting(function="writer", endpoint_url=function.url), limits(Time().waiting(), tmp_path), no_failpoint)
            calls.invoke(b'{"items": []}')
            assert waited[-1] == expected

    @pytest.mark.parametrize(
        ("reply", "error", "words"),
        [
            (Reply(404, {"message": "Function not found"}, {"x-amzn-ErrorType": "ResourceNotFoundException"}), UsageError, "there is no function 'writer'"),
            (DENIED, UsageError, "docs/stores/lambda.md has the policy"),
            (Reply(400, {"message": "bad"}, {"x-amzn-ErrorType": "InvalidParameterValueException"}), RefusedError, "InvalidParameterValueException"),
            (
                Reply(500, {"message": "oh"}, {"x-amzn-ErrorType": "ServiceException"}),
                ServiceUnavailable,
                "4 attempts, the last one ended with ServiceException",
            ),
        ],
    )
    def test_answers_of_the_service_are_explained(self, function: Endpoint, tmp_path: Path, reply: Reply, error: type[Exception], words: str) -> None:
        function.instead = lambda _: reply
        with pytest.raises(error, match=words):
            put(store_of(function, tmp_path), ROWS)

    @pytest.mark.parametrize(("reason", "slows"), [(RESERVED, False), (ACCOUNT, True)])
    def test_all_is_written_where_only_one_invocation_may_run_at_a_time(
        self, function: Endpoint, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, slows: bool
    ) -> None:
        crowded = threading.Event()

        def one_at_a_time(_: dict[str, Any]) -> Reply | None:
            if function.in_flight > 1:
                crowded.set()
                return too_many(reason)
            crowded.wait(30)
            return None

        function.instead = one_at_a_time
        monkeypatch.setattr(lambda_delivery, "BATCH_ITEMS", 1)
        fast = Waiting(clock=lambda: monotonic() * 200, sleep=lambda _: None, say=lambda _: None, backoff=Backoff(attempts=10_000))
        store = store_of(function, tmp_path, fast, lambda_concurrency=4)
        put(store, ROWS)
        assert crowded.is_set()
        assert (store.backend.function.pacer.refusals > 0) == slows  # type: ignore[attr-defined]
        assert len(function.batches) > SERIES
        assert stored(function) == undisturbed(server, ROWS)
