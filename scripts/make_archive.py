#!/usr/bin/env python3
"""Writes a Firehose-shaped archive of metric postings: seeded, so that the same options give the same bytes.

`scripts/make_archive.py --help` explains the options; `scripts/archive_maker` holds the parts.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parent
if find_spec("numpy") is None:  # started by a Python without the project's packages: go on in the project's own environment
    command = 'source "$0/setup_env" run && exec "$environment/bin/python" "$0/make_archive.py" "$@"'
    os.execvp("bash", ["bash", "-c", command, str(_SCRIPTS), *sys.argv[1:]])  # noqa: S606
sys.path.insert(0, str(_SCRIPTS.parent))

from scripts.archive_maker.archive import make_archive, write_membership  # noqa: E402
from scripts.archive_maker.options import parse  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 done, 2 wrong options or a folder that already holds something."""
    arguments, options = parse(argv)
    if arguments.folder.exists() and any(arguments.folder.iterdir()):
        sys.stderr.write(f"{arguments.folder}: holds files already; name a new or empty folder\n")
        return 2
    made = make_archive(arguments.folder, options)
    if arguments.membership:
        write_membership(arguments.membership, made.fleet, options)
    if arguments.expected:
        from scripts.archive_maker.expected import write_expected

        write_expected(arguments.expected, arguments.folder, options, arguments.membership)
    sys.stdout.write((json.dumps(made.summary, indent=1) if arguments.json else made.text()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
