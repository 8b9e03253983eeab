"""All rollups of a DynamoDB table: a Scan in parallel segments, paced, sorted on disk."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Final

import pyarrow as pa

from transforms.core.granularity import Range
from transforms.core.packed import SPAN_S, ItemKey, unpack
from transforms.stores.dynamodb_calls import TableCalls
from transforms.stores.dynamodb_keys import item_name, keyed
from transforms.stores.dynamodb_layout import AFTER, Found
from transforms.stores.dynamodb_reading import assembled
from transforms.stores.protocol import Wanted
from transforms.stores.spooling import sorted_scan

SEGMENTS: Final = 8
"""Parts of the table that are read at once; pages of 1 MB each are in memory."""


def scan_table(
    calls: TableCalls,
    granularity: str,
    metric_types: Sequence[str],
    periods: Sequence[Range] | None,
    wanted: Wanted | None,
    columns: Sequence[str],
) -> Iterator[tuple[str, pa.Table]]:
    """As `Backend.scan`. What the service reads is charged, also what is not asked for; only that is sent."""
    if periods is not None and not periods:
        return iter(())

    def tables() -> Iterator[tuple[str, pa.Table]]:
        for page in _pages(calls, granularity, periods):
            for metric_type, items in _by_type(assembled(calls, page), metric_types, wanted).items():
                yield metric_type, unpack(items, granularity)

    return sorted_scan(tables(), granularity, periods=periods, wanted=wanted, columns=columns)


def _by_type(items: Iterator[Found], metric_types: Sequence[str], wanted: Wanted | None) -> dict[str, list[tuple[ItemKey, bytes]]]:
    """Items that are asked for."""
    chosen: dict[str, list[tuple[ItemKey, bytes]]] = {}
    for item in items:
        metric_type, key = keyed(item)
        if item.body is not None and metric_type in metric_types and (wanted is None or wanted(metric_type, *key[:-1])):
            chosen.setdefault(metric_type, []).append((key, item.body))
    return chosen


def _pages(calls: TableCalls, granularity: str, periods: Sequence[Range] | None) -> Iterator[list[dict[str, Any]]]:
    """Items of all segments as they come, one page of each in flight."""
    low, high = _names(granularity, periods)
    arguments = {
        "TableName": calls.place.table,
        "FilterExpression": "begins_with(series, :series) AND #item BETWEEN :low AND :high",
        "ExpressionAttributeNames": {"#item": "item"},
        "ExpressionAttributeValues": {":series": {"S": "["}, ":low": {"S": low}, ":high": {"S": high}},
        "TotalSegments": SEGMENTS,
        "ConsistentRead": True,
        "ReturnConsumedCapacity": "TOTAL",
    }
    with ThreadPoolExecutor(SEGMENTS) as pool:
        pending: dict[Future[Any], int] = {pool.submit(calls.page, "scan", "scan", arguments | {"Segment": one}): one for one in range(SEGMENTS)}
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                page, segment = future.result(), pending.pop(future)
                if "LastEvaluatedKey" in page:
                    after = {"Segment": segment, "ExclusiveStartKey": page["LastEvaluatedKey"]}
                    pending[pool.submit(calls.page, "scan", "scan", arguments | after)] = segment
                yield page["Items"]


def _names(granularity: str, periods: Sequence[Range] | None) -> tuple[str, str]:
    """Between which sort keys the items lie that may overlap the periods."""
    if periods is None:
        return f"{granularity}#", f"{granularity}#{AFTER}"
    span_s = SPAN_S[granularity]
    first_s = periods[0][0] // span_s * span_s
    return item_name(granularity, first_s), item_name(granularity, periods[-1][1]) + AFTER
