"""A model of a live writer, in few lines: it keeps 1m values of gauges in a hot tier and rolls up from there. It knows nothing of this project."""

from collections.abc import Iterator
from typing import Any

Rollup = dict[str, Any]


class LiveWriter:
    """One hash for each series and hour, a field for each minute."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def key(self, host: str, name: str, hour_s: int) -> str:
        return f"metric:{{host|acme|{host}|{name}|{{}}}}:gauge:{hour_s}"

    def post(self, host: str, name: str, time_s: int, value: float) -> None:
        minute_s = time_s // 60 * 60
        self.client.hset(self.key(host, name, time_s // 3600 * 3600), minute_s, str(value))
        self.client.expire(self.key(host, name, time_s // 3600 * 3600), 26 * 3600)

    def five_minutes(self, host: str, name: str, hour_s: int) -> Iterator[tuple[int, Rollup]]:
        fields = self.client.hgetall(self.key(host, name, hour_s))
        minutes = {int(field): float(value) for field, value in fields.items()}
        for start_s in range(hour_s, hour_s + 3600, 300):
            values = [minutes[at] for at in range(start_s, start_s + 300, 60) if at in minutes]
            if values:
                total = 0.0
                for value in values:
                    total += value
                yield start_s, {"count": len(values), "sum": total, "min": min(values), "max": max(values), "avg": total / len(values), "last": values[-1]}

    def hour(self, host: str, name: str, hour_s: int) -> Rollup:
        parts = [part for _, part in self.five_minutes(host, name, hour_s)]
        count, total, averages = 0, 0.0, 0.0
        for part in parts:
            count, total, averages = count + part["count"], total + part["sum"], averages + part["avg"]
        low, high = min(part["min"] for part in parts), max(part["max"] for part in parts)
        return {"count": count, "sum": total, "min": low, "max": high, "avg": averages / len(parts), "last": parts[-1]["last"]}
