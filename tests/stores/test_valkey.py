"""A hot tier as a store, over a real server: expiry, room, scripts, rights, layouts of others, and a server that goes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey

from tests.contracts.harness import UNIT, put, read
from tests.contracts.valkey_places import ValkeyPlace
from tests.core.rollup_tables import DAY, DAY_S, row, rows_of, table
from tests.valkey_cluster import cluster_member, server
from transforms.calls.valkey import Server, ValkeyCalls
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.errors import RefusedError, RollupsError, ServiceUnavailable, StoreFull, UsageError
from transforms.core.item_keys import ItemKeys
from transforms.core.store_settings import StoreSettings
from transforms.core.throttle import alone
from transforms.core.versions import Verdict
from transforms.stores import open_store
from transforms.stores.url import split_url
from transforms.stores.valkey import ValkeyStore, server_of
from transforms.stores.valkey_images import Expiry

KEY = f"p1:metric:{{host|acme|h1|cpu|{{}}}}:gauge:{DAY_S}"
IMAGES = f"{KEY}#rollups:before:run"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with server(tmp_path_factory.mktemp("valkey")) as one:
        yield one


@pytest.fixture
def place(running: Any) -> ValkeyPlace:
    with running.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    return ValkeyPlace(running).another()


@pytest.fixture
def client(place: ValkeyPlace) -> Iterator[Valkey]:
    with place.client() as one:
        yield one


def at(place: ValkeyPlace, *, past_end_s: int = 100_000, now_s: float = DAY_S, **more: Any) -> ValkeyStore:
    return ValkeyStore(place.tier(expiry=Expiry(past_end_s, lambda: now_s), **more))


def patient(sleeps: list[float], attempts: int = 3) -> Waiting:
    return Waiting(sleep=sleeps.append, random=lambda: 1.0, backoff=Backoff(attempts=attempts))


class TestExpiry:
    def test_an_item_lives_so_long_past_the_end_of_its_span_and_all_beside_it_with_it(self, place: ValkeyPlace, client: Valkey) -> None:
        put(at(place, now_s=DAY_S + 600), [row()])
        assert [client.ttl(key) for key in (KEY, f"{KEY}#rollups", IMAGES)] == pytest.approx([3000 + 100_000] * 3, abs=5)

    def test_an_item_that_should_be_gone_already_lives_an_hour(self, place: ValkeyPlace, client: Valkey) -> None:
        put(at(place, now_s=DAY_S + 200_000), [row()])
        assert client.ttl(KEY) == pytest.approx(3600, abs=5)

    def test_a_longer_life_is_never_shortened(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(KEY, str(DAY_S), "1")
        client.expire(KEY, 500_000)
        put(at(place), [row(bucket_s=60)])
        assert [client.ttl(key) for key in (KEY, f"{KEY}#rollups", IMAGES)] == pytest.approx([500_000] * 3, abs=5)

    def test_a_shorter_one_is_made_longer(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(KEY, str(DAY_S), "1")
        client.expire(KEY, 50)
        put(at(place), [row(bucket_s=60)])
        assert client.ttl(KEY) == pytest.approx(103_600, abs=5)

    def test_what_never_ends_goes_on_so_but_for_before_images(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(KEY, str(DAY_S), "1")
        put(at(place), [row(bucket_s=60)])
        assert (client.ttl(KEY), client.ttl(f"{KEY}#rollups")) == (-1, -1)
        assert client.ttl(IMAGES) == pytest.approx(30 * 86_400, abs=5)

    def test_an_item_that_ends_between_reading_and_writing_is_not_brought_back(self, place: ValkeyPlace, client: Valkey) -> None:
        put(at(place), [row(value=1.0), row(bucket_s=60, value=2.0)])

        def end(name: str) -> None:
            if name == "before items.write" and client.exists(KEY):
                client.pexpire(KEY, 1)
                while client.exists(KEY):
                    pass

        merged = put(at(place, failpoint=end), [row(value=3.0, generation=9)])
        assert merged.verdicts.tolist() == [Verdict.ADDED]
        assert read(place.open()) == {("h1", 0): (1, 3.0, 9)}


class TestLiveWriter:
    def test_values_written_over_ours_have_no_generation(self, place: ValkeyPlace, client: Valkey) -> None:
        put(place.open(), [row(value=1.0, generation=5), row(bucket_s=60, value=1.0, generation=5)])
        client.hset(KEY, str(DAY_S), "4.5")
        assert read(place.open()) == {("h1", 0): (1, 4.5, None), ("h1", 60): (1, 1.0, 5)}

    def test_a_value_that_comes_between_reading_and_writing_is_merged(self, place: ValkeyPlace, client: Valkey) -> None:
        def write(name: str) -> None:
            if name == "before items.write":
                client.hset(KEY, str(DAY_S), '{"minutes":2,"count":2,"value":7}')

        merged = put(at(place, failpoint=write), [row(value=3.0, generation=9), row(bucket_s=60, value=3.0, generation=9)])
        assert merged.verdicts.tolist() == [Verdict.REFUSED, Verdict.ADDED]
        assert read(place.open()) == {("h1", 0): (2, 7.0, None), ("h1", 60): (1, 3.0, 9)}

    def test_values_of_other_minutes_do_not_get_in_the_way(self, place: ValkeyPlace, client: Valkey) -> None:
        writes = []

        def write(name: str) -> None:
            if name == "before items.write":
                writes.append(client.hset(KEY, str(DAY_S + 60 * len(writes) + 60), "1"))

        put(at(place, failpoint=write), [row(value=3.0, generation=9)])
        assert writes == [1]
        assert read(place.open()) == {("h1", 0): (1, 3.0, 9), ("h1", 60): (1, 1.0, None)}

    def test_a_text_of_the_live_writer_stays_as_it_is_when_another_minute_changes(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(KEY, mapping={str(DAY_S): "1.50", str(DAY_S + 60): "2"})
        put(place.open(), [row(bucket_s=120, value=3.0)])
        assert client.hgetall(KEY) == {str(DAY_S).encode(): b"1.50", str(DAY_S + 60).encode(): b"2", str(DAY_S + 120).encode(): b"3.0"}

    def test_a_key_that_is_no_hash_is_named(self, place: ValkeyPlace, client: Valkey) -> None:
        client.set(KEY, "x")
        with pytest.raises(RefusedError, match="WRONGTYPE"):
            put(place.open(), [row()])


class TestLayouts:
    def test_a_key_that_does_not_tell_its_series_has_it_beside(self, place: ValkeyPlace, client: Valkey) -> None:
        store = at(place, keys=ItemKeys("p1:{org}:{entity}:{name}:{span}"))
        put(store, [row("web:app")])
        assert client.hget(f"{{p1:acme:web:app:cpu:{DAY_S}}}#rollups", "series") == b'["host","acme","web:app","cpu","{}",""]'
        assert read(store) == {("web:app", 0): (1, 1.0, 1)}
        assert [one["entity"] for _, piece in store.scan("1m") for one in rows_of(piece)] == ["web:app"]

    def test_two_series_do_not_share_it(self, place: ValkeyPlace) -> None:
        store = at(place, keys=ItemKeys("p1:{org}:{entity}:{name}:{span}"))
        put(store, [row("web:app")])
        with pytest.raises(RefusedError, match=r'is that of the series \["host","acme","web:app","cpu"'):
            put(store, [row("app", org="acme:web")])

    def test_nor_if_the_other_one_is_there_only_when_it_is_written(self, place: ValkeyPlace) -> None:
        keys = ItemKeys("p1:{org}:{entity}:{name}:{span}")

        def write(name: str) -> None:
            if name == "before items.write":
                put(at(place, keys=keys), [row("web:app")])

        with pytest.raises(RefusedError, match=r'is that of the series \["host","acme","web:app","cpu"'):
            put(at(place, keys=keys, failpoint=write), [row("app", org="acme:web")])

    def test_a_live_writers_key_that_can_be_cut_in_two_ways_is_named(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(f"p1:metric:{{host|acme|h|1|cpu|{{}}}}:gauge:{DAY_S}", str(DAY_S), "1")
        with pytest.raises(RefusedError, match=r"does not tell its series, or in several ways"):
            list(place.open().scan("1m"))

    def test_a_cluster_needs_a_slot_for_all_that_is_beside_an_item(self, tmp_path: Path) -> None:
        with cluster_member(tmp_path) as member, member.client() as one:
            one.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while one.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                pass
            here = ValkeyPlace(member, is_cluster=True).another()
            with pytest.raises(RefusedError, match="would be in another hash slot; have --valkey-key begin with a hash tag"):
                put(at(here, keys=ItemKeys("{type}|{org}|{entity}|{name}|{labels}|{span}")), [row()])

    def test_a_span_may_be_a_day(self, place: ValkeyPlace, client: Valkey) -> None:
        keys = ItemKeys("p1:{type}|{org}|{entity}|{name}|{labels}|{span}", 86_400)
        rows = [row(bucket_s=60 * minute, value=float(minute)) for minute in range(1440)]
        put(at(place, keys=keys), rows)
        assert client.hlen(f"p1:host|acme|h1|cpu|{{}}|{DAY_S}") == 1440
        assert at(place, keys=keys).read_unit(UNIT, "1m").equals(table(rows))

    def test_unopened_partitions_have_no_rows(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(KEY, str(DAY_S), "1")
        assert place.open().read_unit(UNIT, "1m").num_rows == 0
        place.open().open_partition("host", DAY, 1)
        assert place.open().read_unit(UNIT, "1m").num_rows == 1

    def test_units_share_series_by_their_hash(self, place: ValkeyPlace) -> None:
        place.open().open_partition("host", DAY, 3)
        rows = [row(f"h{number}") for number in range(9)]
        put(place.open(), rows)
        parts = [rows_of(place.open().read_unit(UNIT._replace(shard=shard), "1m")) for shard in range(3)]
        assert sorted(one["entity"] for part in parts for one in part) == [f"h{number}" for number in range(9)]
        assert all(parts)

    @pytest.mark.parametrize("granularity", ["5m", "1h"])
    def test_other_granularities_are_refused(self, place: ValkeyPlace, granularity: str) -> None:
        with pytest.raises(UsageError, match=f"holds 1m values, no {granularity} rollups"):
            put(place.open(), [row()], granularity=granularity)


class TestRoom:
    def test_nothing_is_written_that_would_evict_what_is_live(self, place: ValkeyPlace, client: Valkey) -> None:
        client.hset(KEY, str(DAY_S), "1")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
        limit = client.config_get("maxmemory")["maxmemory"]
        with pytest.raises(StoreFull) as raised:
            put(at(place, batch=10), [row(f"h{number}", bucket_s=60 * minute) for number in range(100) for minute in range(60)])
        assert f"maxmemory {int(limit):,} bytes, maxmemory-policy allkeys-lru; beyond 90% of it the server could soon evict live points" in str(raised.value)
        ((name, told),) = place.open().facts()
        assert (name, told.partition(",")[0]) == ("server", f"127.0.0.1:{place.running.port}/0")
        assert told.endswith(f" bytes in use, maxmemory {int(limit):,} bytes, maxmemory-policy allkeys-lru")
        assert (raised.value.exit_code, raised.value.retryable) == (3, False)
        assert client.info("stats")["evicted_keys"] == 0
        assert client.hget(KEY, str(DAY_S)) == b"1"
        client.config_set("maxmemory", 0)

    def test_it_goes_on_from_there_when_there_is_room(self, place: ValkeyPlace, client: Valkey) -> None:
        rows = [row(f"h{number}", bucket_s=60 * minute) for number in range(150) for minute in range(60)]
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", round((used + 150_000) / 0.9))
        with pytest.raises(StoreFull):
            put(at(place, batch=10), rows)
        written = len(rows_of(place.open().read_unit(UNIT, "1m")))
        assert 0 < written < len(rows)
        client.config_set("maxmemory", 0)
        merged = put(at(place), rows)
        assert [merged.verdicts.tolist().count(verdict) for verdict in (Verdict.EQUAL, Verdict.ADDED)] == [written, len(rows) - written]

    @pytest.mark.parametrize("generations", [(1,), (1, 2, 3)])
    def test_what_is_written_takes_less_than_was_reckoned_with(self, place: ValkeyPlace, client: Valkey, generations: tuple[int, ...]) -> None:
        reckoned = []

        def check(_calls: ValkeyCalls, node: str, more: int) -> None:
            reckoned.append(more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("transforms.stores.valkey_memory._check_node", check)
            put(place.open(), [row("h0")], run_id="0")
            before, reckoned[:] = client.info("memory")["used_memory"], []
            for generation in generations:
                rows = [row(f"h{number}", 60 * minute, value=number / 7, generation=generation) for number in range(200) for minute in range(60)]
                put(at(place, batch=100), rows, run_id=f"run-{generation}")
        assert client.info("memory")["used_memory"] - before < sum(reckoned)

    def test_an_hour_of_a_series_takes_what_the_documentation_says(self, place: ValkeyPlace, client: Valkey) -> None:
        for generation, run in ((1_761_955_200_000, "first"), (1_761_955_200_001, "run")):
            put(at(place), [row(bucket_s=60 * minute, value=round(minute * 0.37, 2), generation=generation) for minute in range(60)], run_id=run)
        sizes = [round(client.memory_usage(key) / 1000, 1) for key in (KEY, f"{KEY}#rollups", IMAGES)]
        assert sizes == pytest.approx([0.8, 1.7, 3.4], abs=0.15)

    def test_a_server_that_refuses_to_write_ends_the_run(self, place: ValkeyPlace, client: Valkey) -> None:
        def fill(name: str) -> None:
            if name == "before items.write":
                client.config_set("maxmemory", 1)

        client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(StoreFull, match=r"when used memory > 'maxmemory'.*; make room"):
            put(at(place, failpoint=fill), [row()])
        client.config_set("maxmemory", 0)


class TestCalls:
    def test_a_server_that_forgot_its_scripts_gets_them_again(self, place: ValkeyPlace, client: Valkey) -> None:
        store = at(place, batch=2, failpoint=lambda name: name.startswith("before") and client.script_flush())
        put(store, [row(f"h{number}") for number in range(5)])
        assert len(read(place.open())) == 5

    def test_only_the_first_call_sends_a_script_in_full(self, place: ValkeyPlace, client: Valkey) -> None:
        client.script_flush()
        client.config_resetstat()
        put(at(place, batch=2), [row(f"h{number}") for number in range(6)])
        calls = {name: told["calls"] for name, told in client.info("commandstats").items()}
        assert calls["cmdstat_eval"] == 5  # partition, run, series, and the two items that went out together

    def test_calls_are_paced(self, place: ValkeyPlace) -> None:
        now = [0.0]
        pacer = alone(10, lambda: now[0], lambda wait_s: now.append(now.pop() + wait_s))
        calls = ValkeyCalls(Server("127.0.0.1", place.running.port), pacer)
        put(at(place, calls=calls, batch=50), [row(f"h{number}") for number in range(100)])
        assert now[0] == pytest.approx((2 + 200 + 2 + 2 + 100) / 9.5, abs=12)  # partition, reads, notes, memory, writes; the last call is not waited for

    def test_a_server_that_is_gone_is_asked_again_then_given_up(self, tmp_path: Path) -> None:
        sleeps: list[float] = []
        with server(tmp_path) as one:
            calls = ValkeyCalls(Server("127.0.0.1", one.port), waiting=patient(sleeps))
            store = ValkeyStore(ValkeyPlace(one).tier(calls=calls))
            put(store, [row()])
        with pytest.raises(
            ServiceUnavailable, match=r"reading partition/host/2025-11-01 at 127.0.0.1:\d+/0: 3 attempts, the last one ended with ConnectionError"
        ):
            put(store, [row()])
        assert sleeps == [0.2, 0.4]
        assert (store.repeated(), store.repeated()) == ({f"{store.backend.name} ConnectionError": 2}, {})

    def test_a_server_that_comes_back_is_gone_on_with(self, place: ValkeyPlace, client: Valkey) -> None:
        sleeps: list[float] = []
        calls = ValkeyCalls(Server("127.0.0.1", place.running.port), waiting=patient(sleeps))

        def cut(name: str) -> None:
            if name.startswith("before"):
                client.client_kill_filter(_type="normal", skipme=True)

        merged = put(at(place, calls=calls, failpoint=cut), [row(), row("h2")])
        assert merged.verdicts.tolist() == [Verdict.ADDED, Verdict.ADDED]
        assert read(place.open()) == {("h1", 0): (1, 1.0, 1), ("h2", 0): (1, 1.0, 1)}

    def test_a_write_whose_answer_was_lost_is_not_done_twice(self, place: ValkeyPlace, client: Valkey) -> None:
        calls = ValkeyCalls(Server("127.0.0.1", place.running.port), waiting=patient([]))
        from valkey.client import Pipeline
        from valkey.exceptions import TimeoutError as TimedOut

        lost: list[object] = []
        execute = Pipeline.execute

        def losing(self: Pipeline, raise_on_error: bool = True) -> Any:
            is_first = not lost and any(command[0][0] in ("EVAL", "EVALSHA") and KEY.encode() in command[0] for command in self.command_stack)
            answers = execute(self, raise_on_error)
            if is_first and not any(isinstance(answer, Exception) for answer in answers):
                lost.append(answers)
                raise TimedOut("lost")
            return answers

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Pipeline, "execute", losing)
            merged = put(at(place, calls=calls), [row()])
        assert lost
        assert merged.verdicts.tolist() == [Verdict.ADDED]
        assert client.llen(IMAGES) == 1

    def test_a_database_that_is_none(self, place: ValkeyPlace) -> None:
        with pytest.raises(UsageError, match="name another database"):
            open_store(f"valkey://127.0.0.1:{place.running.port}/99999").last_generation()

    @pytest.mark.parametrize(("databases", "told"), [(1, "name another database after the port, in a cluster 0"), (16, "clusters have only the database 0")])
    def test_a_cluster_has_one_database(self, tmp_path: Path, databases: int, told: str) -> None:
        with cluster_member(tmp_path, cluster_databases=databases) as member, pytest.raises(UsageError, match=told):
            open_store(f"valkey://127.0.0.1:{member.port}/1").last_generation()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("valkey://cache:7000/2", Server("cache", 7000, 2)),
        ("redis://cache", Server("cache", 6379, 0)),
        ("valkey://cache/", Server("cache", 6379, 0)),
        ("valkey://[::1]:7000/0", Server("::1", 7000, 0)),
    ],
)
def test_a_url_names_a_server(url: str, where: Server) -> None:
    assert server_of(split_url(url)) == where


@pytest.mark.parametrize(
    "url", ["valkey:///0", "valkey://cache/x", "valkey://cache:x/0", "valkey://cache:99999/0", "valkey://cache:7000/0/1", "valkey://cache:7000/-1"]
)
def test_other_urls_say_what_would_be_right(url: str) -> None:
    with pytest.raises(UsageError, match=r"write valkey://HOST:PORT/DB, such as valkey://cache\.internal:6379/0"):
        open_store(url)


def test_settings_reach_the_store() -> None:
    store = open_store("valkey://cache:7000/2", settings=StoreSettings(valkey_expire_s=7, valkey_key="{type}{org}{span}", valkey_span_s=60))
    assert isinstance(store, ValkeyStore)
    tier = store.backend
    assert (tier.keys, tier.expiry.past_end_s, tier.name) == (ItemKeys("{type}{org}{span}", 60), 7, "valkey://cache:7000/2")
    with pytest.raises(RollupsError, match="a span of 7 s"):
        open_store("valkey://cache", settings=StoreSettings(valkey_span_s=7))
