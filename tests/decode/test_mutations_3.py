"""A hundred thousand mutations of real payloads for every third decoder from the third on: files of their own, so that they run side by side."""

import pytest

from scripts.fuzzing.hunt import hunt
from scripts.fuzzing.rules import rules_of
from scripts.fuzzing.seeds import SEEDS

MUTATIONS = 100_000


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("name", [*SEEDS][2::3])
def test_a_hundred_thousand_mutations_break_no_promise(name: str) -> None:
    assert hunt(SEEDS[name](), rounds=MUTATIONS, seed=2, rules=rules_of(name)) == []
