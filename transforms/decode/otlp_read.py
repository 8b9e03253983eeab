"""Which requests are read, and which are like one that was: in the same batch or in an earlier one."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.core.model import Ints
from transforms.decode.collecting import Message
from transforms.decode.otlp_alike import Key, Likeness, first_alike, likeness, unlike
from transforms.decode.otlp_labels import LabelReader
from transforms.decode.otlp_spans import Reader
from transforms.decode.otlp_values import FORM_OF, NUMBER, PointReader

_FORM: Final = np.array([FORM_OF.get(number, NUMBER) for number in range(16)], np.int8)


class RequestsRead(NamedTuple):
    """Requests down to the fields of their points; and the number of each by its key."""

    reader: Reader
    points: PointReader
    key: Key
    places: dict[tuple[int, bytes], int]

    def places_of(self, messages: Sequence[Message]) -> Ints:
        """The numbers of those with the same keys as these, -1 for none."""
        return np.array([self.places.get(self.key.of(one), -1) for one in messages], np.int64)

    def likeness(self, reader: Reader, read: Ints) -> Likeness | None:
        """How the requests of this reader are like those of these numbers; None if some are not."""
        if reader is not self.reader and ((read < 0).any() or unlike(reader, read, self.reader, self.points.free()).any()):
            return None
        return likeness(reader, read, self.reader)


def read_instead(reader: Reader, messages: Sequence[Message], labels: LabelReader) -> tuple[RequestsRead, Likeness]:
    """Requests of which every message of the reader is like one. What was read of them is remembered beside the labels for the next messages."""
    if isinstance(known := labels.requests, RequestsRead) and (alike := known.likeness(reader, known.places_of(messages))):
        return known, alike
    key, first = first_alike(messages)
    found, read = _read(reader, messages, key, first)
    if alike := found.likeness(reader, read):
        labels.requests = None if alike.is_whole else found
        return found, alike
    different = unlike(reader, read, found.reader, found.points.free())
    found, read = _read(reader, messages, key, np.where(different, np.arange(len(first)), first))
    return found, likeness(reader, read, found.reader)


def _read(reader: Reader, messages: Sequence[Message], key: Key, first: Ints) -> tuple[RequestsRead, Ints]:
    """The requests that are their own first ones, and the number of the one that is read in every one's stead."""
    own: npt.NDArray[np.intp] = np.flatnonzero(first == np.arange(len(first)))
    chosen = [messages[one] for one in own.tolist()]
    by = reader if len(own) == len(first) else Reader(chosen)
    levels = by.levels()
    points = PointReader(by, levels.points, _FORM[levels.form][levels.points.parent])
    return RequestsRead(by, points, key, {key.of(one): place for place, one in enumerate(chosen)}), np.searchsorted(own, first)
