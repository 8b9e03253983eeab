"""The run directory: the plan and, as files that exist or not, what of it is finished.

    RUN_DIR/plan.json           the plan, written last when a run is planned
    RUN_DIR/manifest.arrow      archive objects that the run reads
    RUN_DIR/membership.arrow    role membership, if any was given
    RUN_DIR/staging/000017.arrow    a read group decoded: its existence is its ledger entry
    RUN_DIR/units/host-2025-11-01-0003.json    a unit rolled up and in the store
    RUN_DIR/restored/host-2025-11-01-0003.arrow    which buckets of the unit the store then had from this run
    RUN_DIR/write_dead_letters/host-2025-11-01-0003.jsonl    what of the unit a writer did not take, until the unit is recorded
    RUN_DIR/followed.json       how far a copy has followed time
    RUN_DIR/steps/001761955200/ the run directory of its step that begins then, until that has ended
    RUN_DIR/control.json        the run's limits, and whether somebody paused it; there before the plan
    RUN_DIR/budget.json         how much the run may use of services, and their prices
    RUN_DIR/used                how much it has used until now (`calls.tally`)
    RUN_DIR/log.jsonl           who paused it, let it go on or changed its limits
    RUN_DIR/report.json         the run is finished; staging files may be gone
    RUN_DIR/lock                held while a driver works on the run

Every file is written beside its place, synced and renamed, so that it is whole or absent; writing it again gives the same content.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow as pa

from transforms.calls.control import FileControl, Wishes
from transforms.calls.limits import Limits
from transforms.calls.meter import Meter
from transforms.calls.tally import FileTally
from transforms.core.accounts import UnitRecord
from transforms.core.counts import Counts
from transforms.core.errors import IncompleteError, UsageError
from transforms.core.manifest import Manifest
from transforms.core.plan import Plan, check_manifest, plan_from_json
from transforms.core.roles import Membership
from transforms.core.transfer import AnyPlan, StorePlan, Transfer, command_of, is_store_plan, store_plan_from_data
from transforms.core.undelivered import WriteDeadLetter
from transforms.core.units import Unit
from transforms.core.usage import Budget, budget_from_data
from transforms.steps.membership import membership_from_arrow
from transforms.stores.files import Files

CONTROL_FILE: Final = "control.json"
BUDGET_FILE: Final = "budget.json"


class Ledger:
    """One run's directory. Holds no open files; cheap to make on any worker."""

    def __init__(self, run_dir: str) -> None:
        """Remember the directory; nothing is read."""
        self.path = Path(run_dir)

    def exists(self) -> bool:
        """Whether a plan was stored here."""
        return (self.path / "plan.json").exists()

    def create(self, plan: Plan, manifest: Manifest, membership: pa.Table | None) -> None:
        """Stores a plan and what belongs to it. The plan comes last: a directory without one counts as not planned."""
        for folder in ("staging", "units", "restored"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        _write_arrow(self.path / "manifest.arrow", manifest.to_arrow())
        if membership is None:
            (self.path / "membership.arrow").unlink(missing_ok=True)
        else:
            _write_arrow(self.path / "membership.arrow", membership)
        write_whole(self.path / "plan.json", plan.to_json().encode(), name="plan")

    def create_from_store(self, plan: StorePlan) -> None:
        """Stores the plan of a run that reads no archive."""
        for folder in ("units", "restored"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        self.update(plan)

    def update(self, plan: AnyPlan) -> None:
        """Replaces the plan by one whose shards are those that the store really has."""
        write_whole(self.path / "plan.json", plan.to_json().encode(), name="plan")

    def plan(self) -> Plan:
        """The stored plan of a backfill. Raises UsageError if there is none."""
        plan = self.any_plan()
        if isinstance(plan, StorePlan):
            msg = f"the run {self.path.name!r} is not a backfill: go on with `rollups {plan.request.command} --plan {self.path.name}`"
            raise UsageError(msg)
        return plan

    def store_plan(self, command: Transfer | None = None) -> StorePlan:
        """The stored plan of a run from store to store. Raises UsageError if there is none, of that command if one is given."""
        plan = self.any_plan()
        made_by = command_of(plan)
        if not isinstance(plan, StorePlan) or command not in (None, made_by):
            msg = f"the run {self.path.name!r} was planned by `rollups {made_by}`: go on with `rollups {made_by} --plan {self.path.name}`"
            raise UsageError(msg)
        return plan

    def any_plan(self) -> AnyPlan:
        """The stored plan of whatever run. Raises UsageError if there is none."""
        try:
            text = (self.path / "plan.json").read_text("utf-8")
        except FileNotFoundError:
            msg = f"there is no run {self.path.name!r} in {str(self.path.parent)!r}: `rollups runs` lists those there are"
            raise UsageError(msg) from None
        data = json.loads(text)
        return store_plan_from_data(data) if is_store_plan(data) else plan_from_json(text)

    def manifest(self, plan: Plan) -> Manifest:
        """The planned manifest, its digest checked."""
        manifest = Manifest.from_arrow(_read_arrow(self.path / "manifest.arrow"))
        check_manifest(plan, manifest)
        return manifest

    def membership(self) -> Membership | None:
        """The role membership that the run was planned with."""
        path = self.path / "membership.arrow"
        return membership_from_arrow(_read_arrow(path)) if path.exists() else None

    def staging_file(self, group: int) -> Path:
        """Where a read group is or will be staged."""
        return self.path / "staging" / f"{group:06d}.arrow"

    def staged(self) -> frozenset[int]:
        """Groups that have a staging file."""
        return frozenset(int(name.removesuffix(".arrow")) for name in _names(self.path / "staging") if name.endswith(".arrow"))

    def record_file(self, name: str) -> Path:
        """Where a unit (`str(unit)`) is or will be recorded."""
        return self.path / "units" / f"{name}.json"

    def record(self, record: UnitRecord) -> None:
        """Notes a unit as done."""
        write_whole(self.record_file(str(record.unit)), json.dumps(record.to_data(), separators=(",", ":")).encode(), name="record")
        self._write_dead_letters_file(str(record.unit)).unlink(missing_ok=True)

    def keep_write_dead_letters(self, unit: Unit, letters: Iterable[WriteDeadLetter]) -> None:
        """Notes what of a unit was not taken by a writer; the unit has no record then."""
        path = self._write_dead_letters_file(str(unit))
        path.parent.mkdir(exist_ok=True)
        write_whole(path, b"".join(json.dumps(one.to_data()).encode() + b"\n" for one in letters), name="write dead letters")

    def write_dead_letters(self) -> Iterator[dict[str, Any]]:
        """What writers did not take, of units without a record, in the units' order: as `WriteDeadLetter.to_data`."""
        for unit in sorted(self.undelivered_units()):
            with suppress(FileNotFoundError):  # the unit is recorded at this moment
                yield from map(json.loads, self._write_dead_letters_file(unit).read_bytes().splitlines())

    def undelivered_units(self) -> frozenset[str]:
        """Names of the units of which something was not taken by a writer."""
        noted = {name.removesuffix(".jsonl") for name in _names(self.write_dead_letters_folder) if name.endswith(".jsonl")}
        return frozenset(noted - self.recorded_units())

    def _write_dead_letters_file(self, unit: str) -> Path:
        return self.write_dead_letters_folder / f"{unit}.jsonl"

    @property
    def write_dead_letters_folder(self) -> Path:
        """Where it is noted what writers did not take."""
        return self.path / "write_dead_letters"

    def keep_restored(self, unit: Unit, buckets: pa.Table) -> None:
        """Notes which buckets of a unit the store has from this run; before its record. Columns: `core.restored.RESTORED`."""
        Files().replace_soon(self._restored_file(unit), lambda temporary: temporary.write_bytes(_arrow_bytes(buckets)), name="restored")

    def restored(self, unit: Unit) -> pa.Table:
        """What `keep_restored` noted. Raises IncompleteError if that is gone."""
        return _read_arrow(self._restored_file(unit))

    def _restored_file(self, unit: Unit) -> Path:
        return self.path / "restored" / f"{unit}.arrow"

    def recorded(self, unit: Unit) -> UnitRecord | None:
        """The unit's record, if it is done."""
        try:
            return UnitRecord.from_data(json.loads(self.record_file(str(unit)).read_bytes()))
        except FileNotFoundError:
            return None

    def recorded_sums(self, name: str) -> tuple[Counts, str, dict[str, dict[str, int]]]:
        """The counts, metric type and tallies of a recorded unit (`str(unit)`). Raises FileNotFoundError if it has no record."""
        data = json.loads(self.record_file(name).read_bytes())
        return data["counts"], data["unit"][0], data["tallies"]

    def recorded_units(self) -> frozenset[str]:
        """Names (`str(unit)`) of the units that have a record."""
        return frozenset(name.removesuffix(".json") for name in _names(self.path / "units") if name.endswith(".json"))

    def write_lines(self, name: str, lines: Iterable[bytes]) -> None:
        """Makes a file of these lines beside the plan."""

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                file.writelines(line + b"\n" for line in lines)

        Files().replace(self.path / name, write, name="lines")

    def append_lines(self, name: str, lines: Path) -> None:
        """Adds the lines of another file to one beside the plan."""
        with open(self.path / name, "ab") as file:
            file.write(lines.read_bytes())

    def store_report(self, report: dict[str, Any]) -> None:
        """Stores what the run did; from then on nothing of it is missing."""
        write_whole(self.path / "report.json", json.dumps(report, indent=1).encode(), name="report")

    def remove_staging(self) -> None:
        """Frees the staged data of a run that is over."""
        for name in _names(self.path / "staging"):
            (self.path / "staging" / name).unlink(missing_ok=True)

    def report(self) -> dict[str, Any] | None:
        """The report of a run that has nothing left to do."""
        path = self.path / "report.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def note_followed(self, data: dict[str, Any]) -> None:
        """Stores how far a copy has followed time."""
        write_whole(self.path / "followed.json", json.dumps(data, indent=1).encode(), name="followed")

    def followed(self) -> dict[str, Any] | None:
        """How far a copy has followed time, None if it has not ended a step."""
        path = self.path / "followed.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def steps(self) -> list["Ledger"]:
        """Steps of a copy that follows time, begun and not yet added to what `note_followed` says, in order."""
        return [Ledger(str(self.path / "steps" / name)) for name in _names(self.path / "steps")]

    def step(self, from_s: int) -> "Ledger":
        """The step that begins then."""
        return Ledger(str(self.path / "steps" / f"{from_s:012d}"))

    def remove(self) -> None:
        """Deletes the directory with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def _root(self) -> Path:
        """The run's own directory, also of a step."""
        return self.path.parents[1] if self.path.parent.name == "steps" else self.path

    def limits(self, *, metered: bool = True) -> Limits:
        """What calls of this process for the run keep: the limits of its work dir, as the run's control file says, and its budget if they are `metered`."""
        control = FileControl(self._root / CONTROL_FILE, change=self.wish)
        return Limits(self._root.parents[1], control, meter=Meter(self.tally, self.budget()) if metered else None)

    @property
    def tally(self) -> FileTally:
        """What the run has used of services, from its plan on."""
        return FileTally(self._root / "used")

    def budget(self, usual: Budget | None = None) -> Budget:
        """What the run may use, as it was last said; the usual one if nothing was."""
        path = self._root / BUDGET_FILE
        return budget_from_data(json.loads(path.read_bytes())) if path.exists() else usual or Budget()

    def allow(self, budget: Budget) -> None:
        """Says what the run may use from now on; processes that begin later look at it."""
        write_whole(self._root / BUDGET_FILE, json.dumps(budget.to_data(), indent=1).encode(), name="budget")

    def wishes(self) -> Wishes:
        """What is wanted of the run now."""
        return FileControl(self._root / CONTROL_FILE).wishes()

    def wish(self, change: Callable[[Wishes], Wishes]) -> Wishes:
        """Changes what is wanted of the run; those who do so at once come one after the other."""
        with open(self._root / f"{CONTROL_FILE}.lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            wishes = change(before := self.wishes())
            if wishes != before or not (self._root / CONTROL_FILE).exists():
                write_whole(self._root / CONTROL_FILE, wishes.to_json(), name="control")
        return wishes

    def log(self, at_s: int, told: str) -> None:
        """Adds a line to what was done to the run."""
        with open(self._root / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"at": at_s, "told": told}, ensure_ascii=False) + "\n")

    def logged(self) -> list[dict[str, Any]]:
        """What was done to the run: `at` (seconds since the epoch) and `told`."""
        path = self._root / "log.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def mark_undone(self) -> None:
        """Notes that the run is or is being undone, so that nobody resumes it."""
        write_whole(self.path / "undone", b"", name="undone")

    def is_undone(self) -> bool:
        """Whether `rollups undo` was given this run."""
        return (self.path / "undone").exists()

    def is_locked(self) -> bool:
        """Whether a process works on the run."""
        try:
            with open(self.path / "lock", "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def taken_s(self) -> float:
        """When the process that works, or last worked, on the run took it up."""
        return (self.path / "lock").stat().st_mtime

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process. Raises UsageError, naming the holder, if another process has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"making the run directory {str(self.path)!r}: {error.strerror}; name another --work-dir"
            raise UsageError(msg) from None
        with open(self.path / "lock", "a+", encoding="ascii") as file:
            if not _flocked(file):
                file.seek(0)
                name, holder = self.path.name, file.read().strip() or "unknown"
                msg = f"run {name!r} is being worked on by process {holder}: wait for it, or watch it with `rollups status {name} --watch`"
                raise UsageError(msg)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _flocked(file: TextIO) -> bool:
    """Takes the lock, trying for a quarter of a second: who only looks whether it is held holds it for a moment."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def write_whole(path: Path, content: "bytes | pa.Buffer", *, name: str) -> None:
    """Makes the file whole and lasting, or leaves it as it was; `name` is that of the failpoints."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    Files().replace(path, write, name=name)


def _write_arrow(path: Path, table: pa.Table) -> None:
    write_whole(path, _arrow_bytes(table), name="manifest")


def _arrow_bytes(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _read_arrow(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.OSFile(str(path))).read_all()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        msg = f"the run file {str(path)!r} is missing or damaged ({error}): plan the run again under another id"
        raise IncompleteError(msg) from error
