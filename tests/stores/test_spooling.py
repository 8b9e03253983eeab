"""Rows in no order come back sorted, in bounded memory."""

import random
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.core.rollup_tables import Row, row, rows_of, table
from transforms.core.model import ROLLUP_SCHEMA
from transforms.stores import spooling
from transforms.stores.spooling import sorted_scan

PLACES = [(metric_type, entity, minute) for metric_type in ("service", "host") for entity in ("b", "a", "é", "") for minute in range(5)]


def pieces_of(places: list[tuple[str, str, int]], size: int) -> list[tuple[str, list[Row]]]:
    cut = [places[at : at + size] for at in range(0, len(places), size)]
    return [(kind, [row(entity, minute * 60) for one, entity, minute in piece if one == kind]) for piece in cut for kind in ("service", "host")]


@given(st.permutations(PLACES), st.integers(1, 9), st.integers(1, 30))
def test_any_order_in_any_pieces_gives_the_one_order(places: list[tuple[str, str, int]], size: int, piece_rows: int) -> None:
    pieces = [(kind, table(rows)) for kind, rows in pieces_of(places, size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooling, "PIECE_ROWS", piece_rows)
        scanned = list(sorted_scan(iter(pieces), "1m", periods=None, wanted=None, columns=ROLLUP_SCHEMA.names))
    found = [(metric_type, one["entity"], one["bucket_start"]) for metric_type, piece in scanned for one in rows_of(piece)]
    assert found == sorted(found)
    assert len(found) == len(PLACES)


def test_no_more_rows_are_gathered_than_a_file_and_a_piece_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[int] = []
    monkeypatch.setattr(spooling, "write_table", lambda rows, path, write=spooling.write_table: (written.append(rows.num_rows), write(rows, path)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places = [("host", f"h{number}", minute) for number in range(100) for minute in range(10)]
    random.Random(1).shuffle(places)
    monkeypatch.setattr(spooling, "PIECE_ROWS", 100)
    scan = sorted_scan(((kind, table(rows)) for kind, rows in pieces_of(places, 7)), "1m", periods=None, wanted=None, columns=["entity"])
    first = next(scan)[1]
    assert first.column_names == ["entity"]
    assert max(written) < 107
    assert sum(written) == 1000
    assert len(list(tmp_path.iterdir())) == 1
    scan.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
