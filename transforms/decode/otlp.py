"""OTLP metrics in protobuf: many records at once, by columns where they allow it, else by the strict reader; both say the same."""

import binascii
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from transforms.core.errors import DecodeError
from transforms.decode import otlp_columns, otlp_strict
from transforms.decode.causes import BAD_OTLP
from transforms.decode.collecting import Message, Part
from transforms.decode.joining import in_record_order
from transforms.decode.otlp_labels import LabelReader

_BATCH_BYTES: Final = 1 << 22
"""About what is decoded at once: enough that a step is cheap for each message, little enough for the columns of all fields."""

_LARGE_BYTES: Final = 1 << 29
"""A record from here on goes to the strict reader: its positions would not fit into 32 bits with those of the rest."""


def read(messages: Sequence[Message], key: str, known: LabelReader | None = None) -> Part:
    """Decode records of the object `key`, all of them requests (ExportMetricsServiceRequest, MetricsData). `known` remembers labels."""
    labels = LabelReader() if known is None else known
    labels.limit()
    return in_record_order([part for first, batch in _batches(messages) for part in _read_batch(batch, first, key, labels)])


def request_bytes(text: str) -> bytes:
    """The request that stands in a labeled posting, in standard base64 with its padding. Raises DecodeError for anything else."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError(BAD_OTLP, f"otlp is no base64: {error}") from error


def _batches(messages: Sequence[Message]) -> Iterator[tuple[int, Sequence[Message]]]:
    """Consecutive records, and the place of the first."""
    first = size = 0
    for place, message in enumerate(messages):
        size += len(message.data)
        if size >= _BATCH_BYTES:
            yield first, messages[first : place + 1]
            first, size = place + 1, 0
    if first < len(messages):
        yield first, messages[first:]


def _read_batch(messages: Sequence[Message], first: int, key: str, labels: LabelReader) -> list[Part]:
    if any(len(message.data) >= _LARGE_BYTES for message in messages):
        return [otlp_strict.read(messages, range(first, first + len(messages)), key)]
    part, is_doubtful = otlp_columns.read(messages, key, labels)
    doubtful = np.flatnonzero(is_doubtful).tolist()
    sure = Part(part.decoded, part.posting_record + first, part.letter_record + first)
    if not doubtful:
        return [sure]
    return [sure, otlp_strict.read([messages[one] for one in doubtful], [first + one for one in doubtful], key)]
