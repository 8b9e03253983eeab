"""`lambda://FUNCTION?read=dynamodb://TABLE`: a DynamoDB table that is read as it is, and whose rollups only a function writes.

What is stored is merged here, and each item sent to the function with what it was when it was read; the function writes it if it is still that
(`lambda_batch`), and keeps what it was. Small texts (partitions, generations, undos) are written into the table directly.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from transforms.calls.limits import Limits
from transforms.calls.repeats import at
from transforms.core.errors import UsageError
from transforms.core.store_settings import StoreSettings
from transforms.core.undelivered import Undelivered, WriteDeadLetter
from transforms.core.units import Unit
from transforms.stores.backend import Change, Traits
from transforms.stores.dynamodb import TRAITS as TABLE_TRAITS, DynamoTable, TableStore
from transforms.stores.dynamodb_place import Place
from transforms.stores.files import Failpoint, no_failpoint
from transforms.stores.lambda_batch import Head
from transforms.stores.lambda_calls import FunctionCalls
from transforms.stores.lambda_delivery import FunctionWriter, letters_of
from transforms.stores.lambda_place import Function, places_of
from transforms.stores.url import StoreUrl

TRAITS: Final = replace(TABLE_TRAITS, limits=(*TABLE_TRAITS.limits, "lambda invocations"))


class LambdaStore(TableStore):
    """A `RollupStore` behind a writer function. Its window is 7 days."""

    def __init__(
        self,
        function: Function,
        place: Place,
        settings: StoreSettings | None = None,
        *,
        limits: Limits | None = None,
        failpoint: Failpoint = no_failpoint,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Touches nothing. `failpoint` is called around every call."""
        limits = limits or Limits()
        calls = FunctionCalls(function, limits, failpoint)
        super().__init__(LambdaTable(calls, place, settings or StoreSettings(), limits, failpoint, clock=clock))


def open_url(url: StoreUrl, settings: StoreSettings, limits: Limits | None, *, writable: bool) -> LambdaStore:  # noqa: ARG001 - table and function must be there in either case
    """The store of `lambda://function?read=dynamodb://table`. Raises UsageError for another form, and for settings that it does not have."""
    if settings.dynamodb_fresh:
        raise UsageError(f"--dynamodb-fresh writes without conditions, and {url.shown} writes through a function, which has them: leave one of them out")
    return LambdaStore(*places_of(url), settings, limits=limits)


class LambdaTable(DynamoTable):
    """The function and its table as a `Backend`."""

    def __init__(
        self, function: FunctionCalls, place: Place, settings: StoreSettings, limits: Limits, failpoint: Failpoint, *, clock: Callable[[], float]
    ) -> None:
        """Touches nothing."""
        super().__init__(place, settings, limits, failpoint, clock=clock)
        self.function, self._waiting = function, limits.waiting

    @property
    def traits(self) -> Traits:
        """As the protocol says."""
        return TRAITS

    @property
    def name(self) -> str:
        """As the protocol says."""
        return self.function.function.name

    def facts(self) -> tuple[tuple[str, str], ...]:
        """As the protocol says."""
        return ("function", self.function.function.function), *super().facts()

    def repeated(self) -> Mapping[str, int]:
        """As the protocol says: invocations, and reads of the table. What the function repeats it does not tell."""
        return {**super().repeated(), **at(self.name, self.function.repeats.taken())}

    def update(self, unit: Unit, changes: Mapping[str, Change], run_id: str) -> None:
        """As the protocol says. Raises Undelivered, after all the rest is written, for what the function did not take."""
        letters: list[WriteDeadLetter] = []
        for granularity, change in changes.items():
            letters += self._through(self._head(run_id, unit, granularity), change)
        self._check(unit, letters)

    def restore(self, unit: Unit, granularity: str, change: Change, *, of_run: str, run_id: str) -> None:
        """As the protocol says. Raises Undelivered as `update`."""
        self._check(unit, self._through(self._head(run_id, unit, granularity), change, of_run))

    def _head(self, run_id: str, unit: Unit, granularity: str) -> Head:
        return Head(run_id, unit, granularity, self.place.table, self._rules.undo_s)

    def _through(self, head: Head, change: Change, of_run: str = "") -> list[WriteDeadLetter]:
        writer = FunctionWriter(self.function, self.calls, head, self._waiting)
        self.apply(head.unit, head.granularity, change, writer, of_run)
        return list(letters_of(head, writer.dead))

    def _check(self, unit: Unit, letters: Sequence[WriteDeadLetter]) -> None:
        if letters:
            buckets, causes = sum(len(one.buckets) for one in letters), "; ".join(sorted({one.cause for one in letters})[:3])
            raise Undelivered(f"writing {unit} into {self.name}: {buckets} buckets were not taken ({causes})", letters)
