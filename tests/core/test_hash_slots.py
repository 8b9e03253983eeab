"""Hash slots: the specification's check value and examples, a CRC16 bit by bit, and the answers of a real server; templates and lists of slots."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.valkey_cluster import cluster_node, key_slots
from transforms.core.errors import UsageError
from transforms.core.hash_slots import HashSlots, check_template, format_slots, parse_slots, slot_of_key

CHECK = b"123456789"
KEYS = st.lists(st.one_of(st.binary(max_size=40), st.lists(st.sampled_from([b"{", b"}", b"a", b"bc", b"\xff\0"]), max_size=8).map(b"".join)), max_size=60)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with cluster_node(tmp_path_factory.mktemp("valkey")) as client:
        yield client


def crc16_xmodem(data: bytes) -> int:
    """Bit by bit, as the catalogue defines it."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def test_the_check_value_of_the_specification() -> None:
    assert crc16_xmodem(CHECK) == 0x31C3
    assert slot_of_key(CHECK) == 0x31C3 % 16_384 == 12_739


@given(st.binary(max_size=60).filter(lambda key: b"{" not in key))
def test_a_key_without_a_tag_is_hashed_whole(key: bytes) -> None:
    assert slot_of_key(key) == crc16_xmodem(key) % 16_384


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"metric:{acme}:{h1}", b"acme"),
        (b"foo{}{bar}", b"foo{}{bar}"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"foo{bar", b"foo{bar"),
        (b"foo}bar{zap}", b"zap"),
        (b"}a{", b"}a{"),
        (b"{}", b"{}"),
        (b"", b""),
    ],
)
def test_what_is_hashed_of_a_key_with_braces(key: bytes, hashed: bytes, node: Any) -> None:
    assert slot_of_key(key) == crc16_xmodem(hashed) % 16_384
    assert key_slots(node, [key]) == [slot_of_key(key)]


@settings(deadline=None)
@given(keys=KEYS)
def test_every_slot_is_the_servers(node: Any, keys: list[bytes]) -> None:
    assert [slot_of_key(key) for key in keys] == key_slots(node, keys)


def test_series_keys_as_templates_write_them_have_the_servers_slots(node: Any) -> None:
    series = [("host", org, f"h{number}", name, "{}") for org in ("acme", "é}{", "") for number in range(50) for name in ("cpu", "日本{x}")]
    for template in ("metric:{{{org}}}:{entity}:{name}", "{type}/{org}/{entity}/{name}{labels}", "m:{{{entity}.{name}}}", "{{{org}:{name}"):
        slots = HashSlots(ranges=((0, 5460),), template=template)
        keys = [slots.key(*one) for one in series]
        assert [slots.holds(*one) for one in series] == [slot <= 5460 for slot in key_slots(node, keys)]


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("metric:{type}:{org}:{entity}:{name}", "metric:role:acme:web:app:load"),
        ("metric:{{{org}}}:{name}", "metric:{acme}:load"),
        ("{{}}{org}{{x}}", "{}acme{x}"),
        ("{org}{org}", "acmeacme"),
        ("{name}|{labels}", 'load|{"host":"h1"}'),
        ("{entity}@{host}", "web:app@h1"),
        ("日本:{name}", "日本:load"),
    ],
)
def test_templates(template: str, key: str) -> None:
    slots = HashSlots(ranges=((0, 1),), template=check_template(template))
    assert slots.key("role", "acme", "web:app", "load", '{"host":"h1"}') == key.encode()


@pytest.mark.parametrize(("labels", "host"), [("{}", ""), ('{"a":"host"}', ""), ('{"a":"host","host":"x\\"y"}', 'x"y')])
def test_the_host_of_a_series_is_its_label(labels: str, host: str) -> None:
    assert HashSlots(ranges=(), template="{host}:{name}").key("labeled", "", "", "n", labels) == f"{host}:n".encode()


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("metric:{orgs}", "names the field 'orgs': there are type, org, entity, name, labels, host"),
        ("metric:{}", "names the field ''"),
        ("metric:{0}", "names the field '0'"),
        ("metric:{org!r}", "names the field 'org!r'"),
        ("metric:{org:>9}", "names the field 'org:>9'"),
        ("metric:{org.x}", "names the field 'org.x'"),
        ("metric:{org[0]}", "names the field 'org[0]'"),
        ("metric:{ org }", "names the field ' org '"),
        ("metric:{org", "can't be read (expected '}' before end of string)"),
        ("metric:org}", "can't be read (Single '}' encountered in format string)"),
        ("metric:{{org}}", "names no field, so that all series would have one slot"),
        ("", "names no field"),
    ],
)
def test_templates_that_name_no_key(template: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_template(template)
    assert str(raised.value).startswith(f"the hash key {template!r} {told}")


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("0-5460", ((0, 5460),)),
        ("0", ((0, 0),)),
        ("16383", ((16383, 16383),)),
        ("7-7", ((7, 7),)),
        ("10923-16383,0-5460", ((0, 5460), (10923, 16383))),
        ("0-5460 10923, 10924-10930", ((0, 5460), (10923, 10930))),
        ("0-10,5-7,8-12", ((0, 12),)),
        ("0-16383", ((0, 16383),)),
    ],
)
def test_lists_of_slots(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_slots(text) == ranges
    assert parse_slots(format_slots(ranges)) == ranges


@pytest.mark.parametrize(
    ("text", "bad"), [("16384", "16384"), ("0-5460,9-8", "9-8"), ("a", "a"), ("1-", "1-"), ("-1", "-1"), ("1-2-3", "1-2-3"), ("0-99999", "0-99999"), ("٣", "٣")]
)
def test_what_is_no_range_of_slots(text: str, bad: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_slots(text)
    assert str(raised.value) == f"{bad!r} is no range of hash slots: write FIRST-LAST or one slot, from 0 to 16383, such as 0-5460"


@pytest.mark.parametrize("text", ["", ",", " "])
def test_a_list_without_slots(text: str) -> None:
    with pytest.raises(UsageError, match="names no hash slot: write ranges such as 0-5460,10923-16383"):
        parse_slots(text)
