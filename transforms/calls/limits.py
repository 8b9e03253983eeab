"""The limits that this process keeps together with all others of a work dir: what archives and stores take pacers, gates and slots from."""

import hashlib
import re
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from transforms.calls.cells import FileCell
from transforms.calls.control import Control, FixedControl, Wishes
from transforms.calls.meter import Meter
from transforms.calls.s3_folder import S3Location
from transforms.calls.slots import Slots, temporary_folder
from transforms.calls.waiting import Waiting
from transforms.core.limits import LIMITS, Rates, beginning
from transforms.core.throttle import PAUSED, Allowance, Cell, MemoryCell, Pacer, Ramp

if TYPE_CHECKING:
    from transforms.calls.limiter import SharedLimiter

LIMITS_FOLDER: Final = "limits"

FOLDERS: Final = 64
"""Of so many folders of buckets, which are read one after the other, a process keeps pacers."""

_SERVICES: Final = {one.name: one.service for one in LIMITS}
_KEYS: Final = {one.name: one.key for one in LIMITS}
_FOLDERS: Final = {"s3-get-per-s": "s3-prefix-get-per-s", "s3-put-per-s": "s3-prefix-put-per-s"}
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


class PacedGate:
    """The gate of one call (`calls.aws.Gate`): every attempt takes its units of each pacer's limit, the last one's last."""

    def __init__(self, *taken: tuple[Pacer, float]) -> None:
        """Pacers and units; refusals slow the last one down."""
        self._taken = taken
        self._since: list[float] = []

    def enter(self) -> None:
        """As the protocol says."""
        self._since = [pacer.take(units) for pacer, units in self._taken]

    def sent(self) -> None:
        """As the protocol says."""
        self._since = [pacer.sent(units, since_s) for (pacer, units), since_s in zip(self._taken, self._since, strict=False)]

    def answered(self) -> None:
        """As the protocol says."""
        for (pacer, units), since_s in zip(self._taken, self._since, strict=False):
            pacer.answered(units, since_s)
        self._since = []

    def refused(self, _reason: str, hold_s: float) -> None:
        """As the protocol says."""
        slowed = self._taken[-1][0]
        slowed.refused()
        slowed.pause(hold_s)


class Limits:
    """Pacers and slots by the name of a limit and the place that it is of, such as a table.

    With a work dir all processes of this machine that name it share each limit; without one it is this process's own.
    """

    def __init__(self, work_dir: Path | None = None, control: Control | None = None, waiting: Waiting | None = None, meter: Meter | None = None) -> None:
        """Touches nothing yet. Calls are counted by the meter, if there is one."""
        self._work_dir, self.meter = work_dir, meter
        self.folder = work_dir / LIMITS_FOLDER if work_dir else None
        self.control = control or FixedControl()
        self.waiting = waiting or Waiting()
        self._lock = threading.Lock()
        self._cells: dict[str, Cell] = {}
        self._pacers: dict[tuple[str, str, str], Pacer] = {}
        self._slots: dict[tuple[str, str], Slots] = {}
        self._noted: dict[tuple[str, str], float] = {}
        self._limiters: dict[str, SharedLimiter] = {}
        self._connecting = threading.Lock()

    def metered(self, meter: Meter) -> "Limits":
        """The same limits, for calls that this meter counts."""
        return Limits(self._work_dir, self.control, self.waiting, meter)

    def pacer(self, name: str, place: str, folder: str = "", ramp: Ramp | None = None) -> Pacer:
        """The pacer of a limit at a place; where the limit of one folder is smaller than that of all, it keeps both."""
        rates = self.control.wishes().rates
        if name not in _FOLDERS or getattr(rates, _KEYS[_FOLDERS[name]]) >= getattr(rates, _KEYS[name]):
            folder = ""
        with self._lock:
            known = self._pacers.pop((name, place, folder), None)
            if known is None:
                known = Pacer(self._allowances(name, place, folder, ramp), self.waiting.clock, self.waiting.sleep, turn=self._turn)
                known.is_paused = partial(self._look, known, (name, place, folder, ramp), [self.control.wishes()])
                self._forget_folders()
            self._pacers[name, place, folder] = known
            return known

    def slots(self, name: str, place: str) -> Slots:
        """The slots of a limit in flight at a place."""
        with self._lock:
            if (name, place) not in self._slots:
                self._slots[name, place] = Slots(
                    self._path(name, place, "slots"),
                    partial(self._number, name, place),
                    self.waiting,
                    partial(self._note_held, name, place),
                    partial(self._lease, name, place),
                )
            return self._slots[name, place]

    def refused(self, name: str, place: str, pause_s: float = 0.0) -> None:
        """The service said that there are too many in flight for all who use it: the least from now on, none for so long."""
        limit, now_s = self._in_flight(name, place), self.waiting.clock()
        with limit.cell.held() as state:
            limit.begun(state, now_s)
            limit.refuse(state, now_s, is_hard=True)
            state.pause_until_s = max(state.pause_until_s, now_s + pause_s) if pause_s else state.pause_until_s

    def account_full(self, told: str) -> None:
        """The service said that the whole account is at its limit: the run does what it was told to do then."""
        self.control.account_full(told)

    def note(self, service: str, cause: str, seconds: float) -> None:
        """Counts a wait that had no limit's pacer."""
        if seconds > 0:
            with self._lock:
                self._noted[service, cause] = self._noted.get((service, cause), 0.0) + seconds

    def cap(self, name: str, place: str, units: float) -> None:
        """From now on no more than so many units of a limit are used, by all who share it; to be confirmed every minute or two."""
        with self._cell(name, place).held() as state:
            state.cap_per_s, state.cap_at_s = units, self.waiting.clock()

    def taken(self, name: str, place: str) -> float:
        """Units of a limit that were used in all by those who share it; of one in flight the seconds for which slots were held, until they were given back."""
        with self._cell(name, place).held() as state:
            return state.taken

    def waits(self) -> Mapping[tuple[str, str], float]:
        """Seconds that threads waited since this was last asked, by service and cause."""
        with self._lock:
            waiting = [(name, one.waits()) for (name, *_), one in self._pacers.items()] + [(name, one.waits()) for (name, _), one in self._slots.items()]
            waited, self._noted = self._noted, {}
        for name, causes in waiting:
            for cause, seconds in causes.items():
                waited[_SERVICES[name], cause] = waited.get((_SERVICES[name], cause), 0.0) + seconds
        return waited

    def _forget_folders(self) -> None:
        """Drops the pacer of the folder that was used longest ago if there are many: what it knows is in its cells."""
        of_folders = [key for key in self._pacers if key[2]]
        if len(of_folders) >= FOLDERS:
            for cause, seconds in self._pacers.pop(of_folders[0]).waits().items():
                service = _SERVICES[of_folders[0][0]]
                self._noted[service, cause] = self._noted.get((service, cause), 0.0) + seconds

    def _allowances(self, name: str, place: str, folder: str, ramp: Ramp | None) -> list[Allowance]:
        """The narrowest first."""
        rates = self.control.wishes().rates
        limit = getattr(rates, _KEYS[name])
        found = [Allowance(limit, self._cell(name, place), ramp or _ramp(limit, rates), f"{name} {place}")]
        if folder and (of_folder := getattr(rates, _KEYS[_FOLDERS[name]])) < limit:
            of_name, of_place = _FOLDERS[name], f"{place}/{folder}"
            found.insert(0, Allowance(of_folder, self._cell(of_name, of_place), _ramp(of_folder, rates), f"{of_name} {of_place}"))
        return found

    def _turn(self, name: str, limit_per_s: float, units: float) -> float:
        limiter = self._limiter()
        return limiter.wait_s(name, limit_per_s, units) if limiter else 0.0

    def _lease(self, name: str, place: str) -> AbstractContextManager[bool]:
        limiter = self._limiter()
        return limiter.lease(f"{name} {place}", getattr(self.control.wishes().rates, _KEYS[name])) if limiter else nullcontext(enter_result=True)

    def _limiter(self) -> "SharedLimiter | None":
        """The one that is asked for now."""
        url = self.control.wishes().rates.limiter
        if not url:
            return None
        with self._connecting:
            if url not in self._limiters:
                from transforms.calls.limiter import SharedLimiter  # noqa: PLC0415 - who has none does not wait for its client

                self._limiters[url] = SharedLimiter(url, self.waiting)
            return self._limiters[url]

    def _look(self, pacer: Pacer, args: tuple[str, str, str, Ramp | None], seen: list[Wishes]) -> bool:
        """Whether the run is paused; other limits than at the last look become the pacer's."""
        wishes = self.control.wishes()
        if wishes.rates != seen[0].rates:
            pacer.allowances, seen[0] = tuple(self._allowances(*args)), wishes
        return bool(wishes.pauses) and not wishes.stop

    def _number(self, name: str, place: str) -> tuple[int, str]:
        """How many slots may be held now, and why no more."""
        wishes, now_s = self.control.wishes(), self.waiting.clock()
        if wishes.pauses and not wishes.stop:
            return 0, PAUSED
        limit = self._in_flight(name, place)
        with limit.cell.held() as state:
            return limit.whole(state, now_s), limit.cause(state, now_s)

    def _in_flight(self, name: str, place: str) -> Allowance:
        rates = self.control.wishes().rates
        limit = getattr(rates, _KEYS[name])
        return Allowance(limit, self._cell(name, place), _ramp(limit, rates))

    def _note_held(self, name: str, place: str, held_s: float) -> None:
        with self._cell(name, place).held() as state:
            state.taken += held_s

    def _cell(self, name: str, place: str) -> Cell:
        if self.folder:
            return FileCell(self._path(name, place, "pace"))
        return self._cells.setdefault(f"{name} {place}", MemoryCell())

    def _path(self, name: str, place: str, what: str) -> Path:
        """A name that tells people what it is of, and a digest that makes it another one for another place."""
        digest = hashlib.sha256(place.encode()).hexdigest()[:12]
        folder = self.folder or temporary_folder()
        return folder / f"{name}.{_UNFIT.sub('-', place)[:60].strip('-')}.{digest}.{what}"


def _ramp(limit: int, rates: Rates) -> Ramp:
    """From a share of the limit, or from what no service notices."""
    return Ramp(first=beginning(limit), double_s=float(rates.ramp_double_s))


def s3_place(location: S3Location) -> str:
    """What the limits of an S3 are kept under."""
    return location.endpoint_url or "aws"


class S3Gates:
    """The gates of calls to one S3: its limits hold over all buckets together, and for each folder of a bucket."""

    def __init__(self, limits: Limits, location: S3Location) -> None:
        """Touches nothing."""
        self._limits, self._bucket = limits, location.bucket
        self._place = s3_place(location)

    def get(self, key: str, size_bytes: int = 0) -> PacedGate:
        """Of GetObject; with a size its bytes are paced too, if they are limited."""
        calls = (self._limits.pacer("s3-get-per-s", self._place, self._folder(key)), 1.0)
        if size_bytes and self._limits.control.wishes().rates.bytes_per_s:
            return PacedGate((self._limits.pacer("bytes-per-s", "archive"), float(size_bytes)), calls)
        return PacedGate(calls)

    def put(self, key: str) -> PacedGate:
        """Of PutObject."""
        return PacedGate((self._limits.pacer("s3-put-per-s", self._place, self._folder(key)), 1.0))

    def list(self) -> PacedGate:
        """Of ListObjectsV2."""
        return PacedGate((self._limits.pacer("s3-list-per-s", self._place), 1.0))

    def _folder(self, key: str) -> str:
        return f"{self._bucket}/{key.rpartition('/')[0]}"
