"""Mutated payloads break no promise of the decoders; and the hunt finds what does."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from scripts import fuzz
from scripts.fuzzing import hunt as hunting
from scripts.fuzzing.hunt import hunt
from scripts.fuzzing.mutations import mutated
from scripts.fuzzing.rules import rules_of
from scripts.fuzzing.seeds import SEEDS
from transforms.decode import strict


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_themselves_are_decoded_without_dead_letters(name: str) -> None:
    for body in SEEDS[name]():
        decoded = hunting.decode_object(body, key="k", arrival_us=1_762_000_000_000_000, rules=rules_of(name))
        assert not decoded.dead_letters
        assert decoded.tally.records > 0


def test_every_form_that_is_read_has_seeds() -> None:
    expected = {"ORC", "flat rows", "flat tables", "OTLP/JSON", "CloudWatch OpenTelemetry", "Firehose error output", "arrays of records"}
    assert expected <= SEEDS.keys()
    assert sum("," in name for name in SEEDS) == 0  # --only takes names with commas between them


@pytest.mark.parametrize("name", SEEDS)
def test_some_mutations_break_no_promise(name: str) -> None:
    assert hunt(SEEDS[name](), rounds=500, seed=1, rules=rules_of(name)) == []


def test_a_seed_gives_the_same_mutations() -> None:
    seeds = SEEDS["postings"]()
    first, again, other = (list(islice(mutated(seeds, seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    number = strict.number

    def planted(value: Any) -> float | None:
        return {}[value] if value is True else number(value)  # type: ignore[index, no-any-return]

    monkeypatch.setattr(strict, "number", planted)
    found = hunt(SEEDS["postings"](), rounds=20_000, seed=3)
    assert found
    assert all("raised KeyError: True" in one.problem for one in found)


def test_points_that_vanish_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    add = strict.Columns._add_point

    def planted(self: Any, metric_type: str, posting: int, name: str, time: int, value: float | None) -> None:
        add(self, metric_type, posting, name, time, value)
        if value == -0.0:
            self.points.pop()

    monkeypatch.setattr(strict.Columns, "_add_point", planted)
    found = hunt(SEEDS["postings"](), rounds=20_000, seed=4)
    assert found
    assert all("kept points by type" in one.problem for one in found)


def test_what_was_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(hunting, "broken_promise", lambda _decoded, _body: "this")
    assert fuzz.main(["--only", "gzip", "--rounds", "30", "--found", str(tmp_path)]) == 1
    assert len(list(tmp_path.iterdir())) == hunting.ENOUGH
    assert "gzip-0: this" in capsys.readouterr().out


def test_rounds_end_and_unknown_decoders_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--only", "zstd,OTLP delimited,flat rows", "--rounds", "10"]) == 0
    with pytest.raises(SystemExit) as ended:
        fuzz.main(["--only", "xml"])
    assert ended.value.code == 2
    assert "expected some of postings" in capsys.readouterr().err
