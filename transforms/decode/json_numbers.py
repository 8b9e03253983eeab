"""Numbers that JSON writes as numbers or as texts, many at once. What isn't sure to be what the strict reader makes of it raises ValueError."""

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.model import Bools, Floats, Ints

_MAX_DIGITS: Final = 20
_COUNT_DIGITS: Final = 18
_EMPTY: Final = frozenset((b"", b"[]"))
_TEXTS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}
_SPACES: Final = re.compile(rb"[ \t\r\n]*+([\[\],])[ \t\r\n]*+")
_TO_COMMA: Final = bytes.maketrans(b"]", b",")


def integers(values: Sequence[int | str | None], kind: pa.DataType) -> npt.NDArray[Any]:
    """Integers of this type, 0 for None. Texts are digits, at most 20, perhaps behind a minus."""
    kinds = set(map(type, values))
    if kinds <= {type(None)}:
        return np.zeros(len(values), kind.to_pandas_dtype())
    if kinds == {int}:
        return np.array(values, kind.to_pandas_dtype())
    texts: Sequence[Any] = values if kinds == {str} else ["0" if one is None else str(one) for one in values]
    digits = "".join(texts).replace("-", "")
    column = pa.array(texts, pa.string())
    if not (digits.isascii() and digits.isdigit()) or pc.max(pc.binary_length(column)).as_py() > _MAX_DIGITS:
        raise ValueError("texts that are no integers")
    numbers: npt.NDArray[Any] = column.cast(kind).to_numpy()
    return numbers


def doubles(values: Sequence[float | str | None]) -> tuple[Floats, Bools]:
    """Numbers, NaN for None, and which are there. Of texts only those of OTLP's mapping are known: NaN and the infinities."""
    kinds = set(map(type, values))
    if str in kinds:
        if not {one for one in values if isinstance(one, str)} <= _TEXTS.keys():
            raise ValueError("texts that may be numbers")
        values = [_TEXTS[one] if isinstance(one, str) else one for one in values]
    has = np.ones(len(values), np.bool_) if type(None) not in kinds else np.array([one is not None for one in values], np.bool_)
    return np.array(values, np.float64), has


def distinct_texts(texts: Sequence[msgspec.Raw]) -> tuple[npt.NDArray[np.int32], list[bytes]]:
    """Which of the distinct texts each is, and these."""
    encoded = pa.array(list(map(bytes, texts)), pa.binary()).dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def count_lists(texts: Sequence[msgspec.Raw]) -> tuple[Ints, Ints]:
    """The numbers in JSON arrays one after another, and how many each has; a text may be missing. All numbers are written as texts of digits, or none is.

    The proof that quotation marks and brackets may be taken out: with a comma within a text, or with only some texts, there would not be two quotation marks
    for each number; with arrays or brackets within an array, more brackets than arrays.
    """
    every = list(map(bytes, texts))
    filled = [one for one in every if one not in _EMPTY]
    joined = b"".join(filled)
    if joined.translate(None, b'0123456789,[]"'):
        filled = [_SPACES.sub(rb"\1", one) for one in filled]
        joined = b"".join(filled)
    sizes = np.zeros(len(texts), np.int64)
    sizes[[one not in _EMPTY for one in every]] = np.fromiter(map(bytes.count, filled, repeat(b",")), np.int64, len(filled)) + 1
    plain = joined.translate(_TO_COMMA, b'["')
    ends = np.flatnonzero(np.frombuffer(plain, np.uint8) == ord(","))
    lengths = np.diff(ends, prepend=-1) - 1
    total = int(sizes.sum())
    is_plain = not plain.translate(None, b"0123456789,") and joined.count(b'"') in (0, 2 * total) and len(ends) == total
    if not is_plain or not joined.count(b"[") == joined.count(b"]") == len(filled) or not ((lengths > 0) & (lengths <= _COUNT_DIGITS)).all():
        raise ValueError("arrays of anything but counts")
    return np.fromstring(plain, np.int64, sep=",") if total else np.zeros(0, np.int64), sizes
