"""The series of a read group: identities and names by number, and the shard hash of each series."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.crc import crc32_of_joined
from transforms.core.model import Bools, Ints, labels_pairs, labels_text
from transforms.core.point_columns import Numbers
from transforms.core.selection import Selection

ACCUMULATING: Final = frozenset(("counter", "cumulative histogram"))
"""Kinds whose values are read against their predecessor."""

_LUT_LIMIT: Final = 1 << 24
_LUT_SMALL: Final = 1 << 16
"""A table of all combinations is quicker than a sort unless it is larger than that and much larger than what is looked up."""


class Identity(NamedTuple):
    """A series without its name; `labels` as `labels_text` writes them, `kind` one of POINT_KINDS."""

    metric_type: str
    org: str
    entity: str
    labels: str = "{}"
    kind: str = "gauge"

    def in_role(self, role: str) -> "Identity":
        """The role series of a host's: labels `host` and the host series' own."""
        labels = dict(labels_pairs(self.labels)) | {"host": self.entity}
        return Identity("role", self.org, role, labels_text(tuple(labels.items())), self.kind)


@dataclass
class Registry:
    """Numbers for identities and names in the order in which they are first met."""

    identities: dict[Identity, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def name_numbers(self, names: pa.DictionaryArray) -> Numbers:
        """The number of every point's name."""
        numbers = [self.names.setdefault(one, len(self.names)) for one in names.dictionary.to_pylist()]
        return _picked(np.array(numbers, np.int32), names.indices.to_numpy())

    def numbers(self, *fields: pa.Array) -> Numbers:
        """The number of the identity in every row of these parallel columns, the first fields of Identity."""
        encoded = [one.dictionary_encode() for one in fields]
        first, inverse = _distinct([one.indices.to_numpy() for one in encoded], [len(one.dictionary) for one in encoded])
        rows = zip(*(part.take(pa.array(first)).to_pylist() for part in fields), strict=True)
        return _picked(self._registered(Identity(*row) for row in rows), inverse)

    def refined(self, of_posting: Numbers, labels: pa.DictionaryArray | None, kind: npt.NDArray[np.int8] | None, kinds: tuple[str, ...]) -> Numbers:
        """The number of every point's identity: its posting's (given per point) with the point's own labels and kind."""
        if labels is None and kind is None:
            return of_posting
        texts = ["{}"] if labels is None else labels.dictionary.to_pylist()
        label = np.zeros(len(of_posting), np.int64) if labels is None else labels.indices.to_numpy()
        kind_of = np.zeros(len(of_posting), np.int8) if kind is None else kind
        first, inverse = _distinct([of_posting, label, kind_of], [len(self.identities), len(texts), len(kinds)])
        known = tuple(self.identities)
        rows = zip(of_posting[first].tolist(), label[first].tolist(), kind_of[first].tolist(), strict=True)
        return _picked(self._registered([known[one]._replace(labels=texts[text], kind=kinds[number]) for one, text, number in rows]), inverse)

    def in_roles(self, hosts: Numbers, role: npt.NDArray[np.integer], roles: list[str]) -> Numbers:
        """The number of the role series' identity for each pair of a host identity and an index into `roles`."""
        first, inverse = _distinct([hosts, role], [len(self.identities), len(roles)])
        known = tuple(self.identities)
        rows = zip(hosts[first].tolist(), role[first].tolist(), strict=True)
        return _picked(self._registered([known[one].in_role(roles[number]) for one, number in rows]), inverse)

    def types(self) -> list[str]:
        """Metric type by identity number."""
        return [one.metric_type for one in self.identities]

    def accumulating(self) -> Bools:
        """By identity number, whether its points are read against their predecessor."""
        return np.array([one.kind in ACCUMULATING for one in self.identities], bool)

    def series(self, identity: Numbers, name: Numbers) -> tuple[Numbers, "SeriesTable"]:
        """Numbers the (identity, name) pairs that occur: each point's number, and what they are."""
        first, inverse = _distinct([identity, name], [len(self.identities), len(self.names)])
        return inverse.astype(np.int32, copy=False), SeriesTable(identity[first], name[first], tuple(self.identities), tuple(self.names))

    def _registered(self, identities: Iterable[Identity]) -> Numbers:
        return np.array([self.identities.setdefault(one, len(self.identities)) for one in identities], np.int32)


def _picked(numbers: Numbers, at: npt.NDArray[np.integer]) -> Numbers:
    picked: Numbers = numbers[at]
    return picked


def _distinct(columns: list[npt.NDArray[np.integer]], sizes: list[int]) -> tuple[Ints, npt.NDArray[np.integer]]:
    """Of rows of numbers, each below its column's size: a row of each distinct one, in ascending order, and for each row which it is."""
    end = 1
    codes = np.zeros(len(columns[0]), np.int64)
    for column, size in zip(columns, sizes, strict=True):
        if end * max(1, size) >= 1 << 63:
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
            end = len(codes) + 1
        codes = codes * size + column if end > 1 else column.astype(np.int64)
        end *= max(1, size)
    if end > min(_LUT_LIMIT, max(_LUT_SMALL, 8 * len(codes))):
        _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        return first, inverse
    row_of = np.full(end, -1, np.int32)
    row_of[codes] = np.arange(len(codes), dtype=np.int32)
    present = np.flatnonzero(row_of >= 0)
    first = row_of[present].astype(np.int64)
    row_of[present] = np.arange(len(present), dtype=np.int32)
    return first, row_of[codes]


@dataclass(frozen=True)
class SeriesTable:
    """The distinct series of a group: parallel columns, one row per series."""

    identity: Numbers
    name: Numbers
    identities: tuple[Identity, ...]
    names: tuple[str, ...]

    def selected(self, selection: Selection) -> Bools:
        """Whether each series is restored."""
        if selection.is_of_all_series:
            return np.ones(len(self.identity), bool)
        pairs = ((self.identities[one], self.names[name]) for one, name in zip(self.identity.tolist(), self.name.tolist(), strict=True))
        return np.array([selection.selects(one.metric_type, one.org, one.entity, name, one.labels) for one, name in pairs], np.bool_)

    def key_hashes(self) -> Ints:
        """CRC-32 of each series' `SeriesKey` bytes, put together from those of what precedes the name, the name, and the labels."""
        heads, _ = _crcs([_json(list(one[:3]))[:-1] + b"," for one in self.identities])
        names, name_bytes = _crcs([_json(one) for one in self.names])
        tails, tail_bytes = _crcs([b"," + _json(labels_pairs(one.labels)) + b"]" for one in self.identities])
        begun = crc32_of_joined(heads[self.identity], names[self.name], name_bytes[self.name])
        return crc32_of_joined(begun, tails[self.identity], tail_bytes[self.identity]).astype(np.int64)

    def columns(self, rows: npt.NDArray[np.intp]) -> dict[str, pa.Array]:
        """SLICE_SCHEMA's series columns of these series."""
        at = pa.array(self.identity[rows])
        columns = {name: pa.array([one[place] for one in self.identities], pa.string()).take(at) for place, name in enumerate(Identity._fields)}
        return columns | {"name": pa.array(self.names, pa.string()).take(pa.array(self.name[rows]))}

    def are(self, kinds: Iterable[str], rows: npt.NDArray[np.intp]) -> Bools:
        """Whether each of these series is of one of the kinds."""
        wanted = frozenset(kinds)
        of_identity = np.array([one.kind in wanted for one in self.identities], bool)
        return of_identity[self.identity[rows]]


def _crcs(texts: list[bytes]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """CRC-32 and length of each text."""
    return np.array([zlib.crc32(one) for one in texts], np.uint32), np.array([len(one) for one in texts], np.int64)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
