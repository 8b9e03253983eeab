"""Whether two results are equal: the same rows, every column within a relative 1e-9."""

# ruff: noqa: S608  the statements are made of this project's own texts and folders

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from scripts.benchmarking.contestants import GRANULARITIES, Contestant

_KEYS: Final = ("metric_type", "org", "entity", "name", "labels", "kind", "bucket_start")
_COUNTS: Final = ("minutes", "count")
_FLOATS: Final = ("sum", "min", "max", "avg", "last")
_TOLERANCE: Final = 1e-9
_ROWS_AT_ONCE: Final = 10_000_000


@dataclass(frozen=True)
class Difference:
    """How one granularity of a result differs from ours; all zero but the rows where it doesn't."""

    granularity: str
    rows: int
    their_rows: int
    only_ours: int
    only_theirs: int
    unequal: int

    @property
    def is_equal(self) -> bool:
        """Whether both hold the same rows (and neither holds one twice) with the same values."""
        return self.rows == self.their_rows > 0 and not (self.only_ours or self.only_theirs or self.unequal)


def compare(ours: tuple[Contestant, Path], theirs: tuple[Contestant, Path], scratch: Path) -> list[Difference]:
    """By granularity. Joins a part of the series at a time, so that memory stays below 4 GB; what doesn't fit spills to `scratch`."""
    with duckdb.connect(config={"memory_limit": "4GB", "temp_directory": str(scratch), "threads": 2, "preserve_insertion_order": False}) as db:
        return [
            _difference(db, granularity, ours[0].relation(ours[1], granularity), theirs[0].relation(theirs[1], granularity)) for granularity in GRANULARITIES
        ]


def _difference(db: duckdb.DuckDBPyConnection, granularity: str, ours: str, theirs: str) -> Difference:
    rows, their_rows = (_one(db, f"SELECT count(*) FROM {relation}")[0] for relation in (ours, theirs))
    parts = max(rows, their_rows) // _ROWS_AT_ONCE + 1
    found = [_one(db, _statement(ours, theirs, part, parts)) for part in range(parts)]
    matched, only_ours, only_theirs, unequal = (sum(column) for column in zip(*found, strict=True))
    return Difference(
        granularity, rows, their_rows, only_ours + abs(matched + only_ours - rows), only_theirs + abs(matched + only_theirs - their_rows), unequal
    )


def _statement(ours: str, theirs: str, part: int, parts: int) -> str:
    """Counts of pairs, of rows without a partner on either side, and of pairs that differ. A row that occurs twice makes the pairs outnumber the rows."""
    differs = " OR ".join(
        [f"a.{name} IS DISTINCT FROM b.{name}" for name in _COUNTS]
        + [f"NOT coalesce(a.{name} = b.{name} OR abs(a.{name} - b.{name}) <= {_TOLERANCE} * greatest(abs(a.{name}), abs(b.{name})), false)" for name in _FLOATS]
        + ["a.generation IS NULL OR b.generation IS NULL"]
    )
    return f"""
        SELECT count(*) FILTER (a.minutes IS NOT NULL AND b.minutes IS NOT NULL), count(*) FILTER (b.minutes IS NULL), count(*) FILTER (a.minutes IS NULL),
            count(*) FILTER (a.minutes IS NOT NULL AND b.minutes IS NOT NULL AND ({differs}))
        FROM ({_normal(ours, part, parts)}) AS a FULL JOIN ({_normal(theirs, part, parts)}) AS b USING ({", ".join(_KEYS)})"""


def _normal(relation: str, part: int, parts: int) -> str:
    """Every column in the same type on both sides; `part` of `parts` by a hash of the series."""
    texts = [f"{name}::VARCHAR AS {name}" for name in _KEYS[:-1]]
    numbers = ["epoch_ms(bucket_start) AS bucket_start", *(f"{name}::BIGINT AS {name}" for name in _COUNTS), *_FLOATS, "generation"]
    return f"SELECT {', '.join([*texts, *numbers])} FROM {relation} WHERE hash(entity::VARCHAR, name::VARCHAR) % {parts} = {part}"


def _one(db: duckdb.DuckDBPyConnection, statement: str) -> tuple[int, ...]:
    row = db.execute(statement).fetchone()
    if row is None:
        raise AssertionError(f"an aggregate without a row: {statement}")
    return tuple(int(value or 0) for value in row)
