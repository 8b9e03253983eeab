"""Times our backfill against DuckDB, ClickHouse, Polars and a naive Beam pipeline on the same archive and cores, compares the results, shows how ours grows.

    scripts/benchmark                                     # 20 M points, everybody, growth at 5, 40 and 100 M
    scripts/benchmark --quick --points 2000000            # small and without growth
    scripts/benchmark --quick --only ours,duckdb --repeat 3

Every contestant runs as a process of its own; repeats take turns, so that a busy moment of the machine meets everybody. Archives stay in --cache, what was
stored is removed.
Exit code 1: a contestant ended with an error or its rollups differ from ours.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.benchmarking.archives import Archive, benchmark_options, cached_archive, read_once
from scripts.benchmarking.compare import Difference, compare
from scripts.benchmarking.contestants import CONTESTANTS, NAIVE, OURS, ROOT, Contestant
from scripts.benchmarking.forms import HEAD as FORMS_HEAD, measure_forms
from scripts.benchmarking.measure import Measurement, measured
from scripts.benchmarking.report import HEAD, PROFILE_HEAD, Result, Target, archive_data, machine, profile, table, targets

GROWTH_POINTS: Final = (5_000_000, 40_000_000, 100_000_000)
NAIVE_SHARE: Final = 1 / 20


STORED_BYTES_PER_POINT: Final = {"race": 350, "growth": 120}
"""What all contestants together, and ours alone, leave on disk at most, work files included."""


class ContestantFailed(Exception):
    """A contestant ended with an error."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark", allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000_000, help="distinct points of the archive, default 20 M")
    parser.add_argument("--only", type=_names, default=tuple(CONTESTANTS), metavar="NAME,…", help=f"some of {','.join(CONTESTANTS)}")
    parser.add_argument("--repeat", type=int, default=1, metavar="K", help="runs of each contestant but naive; the median counts; default 1")
    parser.add_argument("--growth", type=_numbers, default=GROWTH_POINTS, metavar="POINTS,…", help="sizes at which ours runs besides, default 5, 40 and 100 M")
    parser.add_argument("--form-points", type=int, default=500_000, metavar="N", help="points that are decoded in every form, default 500,000")
    parser.add_argument("--quick", action="store_true", help="no growth")
    parser.add_argument("--cores", type=int, default=2, help="everybody is bound to so many, default 2")
    parser.add_argument("--cache", type=Path, default=_cache(), metavar="FOLDER", help="archives are kept and results written there, default %(default)s")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmark-results.json"), metavar="FILE", help="JSON with everything measured, default %(default)s"
    )
    return parser.parse_args(argv)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(CONTESTANTS)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: expected some of {', '.join(CONTESTANTS)}")
    return tuple(name for name in CONTESTANTS if name in names)


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
    run = measured(contestant.command(archive, output), cwd=ROOT, log=output.with_suffix(".log"))
    if run.exit_code:
        raise ContestantFailed(f"{contestant.name} ended with {run.exit_code}: {output.with_suffix('.log')}\n{output.with_suffix('.log').read_text()[-2000:]}")
    say(f"  {contestant.name:10} {run.wall_s:8.2f} s  {run.cpu_s:7.1f} CPU s  {run.peak_rss_bytes / 1e6:7,.0f} MB")
    return run


def race(names: Iterable[str], archive: Archive, work: Path, repeat: int) -> dict[str, Result]:
    """Everybody on one archive, in turns. The results of the last turn stay below `work`."""
    runs: dict[str, list[Measurement]] = {name: [] for name in names}
    for _ in range(repeat):
        for name, done in runs.items():
            done.append(run_once(CONTESTANTS[name], archive, work / name))
    return {name: Result(name=name, points=archive.points, runs=tuple(done), stored_bytes=stored_bytes(work / name)) for name, done in runs.items()}


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
    """Exit code: 0 if all results are equal, 2 if there is no room for them."""
    given = parse(argv)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    work = given.cache / f"run-{os.getpid()}"
    if lacking := lacking_bytes(given):
        say(f"{given.cache}: {lacking / 1e9:.1f} GB more of free space are needed; name another folder with --cache, or fewer points")
        return 2
    try:
        return benchmark(given, work)
    except ContestantFailed as failed:
        say(str(failed))
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)


def lacking_bytes(given: argparse.Namespace) -> int:
    """How much free space the cache folder lacks; 0 if there is enough."""
    given.cache.mkdir(parents=True, exist_ok=True)
    growth = 0 if given.quick else max(given.growth)
    needed = max(given.points * STORED_BYTES_PER_POINT["race"], growth * STORED_BYTES_PER_POINT["growth"])
    return max(0, int(needed) - shutil.disk_usage(given.cache).free)


def benchmark(given: argparse.Namespace, work: Path) -> int:
    archive, results, differences = race_on(given.points, [name for name in given.only if name != NAIVE], given, work)
    if NAIVE in given.only:
        _, on_sample, naive_differences = race_on(round(given.points * NAIVE_SHARE), [name for name in (OURS, NAIVE) if name in given.only], given, work)
        results[NAIVE] = on_sample[NAIVE]
        differences |= naive_differences
    sizes = () if given.quick or OURS not in given.only else sorted(given.growth)
    growth = {size: race_on(size, (OURS,), given, work)[1][OURS] for size in sizes}
    judged = targets(results, growth)
    speeds = measure_forms(given.form_points)
    show(archive, results, growth, judged)
    print("\ndecoding alone, by form of the archive\n" + table(FORMS_HEAD, [one.row() for one in speeds]))
    document = {
        "machine": machine(),
        "archive": archive_data(archive),
        "results": [one.data() for one in results.values()],
        "growth": [one.data() for one in growth.values()],
        "differences": {name: [asdict(one) for one in found] for name, found in differences.items()},
        "profile": results[OURS].told["steps"] if OURS in results else None,
        "targets": [asdict(one) for one in judged],
        "forms": [asdict(one) | {"points_per_cpu_s": one.points_per_cpu_s} for one in speeds],
    }
    given.output.write_text(json.dumps(document, indent=1) + "\n")
    say(f"\n{given.output} holds everything measured")
    return 0 if all(one.is_equal for found in differences.values() for one in found) else 1


def show(archive: Archive, results: dict[str, Result], growth: dict[int, Result], judged: Sequence[Target]) -> None:
    """The tables on stdout."""
    print(f"{archive.points:,} distinct points over 24 h, {archive.summary['bytes'] / 1e6:,.0f} MB; naive on {NAIVE_SHARE:.0%} of them\n")
    print(table(HEAD, [one.row(results.get(OURS)) for one in results.values()]))
    if growth:
        print("\n" + table(HEAD, [one.row(None) for one in sorted([*growth.values(), results[OURS]], key=lambda one: one.points)]))
    if OURS in results:
        print("\nwhere the time of ours goes\n" + table(PROFILE_HEAD, profile(results[OURS])))
    if judged:
        print(
            "\n" + table(("target", "wanted", "reached", ""), [(one.name, one.wanted, one.reached, "met" if one.met else "MISSED") for one in judged], left=4)
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
