"""The result of a demo as one JSON document: the page is made of it, and of nothing else."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scripts import oracle
from scripts.archive_maker.archive import instant
from scripts.demo_parts.comparison import KEYS, VERDICTS, Counts, series_text
from scripts.demo_parts.incident import Incident

Document = dict[str, Any]

AROUND_S: Final = 2 * 3600
"""How much is shown before and after the incident."""

_SIDES: Final = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was stored against what is expected, before and after the repair: tables of `comparison.compare`."""

    before: pa.Table
    after: pa.Table

    def where(self, condition: pc.Expression) -> "Compared":
        """Some of the rows."""
        return Compared(before=self.before.filter(condition), after=self.after.filter(condition))


def summed(counts: Counts) -> dict[str, int]:
    """Numbers of buckets of all types and granularities by verdict."""
    every = [by_verdict for of_type in counts.values() for by_verdict in of_type.values()]
    return {verdict: sum(one[verdict] for one in every) for verdict in VERDICTS}


def disagreements(run: Document, before: Counts) -> list[str]:
    """Where the report of the repair tells other numbers of buckets than the comparison before it found."""
    return [
        f"{metric_type} {width}: the run reports {tally[told]:,} {told}, the comparison before it found {before[metric_type][width][found]:,} {found}"
        for metric_type in before
        for width, tally in run["buckets"][metric_type].items()
        for told, found in (("added", "missing"), ("changed", "wrong"))
        if tally[told] != before[metric_type][width][found]
    ]


def damaged_series(compared: Compared, incident: Incident) -> list[Document]:
    """For each metric type the series whose 5m averages were damaged most, around the incident."""
    shown = compared.where((pc.field("bucket_start") >= _moment(incident.start_s - AROUND_S)) & (pc.field("bucket_start") < _moment(incident.end_s + AROUND_S)))
    fives = shown.where(pc.field("granularity") == "5m")
    chosen = [_worst(fives.before.filter(pc.field("metric_type") == metric_type)) for metric_type in oracle.TYPES]
    return [_series(shown, key) for key in chosen if key is not None]


def _worst(before: pa.Table) -> oracle.Series | None:
    scores = {key: _score(rows) for key, rows in _by_series(before).items()}
    return max(scores, key=lambda key: (scores[key], key)) if any(score > 0 for score in scores.values()) else None


def _score(rows: list[Document]) -> float:
    """How far the wrong averages are off, in standard deviations of the expected ones, times how many are missing."""
    off = [abs(row["stored_avg"] - row["avg"]) for row in rows if row["verdict"] == "wrong"]
    missing = sum(row["verdict"] == "missing" for row in rows)
    spread = float(np.std([row["avg"] for row in rows]))
    return float(np.mean(off)) / spread * missing if off and spread else 0.0


def _by_series(table: pa.Table) -> dict[oracle.Series, list[Document]]:
    by_series: dict[oracle.Series, list[Document]] = {}
    for row in table.to_pylist():
        by_series.setdefault(tuple(row[name] for name in KEYS[:5]), []).append(row)
    return by_series


def _series(shown: Compared, key: oracle.Series) -> Document:
    identity = dict(zip(KEYS[:5], key, strict=True))
    own = pc.field("metric_type") == key[0]
    for name in KEYS[1:5]:
        own &= pc.field(name) == identity[name]
    of_series = shown.where(own)
    by_width = {width: _buckets(of_series.where(pc.field("granularity") == width)) for width in ("5m", "1h")}
    return identity | {"text": series_text(identity), "buckets": by_width}


def _buckets(compared: Compared) -> list[Document]:
    """Minutes and average of every bucket, in time order, as expected and as stored before and after."""
    sides = [{row["bucket_start"]: row for row in side.to_pylist()} for side in (compared.before, compared.after)]
    return [
        {"bucket_start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "expected": {name: sides[0][start][name] for name in ("minutes", "avg")}}
        | {name: _stored(side[start]) for name, side in zip(_SIDES, sides, strict=True)}
        for start in sorted(sides[0])
        if sides[0][start]["avg"] is not None
    ]


def _stored(row: Document) -> Document:
    return {"verdict": row["verdict"], "minutes": row["stored_minutes"], "avg": row["stored_avg"]}


def _moment(time_s: int) -> pa.Scalar:
    return pa.scalar(time_s * 1000, pa.timestamp("ms", "UTC"))


def period_text(from_s: int, to_s: int) -> str:
    """`2025-11-02T10:22Z/2025-11-02T16:51Z`: whole minutes."""
    return "/".join(instant(time_s).replace(":00Z", "Z") for time_s in (from_s, to_s))
