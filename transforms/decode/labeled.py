"""Postings of type labeled in JSON: one parser call for a whole text, one for all of its OTLP requests.

msgspec's parser is strict about JSON, types and base64, of which it accepts less than the strict reader and nothing else; whatever it refuses is a doubt.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from transforms.core.errors import DecodeError
from transforms.core.model import DecodedObject, Ints
from transforms.decode import otlp
from transforms.decode.collecting import Message
from transforms.decode.proof import DOUBT, NOT_JSON, require_shallow
from transforms.decode.scalars import arrivals_of
from transforms.decode.strict import Source

Places = Callable[[], Sequence[tuple[int, bytes]]]
"""Offset and bytes of each record, for dead letters: looked for only if there are any."""

_HEAD_BYTES: Final = 4096
_SIGNS: Final = (b'"labeled"', b'"otlp"')


class _Posting(msgspec.Struct, gc=False):
    """What a labeled posting holds."""

    type: Literal["labeled"]
    otlp: bytes
    org: str | None = None
    received_at: float | None = msgspec.field(default=None, name="receivedAt")


_POSTINGS: Final = msgspec.json.Decoder(_Posting)


def seems_labeled(text: bytes, at: int = 0) -> bool:
    """A guess by the beginning of the text, to save reading it as anything else first."""
    head = text[at : at + _HEAD_BYTES]
    return any(sign in head for sign in _SIGNS)


def read(text: bytes, arrivals: Ints | None, source: Source, places: Places) -> DecodedObject:
    """Decode a text of labeled postings with nothing but JSON's white space between them.

    Those that don't tell their arrival have the one given (None: the source's). Raises DecodeError unless sure that the strict reader
    would say the same.
    """
    try:
        postings = _POSTINGS.decode_lines(text)
    except NOT_JSON as error:
        raise DecodeError(DOUBT, str(error)) from error
    if arrivals is None:
        arrivals = np.full(len(postings), source.arrival_us, np.int64)
    if len(postings) != len(arrivals):
        raise DecodeError(DOUBT, "not only labeled postings")
    require_shallow(text, len(postings))
    times = _arrivals([one.received_at for one in postings], arrivals)
    messages = [Message(one.otlp, source.org if one.org is None else one.org, time, 0, b"") for one, time in zip(postings, times, strict=True)]
    decoded = otlp.read(messages, source.key, source.labels).decoded
    if not decoded.dead_letters:
        return decoded
    located = [one._replace(offset=offset, raw=raw) for one, (offset, raw) in zip(messages, places(), strict=True)]
    return otlp.read(located, source.key, source.labels).decoded


def _arrivals(received: list[float | None], default: Ints) -> list[int]:
    seconds = np.array(received, np.float64)  # None becomes NaN
    is_given = ~np.isnan(seconds)
    given = arrivals_of(seconds[is_given])
    if given is None:
        raise DecodeError(DOUBT, "a receivedAt is out of range")
    times = default.copy()
    times[is_given] = given
    listed: list[int] = times.tolist()
    return listed
