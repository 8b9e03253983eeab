"""The arithmetic of the documentation against what a server was asked for: each request charged by a proxy, apart from this code."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from scripts.dynamodb_cost import FIXED_WRITES, UNIT, lines, restoring, week_of
from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.limits import limits
from tests.stores.dynamodb_proxy import Proxy, proxied
from tests.stores.dynamodb_servers import new_place
from transforms.stores.dynamodb import DynamoStore

DOCUMENT = Path(__file__).parents[2] / "docs" / "stores" / "dynamodb.md"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with aws_environment(), ministack() as url, proxied(url) as one:
        yield one


def test_the_units_of_a_week_are_those_that_are_charged(proxy: Proxy) -> None:
    place = new_place(proxy.url)
    store = DynamoStore(place, limits=limits(), clock=lambda: 1_764_000_000.0)
    store.open_partition(UNIT.metric_type, UNIT.window, 1)
    for replaced, generation in ((False, 1_762_000_000_000), (True, 1_762_000_000_001)):
        rollups: dict[str, pa.Table] = week_of(5, generation)
        before = proxy.writes, proxy.reads
        store.upsert(UNIT, rollups, run_id="run", allow_fewer=False)
        units = restoring(rollups, replaced=replaced)
        assert proxy.writes - before[0] == units.writes + FIXED_WRITES * len(rollups)
        texts = 1.0  # the partition's
        assert proxy.reads - before[1] == units.reads + texts


def test_the_documentation_has_these_figures() -> None:
    assert "\n".join(lines()) in DOCUMENT.read_text()
