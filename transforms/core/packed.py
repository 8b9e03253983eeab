"""Packed items: the buckets of one series, granularity and span of time as a few bytes, as long-term metric stores keep them.

An item holds the span (`SPAN_S`) of 4 hours of 1m buckets, 1 day of 5m buckets or 7 days of 1h buckets, aligned to the UTC epoch. The series, the granularity
and the start of the span are the item's key, not in its bytes. Format 1, all numbers little-endian:

    item     u8 format = 1, u8 number of blocks, then the blocks: one for each kind of the series in this span, ordered by the kind's name
    block    u32 length of the whole block in bytes
             u8 kind: 0 gauge, 1 counter, 2 delta, 3 histogram
             u16 slots: buckets that the span has room for (240, 288 or 168)
             u16 rows: buckets present, at least 1
             18 times u8 form of each column, in the order minutes, count, sum, min, max, avg, last, increase, p50, p90, p95, p99, generation, first_value,
                 last_value, start_time (ms), bounds, bucket_counts
             presence: a bit for each slot, ceil(slots / 8) bytes, the first slot in the lowest bit of the first byte
             then one section for each column, in the same order, with one value for each bucket present
    section  by the form of its column:
             0       every value is null: nothing
             1 RAW   8 bytes a value: a float64, or an i64
             2 INTS  u8 width w, then w bytes a value (w = 1, 2 or 4, two's complement): whole numbers, also those of float columns
             3 RUNS  u16 number of runs, then for each run u16 length (highest bit set: these are null) and the 8 bytes of RAW (0 for nulls)
             5, 6    RAW or INTS with holes: ceil(rows / 8) bytes with a bit for each value that is not null, then these values only
             7 LISTS (bounds, bucket_counts) u16 number of runs of equal lists, u8 width w (1, 2, 4 as in INTS; 8 as in RAW), then for each run u16 length in
                     rows (highest bit set: these are null) and u32 elements of a list, then the elements of all runs
             16 + k  equal to column k, an earlier one that is not itself of this form: nothing

Canonical: the same rows give the same bytes. A column is of form 16 + k wherever one of the columns in `EQUALS` is equal bit for bit; else of the form that is
the shortest (of equally long ones RUNS before INTS before RAW), with the least width that fits. A day's gauge at 1m takes 8 bytes a bucket, less where
values are whole numbers or repeat; everything else of the block about 70 bytes. Floats keep their bits but for -0.0, which rollups don't have.

Work per bucket is done by NumPy over all items at once, Python per item.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.canonical import bucket_ms, canonical, in_order, ordered, series_runs
from transforms.core.errors import RefusedError, RollupsError
from transforms.core.granularity import DAY_S, HOUR_S, WIDTH_S
from transforms.core.model import KINDS, ROLLUP_SCHEMA, Ints
from transforms.core.packed_columns import COLUMNS, Sections, pack_columns, unpack_columns
from transforms.core.ragged import sizes_of, starts_of
from transforms.core.united import IDENTITY

FORMAT: Final = 1
SPAN_S: Final[Mapping[str, int]] = {"1m": 4 * HOUR_S, "5m": DAY_S, "1h": 7 * DAY_S}
"""Seconds of an item's span by granularity."""

_BLOCK: Final = struct.Struct("<IBHH")
_HEAD_BYTES: Final = _BLOCK.size + len(COLUMNS)


class ItemKey(NamedTuple):
    """Of which series of a metric type, and from when (seconds since the epoch), an item is."""

    org: str
    entity: str
    name: str
    labels: str
    start_s: int


class _Block(NamedTuple):
    """A block found in an item: what its header says, and where its columns' sections lie."""

    key: ItemKey
    kind: int
    slots: int
    rows: int
    forms: bytes
    presence: memoryview
    sections: memoryview


def slots_of(granularity: str) -> int:
    """Buckets of a span."""
    return SPAN_S[granularity] // WIDTH_S[granularity]


def pack(table: pa.Table, granularity: str) -> dict[ItemKey, bytes]:
    """The items of a table (canonical, in order), in its order. Raises RollupsError for a bucket that is not aligned."""
    if not table.num_rows:
        return {}
    width_ms, span_ms = WIDTH_S[granularity] * 1000, SPAN_S[granularity] * 1000
    at_ms = bucket_ms(table)
    if (at_ms % width_ms).any():
        wrong = int(at_ms[at_ms % width_ms != 0][0])
        raise RollupsError(f"packing {granularity} rollups: bucket_start {wrong} ms is no multiple of {width_ms} ms")
    runs = series_runs(table)
    series = np.repeat(np.arange(len(runs.keys)), runs.lengths())
    span = at_ms // span_ms
    starts = starts_of(series, span)
    rows = sizes_of(starts, table.num_rows)
    block = np.repeat(np.arange(len(starts)), rows)
    present = _presence(block, (at_ms - span * span_ms) // width_ms, len(starts), slots_of(granularity))
    packed = pack_columns(table, starts)
    items: dict[ItemKey, list[bytes]] = {}
    for number, (whose, at) in enumerate(zip(series[starts].tolist(), (span[starts] * SPAN_S[granularity]).tolist(), strict=True)):
        org, entity, name, labels, kind = runs.keys[whose]
        body = b"".join((packed.forms[number].tobytes(), present[number], *packed.parts[number]))
        head = _BLOCK.pack(_BLOCK.size + len(body), KINDS.index(kind), slots_of(granularity), int(rows[number]))
        items.setdefault(ItemKey(org, entity, name, labels, at), []).append(head + body)
    return {key: bytes((FORMAT, len(blocks))) + b"".join(blocks) for key, blocks in items.items()}


def item_keys(table: pa.Table, granularity: str) -> list[ItemKey]:
    """The items in which buckets lie: those of a table in order that has the identity and bucket_start at least."""
    runs, span_s = series_runs(table), SPAN_S[granularity]
    at_s = bucket_ms(table) // 1000 // span_s * span_s
    series = np.repeat(np.arange(len(runs.keys)), runs.lengths())
    first = starts_of(series, at_s)
    found: dict[ItemKey, None] = {}
    for whose, at in zip(series[first].tolist(), at_s[first].tolist(), strict=True):
        org, entity, name, labels, _ = runs.keys[whose]
        found[ItemKey(org, entity, name, labels, at)] = None
    return list(found)


def _presence(block: Ints, slot: Ints, blocks: int, slots: int) -> list[bytes]:
    bits = np.zeros((blocks, slots), np.uint8)
    bits[block, slot] = 1
    return [one.tobytes() for one in np.packbits(bits, axis=1, bitorder="little")]


def unpack(items: Iterable[tuple[ItemKey, bytes]], granularity: str) -> pa.Table:
    """The rows of items, canonical and in order. Raises RefusedError, with the series, for bytes that are no item of that granularity."""
    blocks = [block for key, body in items for block in _blocks(key, body, granularity)]
    if not blocks:
        return ROLLUP_SCHEMA.empty_table()
    rows = np.array([one.rows for one in blocks], np.int64)
    sections = [Sections(one.forms, one.sections, one.rows) for one in blocks]
    try:
        columns = unpack_columns(sections, rows)
    except (ValueError, IndexError, struct.error, pa.ArrowInvalid) as error:
        raise _refused(_broken(blocks), granularity, f"its columns can't be read ({error})") from error
    columns["bucket_start"] = _bucket_starts(blocks, rows, granularity)
    columns |= {name: _repeated([_text(one, name) for one in blocks], rows) for name in IDENTITY}
    table = canonical(pa.table([columns[field.name] for field in ROLLUP_SCHEMA], schema=ROLLUP_SCHEMA))
    return table if in_order(table) else canonical(ordered(table))


def _broken(blocks: list[_Block]) -> ItemKey:
    """The first one whose columns can't be read by themselves."""
    for one in blocks:
        try:
            unpack_columns([Sections(one.forms, one.sections, one.rows)], np.array([one.rows]))
        except (ValueError, IndexError, struct.error, pa.ArrowInvalid):
            return one.key
    return blocks[0].key


def _blocks(key: ItemKey, body: bytes, granularity: str) -> Iterator[_Block]:
    if len(body) < 2 or body[0] != FORMAT:
        raise _refused(key, granularity, f"it begins with {body[:2].hex() or 'nothing'}, and format {FORMAT} is the one known: use a newer version to read it")
    view, at, kinds = memoryview(body), 2, set()
    for _ in range(body[1]):
        if len(body) < at + _HEAD_BYTES:
            raise _refused(key, granularity, "it is cut")
        length, kind, slots, rows = _BLOCK.unpack_from(body, at)
        inner, presence_bytes = at + _HEAD_BYTES, -(-slots // 8)
        end = at + length
        fits = end <= len(body) and inner + presence_bytes <= end and kind < len(KINDS) and kind not in kinds and slots == slots_of(granularity) and rows
        if not fits:
            raise _refused(key, granularity, f"a block says {length} bytes, kind {kind}, {slots} slots, {rows} rows")
        presence = view[inner : inner + presence_bytes]
        if int.from_bytes(presence, "little").bit_count() != rows or int.from_bytes(presence, "little") >> slots:
            raise _refused(key, granularity, f"its presence bits do not tell {rows} buckets of {slots}")
        yield _Block(key, kind, slots, rows, bytes(view[at + _BLOCK.size : inner]), presence, view[inner + presence_bytes : end])
        kinds.add(kind)
        at = end
    if at != len(body) or not body[1]:
        raise _refused(key, granularity, f"it has {len(body)} bytes and its {body[1]} blocks end at {at}")


def _refused(key: ItemKey, granularity: str, why: str) -> RefusedError:
    return RefusedError(
        f"reading the packed {granularity} item of {key.org}/{key.entity}/{key.name} {key.labels} from {key.start_s}: {why}; restore the item or delete it"
    )


def _bucket_starts(blocks: list[_Block], rows: Ints, granularity: str) -> pa.Array:
    bits = np.frombuffer(b"".join(one.presence for one in blocks), np.uint8).reshape(len(blocks), -1)
    _, slot = np.nonzero(np.unpackbits(bits, axis=1, bitorder="little"))
    start_s = np.array([one.key.start_s for one in blocks], np.int64)
    return pa.array((np.repeat(start_s, rows) + slot * WIDTH_S[granularity]) * 1000).view(ROLLUP_SCHEMA.field("bucket_start").type)


def _text(block: _Block, name: str) -> str:
    return KINDS[block.kind] if name == "kind" else str(getattr(block.key, name))


def _repeated(texts: list[str], rows: Ints) -> pa.DictionaryArray:
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.array(np.repeat(encoded.indices.to_numpy(), rows), pa.int32()), encoded.dictionary)
