"""What writing through a function costs, beside what DynamoDB does: invocations, bytes sent, and at most so many GB-s, per million rollups.

    python -m scripts.lambda_cost          prints the table of docs/stores/lambda.md

The load is that of `dynamodb_cost`. Invocations are counted by cutting it into batches as a run does. What a function takes of time depends on DynamoDB's
answers; but a run sends no more than its write request units a second, so it can't be running for longer than the writing takes with every invocation that may
be in flight: that is what is told.
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from scripts.dynamodb_cost import UNIT, restoring, week_of
from transforms.core.granularity import DAY_S
from transforms.core.limits import Rates
from transforms.core.packed import pack
from transforms.core.store_settings import StoreSettings
from transforms.stores.dynamodb_keys import item_name, series_text
from transforms.stores.dynamodb_layout import series_of
from transforms.stores.dynamodb_place import THREADS
from transforms.stores.dynamodb_writing import ItemChange
from transforms.stores.lambda_batch import Head, batch_bytes, item_text
from transforms.stores.lambda_delivery import Sent, batches

DOLLARS_PER_MILLION_INVOCATIONS = 0.20
DOLLARS_PER_GB_S = 0.0000133334
"""On Arm, us-east-1, the first tier (https://aws.amazon.com/lambda/pricing/)."""

MEMORY_GB = 1.0
"""Of scripts/writer.yaml."""

RATES = Rates()

WORKERS = 2


def invocations(rollups: Mapping[str, pa.Table]) -> list[int]:
    """Bytes of each invocation that writes one unit's rollups where nothing was."""
    sizes = []
    for granularity, table in rollups.items():
        head = Head("run", UNIT, granularity, "rollups", StoreSettings().dynamodb_undo_days * DAY_S)
        changes = (
            ItemChange(series_of(series_text(UNIT.metric_type, key)), item_name(granularity, key.start_s), None, body, None)
            for key, body in pack(table, granularity).items()
        )
        sent = [Sent(one, item_text(one)) for one in changes]
        sizes += [len(batch_bytes(head, [one.text for one in batch])) for batch in batches(sent, len(batch_bytes(head, [])))]
    return sizes


def gb_s(writes: int) -> float:
    """At most: with so many units to write, at the default limits, as many invocations as two worker processes have threads run all the time."""
    return writes / RATES.dynamodb_wru_per_s * min(RATES.lambda_concurrency, WORKERS * THREADS) * MEMORY_GB


def lines() -> Iterator[str]:
    """The table of the documentation."""
    rollups = week_of(600, 1_762_000_000_000)
    yield "| restored where nothing was | invocations | MB sent | GB-s, at most | dollars, at most |"
    yield "|---|---|---|---|---|"
    for name, tables in {"1m, 5m and 1h": rollups, "5m and 1h": {one: rollups[one] for one in ("5m", "1h")}, "1m": {"1m": rollups["1m"]}}.items():
        units, sizes = restoring(tables, replaced=False), invocations(tables)
        millions = units.rollups / 1e6
        used = gb_s(units.writes) / millions
        dollars = len(sizes) / millions / 1e6 * DOLLARS_PER_MILLION_INVOCATIONS + used * DOLLARS_PER_GB_S
        yield f"| {name} | {len(sizes) / millions:.1f} | {sum(sizes) / 1e6 / millions:.1f} | {used:.0f} | {dollars:.4f} |"


if __name__ == "__main__":
    print("\n".join(lines()))
