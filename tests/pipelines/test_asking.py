"""The question before a store that is not local is written."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import cli
from tests.builders import NOON_S
from tests.pipelines.worlds import World, gauge, key
from transforms.stores.backend import Traits
from transforms.stores.parquet import ParquetFolder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(ParquetFolder, "traits", property(lambda _self: Traits(is_local=False)))
    world = World(tmp_path)
    world.put(key(NOON_S), gauge("cpu", [1.0, 2.0]))
    return world


def test_without_a_terminal_and_without_yes_nothing_is_written(world: World) -> None:
    refused = world.backfill("--run-id", "r1")
    assert refused.code == 5
    assert "repeat the command with --yes" in refused.err
    assert not list(world.store.glob("metric_type=*"))


def test_what_will_be_done_is_shown_before(world: World) -> None:
    shown = world.backfill("--run-id", "r1").err.splitlines()
    assert shown[0] == "r1"
    assert f"folder      {world.store}" in shown
    assert "period      2025-11-01T12:00:00Z/2025-11-01T13:00:00Z" in shown
    assert "buckets     at most 1m 60, 5m 12, 1h 1 in about 1 series" in shown


def test_yes_skips_the_question_and_a_dry_run_has_none(world: World) -> None:
    assert world.backfill("--run-id", "dry", "--dry-run").code == 0
    agreed = world.backfill("--run-id", "r1", "--yes")
    assert agreed.code == 0
    assert "buckets     at most" not in agreed.err


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 5)])
def test_at_a_terminal_the_answer_counts(world: World, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int) -> None:
    asked: list[str] = []
    at_terminal = replace(cli._runtime(), terminal=True, show=lambda _line: None, ask=lambda question: not asked.append(question) and answer)
    monkeypatch.setattr(cli, "_runtime", lambda *_: replace(at_terminal, out=sys.stdout.buffer))
    result = world.backfill("--run-id", "r1")
    assert (result.code, asked) == (code, ["write these rollups?"])
    assert bool(list(world.store.glob("metric_type=*"))) is answer
    if not answer:
        assert "nothing was written to parquet://" in result.err
        assert world.backfill("--run-id", "r1", "--yes").code == 0
