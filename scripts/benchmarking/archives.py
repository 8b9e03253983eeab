"""The archives that are rolled up: made once, kept in a cache folder."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from scripts.archive_maker.archive import instant, make_archive
from scripts.archive_maker.options import ArchiveOptions

_MAKER: Final = Path(__file__).resolve().parents[1] / "archive_maker"


@dataclass(frozen=True)
class Archive:
    """An archive on disk, and what its maker said of it. `url` is where a copy of it is, if not there."""

    path: Path
    options: ArchiveOptions
    summary: dict[str, Any]
    url: str = ""

    @property
    def location(self) -> str:
        """For `--archive`."""
        return self.url or self.path.as_uri()

    @property
    def points(self) -> int:
        """Distinct points posted; role copies and repeated deliveries come on top."""
        return int(self.summary["distinct_points"])

    @property
    def period(self) -> str:
        """All of its points' times, for `--period`."""
        return f"{instant(self.options.start_s)}/{instant(self.options.start_s + self.options.duration_s)}"


def benchmark_options(points: int) -> ArchiveOptions:
    """24 hours, 50 points a record, one entity in ten a service, every second host with a role, gzip; a little of what goes wrong everywhere."""
    entities = max(2, round(points / 50 / 1440))
    services = max(1, round(entities * 0.1))
    return ArchiveOptions(
        hosts=entities - services, services=services, metrics=50, roles=0.5, object_bytes=16 << 20,
        duplicates=0.005, late=0.002, out_of_order=0.005, reposted_lower=0.005,
    )  # fmt: skip


@dataclass(frozen=True)
class Maker:
    """Writes an archive of the options into an empty folder and returns its summary. `sources` are files whose change makes another archive."""

    name: str
    make: Callable[[Path, ArchiveOptions], dict[str, Any]]
    sources: tuple[Path, ...] = ()


POSTINGS: Final = Maker("", lambda folder, options: make_archive(folder, options).summary)


def cached_archive(cache: Path, options: ArchiveOptions, maker: Maker = POSTINGS) -> Archive:
    """The archive of these options, made if the cache hasn't got it; a change of the maker makes another one."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode() + maker.name.encode())
    for path in (*sorted(_MAKER.glob("*.py")), *maker.sources):
        digest.update(path.read_bytes())
    folder = cache / f"archive-{digest.hexdigest()[:16]}"
    summary = folder.with_suffix(".json")
    if not summary.exists():
        shutil.rmtree(folder, ignore_errors=True)
        summary.write_text(json.dumps(maker.make(folder, options)))
    return Archive(folder, options, json.loads(summary.read_text()))


def read_once(archive: Archive) -> None:
    """Brings the archive into the page cache, so that the first contestant doesn't read it from disk."""
    for path in archive.path.rglob("*"):
        if path.is_file():
            path.read_bytes()
