"""Labels of very many points: one Python call for each distinct set of attributes, one for each distinct set of labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import Floats
from transforms.decode.attributes import Pairs, joined_labels, quantile_text, read_pairs, scope_pairs, split_resource
from transforms.decode.causes import BAD_OTLP
from transforms.decode.wire import Message

Codes = npt.NDArray[np.int32]

_LUT_LIMIT: Final = 1 << 22

_MAX_KEPT: Final = 1 << 16
"""Distinct sets of labels that are remembered."""


@dataclass(slots=True)
class Context:
    """A resource and a scope: the entity, and the labels or what is wrong with them (None in `entity`: the bytes are no messages)."""

    entity: str | None
    labels: Pairs | DecodeError


def _attributes(key_values: bytes) -> Pairs:
    return read_pairs([key_values[one.at : one.stop] for one in Message(key_values).fields])


def _context(resource: bytes, scope: bytes) -> Context:
    try:
        named = Message(scope)
        pairs = read_pairs(Message(resource).contents(1))
    except DecodeError as error:
        return Context(None if error.cause == BAD_OTLP else "", error.with_traceback(None))
    entity = ""
    try:
        entity, labels = split_resource(pairs)
        return Context(entity, labels + scope_pairs(named.text(1), named.text(2)))
    except DecodeError as error:
        return Context(entity, error.with_traceback(None))


@dataclass(slots=True)
class LabelReader:
    """Reads labels, each distinct one once, for as many batches as one likes. Numbers and codes hold until `limit` is called; a code of -1 is a broken set."""

    read_context: Callable[[bytes, bytes], Context] = _context
    read_attributes: Callable[[bytes], Pairs] = _attributes
    _texts: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _contexts: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)
    requests: object = None
    """What `otlp_read` remembers."""

    _pairs: dict[bytes, Pairs | DecodeError] = field(default_factory=dict)
    _joined: dict[tuple[int, bytes, float | None], int] = field(default_factory=dict)

    def limit(self) -> None:
        """Forget everything if that is very much. To be called between batches."""
        if max(len(self._joined), len(self._pairs), len(self._contexts)) > _MAX_KEPT:
            for known in (self._texts, self._codes, self._contexts, self.contexts, self._pairs, self._joined):
                known.clear()

    def context(self, resource: bytes, scope: bytes) -> int:
        """Number of the context with these messages."""
        key = resource, scope
        if key not in self._contexts:
            self._contexts[key] = len(self.contexts)
            self.contexts.append(self.read_context(resource, scope))
        return self._contexts[key]

    def attributes(self, key_values: bytes) -> Pairs | DecodeError:
        """The labels in fields that hold KeyValue messages, or what is wrong with them (BAD_OTLP: no messages)."""
        if key_values not in self._pairs:
            try:
                self._pairs[key_values] = self.read_attributes(key_values)
            except DecodeError as error:
                self._pairs[key_values] = error.with_traceback(None)
        return self._pairs[key_values]

    def codes(self, context: Codes, attributes: Codes, distinct: list[bytes], quantiles: Floats | None = None) -> Codes:
        """The code of each point's labels, of its context, its attributes (an index into the distinct ones) and, if given, its label `quantile`."""
        contexts, own = dense(context.astype(np.int64), len(self.contexts))
        pair = own * max(1, len(distinct)) + attributes
        if quantiles is None:
            present, place = dense(pair, len(contexts) * len(distinct))
            ranks: list[float | None] = [None] * len(present)
        else:
            ranked, rank = np.unique(quantiles, return_inverse=True)
            present, place = dense(pair * len(ranked) + rank, len(contexts) * len(distinct) * len(ranked))
            ranks = ranked[present % max(1, len(ranked))].tolist()
            present //= max(1, len(ranked))
        of_context, of_attributes = np.divmod(present, max(1, len(distinct)))
        triples = zip(contexts[of_context].tolist(), of_attributes.tolist(), ranks, strict=True)
        codes = [self._code(one, distinct[other], rank) for one, other, rank in triples]
        return np.array(codes, np.int32)[place] if codes else np.empty(0, np.int32)

    def _code(self, context: int, key_values: bytes, rank: float | None) -> int:
        key = context, key_values, rank
        if key not in self._joined:
            labels, pairs = self.contexts[context].labels, self.attributes(key_values)
            self._joined[key] = -1 if isinstance(labels, DecodeError) or isinstance(pairs, DecodeError) else self._text_code(labels, pairs, rank)
        return self._joined[key]

    def _text_code(self, labels: Pairs, pairs: Pairs, rank: float | None) -> int:
        try:
            text = joined_labels(labels, pairs, () if rank is None else (("quantile", quantile_text(rank)),))
        except DecodeError:
            return -1
        code = self._codes.setdefault(text, len(self._texts))
        if code == len(self._texts):
            self._texts.append(text)
        return code

    def column(self, codes: Codes) -> pa.DictionaryArray:
        """Labels of these codes, none of which is -1."""
        present, place = dense(codes.astype(np.int64), len(self._texts))
        return pa.DictionaryArray.from_arrays(pa.array(place.astype(np.int32)), pa.array([self._texts[one] for one in present.tolist()], pa.string()))


def dense(values: npt.NDArray[np.int64], end: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The distinct ones of values in [0, end), sorted, and the place of each value among them."""
    if end > _LUT_LIMIT:
        present, place = np.unique(values, return_inverse=True)
        return present, place
    seen = np.zeros(end, np.bool_)
    seen[values] = True
    present = np.flatnonzero(seen)
    number = np.zeros(end, np.intp)
    number[present] = np.arange(len(present))
    return present, number[values]
