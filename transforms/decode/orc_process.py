"""The program that reads ORC files in processes of their own: a damaged file can end the process that reads it (pyarrow 25: a segmentation fault).

orc.py starts it by its path. It imports nothing of this project, has imported what takes time, and forks readers: what is asked of it on its standard input,
which is a socket, is answered there.

* `FORK`, with a socket beside it: the id of a new reader, which is at the other end of that socket;
* `END` with a reader's id: the status, as of `os.waitpid`, with which it ended; it is killed if it has not.

When its standard input ends, so do it and all of its readers. A reader takes one request after the other: `REQUEST`, which is the length of the file and how
many bytes its values may take, then the file. It answers in frames, `FRAME` and as many bytes:

* `TAIL`: the number of the file's rows (8 bytes, signed) and its serialized tail. The reader then waits for `GO`;
* `STRIPE`: a stripe as an Arrow IPC stream, one after the other;
* last, `DONE`, or `BROKEN` with what is wrong, or `TOO_MUCH` if the values take more than they may.

Who leaves a reader before its last frame ends it. A reader has no more memory for a request than `memory_limit_bytes` (where the system
limits a process's data: Linux), and no more CPU time than `cpu_limit_s`: beyond it SIGPROF ends it.
"""

import gc
import os
import resource
import signal
import socket
import struct
import sys
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.orc

FORK, END = b"F", b"E"
COMMAND: Final = struct.Struct("<cI")
ANSWER: Final = struct.Struct("<q")
REQUEST: Final = struct.Struct("<QQ")
FRAME: Final = struct.Struct("<cQ")
ROWS: Final = struct.Struct("<q")
TAIL, STRIPE, DONE, BROKEN, TOO_MUCH = b"T", b"S", b"D", b"B", b"M"
LAST: Final = (DONE, BROKEN, TOO_MUCH)
GO: Final = b"G"

_SLACK_BYTES: Final = 1 << 28
"""What buffers and structures may take beside the values."""

_TIMES: Final = 3
"""Values stand in memory as they are decoded, and as columns, which grow."""

_MEASURE: Final = 2
"""What is measured here (`nbytes`) may be more than what tables.py measures, but not twice as much."""

_MIN_CPU_S: Final = 5.0
_MIN_BYTES_PER_S: Final = 10_000_000
"""Readers of ORC are more than ten times as fast."""


def cpu_limit_s(room: int) -> float:
    """Seconds of CPU time that reading values of so many bytes may take."""
    return _MIN_CPU_S + room / _MIN_BYTES_PER_S


def memory_limit_bytes(room: int) -> int:
    """What reading values of so many bytes may take."""
    return _SLACK_BYTES + _TIMES * room


def received(connection: socket.socket, size: int) -> bytearray:
    """So many bytes. Raises EOFError if the other end is closed before."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        number = connection.recv_into(view[at:])
        if not number:
            raise EOFError(f"the other end closed after {at} of {size} bytes")
        at += number
    return data


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked hears of interrupts
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pa.set_memory_pool(pa.system_memory_pool())  # others reserve more than a limit of memory leaves
    gc.freeze()
    control, readers = socket.socket(fileno=sys.stdin.fileno()), set[int]()
    while True:
        command, sockets, _, _ = socket.recv_fds(control, COMMAND.size, 1)
        if len(command) < COMMAND.size:
            break
        kind, pid = COMMAND.unpack(command)
        if kind == FORK:
            pid = os.fork()
            if not pid:
                control.close()
                _serve(socket.socket(fileno=sockets[0]))
                return
            os.close(sockets[0])
            readers.add(pid)
            control.sendall(ANSWER.pack(pid))
        else:
            readers.discard(pid)
            control.sendall(ANSWER.pack(_ended(pid)))
    for pid in readers:
        _ended(pid)


def _ended(pid: int) -> int:
    """The status of a process that is killed unless it has ended already."""
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _serve(connection: socket.socket) -> None:
    """Answers requests until there are no more of them."""
    while True:
        try:
            size, room = REQUEST.unpack(received(connection, REQUEST.size))
            _lift_memory_limit()
            body = received(connection, size)
            _limit_memory(memory_limit_bytes(room))
            signal.setitimer(signal.ITIMER_PROF, cpu_limit_s(room))
            _answer(connection, pa.py_buffer(body), room)
            signal.setitimer(signal.ITIMER_PROF, 0)
            del body
        except (EOFError, ConnectionError):
            return


def _lift_memory_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _limit_memory(more_bytes: int) -> None:
    """The process may take so much beside what it has."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[5])
    except OSError:  # not Linux
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + more_bytes, hard))


def _answer(connection: socket.socket, body: pa.Buffer, room: int) -> None:
    try:
        left = _MEASURE * room
        file = pyarrow.orc.ORCFile(pa.BufferReader(body))
        _send(connection, TAIL, ROWS.pack(file.nrows), file.reader.serialized_file_tail())
        received(connection, len(GO))
        for stripe in range(file.nstripes):
            batch = file.read_stripe(stripe)
            left -= batch.nbytes
            if left < 0:
                _send(connection, TOO_MUCH)
                return
            _send_stripe(connection, batch)
    except MemoryError:
        _send(connection, TOO_MUCH)
    except ConnectionError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        _send(connection, BROKEN, str(error).encode("utf-8", "backslashreplace"))
    else:
        _send(connection, DONE)


def _send_stripe(connection: socket.socket, batch: pa.RecordBatch) -> None:
    """Written twice: to know its size, and without a copy of it."""
    size = pa.MockOutputStream()
    _write(batch, size)
    connection.sendall(FRAME.pack(STRIPE, size.size()))
    with connection.makefile("wb") as sink:
        _write(batch, sink)


def _write(batch: pa.RecordBatch, sink: BinaryIO | pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _send(connection: socket.socket, kind: bytes, *parts: bytes | pa.Buffer) -> None:
    connection.sendall(FRAME.pack(kind, sum(map(len, parts))))
    for part in parts:
        connection.sendall(part)


if __name__ == "__main__":
    _main()
