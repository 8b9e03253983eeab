"""What an archive's rollups must be, by the oracle's dicts and loops."""

from pathlib import Path

from scripts import oracle
from scripts.archive_maker.options import ArchiveOptions


def write_expected(path: Path, folder: Path, options: ArchiveOptions, membership: Path | None) -> int:
    """Writes the rollups of the archive's period at all granularities, as `rollups export` lists them but without generations; returns their number."""
    members = oracle.read_membership(str(membership)) if membership else ()
    period = (options.start_s, options.start_s + options.duration_s)
    rows = oracle.expected_rows(str(folder), periods_s=[period], membership=members)
    with path.open("w", newline="", encoding="utf-8") as file:
        oracle.write_csv(rows, file)
    return len(rows)
