"""Programs written in Go that tests and benchmarks run beside ours: built once for each version, kept outside the work tree.

    python scripts/go_tools.py    # builds all that are missing

Go fetches what it builds from its module proxy; where that can't be reached the error says what Go said.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOOLS: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metric-rollups-tools"


class ToolUnavailable(Exception):
    """A program can't be built, or doesn't start."""


@dataclass(frozen=True)
class Tool:
    """A Go program: the package it is built from, at which version, and what it is for."""

    package: str
    version: str
    purpose: str

    @property
    def name(self) -> str:
        """What Go calls the binary: a major version behind it is no name."""
        return self.package.rsplit("/", 1)[1]


VERSITYGW: Final = Tool("github.com/versity/versitygw/cmd/versitygw", "v1.8.0", "an S3 server that checks signatures")
PRISM: Final = Tool("github.com/apache/beam/sdks/v2/go/cmd/prism", "v2.77.0", "Beam's portable runner")
BOOT: Final = Tool("github.com/apache/beam/sdks/v2/python/container", "v2.77.0", "what starts a Python worker of a portable runner")
ALL: Final = (VERSITYGW, PRISM, BOOT)


def built(tool: Tool) -> Path:
    """The binary, built if the cache hasn't got it; whoever wants it meanwhile waits. Raises ToolUnavailable."""
    folder = TOOLS / f"{tool.name}-{tool.version}"
    binary = folder / tool.name
    if binary.exists():
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            _build(tool, folder)
    return binary


def _build(tool: Tool, folder: Path) -> None:
    source = f"{tool.package}@{tool.version}"
    if not shutil.which("go"):
        raise ToolUnavailable(f"{tool.name}, {tool.purpose}, is built with Go: install Go 1.22 or later and put it on PATH")
    print(f"building {tool.name}, {tool.purpose} (once, up to four minutes) …", file=sys.stderr)
    ended = subprocess.run(["go", "install", source], env=os.environ | {"GOBIN": str(folder / "new")}, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise ToolUnavailable(f"go install {source} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    os.replace(folder / "new" / tool.name, folder / tool.name)


if __name__ == "__main__":
    for one in ALL:
        print(built(one))
