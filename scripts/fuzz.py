#!/usr/bin/env python
"""Feeds mutated real payloads to the decoders.

    scripts/fuzz                                   # every decoder in turn, until Ctrl-C
    scripts/fuzz --only postings,gzip --rounds 20000 --seed 7

Of every mutation: nothing is raised, records = decoded + dead letters, as a whole and by hour of arrival, points are kept or dropped or broken, and time and
memory stay bounded (`scripts/fuzzing/invariants.py`). What breaks that is written to --found, so that it can become a test.
Exit code 1: something was found.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.fuzzing.hunt import Finding, hunt
from scripts.fuzzing.seeds import SEEDS

_ROUND: Final = 10_000


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*SEEDS], metavar="NAME,…", help=f"some of {','.join(SEEDS)}")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="mutations of each decoder; default: without end")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed gives the same mutations; default 1")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), metavar="FOLDER", help="where breaking inputs are written, default %(default)s")
    given = parser.parse_args(argv)
    if unknown := sorted(set(given.only) - set(SEEDS)):
        parser.error(f"--only {','.join(unknown)}: expected some of {', '.join(SEEDS)}")
    return given


def main(argv: Sequence[str]) -> int:
    given = parse(argv)
    rounds = min(_ROUND, given.rounds) if given.rounds else _ROUND
    turns = range(-(-given.rounds // rounds)) if given.rounds else itertools.count()
    for turn in turns:
        for name in given.only:
            found = hunt(SEEDS[name](), rounds=rounds, seed=given.seed + turn)
            print(f"{name:20} seed {given.seed + turn}: {rounds:,} mutations, {len(found)} found", flush=True)
            if found:
                keep(found, given.found, name)
                return 1
    return 0


def keep(found: Sequence[Finding], folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(found):
        path = folder / f"{name}-{number}"
        path.write_bytes(one.body)
        print(f"  {path}: {one.problem}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(0)
