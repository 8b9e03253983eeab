"""Records that the Kinesis Producer Library aggregated (its aggregation-format.md): several user records in one Kinesis record.

    F3 89 9A C2 | AggregatedRecord as protobuf | MD5 of the protobuf, 16 bytes

    message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2; repeated Record records = 3; }
    message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2; required bytes data = 3; repeated Tag tags = 4; }

Unknown fields are skipped by their wire type, as protobuf does.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from transforms.core.errors import DecodeError
from transforms.decode.causes import BAD_AGGREGATE, BAD_DIGEST

MAGIC: Final = b"\xf3\x89\x9a\xc2"

_DIGEST_BYTES: Final = 16
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {_FIXED_64: 8, _FIXED_32: 4}
_PARTITION_KEYS, _HASH_KEYS, _RECORDS = 1, 2, 3
_PARTITION_KEY, _HASH_KEY, _DATA = 1, 2, 3


def user_records(aggregate: bytes) -> list[bytes]:
    """The data of the user records in the order in which they were added.

    Raises `DecodeError` if the digest is wrong, or the message is not one: then nothing of the aggregate can be trusted.
    """
    message, digest = aggregate[len(MAGIC) : -_DIGEST_BYTES], aggregate[-_DIGEST_BYTES:]
    if len(aggregate) < len(MAGIC) + _DIGEST_BYTES or hashlib.md5(message, usedforsecurity=False).digest() != digest:
        raise DecodeError(BAD_DIGEST, f"the last {_DIGEST_BYTES} bytes of {len(aggregate)} are not the digest of those before")
    tables = {_PARTITION_KEYS: 0, _HASH_KEYS: 0}
    records: list[dict[int, int | bytes]] = []
    for number, value in _fields(message):
        if number in (*tables, _RECORDS) and not isinstance(value, bytes):
            raise DecodeError(BAD_AGGREGATE, f"field {number} is not of bytes")
        if isinstance(value, bytes) and number == _RECORDS:
            records.append(dict(_fields(value)))
        elif number in tables:
            tables[number] += 1
    return [_data(record, tables) for record in records]


def _data(record: dict[int, int | bytes], tables: dict[int, int]) -> bytes:
    data, partition_key, hash_key = record.get(_DATA), record.get(_PARTITION_KEY), record.get(_HASH_KEY, 0)
    if not isinstance(data, bytes) or not isinstance(partition_key, int) or not isinstance(hash_key, int):
        raise DecodeError(BAD_AGGREGATE, "a record without data or partition key")
    if partition_key >= tables[_PARTITION_KEYS] or (_HASH_KEY in record and hash_key >= tables[_HASH_KEYS]):
        raise DecodeError(
            BAD_AGGREGATE, f"a record with partition key {partition_key} of {tables[_PARTITION_KEYS]}, hash key {hash_key} of {tables[_HASH_KEYS]}"
        )
    return data


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an integer, or bytes; fixed-width ones as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        size = _FIXED_BYTES.get(tag & 7)
        if tag & 7 == _BYTES:
            size, at = _varint(message, at)
        if size is None or at + size > len(message) or tag < 8:
            raise DecodeError(BAD_AGGREGATE, f"field {tag >> 3} of wire type {tag & 7} ends beyond its {len(message)} bytes, or is none", at)
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number of at most 10 bytes at `at`, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise DecodeError(BAD_AGGREGATE, "a number without an end", at)
