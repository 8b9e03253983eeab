"""Commands in processes that can be held, killed and looked at.

`Forge` starts one process that has imported everything and forks a child for each command, so that a hundred runs don't spend their time on imports. A child
can log what it opens, trace the steps it takes on disk (the failpoints of `transforms.stores.files`), kill itself at one of them, or ask before each one.
"""

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final, Self

PATIENCE_S: Final = 60.0
KILLED: Final = -signal.SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, or minus the signal that killed it, after so many seconds."""

    code: int
    out: str
    err: str
    elapsed_s: float


class Forge:
    """Forks children that run one command each. Use as a context."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0

    def __enter__(self) -> Self:
        self._server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert self._tell({"ready": True}) == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def start(self, argv: Sequence[str], **how: Any) -> "Child":
        """Runs `rollups ARGV…`; `how` are the fields of `_Order`."""
        self._number += 1
        out, err = (self._folder / f"child-{self._number}.{name}" for name in ("out", "err"))
        pid = self._tell({"order": {"argv": list(argv), "out": str(out), "err": str(err)} | how})["pid"]
        return Child(pid, out, err, lambda: self._tell({"wait": pid}))

    def run(self, argv: Sequence[str], **how: Any) -> Ended:
        return self.start(argv, **how).wait()

    def _tell(self, message: Mapping[str, Any]) -> dict[str, Any]:
        pipe = self._server
        assert pipe.stdin
        assert pipe.stdout
        pipe.stdin.write(json.dumps(message) + "\n")
        pipe.stdin.flush()
        answer = pipe.stdout.readline()
        assert answer, "the process that forks has ended"
        told: dict[str, Any] = json.loads(answer)
        return told


@dataclass(frozen=True)
class Child:
    """A command that is running."""

    pid: int
    out: Path
    err: Path
    _wait: Callable[[], dict[str, Any]]

    def wait(self) -> Ended:
        told = self._wait()
        return Ended(told["code"], self.out.read_text(), self.err.read_text(), told["elapsed_s"])

    def kill(self) -> Ended:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()


class Gate:
    """Where children that were given its `path` ask before each step on disk, and wait for `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._visitors: list[Visitor] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(PATIENCE_S)

    def admit(self) -> "Visitor":
        """The next child that connects, at its first step."""
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENCE_S)
        visitor = Visitor(connection.makefile("rw"), connection)
        self._visitors.append(visitor)
        return visitor

    def close(self) -> None:
        """Ends all conversations."""
        for visitor in self._visitors:
            visitor.close()
        self._listener.close()


@dataclass
class Visitor:
    """A child at the gate. `at` is the step it asks for; empty when it runs or has ended."""

    _file: IO[str]
    _connection: socket.socket
    at: str = ""

    def arrives(self) -> str:
        """Waits until it asks for a step; empty when it has ended."""
        self.at = self._file.readline().strip()
        return self.at

    def arrives_within(self, patience_s: float) -> bool:
        """Whether it asks for a step soon."""
        return bool(select.select([self._connection], [], [], patience_s)[0])

    def pass_on(self) -> None:
        """Lets it go on."""
        with suppress(BrokenPipeError):
            self._file.write("\n")
            self._file.flush()

    def until(self, step: str) -> bool:
        """Lets it go on until it asks for the step; False when it ends before that."""
        while self.at and self.at != step:
            self.pass_on()
            self.arrives()
        return bool(self.at)

    def close(self) -> None:
        """Talks to it no more."""
        with suppress(BrokenPipeError):
            self._file.close()
        self._connection.close()

    def to_the_end(self) -> None:
        """Lets it go on for good."""
        while self.at:
            self.pass_on()
            self.arrives()


# --- in the forking process and its children ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Order:
    """A command for a child.

    `die_at`: kill yourself at the n-th time of a step, [step, n]. `trace`: a file for the names of all steps. `opened`: [folder, file]: note in the file what
    is opened below the folder. `gate`: ask there before each step. `kill_after_s`: `kill -9` from outside. `patches`: module attributes by dotted name.
    """

    argv: list[str]
    out: str
    err: str
    die_at: tuple[str, int] | None = None
    trace: str = ""
    opened: tuple[str, str] | None = None
    gate: str = ""
    kill_after_s: float | None = None
    patches: Mapping[str, Any] | None = None


def _serve() -> None:
    """Forks a child per order; single-threaded, so that forking is safe."""
    _preload()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    started: dict[int, tuple[float, float | None]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        if "order" in message:
            order = _Order(**message["order"])
            begun = monotonic()
            if not (pid := os.fork()):
                _obey(order)
            started[pid] = begun, order.kill_after_s
            answer: dict[str, Any] = {"pid": pid}
        elif "wait" in message:
            answer = _await(message["wait"], *started.pop(message["wait"]))
        else:
            answer = message
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _preload() -> None:
    """What a run imports."""
    for name in ("apache_beam", "apache_beam.runners.portability.fn_api_runner", "pipelines.cli", "pipelines.backfill", "pipelines.submit", "pipelines.plan"):
        importlib.import_module(name)
    for name in ("pipelines.undo", "transforms.steps.pipeline", "transforms.stores.parquet", "pyarrow.parquet", "pyarrow.csv"):
        importlib.import_module(name)


def _await(pid: int, begun: float, kill_after_s: float | None) -> dict[str, Any]:
    """Waits for the child, which is killed if it takes longer than `kill_after_s`."""
    while kill_after_s is not None and (left_s := begun + kill_after_s - monotonic()) > 0:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        signal.sigtimedwait({signal.SIGCHLD}, left_s)
    else:
        if kill_after_s is not None:
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status), "elapsed_s": monotonic() - begun}


def _obey(order: _Order) -> None:
    """Runs the command in this, a forked, process and ends it."""
    code = 70
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for path, descriptor, flags in ((os.devnull, 0, os.O_RDONLY), (order.out, 1, os.O_WRONLY | os.O_CREAT), (order.err, 2, os.O_WRONLY | os.O_CREAT)):
            os.dup2(os.open(path, flags, 0o644), descriptor)
        code = _run(order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(order: _Order) -> int:
    from pipelines.cli import main

    for name, value in (order.patches or {}).items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    if order.opened:
        _log_opened(*order.opened)
    steps = _Steps(order)
    _at_every_step(steps)
    try:
        return main(order.argv)
    finally:
        if order.trace:
            Path(order.trace).write_text(json.dumps(steps.seen))


class _Steps:
    """Called at every step on disk."""

    def __init__(self, order: _Order) -> None:
        self.seen: list[str] = []
        self._order, self._counts, self._lock = order, Counter[str](), threading.Lock()
        self._gate: IO[str] | None = None
        if order.gate:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(order.gate)
            self._gate = connection.makefile("rw")

    def __call__(self, name: str) -> None:
        with self._lock:
            self.seen.append(name)
            self._counts[name] += 1
            if self._order.die_at and (name, self._counts[name]) == tuple(self._order.die_at):
                os.kill(os.getpid(), signal.SIGKILL)
            if self._gate:
                self._gate.write(name + "\n")
                self._gate.flush()
                self._gate.readline()


def _at_every_step(steps: Callable[[str], None]) -> None:
    """Makes this the failpoint of everything that doesn't bring its own."""
    from transforms.stores.files import Files
    from transforms.stores.parquet import ParquetStore

    Files.__init__.__defaults__ = (steps,)  # type: ignore[attr-defined]
    ParquetStore.__init__.__kwdefaults__["failpoint"] = steps  # type: ignore[attr-defined]


def _log_opened(folder: str, log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    prefix = folder.rstrip("/") + "/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(prefix):
            os.write(descriptor, arguments[0].removeprefix(prefix).encode() + b"\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.modules["tests.pipelines.processes"] = sys.modules["__main__"]
    _serve()
