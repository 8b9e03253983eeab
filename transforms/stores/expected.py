"""What a store will be asked for when a load is written to it, by the kind of store. Tests compare it with what servers were asked for."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from transforms.calls.meter import USUAL_GB
from transforms.core.forecast import Load
from transforms.core.granularity import GRANULARITIES
from transforms.core.limits import Rates
from transforms.core.usage import NOTHING, Usage
from transforms.stores.dynamodb_expected import FIXED_WRITES, batches_of, reading, restoring, sent, typical_series
from transforms.stores.dynamodb_place import THREADS
from transforms.stores.lambda_batch import MOST_BYTES
from transforms.stores.lambda_delivery import BATCH_ITEMS
from transforms.stores.url import split_url


def expected_of_store(url: str, load: Load, rates: Rates, processes: int) -> Usage:
    """What writing the load takes, with reading back as planned; nothing for stores that nobody charges for."""
    return _KINDS.get(split_url(url).scheme, _free)(load, rates, processes)


def _free(_load: Load, _rates: Rates, _processes: int) -> Usage:
    return NOTHING


def _parquet_s3(load: Load, _rates: Rates, _processes: int) -> Usage:
    """An object of each unit and granularity is read, its before-image is put, then it is; before that it is asked how many shards the partition has."""
    objects = load.units * len(load.computed)
    if load.dry_run:
        return Usage(s3_get=objects)
    opened = Usage(s3_get=load.partitions, s3_list=load.new * len(GRANULARITIES), s3_put=load.new)
    written = Usage(s3_get=load.units + objects, s3_put=2 * objects)
    verified = Usage(s3_get=2 * load.verified * len(load.computed), s3_list=1 if load.verified else 0)
    return opened + written + verified


def _dynamodb(load: Load, _rates: Rates, _processes: int) -> Usage:
    rollups = typical_series(load.computed, load.share)
    of_series = restoring(rollups, replaced=not load.new)
    back = reading(rollups)
    verified = load.verified / max(1, load.units) * load.series
    reads = Usage(dynamodb_rru=of_series.reads, dynamodb_read=of_series.read_calls) * load.series
    if load.dry_run:
        return reads
    texts = load.partitions + load.units
    written = Usage(dynamodb_wru=of_series.writes, dynamodb_write=of_series.write_calls) * load.series
    fixed = Usage(
        dynamodb_wru=FIXED_WRITES * load.units + load.new, dynamodb_rru=texts, dynamodb_read=texts, dynamodb_write=2 * load.units * len(load.computed)
    )
    return reads + written + fixed + Usage(dynamodb_rru=back.reads, dynamodb_read=back.read_calls) * verified


def _lambda(load: Load, rates: Rates, processes: int) -> Usage:
    """What the table takes is as if it were written directly. An invocation runs no longer than its writes are paced, with all that may be in flight."""
    used = _dynamodb(load, rates, processes)
    if load.dry_run:
        return used
    series_of_unit = load.series / max(1, load.units)
    of_unit = (
        batches_of(items * series_of_unit, text * series_of_unit, BATCH_ITEMS, MOST_BYTES)
        for items, text in sent(typical_series(load.computed, load.share)).values()
    )
    in_flight = min(rates.lambda_concurrency, THREADS * processes)
    gb_s = used.dynamodb_wru / rates.dynamodb_wru_per_s * in_flight * USUAL_GB
    return used + Usage(lambda_invoke=math.ceil(sum(of_unit) * load.units), lambda_gb_s=gb_s)


_KINDS: Final[Mapping[str, Callable[[Load, Rates, int], Usage]]] = {"parquet+s3": _parquet_s3, "dynamodb": _dynamodb, "lambda": _lambda}
