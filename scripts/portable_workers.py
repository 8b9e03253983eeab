"""Prism, Beam's portable runner, and workers for it on this machine: each time a clean Python environment, into which Beam's `boot` installs what a job brings.

    with portable_workers(folder, "PROCESS") as workers:
        rollups backfill … *workers.options

What they listen on is the loopback interface of the network that this process sees; `loopback_only` makes that one of its own.
"""

import ctypes
import fcntl
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from scripts.go_tools import BOOT, PRISM, built
from scripts.make_environment import make_venv, site_packages
from scripts.s3_gateway import free_port, wait_for

Environment = Literal["LOOPBACK", "PROCESS", "EXTERNAL"]
"""Where workers are: in the process that submits; started by the runner; started by a pool that the runner asks for them."""

_WRAPPER: Final = """#!/usr/bin/env bash
# Prism passes quotation marks on as they stand; a worker that began in a checkout would import that.
set -euo pipefail
arguments=()
for one in "$@"; do arguments+=("${{one//\\'/}}"); done
work=$(mktemp -d "{folder}/worker-XXXXXX")
cd "$work"
unset PYTHONPATH
export PATH="{venv}/bin:$PATH" RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
exec "{boot}" "${{arguments[@]}}" --semi_persist_dir="$work" >>"{folder}/workers.log" 2>&1
"""

_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


@dataclass(frozen=True)
class PortableWorkers:
    """Options of Beam that use them, and where this project's packages are once a job has brought them."""

    options: tuple[str, ...]
    site_packages: Path
    log: Path


@contextmanager
def portable_workers(folder: Path, environment: Environment) -> Iterator[PortableWorkers]:
    """Workers that find what requirements.lock names and nothing of this project. Raises ToolUnavailable without Prism or boot."""
    folder.mkdir(parents=True)
    python = make_venv(folder / "venv", "--without-pip", sees=[_locked_packages()])
    wrapper = folder / "boot"
    wrapper.write_text(_WRAPPER.format(folder=folder, venv=folder / "venv", boot=built(BOOT)))
    wrapper.chmod(0o755)
    prism = ("--runner", "PrismRunner", f"--prism_location={built(PRISM)}", f"--environment_type={environment}")
    log, installed = folder / "workers.log", site_packages(folder / "venv")
    if environment == "LOOPBACK":
        yield PortableWorkers(prism, installed, log)
    elif environment == "PROCESS":
        yield PortableWorkers((*prism, f"--environment_config={json.dumps({'command': str(wrapper)})}"), installed, log)
    else:
        port = free_port()
        words: list[str | Path] = [python, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}", f"--container_executable={wrapper}"]
        with open(folder / "pool.log", "wb") as output:
            pool = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output)
        try:
            wait_for(port)
            yield PortableWorkers((*prism, f"--environment_config=localhost:{port}"), installed, log)
        finally:
            pool.terminate()
            pool.wait(20)


def _locked_packages() -> Path:
    """The environment that holds what requirements.lock names (scripts/setup_env), which this one sees."""
    packages = Path(sys.prefix).parent / "packages-run"
    if not (packages / "ready").exists():
        raise FileNotFoundError(f"{packages} is not there: run this in an environment of scripts/setup_env")
    return packages


@contextmanager
def loopback_only() -> Iterator[None]:
    """What this thread and its children open meanwhile is in a network of its own, of which nobody else sees anything.

    For Linux and who may make one (root in most places); elsewhere nothing changes, and servers that listen on all interfaces do so.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        yield
        return
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(_CLONE_NEWNET):
            yield
            return
        try:
            _raise_loopback()
            yield
        finally:
            libc.setns(before.fileno(), _CLONE_NEWNET)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        name = b"lo".ljust(16, b"\0")
        (flags,) = struct.unpack_from("H", fcntl.ioctl(one, _SIOCGIFFLAGS, name + bytes(16)), 16)
        fcntl.ioctl(one, _SIOCSIFFLAGS, name + struct.pack("H", flags | _IFF_UP) + bytes(14))
