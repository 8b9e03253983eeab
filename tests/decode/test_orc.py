"""ORC files are read in a process of their own: what ends it is a dead letter of one file, and nothing of the process outlives who asked."""

import io
import multiprocessing
import os
import select
import signal
import struct
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.orc
import pytest
from hypothesis import given, settings

from scripts.encoders.containers import orc as written, parquet
from tests.decode.readings import whole
from tests.decode.test_table_sizes import any_table, bomb, tail
from tests.decode.test_tables import ROWS, table
from transforms.core.errors import IncompleteError
from transforms.decode import orc, orc_process
from transforms.decode.causes import CORRUPT, TOO_LARGE
from transforms.decode.checking import check_array
from transforms.decode.objects import DecodeRules
from transforms.decode.wire import VARINT, Message

ROOT = Path(__file__).parents[2]
DAMAGED = ROOT / "tests" / "data" / "damaged.orc"
ROOM = 1 << 24
WAIT_S = 20.0
SMALL = pa.table({"a": [1.5, None, 2.5], "b": ["x", "y", None], "c": [[1], None, []]})
LARGE = pa.table({"a": np.random.default_rng(1).random(100_000)})


@pytest.fixture(autouse=True)
def starter(monkeypatch: pytest.MonkeyPatch) -> Iterator[orc._Starter]:
    """A starter of the test's own."""
    fresh = orc._Starters()
    monkeypatch.setattr(orc, "_STARTERS", fresh)
    yield fresh.mine()
    for one in fresh.by_pid.values():
        one.end_all()


def accept(_rows: int, _tail: bytes) -> None:
    pass


def read(body: bytes, check: orc.CheckTail = accept, room: int = ROOM) -> list[pa.RecordBatch]:
    return list(orc.stripes(body, room, check))


def expected(body: bytes) -> list[pa.RecordBatch]:
    """As pyarrow reads it here."""
    file = pyarrow.orc.ORCFile(io.BytesIO(body))
    return [file.read_stripe(one) for one in range(file.nstripes)]


def reader(starter: orc._Starter) -> orc._Reader:
    (one,) = starter._idle
    return one


# --- the same as in this process ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(any_table())
def test_tables_are_read_as_they_are(some: pa.Table) -> None:
    body = written(some)
    assert read(body) == expected(body)


def test_files_of_many_stripes() -> None:
    body = written(LARGE, stripe_size=1 << 16, batch_size=1000)
    assert len(expected(body)) > 5
    assert read(body) == expected(body)


def test_a_file_without_rows() -> None:
    assert sum(batch.num_rows for batch in read(written(table([])))) == 0


def test_the_check_is_asked_before_anything_is_read() -> None:
    body, seen = written(LARGE), list[tuple[int, bytes]]()
    read(body, lambda *told: seen.append(told))
    assert seen == [(100_000, tail(body))]

    def refuse(_rows: int, _tail: bytes) -> None:
        raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        read(body, refuse)
    assert read(body) == expected(body)


# --- one process ----------------------------------------------------------------------------------------------------


def test_one_process_reads_one_file_after_the_other(starter: orc._Starter) -> None:
    read(written(SMALL))
    first = reader(starter)
    with pytest.raises(ValueError, match="Invalid ORC postscript length"):
        read(b"ORC" + bytes(99))
    for _ in range(3):
        assert sum(batch.num_rows for batch in read(written(SMALL))) == len(SMALL)
    assert (reader(starter), first.files) == (first, 5)


def test_no_process_is_started_without_an_orc_file(starter: orc._Starter) -> None:
    assert whole(b"[]").dead == whole(parquet(table(ROWS))).dead == []
    assert starter._control is None
    whole(written(table(ROWS)))
    assert starter._control is not None


def test_threads_read_at_once() -> None:
    bodies = [written(pa.table({"a": np.full(50_000, float(one))})) for one in range(8)] * 3
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read, bodies)) == list(map(expected, bodies))


def test_a_process_that_was_forked_has_readers_of_its_own(starter: orc._Starter) -> None:
    body = written(SMALL)
    read(body)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pid, rows = pool.apply(_in_fork, (body,))
    assert rows == len(SMALL)
    assert pid != reader(starter).pid
    assert read(body) == expected(body)


def test_it_ends_while_processes_that_were_forked_live(starter: orc._Starter) -> None:
    """They have copies of its socket."""
    read(written(SMALL))
    watched = os.pidfd_open(reader(starter).pid)
    with multiprocessing.get_context("fork").Pool(1):
        starter.end_all()
        assert select.select([watched], [], [], WAIT_S)[0]
    os.close(watched)


def test_the_end_of_a_process_that_was_forked_is_not_its_end(starter: orc._Starter) -> None:
    body = written(SMALL)
    read(body)
    pid = reader(starter).pid
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
        assert read(body) == expected(body)
        assert reader(starter).pid == pid
        assert starter.end(reader(starter)) == -signal.SIGKILL
        starter._idle.clear()
        assert read(body) == expected(body)


def _in_fork(body: bytes) -> tuple[int, int]:
    rows = sum(batch.num_rows for batch in read(body))
    return reader(orc._STARTERS.mine()).pid, rows


def test_a_file_that_is_left_does_not_disturb_the_next(starter: orc._Starter) -> None:
    body = written(LARGE, stripe_size=1 << 16, batch_size=1000)
    some = orc.stripes(body, ROOM, accept)
    assert next(some) == expected(body)[0]
    some.close()  # type: ignore[attr-defined]
    assert starter._idle == []
    assert read(body) == expected(body)


# --- its end --------------------------------------------------------------------------------------------------------


def test_a_file_that_ends_its_reader_is_a_dead_letter() -> None:
    """The rest is read, and by a reader that is well."""
    found = whole(DAMAGED.read_bytes())
    assert [letter[:2] for letter in found.dead] == [(0, CORRUPT)]
    assert whole(written(table(ROWS))) == whole(parquet(table(ROWS)))


def ended_by(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch, *signals: signal.Signals | None) -> Callable[[int, bytes], None]:
    """Ends one reader after the other, by the signals, when it has opened its file."""
    order, pids = iter(signals), list[int]()
    stripes = orc._Reader.stripes

    def noting(self: orc._Reader, *more: object) -> Iterator[pa.RecordBatch]:
        pids.append(self.pid)
        return stripes(self, *more)  # type: ignore[arg-type]

    def end(_rows: int, _tail: bytes) -> None:
        if with_signal := next(order, None):
            os.kill(pids[-1], with_signal)

    monkeypatch.setattr(orc._Reader, "stripes", noting)
    return end


@pytest.mark.parametrize("one", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_how_it_ended_is_told(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch, one: signal.Signals) -> None:
    with pytest.raises(ValueError, match=rf"ended the reader's process \({one.name}\), which may take 304 MiB for it"):
        read(written(SMALL), ended_by(starter, monkeypatch, one))


def test_time_is_limited(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (orc_process.cpu_limit_s(0), orc_process.cpu_limit_s(100_000_000)) == (5.0, 15.0)
    with pytest.raises(ValueError, match="reading it took more than 7 s of CPU time"):
        read(written(SMALL), ended_by(starter, monkeypatch, signal.SIGPROF))


def test_a_reader_out_of_its_senses_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that announces some exabytes."""
    monkeypatch.setattr(orc_process, "FRAME", struct.Struct(">cQ"))
    with pytest.raises(ValueError, match="SIGKILL"):
        read(written(LARGE))


def test_a_reader_that_does_nothing_is_not_waited_for(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orc, "_PATIENCE", 0.15)
    body = written(SMALL)
    assert read(body, ended_by(starter, monkeypatch, signal.SIGSTOP)) == expected(body)
    with pytest.raises(ValueError, match="SIGKILL"):
        read(body, ended_by(starter, monkeypatch, signal.SIGSTOP, signal.SIGSTOP))


@pytest.mark.parametrize("one", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_who_is_ended_by_others_is_replaced_once(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch, one: signal.Signals) -> None:
    body = written(SMALL)
    assert read(body, ended_by(starter, monkeypatch, one)) == expected(body)
    with pytest.raises(ValueError, match=one.name):
        read(body, ended_by(starter, monkeypatch, one, one))


def test_who_ends_after_other_files_is_replaced_once(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    body = written(SMALL)
    read(body)
    assert read(body, ended_by(starter, monkeypatch, signal.SIGSEGV)) == expected(body)
    with pytest.raises(ValueError, match="SIGSEGV"):
        read(body, ended_by(starter, monkeypatch, signal.SIGSEGV, signal.SIGSEGV))


def test_what_was_read_before_its_end_is_kept(starter: orc._Starter) -> None:
    """It is not read twice."""
    body = written(LARGE, stripe_size=1 << 16, batch_size=1000)
    some = orc.stripes(body, ROOM, accept)
    read(written(SMALL))
    first, second = next(some), next(some)
    assert [first, second] == expected(body)[:2]
    starter.end_all()
    with pytest.raises(ValueError, match="SIGKILL"):
        list(some)


def test_an_interrupt_is_not_for_readers(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    body = written(SMALL)
    read(body)
    before = reader(starter)
    assert read(body, ended_by(starter, monkeypatch, signal.SIGINT)) == expected(body)
    assert reader(starter) == before


def test_the_process_that_starts_readers_is_started_again(starter: orc._Starter) -> None:
    body = written(SMALL)
    read(body)
    starter.end_all()
    assert read(body) == expected(body)


def test_that_none_can_be_started_is_no_dead_letter(starter: orc._Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(IncompleteError, match=r"starting a process that reads ORC files: .*No such file or directory: '/nowhere/python'"):
        whole(written(SMALL))


PARENT = """
import sys
from transforms.decode import orc
list(orc.stripes(open(sys.argv[1], "rb").read(), 1 << 24, lambda rows, tail: None))
print(orc._STARTERS.mine()._idle[0].pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_killed", [True, False])
def test_readers_end_with_the_process_that_asked(tmp_path: Path, is_killed: bool) -> None:
    (tmp_path / "x.orc").write_bytes(written(SMALL))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "x.orc")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        starter_pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        watched = [os.pidfd_open(one) for one in (pid, starter_pid)]
        if is_killed:
            parent.kill()
    ends = [select.select([one], [], [], WAIT_S)[0] for one in watched]
    for one in watched:
        os.close(one)
    assert all(ends)
    assert starter_pid != parent.pid


# --- memory ---------------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def without(message: bytes, number: int) -> bytes:
    """The fields of a message but for those of a number, which are of lengths and varints only."""
    kept, at = b"", 0
    while at < len(message):
        ends = [place for place in range(at, len(message)) if message[place] < 0x80]
        key_end = ends[0]
        key = Message(b"\x08" + message[at : key_end + 1]).number(1, VARINT)
        value_end = next(place for place in ends if place > key_end)
        length = Message(b"\x08" + message[key_end + 1 : value_end + 1]).number(1, VARINT) if key & 7 == 2 else 0
        kept += message[at : value_end + 1 + length] if key >> 3 != number else b""
        at = value_end + 1 + length
    return kept


def without_statistics(body: bytes) -> bytes:
    """The file with a footer that does not say what there is."""
    end = len(body) - 1 - body[-1]
    postscript = body[end:-1]
    start = end - Message(postscript).number(1, VARINT)
    footer = without(body[start:end], 7)
    postscript = b"\x08" + varint(len(footer)) + without(postscript, 1)
    return body[:start] + footer + postscript + bytes([len(postscript)])


def lying(points: int) -> bytes:
    return without_statistics(written(bomb(points), compression="uncompressed", dictionary_key_size_threshold=1.0))


def test_a_footer_that_says_less_than_there_is(starter: orc._Starter) -> None:
    body = lying(1_000_000)
    assert sum(batch.num_rows for batch in read(body, room=1 << 27)) == 1
    with pytest.raises(orc.OutOfRoom):
        read(body, room=10_000_000)
    assert whole(body, DecodeRules(max_object_bytes=len(body), max_expansion=1_000_000)).dead == [(0, TOO_LARGE, b"")]
    assert read(written(SMALL)) == expected(written(SMALL))
    assert reader(starter).files == 4


def test_memory_is_limited(starter: orc._Starter) -> None:
    """What exceeds the slack is not read, and ends the reader at most."""
    read(written(SMALL), room=1_000_000)
    limits = {line[:26].strip(): line[26:].split()[0] for line in Path(f"/proc/{reader(starter).pid}/limits").read_text().splitlines()}
    assert int(limits["Max data size"]) < orc_process.memory_limit_bytes(1_000_000) + (1 << 28)
    assert limits["Max core file size"] == "0"
    with pytest.raises((orc.OutOfRoom, ValueError)):
        read(lying(8_000_000), room=1_000_000)
    assert read(written(SMALL)) == expected(written(SMALL))


# --- what it sends ----------------------------------------------------------------------------------------------------


def test_texts_of_any_bytes_are_sent() -> None:
    body = written(pa.table({"a": pa.array([b"\xff\xfe", b"x"]).view(pa.binary())}))
    text = pa.StringArray.from_buffers(2, *pa.array([b"\xff", b"x"]).buffers()[1:])
    for array in (text, pa.ListArray.from_arrays([0, 2], text), pa.StructArray.from_arrays([text], ["a"])):
        check_array(array)
    assert read(body)[0].column(0).to_pylist() == [b"\xff\xfe", b"x"]


def broken(*offsets: int) -> list[pa.Buffer | None]:
    return [None, pa.py_buffer(np.array(offsets, np.int32))]


@pytest.mark.parametrize(
    "array",
    [
        pa.StringArray.from_buffers(2, broken(0, 9, 3)[1], pa.py_buffer(b"abc")),
        pa.ListArray.from_buffers(pa.list_(pa.int64()), 2, broken(0, 5, 3), children=[pa.array([1, 2, 3])]),
        pa.StructArray.from_arrays([pa.StringArray.from_buffers(2, broken(0, 9, 3)[1], pa.py_buffer(b"abc"))], ["a"]),
        pa.ListArray.from_arrays([0, 2], pa.StringArray.from_buffers(2, broken(0, 9, 3)[1], pa.py_buffer(b"abc"))),
    ],
)
def test_offsets_that_lead_elsewhere_are_found(array: pa.Array) -> None:
    with pytest.raises(pa.ArrowInvalid):
        check_array(array)


def test_limits_are_those_of_the_values() -> None:
    assert all(one < other for one, other in pairwise(map(orc_process.memory_limit_bytes, (0, 1, 1 << 20, 1 << 30))))
