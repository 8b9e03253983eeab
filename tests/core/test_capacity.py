"""Request units, by tables of the rules' edges."""

import pytest

from transforms.core.capacity import first_share, item_bytes, item_read_units, read_units, write_units


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"a": {"S": ""}}, 1),
        ({"name": {"S": "ä😀"}}, 4 + 2 + 4),
        ({"é": {"B": b"\x00" * 10}}, 2 + 10),
        ({"n": {"N": "7"}}, 1 + 2),
        ({"n": {"N": "1762000000000"}}, 1 + 8),
        ({"series": {"S": "[]"}, "body": {"B": b"xyz"}}, 8 + 7),
    ],
)
def test_an_item_has_the_bytes_of_its_names_and_values(item: dict[str, dict[str, str | bytes]], size: int) -> None:
    assert item_bytes(item) == size


@pytest.mark.parametrize(("sizes", "units"), [((0,), 1), ((1024,), 1), ((1025,), 2), ((10, 2049), 3), ((4096, 10), 4)])
def test_a_write_takes_the_kilobytes_of_the_larger_version(sizes: tuple[int, ...], units: int) -> None:
    assert write_units(*sizes) == units


def test_reads_round_up_to_4_kilobytes_each_item_or_the_page() -> None:
    assert [read_units(size) for size in (0, 4096, 4097)] == [1, 1, 2]
    assert item_read_units([10, 4097, 0]) == 4
    assert read_units(10 + 4097) == 2


@pytest.mark.parametrize(("limit", "share"), [(500, 1.0), (2_000, 1.0), (4_000, 0.5), (40_000, 0.05)])
def test_a_run_begins_with_half_of_what_a_new_table_takes(limit: float, share: float) -> None:
    assert first_share(limit, 4_000) == share
