"""What writing a load into DynamoDB takes, directly or through a writer function: `transforms.stores.expected` asks it."""

import math

from transforms.calls.meter import USUAL_GB
from transforms.core.forecast import Load
from transforms.core.limits import Rates
from transforms.core.usage import Usage
from transforms.stores.dynamodb_expected import FIXED_WRITES, batches_of, queried, reading, restoring, sent, typical_series
from transforms.stores.dynamodb_place import THREADS
from transforms.stores.lambda_batch import MOST_BYTES
from transforms.stores.lambda_delivery import BATCH_ITEMS


def expected_of_dynamodb(load: Load, _rates: Rates, _processes: int) -> Usage:
    """Every series' items are read and written, every unit's marks and before-images besides; nothing is written by a dry run."""
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
        dynamodb_wru=FIXED_WRITES * len(load.computed) * load.units + load.new,
        dynamodb_rru=texts,
        dynamodb_read=texts,
        dynamodb_write=FIXED_WRITES * len(load.computed) * load.units,
    )
    return reads + written + fixed + Usage(dynamodb_rru=back.reads, dynamodb_read=back.read_calls) * verified


def expected_of_lambda(load: Load, rates: Rates, processes: int) -> Usage:
    """What the table takes is as if it were written directly. An invocation runs no longer than its writes are paced, with all that may be in flight."""
    used = expected_of_dynamodb(load, rates, processes)
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


def read_from_dynamodb(load: Load) -> Usage:
    """Every series of a unit is asked for; so is the unit's roster, and how many shards the partition has."""
    of_series = queried(typical_series(load.computed, load.share))
    texts = load.partitions + load.units * len(load.computed)
    return Usage(dynamodb_rru=of_series.reads, dynamodb_read=of_series.read_calls) * load.series + Usage(dynamodb_rru=texts, dynamodb_read=texts)
