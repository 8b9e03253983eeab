"""Times our backfill against DuckDB, ClickHouse, Polars and a naive Beam pipeline on the same archive and cores, compares the results, shows how ours grows.

    scripts/benchmark                                     # 20 M points, everybody, growth at 5, 40 and 100 M
    scripts/benchmark --quick --points 2000000            # small and without growth
    scripts/benchmark --quick --only ours,duckdb --repeat 3
    scripts/benchmark --quick --only s3,histograms,forms --readme    # everything but the peers, and the README's tables of it

What --only names besides the peers: `s3` is ours reading the archive from a bucket of versitygw (built with Go) on the same cores; the server's own CPU time
and memory do not count. `histograms` is a backfill of as many 1-minute rows of gauges and of histograms. `forms` is decoding alone, of every form of archives.
`stores` is writing alone, into every kind of store on its real server (Parquet and SQLite files; versitygw; ministack for DynamoDB and Lambda; Valkey) where
nothing is, again, by a newer run and with other values, beside a loop of unconditional puts by pyarrow, boto3, sqlite3 or valkey-py. Limits are lifted.

Every contestant runs as a process of its own; repeats take turns, so that a busy moment of the machine meets everybody. Archives stay in --cache, what was
stored is removed.
Exit code 1: a contestant ended with an error, its rollups differ from ours, a form lost points, or a store did not what a pass asks of it.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.benchmarking.archives import Archive, benchmark_options, cached_archive, read_once
from scripts.benchmarking.compare import Difference, compare
from scripts.benchmarking.contestants import CONTESTANTS, NAIVE, OURS, ROOT, S3, Contestant
from scripts.benchmarking.forms import HEAD as FORMS_HEAD, FormSpeed, WrongForm, measure_forms
from scripts.benchmarking.kinds import GAUGE, HEAD as KINDS_HEAD, KINDS, kind_data, kind_options, kind_row, kind_targets, stored_rows
from scripts.benchmarking.measure import Measurement, measured
from scripts.benchmarking.readme import readme_tables
from scripts.benchmarking.report import HEAD, PROFILE_HEAD, Result, Target, archive_data, machine, profile, s3_data, table, targets
from scripts.benchmarking.store_places import KINDS as STORE_KINDS
from scripts.benchmarking.stores import HEAD as STORES_HEAD, StoreSpeed, WrongStore, measure_stores
from scripts.go_tools import VERSITYGW, ToolUnavailable, built

GROWTH_POINTS: Final = (5_000_000, 40_000_000, 100_000_000)
NAIVE_SHARE: Final = 1 / 20
HISTOGRAMS: Final = "histograms"
FORMS: Final = "forms"
STORES: Final = "stores"
MEASURED: Final = Path()
"""Stands for what this run measures."""

PARTS: Final = (*CONTESTANTS, HISTOGRAMS, FORMS, STORES)
"""What --only chooses from."""

STORED_BYTES_PER_POINT: Final = {"race": 500, "growth": 120, "histograms": 1500}
"""What all contestants together, and ours alone, leave on disk at most, work files and the copy in the bucket included; and the archives of histograms."""

STORED_BYTES_PER_SERIES: Final = 1_500_000
"""What a store of the benchmark holds at most for each of `--store-series`, before-images included."""


class ContestantFailed(Exception):
    """A contestant ended with an error."""


@dataclass
class Found:
    """Everything measured; empty is what --only left out."""

    archive: Archive | None = None
    results: dict[str, Result] = field(default_factory=dict)
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    growth: dict[int, Result] = field(default_factory=dict)
    kinds: dict[str, tuple[Result, Archive]] = field(default_factory=dict)
    forms: list[FormSpeed] = field(default_factory=list)
    stores: list[StoreSpeed] = field(default_factory=list)

    @property
    def targets(self) -> list[Target]:
        """Those that can be judged."""
        return [*targets(self.results, self.growth), *(kind_targets([result for result, _ in self.kinds.values()]) if self.kinds else [])]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": machine(),
            "archive": archive_data(self.archive) if self.archive else None,
            "results": [one.data() for one in self.results.values()],
            "growth": [one.data() for one in self.growth.values()],
            "differences": {name: [asdict(one) for one in found] for name, found in self.differences.items()},
            "profile": self.results[OURS].told["steps"] if OURS in self.results else None,
            "s3": s3_data(self.results),
            "histograms": [kind_data(one, self.kinds[GAUGE][0], archive.summary["bytes"]) for one, archive in self.kinds.values()],
            "targets": [asdict(one) for one in self.targets],
            "forms": [one.data() for one in self.forms],
            "stores": [one.data() for one in self.stores],
        }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark", allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000_000, help="distinct points of the archive, default 20 M")
    parser.add_argument("--only", type=_names, default=PARTS, metavar="NAME,…", help=f"some of {','.join(PARTS)}; s3 brings ours")
    parser.add_argument("--repeat", type=int, default=1, metavar="K", help="runs of each contestant but naive; the median counts; default 1")
    parser.add_argument("--growth", type=_numbers, default=GROWTH_POINTS, metavar="POINTS,…", help="sizes at which ours runs besides, default 5, 40 and 100 M")
    parser.add_argument(
        "--kind-rows", type=int, default=1_000_000, metavar="N", help="1-minute rows of gauges and of histograms, in steps of 72,000; default 1 M"
    )
    parser.add_argument("--form-s", type=float, default=0.3, metavar="S", help="CPU seconds for which each form is decoded, three times; default 0.3")
    parser.add_argument(
        "--store-series", type=int, default=200, metavar="N", help="series of a unit in the fastest stores, a tenth of it in others; default 200"
    )
    parser.add_argument("--quick", action="store_true", help="no growth")
    parser.add_argument(
        "--readme", type=Path, nargs="?", const=MEASURED, metavar="FILE", help="print the README's tables, too; with FILE, only those, of an earlier --output"
    )
    parser.add_argument("--cores", type=int, default=2, help="everybody is bound to so many, default 2")
    parser.add_argument("--cache", type=Path, default=_cache(), metavar="FOLDER", help="archives are kept and results written there, default %(default)s")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmark-results.json"), metavar="FILE", help="JSON with everything measured, default %(default)s"
    )
    return parser.parse_args(argv)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: expected some of {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in names or (name == OURS and S3 in names))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metric-rollups" / "benchmark"


def archive_of(cache: Path, points: int) -> Archive:
    options = benchmark_options(points)
    say(f"archive of {points / 1e6:g} M points")
    archive = cached_archive(cache, options)
    read_once(archive)
    return archive


def run_once(contestant: Contestant, archive: Archive, output: Path) -> Measurement:
    """One measured run into an emptied folder, with nothing left to be written to disk from the run before."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    os.sync()
    log = output.with_suffix(".log")
    run = measured(contestant.command(archive, output), cwd=ROOT, log=log, environment=contestant.environment())
    if run.exit_code:
        raise ContestantFailed(f"{output.name} ended with {run.exit_code}: {log}\n{log.read_text()[-2000:]}")
    say(f"  {output.name:20} {run.wall_s:8.2f} s  {run.cpu_s:7.1f} CPU s  {run.peak_rss_bytes / 1e6:7,.0f} MB")
    return run


def in_turns(entries: Mapping[str, tuple[Contestant, Archive]], work: Path, repeat: int) -> dict[str, tuple[Measurement, ...]]:
    """The runs of everybody, each on its archive into the folder of its name. The results of the last turn stay below `work`."""
    runs: dict[str, list[Measurement]] = {name: [] for name in entries}
    for _ in range(repeat):
        for name, (contestant, archive) in entries.items():
            runs[name].append(run_once(contestant, archive, work / name))
    return {name: tuple(done) for name, done in runs.items()}


def race(names: Iterable[str], archive: Archive, work: Path, repeat: int) -> dict[str, Result]:
    """Everybody on one archive."""
    with ExitStack() as ends:
        entries = {name: (CONTESTANTS[name], ends.enter_context(CONTESTANTS[name].place(archive, work))) for name in names}
        runs = in_turns(entries, work, repeat)
    return {name: Result(name=name, points=archive.points, runs=done, stored_bytes=stored_bytes(work / name)) for name, done in runs.items()}


def measure_kinds(given: argparse.Namespace, work: Path) -> dict[str, tuple[Result, Archive]]:
    """Our runs on an archive of each kind, with the archive; points of a result are the 1-minute rows stored. Removes what was stored."""
    say(f"archives of {given.kind_rows / 1e6:g} M rows of {', '.join(KINDS)}")
    archives = {name: cached_archive(given.cache, kind_options(given.kind_rows), maker) for name, maker in KINDS.items()}
    for archive in archives.values():
        read_once(archive)
    runs = in_turns({name: (CONTESTANTS[OURS], archive) for name, archive in archives.items()}, work, given.repeat)
    rows = {name: stored_rows(json.loads(done[0].stdout)) for name, done in runs.items()}
    results = {name: Result(name=name, points=rows[name], runs=done, stored_bytes=stored_bytes(work / name)) for name, done in runs.items()}
    shutil.rmtree(work)
    return {name: (result, archives[name]) for name, result in results.items()}


def stored_bytes(output: Path) -> int:
    """Size of what a contestant left, but for our own work folder."""
    return sum(path.stat().st_size for path in output.rglob("*") if path.is_file() and not path.is_symlink() and (output / "work") not in path.parents)


def checked(results: dict[str, Result], work: Path) -> tuple[dict[str, Result], dict[str, list[Difference]]]:
    """The results with whether they equal ours (or the first contestant's, if we don't take part), and the differences by name."""
    reference = next(iter(results))
    found: dict[str, list[Difference]] = {}
    for name in results:
        if name != reference:
            say(f"  comparing {name} with {reference}")
            CONTESTANTS[name].prepare(work / name)
            found[name] = compare((CONTESTANTS[reference], work / reference), (CONTESTANTS[name], work / name), work / "spill")
    equal = {name: all(one.is_equal for one in differences) for name, differences in found.items()}
    return {name: replace(result, equal=equal.get(name)) for name, result in results.items()}, found


def race_on(points: int, names: Sequence[str], given: argparse.Namespace, work: Path) -> tuple[Archive, dict[str, Result], dict[str, list[Difference]]]:
    """A race on an archive of that size and the comparison; removes what was stored."""
    archive = archive_of(given.cache, points)
    results, differences = checked(race(names, archive, work, given.repeat if points == given.points else 1), work)
    shutil.rmtree(work)
    return archive, results, differences


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 if all results are equal, 2 if there is no room for them or no S3 server."""
    given = parse(argv)
    if given.readme not in (None, MEASURED):
        print(readme_tables(json.loads(given.readme.read_text())))
        return 0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    work = given.cache / f"run-{os.getpid()}"
    if lacking := lacking_bytes(given):
        say(f"{given.cache}: {lacking / 1e9:.1f} GB more of free space are needed; name another folder with --cache, or fewer points")
        return 2
    try:
        return benchmark(given, work)
    except (ContestantFailed, WrongForm, WrongStore) as failed:
        say(str(failed))
        return 1
    except ToolUnavailable as unavailable:
        say(str(unavailable))
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)


def lacking_bytes(given: argparse.Namespace) -> int:
    """How much free space the cache folder lacks; 0 if there is enough."""
    given.cache.mkdir(parents=True, exist_ok=True)
    growth = 0 if given.quick or OURS not in given.only else max(given.growth)
    rows = given.kind_rows if HISTOGRAMS in given.only else 0
    points = given.points if set(CONTESTANTS) & set(given.only) else 0
    series = given.store_series if STORES in given.only else 0
    needed = max(points * STORED_BYTES_PER_POINT["race"], growth * STORED_BYTES_PER_POINT["growth"], series * STORED_BYTES_PER_SERIES)
    return max(0, int(needed + rows * STORED_BYTES_PER_POINT["histograms"]) - shutil.disk_usage(given.cache).free)


def benchmark(given: argparse.Namespace, work: Path) -> int:
    if {S3, STORES} & set(given.only):
        built(VERSITYGW)
    found = Found()
    if names := [name for name in given.only if name in CONTESTANTS and name != NAIVE]:
        found.archive, found.results, found.differences = race_on(given.points, names, given, work)
    if NAIVE in given.only:
        archive, on_sample, differences = race_on(round(given.points * NAIVE_SHARE), [name for name in (OURS, NAIVE) if name in given.only], given, work)
        found.archive = found.archive or archive
        found.results[NAIVE] = on_sample[NAIVE]
        found.differences |= differences
    sizes = () if given.quick or OURS not in given.only else sorted(given.growth)
    found.growth = {size: race_on(size, (OURS,), given, work)[1][OURS] for size in sizes}
    found.kinds = measure_kinds(given, work) if HISTOGRAMS in given.only else {}
    found.forms = list(measure_forms(given.form_s)) if FORMS in given.only else []
    found.stores = list(measure_stores(STORE_KINDS, given.store_series, work)) if STORES in given.only else []
    document = found.document()
    given.output.write_text(json.dumps(document, indent=1) + "\n")
    print("\n\n".join([*shown(found), *([readme_tables(document)] if given.readme else [])]))
    say(f"\n{given.output} holds everything measured")
    return 0 if all(one.is_equal for differences in found.differences.values() for one in differences) else 1


def shown(found: Found) -> Iterator[str]:
    """The tables."""
    ours, archive = found.results.get(OURS), found.archive
    if archive:
        yield f"{archive.points:,} distinct points over 24 h, {archive.summary['bytes'] / 1e6:,.0f} MB; naive on {NAIVE_SHARE:.0%} of them"
        yield table(HEAD, [one.row(ours) for one in found.results.values()])
    if found.growth:
        yield table(HEAD, [one.row(None) for one in sorted([*found.growth.values(), found.results[OURS]], key=lambda one: one.points)])
    if ours:
        yield "where the time of ours goes\n" + table(PROFILE_HEAD, profile(ours))
    if found.kinds:
        gauge, _ = found.kinds[GAUGE]
        yield table(KINDS_HEAD, [kind_row(one, gauge, of.summary["bytes"]) for one, of in found.kinds.values()])
    if judged := found.targets:
        yield table(("target", "wanted", "reached", ""), [(one.name, one.wanted, one.reached, "met" if one.met else "MISSED") for one in judged], left=4)
    if found.forms:
        yield "decoding alone, by form of the archive\n" + table(FORMS_HEAD, [one.row() for one in found.forms])
    if found.stores:
        yield "writing alone, by kind of store\n" + table(STORES_HEAD, [one.row() for one in found.stores], left=3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
