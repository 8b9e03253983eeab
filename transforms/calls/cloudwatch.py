"""Minutes of CloudWatch metrics (GetMetricData)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

PERIOD_S: Final = 60
LOOK_BACK_S: Final = 900
"""How far back a metric's last minute is sought."""

USED_MINUTES: Final = 3
"""So many last minutes are looked at: the last one may not have come in whole, and use goes up and down."""


@dataclass(frozen=True)
class Metric:
    """One metric: `statistic` is Sum or Maximum, `dimensions` are pairs of name and value."""

    namespace: str
    name: str
    statistic: str
    dimensions: tuple[tuple[str, str], ...] = ()

    def query(self, number: int) -> dict[str, Any]:
        """As GetMetricData takes it, under the id `mNUMBER`."""
        named = [{"Name": name, "Value": value} for name, value in self.dimensions]
        about = {"Metric": {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": named}, "Period": PERIOD_S, "Stat": self.statistic}
        return {"Id": f"m{number}", "MetricStat": about, "ReturnData": True}


@dataclass(frozen=True)
class Minutes:
    """Values by the beginning of their minute in epoch seconds, the last ones that were told; none if nothing was told for long."""

    values: Mapping[int, float]

    @property
    def begin_s(self) -> int:
        """Of the earliest of the last minutes; only where there is one."""
        return min(self._last)

    @property
    def end_s(self) -> int:
        """Of the latest one."""
        return max(self.values) + PERIOD_S

    @property
    def most(self) -> float:
        """Of the last minutes."""
        return max(self.values[one] for one in self._last)

    @property
    def _last(self) -> list[int]:
        return [one for one in self.values if one >= self.end_s - USED_MINUTES * PERIOD_S]

    def since(self, begin_s: float) -> float:
        """The sum of what was told of minutes that begin then or later."""
        return sum(value for at_s, value in self.values.items() if at_s >= begin_s)


def metric_minutes(client: Any, metrics: Sequence[Metric], now_s: float) -> list[Minutes]:  # noqa: ANN401 - botocore makes its classes at run time
    """The minutes of each metric that have ended. Metrics that the service does not tell for any reason have none."""
    end_s = int(now_s) // PERIOD_S * PERIOD_S
    answer = client.get_metric_data(
        MetricDataQueries=[one.query(number) for number, one in enumerate(metrics)],
        StartTime=datetime.fromtimestamp(end_s - LOOK_BACK_S, UTC),
        EndTime=datetime.fromtimestamp(end_s, UTC),
        ScanBy="TimestampDescending",
    )
    told = {one["Id"]: one for one in answer["MetricDataResults"] if one.get("StatusCode") in ("Complete", "PartialData")}
    return [_minutes(told.get(f"m{number}", {})) for number in range(len(metrics))]


def _minutes(result: Mapping[str, Any]) -> Minutes:
    return Minutes({int(at.timestamp()): float(value) for at, value in zip(result.get("Timestamps", ()), result.get("Values", ()), strict=True)})
