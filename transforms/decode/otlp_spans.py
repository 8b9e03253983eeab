"""The levels of many OTLP requests as spans of bytes: resources, scopes, metrics, data, points; each level's messages are read at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.core.model import Bools, Ints
from transforms.core.ragged import is_all
from transforms.decode.collecting import Message
from transforms.decode.otlp_strict import FORMS
from transforms.decode.wire import BYTES, VARINT
from transforms.decode.wire_columns import Fields, Octets, read_fields

Rows = npt.NDArray[np.intp] | npt.NDArray[np.int32]


class Spans(NamedTuple):
    """Messages of one level at [start, stop), in the order in which they stand; `parent` is the index in the level above, `record` that of the request."""

    start: Ints
    stop: Ints
    parent: Rows
    record: Rows


class Levels(NamedTuple):
    """All levels. `form` is the number of the data's member of the oneof; `temporality` and `is_monotonic` are the data's."""

    resources: Spans
    scopes: Spans
    metrics: Spans
    data: Spans
    points: Spans
    resource: tuple[Ints, Ints]
    scope: tuple[Ints, Ints]
    name: tuple[Ints, Ints]
    form: npt.NDArray[np.int32]
    temporality: Ints
    is_monotonic: Bools


class Reader:
    """Reads levels and keeps which requests are in doubt: malformed, or correct in a way that is left to the strict reader."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.octets = Octets([message.data for message in messages])
        self.doubtful = np.zeros(len(messages), np.bool_)
        self.lengths = np.array([len(message.data) for message in messages], np.int64)
        self.starts: Ints = np.cumsum(self.lengths) - self.lengths
        self._levels: Levels | None = None

    def doubt(self, spans: Spans, rows: Rows | Bools) -> None:
        """The requests of these messages are in doubt."""
        self.doubtful[spans.record[rows]] = True

    def fields(self, spans: Spans) -> Fields:
        """All fields of the messages."""
        found, bad = read_fields(self.octets, spans.start, spans.stop)
        self.doubt(spans, bad)
        return found

    def only(self, spans: Spans, fields: Fields, rows: Rows) -> tuple[Ints, Ints]:
        """Where the content of a field, which these rows are, lies in each message: an empty span where it is missing, in doubt where it is there twice."""
        owner = fields.owner[rows]
        if is_all(owner, len(spans.start)):
            return fields.at[rows], fields.stop[rows]
        start, stop = spans.start.copy(), spans.start.copy()
        start[owner], stop[owner] = fields.at[rows], fields.stop[rows]
        self.doubt(spans, np.bincount(owner, minlength=len(start)) > 1)
        return start, stop

    def levels(self) -> Levels:
        """Everything down to the points, which are not looked into; read once."""
        if self._levels is None:
            self._levels = self._read_levels()
        return self._levels

    def _read_levels(self) -> Levels:
        requests = self._requests()
        resources = children(requests, self.fields(requests), (1,))
        of_resource = self.fields(resources)
        scopes = children(resources, of_resource, (2,))
        of_scope = self.fields(scopes)
        metrics = children(scopes, of_scope, (2,))
        of_metric = self.fields(metrics)
        data, form = self._data(metrics, of_metric)
        of_data = self.fields(data)
        return Levels(
            resources,
            scopes,
            metrics,
            data,
            children(data, of_data, (1,)),
            self.only(resources, of_resource, pick(of_resource, 1, BYTES)),
            self.only(scopes, of_scope, pick(of_scope, 1, BYTES)),
            self.only(metrics, of_metric, pick(of_metric, 1, BYTES)),
            form,
            last(of_data, pick(of_data, 2, VARINT), len(data.start)).astype(np.int64) & 0xFFFFFFFF,
            last(of_data, pick(of_data, 3, VARINT), len(data.start)) != 0,
        )

    def _requests(self) -> Spans:
        every = np.arange(len(self.lengths))
        return Spans(self.starts, self.starts + self.lengths, every, every)

    def _data(self, metrics: Spans, fields: Fields) -> tuple[Spans, npt.NDArray[np.int32]]:
        data = children(metrics, fields, tuple(FORMS))
        self.doubt(metrics, np.bincount(data.parent, minlength=len(metrics.start)) > 1)
        rows = np.flatnonzero(np.isin(fields.number, tuple(FORMS)) & (fields.wire == BYTES))
        return data, fields.number[rows[np.argsort(fields.at[rows], kind="stable")]]


def pick(fields: Fields, number: int, wire: int) -> Rows:
    """Rows of one field."""
    return np.flatnonzero((fields.number == number) & (fields.wire == wire))


def last(fields: Fields, rows: Rows, messages: int) -> npt.NDArray[np.uint64]:
    """The last value of a field, which these rows are, of each message; 0 where it is missing."""
    value = np.zeros(messages, np.uint64)
    value[fields.owner[rows]] = fields.value[rows]
    return value


def children(spans: Spans, fields: Fields, numbers: Sequence[int]) -> Spans:
    """The messages that the fields of these numbers are."""
    is_one = fields.wire == BYTES
    is_one &= fields.number == numbers[0] if len(numbers) == 1 else np.isin(fields.number, numbers)
    rows = np.flatnonzero(is_one)
    start = fields.at[rows]
    if (start[1:] < start[:-1]).any():
        rows = rows[np.argsort(start, kind="stable")]
    owner = fields.owner[rows].astype(np.intp)
    return Spans(fields.at[rows], fields.stop[rows], owner, spans.record[owner])
