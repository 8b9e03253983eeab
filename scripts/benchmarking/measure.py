"""Runs a command and measures it from outside: wall time, CPU time, memory of the whole process tree."""

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_SAMPLE_S: Final = 0.05
_PSS_EVERY: Final = 20
_HAS_PROC: Final = Path("/proc/self/statm").exists()
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run of a command.

    `peak_rss_bytes` is the largest sum, sampled every 50 ms, of the resident memory of all its processes: pages that they share count once for each.
    `peak_pss_bytes` shares those out and is sampled every second; it equals the former for a single process. The kernel's own maximum, ru_maxrss, is of no use:
    it starts with the size of the process that started the command.
    """

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    peak_pss_bytes: int
    exit_code: int
    stdout: str


def measured(command: Sequence[str], *, cwd: Path, log: Path, environment: Mapping[str, str] | None = None) -> Measurement:
    """Runs the command to its end, its stderr in `log`, with the environment of this process or another one. CPU time includes children that it waited for."""
    out = log.with_suffix(".out")
    with out.open("wb") as stdout, log.open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            memory, status, usage = _watch(process.pid)
            wall_s = time.perf_counter() - began
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measurement(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_rss_bytes=memory.peak_rss_bytes,
        peak_pss_bytes=memory.peak_pss_bytes or memory.peak_rss_bytes,
        exit_code=process.returncode,
        stdout=out.read_text(encoding="utf-8"),
    )


class _Memory:
    """Peaks over the samples taken."""

    def __init__(self) -> None:
        self.peak_rss_bytes = self.peak_pss_bytes = self._samples = 0

    def sample(self, root: int) -> None:
        pids = _tree(root)
        self.peak_rss_bytes = max(self.peak_rss_bytes, sum(map(_rss_bytes, pids)))
        self._samples += 1
        if len(pids) > 1 and self._samples % _PSS_EVERY == 0:
            self.peak_pss_bytes = max(self.peak_pss_bytes, sum(map(_pss_bytes, pids)))


def _watch(pid: int) -> tuple[_Memory, int, resource.struct_rusage]:
    """Samples until the process ends; returns peaks, wait status and resource usage."""
    memory = _Memory()
    ended = os.pidfd_open(pid) if _HAS_PROC else None
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            if ended is not None:
                os.close(ended)
            return memory, status, usage
        memory.sample(pid)
        if ended is None:
            time.sleep(_SAMPLE_S)
        else:
            select.select([ended], [], [], _SAMPLE_S)


def _tree(root: int) -> list[int]:
    """The process and its descendants. /proc is asked where it can tell: a walk over all processes every 50 ms would disturb the measurement."""
    if not Path(f"/proc/{root}/task/{root}/children").exists():
        return _tree_by_psutil(root)
    found = [root]
    for pid in found:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                found.extend(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _tree_by_psutil(root: int) -> list[int]:
    try:
        return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [root]


def _rss_bytes(pid: int) -> int:
    try:
        if _HAS_PROC:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        return int(psutil.Process(pid).memory_info().rss)
    except (FileNotFoundError, ProcessLookupError, IndexError, psutil.NoSuchProcess):
        return 0


def _pss_bytes(pid: int) -> int:
    try:
        full = psutil.Process(pid).memory_full_info()
        return int(getattr(full, "pss", full.uss))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return _rss_bytes(pid)
