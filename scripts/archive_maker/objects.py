"""From the stream to objects: where one ends, its key, separators, corruption, compression, the file."""

import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import zstandard

from scripts.archive_maker.corrupt import CORRUPTIONS, truncated
from scripts.archive_maker.options import ArchiveOptions
from scripts.archive_maker.records import SECOND_US, Record

_EXTENSIONS: Final = {"gzip": ".gz", "zstd": ".zst", "none": "", "members": ".gz"}
_SEPARATORS: Final = {"newline": "\n", "none": "", "space": " ", "crlf": "\r\n", "lines": "\n\n"}
_THREADS: Final = 2
_IN_FLIGHT: Final = 6


@dataclass(frozen=True)
class WrittenObject:
    """One finished object."""

    key: str
    bytes: int
    raw_bytes: int
    records: int


class _Prepared(NamedTuple):
    """An object before compression."""

    key: str
    text: str
    compression: str
    truncate: bool
    records: int


def object_key(options: ArchiveOptions, arrival_us: int, unique: uuid.UUID, extension: str) -> str:
    """Firehose's name for an object whose oldest record arrived then, below the UTC hour's folder."""
    at = datetime.fromtimestamp(arrival_us // SECOND_US, UTC)
    return f"{options.prefix}{at:%Y/%m/%d/%H}/{options.stream}-1-{at:%Y-%m-%d-%H-%M-%S}-{unique}{extension}"


def batches(options: ArchiveOptions, records: Iterable[Record]) -> Iterator[list[Record]]:
    """Consecutive records that share an object: until size, time span in the stream, or number is reached."""
    batch: list[Record] = []
    size_bytes = 0
    for record in records:
        if batch and (
            size_bytes >= options.object_bytes
            or record.order_us >= batch[0].order_us + options.object_interval_s * SECOND_US
            or len(batch) == options.records_per_object
        ):
            yield batch
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += len(record.text) + 1
    if batch:
        yield batch


class ObjectWriter:
    """Writes batches as objects under a folder; compression runs beside the caller."""

    def __init__(self, folder: Path, options: ArchiveOptions, twists: Counter[str]) -> None:
        """`twists["corrupt"]` and `twists["corrupt: CAUSE"]` count spoilt objects."""
        self._folder, self._options, self._twists = folder, options, twists
        self._random = np.random.default_rng([options.seed, 6])

    def write(self, groups: Iterable[list[Record]]) -> list[WrittenObject]:
        """All objects, in stream order."""
        written: list[WrittenObject] = []
        flying: list[Future[WrittenObject]] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for batch in groups:
                flying.append(pool.submit(self._store, self._prepare(batch)))
                if len(flying) == _IN_FLIGHT:
                    written.append(flying.pop(0).result())
            written.extend(one.result() for one in flying)
        return written

    def _prepare(self, batch: list[Record]) -> _Prepared:
        """Decides everything random, batch after batch."""
        unique = uuid.UUID(bytes=self._random.bytes(16), version=4)
        compression, extension = self._container()
        texts = [record.text for record in batch]
        truncate = False
        if self._random.random() < self._options.corrupt:
            texts, truncate = self._corrupted(texts)
        separator = self._separator()
        key = object_key(self._options, min(record.arrival_us for record in batch), unique, extension)
        return _Prepared(key, separator.join(texts) + separator, compression, truncate, len(texts))

    def _container(self) -> tuple[str, str]:
        """Compression and extension; in a mixed archive one in five extensions is wrong."""
        if self._options.compression != "mixed":
            return self._options.compression, _EXTENSIONS[self._options.compression]
        compression, other = (list(_EXTENSIONS)[n] for n in self._random.integers(len(_EXTENSIONS), size=2))
        return compression, _EXTENSIONS[other if self._random.random() < 0.2 else compression]

    def _separator(self) -> str:
        chosen = self._options.separator
        return _SEPARATORS[list(_SEPARATORS)[int(self._random.integers(len(_SEPARATORS)))] if chosen == "mixed" else chosen]

    def _corrupted(self, texts: list[str]) -> tuple[list[str], bool]:
        """The records with one of the corruptions done to one of them, or a truncation to come."""
        cause = ("truncated", *CORRUPTIONS)[int(self._random.integers(1 + len(CORRUPTIONS)))]
        self._twists.update(("corrupt", f"corrupt: {cause}"))
        if cause == "truncated":
            return texts, True
        where = int(self._random.integers(len(texts)))
        return [*texts[:where], CORRUPTIONS[cause](texts[where]), *texts[where + 1 :]], False

    def _store(self, one: _Prepared) -> WrittenObject:
        data = one.text.encode()
        body = compress(data, one.compression, self._options.gzip_level)
        body = truncated(body) if one.truncate else body
        path = self._folder / one.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return WrittenObject(one.key, len(body), len(data), one.records)


def compress(data: bytes, compression: str, gzip_level: int) -> bytes:
    """The container's bytes, without time or name in them; `members` is gzip in three members cut anywhere."""
    if compression == "none":
        return data
    if compression == "zstd":
        return zstandard.ZstdCompressor().compress(data)
    if compression == "members":
        third = len(data) // 3
        return b"".join(zlib.compress(part, gzip_level, wbits=31) for part in (data[:third], data[third : 2 * third], data[2 * third :]))
    return zlib.compress(data, gzip_level, wbits=31)
