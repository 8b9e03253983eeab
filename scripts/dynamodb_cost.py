"""What restoring costs in DynamoDB, by the arithmetic of `transforms.core.capacity` on items as they are packed: request units and dollars per million rollups.

    python scripts/dynamodb_cost.py          prints the table of docs/stores/dynamodb.md

The load: gauges of which every minute of a week has a value that is no whole number, with series names of a usual length, at all three granularities.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from configs.prices import load_prices
from transforms.core.granularity import WIDTH_S
from transforms.core.usage import Usage
from transforms.stores.dynamodb_expected import FIXED_WRITES, TYPICAL_UNIT as UNIT, Units, gauges, restoring

__all__ = ["FIXED_WRITES", "UNIT", "Units", "lines", "restoring", "week_of"]

WEEK_S = 7 * 86_400
WINDOW_S = 1_761_782_400  # 2025-10-30, where a window begins


def week_of(series: int, generation: int) -> dict[str, pa.Table]:
    """Rollups of so many gauges over a week, by granularity."""
    minutes = np.random.default_rng(generation).normal(50, 10, (series, WEEK_S // 60))
    return {name: gauges(WINDOW_S + np.arange(0, WEEK_S, width_s), minutes.reshape(-1, width_s // 60), series, generation) for name, width_s in WIDTH_S.items()}


def dollars_per_million(units: Units) -> float:
    """Of rollups, at the prices of configs/prices.yaml."""
    return load_prices().dollars(Usage(dynamodb_wru=units.writes, dynamodb_rru=units.reads)) / units.rollups * 1e6


def lines() -> Iterator[str]:
    """The table of the documentation."""
    rollups = week_of(86, 1_762_000_000_000)
    yield "| restored | WRU per million rollups | RRU per million rollups | dollars per million rollups |"
    yield "|---|---|---|---|"
    for name, tables in {"1m, 5m and 1h": rollups, "5m and 1h": {one: rollups[one] for one in ("5m", "1h")}, "1m": {"1m": rollups["1m"]}}.items():
        for replaced in (False, True):
            units = restoring(tables, replaced=replaced)
            numbers = f"{units.writes / units.rollups * 1e6:,.0f} | {units.reads / units.rollups * 1e6:,.0f} | {dollars_per_million(units):.4f}"
            yield f"| {name}, {'in the place of others' if replaced else 'where nothing was'} | {numbers} |"


if __name__ == "__main__":
    print("\n".join(lines()))
