"""ORC files, read in a process of their own (orc_process.py says why and how), so that what ends it is damage of one file.

The process that forks readers is started when the first ORC file is seen, once for each process of this program, and ends with it; a reader takes one file
after the other. If it ends over one, and others were read before, a new reader is asked: perhaps one of those did the damage.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from transforms.core.errors import IncompleteError
from transforms.decode import orc_process as process
from transforms.decode.checking import check_array

CheckTail = Callable[[int, bytes], None]
"""Takes the number of rows of a file and its serialized tail, and raises an error if nothing of it shall be read."""

_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)
"""Codes of processes that others end: this says nothing of the file, unless it happens to two of them."""

_PATIENCE: Final = 20
"""So many times as long as a reader may work it is waited for: others work, too."""


class OutOfRoom(Exception):
    """The values take more memory than they may."""


class _Died(Exception):
    """The reader is no more; `code` is as of `os.waitstatus_to_exitcode`. `is_told`: that tells of the file."""

    def __init__(self, code: int, *, is_told: bool) -> None:
        super().__init__(code)
        self.code = code
        self.is_told = is_told


def stripes(body: bytes, room: int, check_tail: CheckTail) -> Iterator[pa.RecordBatch]:
    """The stripes of an ORC file, whose values may take so many bytes, in their order.

    Raises ValueError for a file that can't be read (on), whatever it does to its reader, `OutOfRoom`, and `IncompleteError` if there is no reader to be had.
    """
    number, is_last = 0, False
    while True:
        try:
            for stripe in _read(body, room, check_tail):
                number += 1
                yield stripe
        except _Died as died:
            if number or is_last or died.is_told:
                raise ValueError(_how_it_ended(died.code, room)) from None
            is_last = True
        else:
            return


def _read(body: bytes, room: int, check_tail: CheckTail) -> Iterator[pa.RecordBatch]:
    starter = _STARTERS.mine()
    reader = starter.reader()
    is_new = not reader.files
    try:
        yield from reader.stripes(body, room, check_tail)
    except (EOFError, ConnectionError, TimeoutError):
        code = starter.end(reader)
        raise _Died(code, is_told=is_new and code not in _OUTSIDE) from None
    finally:
        starter.take_back(reader)


def _how_it_ended(code: int, room: int) -> str:
    if code == -signal.SIGPROF:
        return f"reading it took more than {process.cpu_limit_s(room):.0f} s of CPU time"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"reading it ended the reader's process ({how}), which may take {process.memory_limit_bytes(room) >> 20} MiB for it"


@dataclass(eq=False)
class _Reader:
    """A process that reads, the socket to it, how many files it was given, and whether it waits for the next."""

    pid: int
    connection: socket.socket
    files: int = 0
    is_idle: bool = True

    def stripes(self, body: bytes, room: int, check_tail: CheckTail) -> Iterator[pa.RecordBatch]:
        """As `stripes` of this module; EOFError, ConnectionError or TimeoutError if the process ends, or might as well."""
        self.is_idle = False
        self.files += 1
        self.connection.settimeout(_PATIENCE * process.cpu_limit_s(room))
        self.connection.sendall(process.REQUEST.pack(len(body), room))
        self.connection.sendall(body)
        while True:
            kind, data = self._frame(process.memory_limit_bytes(room))
            self.is_idle = kind in process.LAST
            if kind == process.DONE:
                return
            if kind == process.TAIL:
                rows = process.ROWS.size
                check_tail(process.ROWS.unpack(data[:rows])[0], bytes(data[rows:]))
                self.connection.sendall(process.GO)
            elif kind == process.STRIPE:
                yield _batch(data)
            elif kind == process.TOO_MUCH:
                raise OutOfRoom
            else:
                raise ValueError(data.decode("utf-8", "backslashreplace"))

    def _frame(self, most_bytes: int) -> tuple[bytes, bytearray]:
        """A frame's kind and content. Raises EOFError for what no process in its senses sends: there is no use in listening on."""
        kind, size = process.FRAME.unpack(process.received(self.connection, process.FRAME.size))
        if size > most_bytes:
            raise EOFError(f"a frame of {size} bytes, of {most_bytes} that a reader may have")
        return kind, process.received(self.connection, size)


def _batch(stream: bytearray) -> pa.RecordBatch:
    """The batch, of which no value lies outside its buffers. Raises ArrowInvalid for one that is damaged."""
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        batch = reader.read_next_batch()
    for column in batch.columns:
        check_array(column)
    return batch


class _Starter:
    """The process that forks readers, and readers that have nothing to do. Safe to use from several threads.

    If that process is no more (somebody ended it), another one is started.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []
        self._control: socket.socket | None = None
        self._finalizer: weakref.finalize[..., _Starter] | None = None

    def reader(self) -> _Reader:
        """One that does nothing now. Raises IncompleteError if none can be started."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            for is_last in (False, True):
                try:
                    return self._forked()
                except (EOFError, OSError) as error:
                    self._end_all()
                    if is_last:
                        raise IncompleteError(f"starting a process that reads ORC files: {error}") from error
            raise AssertionError  # the loop returns or raises

    def _forked(self) -> _Reader:
        if self._control is None:
            self._control = self._started()
        with ExitStack() as ends:
            mine, its = map(ends.enter_context, socket.socketpair())
            socket.send_fds(self._control, [process.COMMAND.pack(process.FORK, 0)], [its.fileno()])
            reader = _Reader(self._answer(self._control), mine)
            ends.pop_all()
            its.close()
        return reader

    def _started(self) -> socket.socket:
        """The socket to the process that is now started, which ends with it."""
        with ExitStack() as ends:
            control, its = map(ends.enter_context, socket.socketpair())
            command = [sys.executable, "-P", process.__file__]
            started = subprocess.Popen(command, stdin=its.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - a file of this package
            self._finalizer = weakref.finalize(self, _end, os.getpid(), control, started, self._idle)
            ends.pop_all()
            its.close()
        return control

    def take_back(self, reader: _Reader) -> None:
        """Keeps a reader that has answered for the next file; ends one that has not."""
        if reader.is_idle:
            with self._lock:
                self._idle.append(reader)
        elif reader.connection.fileno() >= 0:
            self.end(reader)

    def end(self, reader: _Reader) -> int:
        """How the reader ended, which is killed if it has not; with the process that forked it all of them are killed."""
        reader.connection.close()
        with self._lock:
            if self._control is None:
                return -signal.SIGKILL
            try:
                self._control.sendall(process.COMMAND.pack(process.END, reader.pid))
                return os.waitstatus_to_exitcode(self._answer(self._control))
            except (EOFError, OSError):
                self._end_all()
                return -signal.SIGKILL

    def end_all(self) -> None:
        """Ends the process that forks, and with it all readers."""
        with self._lock:
            self._end_all()

    def _end_all(self) -> None:
        if self._finalizer:
            self._finalizer()
        self._control = None

    @staticmethod
    def _answer(control: socket.socket) -> int:
        number: int = process.ANSWER.unpack(process.received(control, process.ANSWER.size))[0]
        return number


def _end(pid: int, control: socket.socket, started: subprocess.Popen[bytes], idle: list[_Reader]) -> None:
    """Only in the process of this id: one that was forked from it has copies of the sockets, but ends nothing with them, nor keeps anything from ending."""
    if os.getpid() != pid:
        return
    while idle:
        idle.pop().connection.close()
    with suppress(OSError):  # it has ended already
        control.shutdown(socket.SHUT_RDWR)
    control.close()
    started.wait()


@dataclass
class _Starters:
    """The starter of this process: one that was forked from another has none of its own yet."""

    by_pid: dict[int, _Starter] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def mine(self) -> _Starter:
        with self.lock:
            if os.getpid() not in self.by_pid:
                self.by_pid[os.getpid()] = _Starter()
            return self.by_pid[os.getpid()]


_STARTERS: Final = _Starters()
