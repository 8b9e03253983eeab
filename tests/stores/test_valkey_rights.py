"""What the user of a hot tier must be allowed, as documented, and where the password comes from."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey

from tests.contracts.harness import put, read
from tests.contracts.valkey_places import ValkeyPlace
from tests.core.rollup_tables import row
from tests.valkey_cluster import cluster_member, server
from transforms.calls.valkey import Server, ValkeyCalls
from transforms.core.errors import UsageError
from transforms.core.item_keys import ItemKeys
from transforms.stores import open_store
from transforms.stores.valkey import ValkeyStore

ROOT = Path(__file__).parents[2]


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


def acl_words() -> list[str]:
    (line,) = re.findall(r"^ACL SETUSER rollups (.*)$", (ROOT / "docs/stores/valkey.md").read_text(), re.MULTILINE)
    words: list[str] = line.replace(">PASSWORD", ">s3cret").split()
    return words


COMMANDS = [word for word in acl_words() if word.startswith("+")]
ONLY_CLUSTERS = {"+command", "+cluster|slots", "+asking"}


class TestRights:
    @pytest.fixture(autouse=True)
    def _secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VALKEY_USERNAME", "rollups")
        monkeypatch.setenv("VALKEY_PASSWORD", "s3cret")

    def use(self, place: ValkeyPlace) -> None:
        """All that a store does, on the keys of the documented user."""
        store = ValkeyStore(place.tier(keys=ItemKeys(), own="rollups", calls=ValkeyCalls(Server("127.0.0.1", place.running.port, 1))))
        put(store, [row("h1"), row("h2")], run_id="run")
        put(store, [row("h1", value=2.0, generation=2)], run_id="wrong")
        store.undo("wrong", generation=2, now_generation=3)
        store.undo("run", generation=1, now_generation=4)
        assert list(store.scan("1m")) == []

    def user(self, client: Valkey, *words: str) -> None:
        client.script_flush()
        client.execute_command("ACL DELUSER", "rollups")
        client.execute_command("ACL SETUSER", "rollups", *words)

    def test_the_documented_rights_are_enough(self, place: ValkeyPlace, client: Valkey) -> None:
        self.user(client, *acl_words())
        self.use(place)

    @pytest.mark.parametrize("command", [one for one in COMMANDS if one not in ONLY_CLUSTERS])
    def test_and_none_is_too_many(self, place: ValkeyPlace, client: Valkey, command: str) -> None:
        self.user(client, *(word for word in acl_words() if word != command))
        with pytest.raises(UsageError) as raised:
            self.use(place)
        assert "docs/stores/valkey.md" in str(raised.value)
        assert "s3cret" not in str(raised.value)

    def test_they_are_enough_in_a_cluster(self, tmp_path: Path) -> None:
        with cluster_member(tmp_path) as member, member.client() as one:
            one.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            self.user(one, *acl_words())
            while one.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                pass
            store = ValkeyStore(ValkeyPlace(member).tier(keys=ItemKeys(), own="rollups"))
            put(store, [row("h1")])
            assert read(store) == {("h1", 0): (1, 1.0, 1)}

    @pytest.mark.parametrize(("name", "password"), [("rollups", "wrong"), ("nobody", "s3cret"), ("", "s3cret")])
    def test_a_wrong_user_is_exit_2_and_no_secret_is_told(
        self, place: ValkeyPlace, client: Valkey, name: str, password: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.user(client, *acl_words())
        monkeypatch.setenv("VALKEY_USERNAME", name)
        monkeypatch.setenv("VALKEY_PASSWORD", password)
        client.execute_command("ACL SETUSER", "default", ">0ther", "resetpass" if not name else "nopass", *([">0ther"] if not name else []))
        try:
            with pytest.raises(UsageError) as raised:
                place.open().last_generation()
        finally:
            client.execute_command("ACL SETUSER", "default", "nopass")
        assert "VALKEY_USERNAME and VALKEY_PASSWORD" in str(raised.value)
        assert not {"s3cret", "wrong"} & set(re.split(r"\W", str(raised.value).replace("wrong number", "").replace("WRONGPASS", "")))

    def test_the_password_may_stand_in_a_file_that_is_read_at_every_connection(
        self, place: ValkeyPlace, client: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.user(client, *acl_words())
        monkeypatch.delenv("VALKEY_PASSWORD")
        monkeypatch.setenv("VALKEY_PASSWORD_FILE", str(tmp_path / "secret"))
        with pytest.raises(UsageError, match="that VALKEY_PASSWORD_FILE names: No such file"):
            self.use(place)
        (tmp_path / "secret").write_text("s3cret\n")
        self.use(place)

    def test_a_secret_in_a_url_is_refused_and_not_repeated(self) -> None:
        with pytest.raises(UsageError) as raised:
            open_store("valkey://rollups:s3cret@127.0.0.1:6379/0")
        assert "s3cret" not in str(raised.value)
