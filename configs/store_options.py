"""Options about stores: the fields of `StoreSettings`, for every command that opens a store."""

from typing import Final

from configs.option import Option, durations, whole_number
from transforms.core.granularity import GRANULARITIES

STORE_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        name="dynamodb-fresh",
        flag=True,
        default=False,
        help="the table is new and nobody else writes into it: new items are written in batches, unconditionally",
    ),
    Option(
        name="dynamodb-read-units",
        parse=whole_number(1),
        default=1000,
        metavar="RRU",
        help="a worker process reads a DynamoDB table with at most so many read request units a second (default: 1000)",
    ),
    Option(
        name="dynamodb-ttl",
        parse=durations("granularity", GRANULARITIES),
        default=(),
        metavar="LIST",
        help="when items in DynamoDB expire, counted from the end of their span, such as 1m=15d,5m=90d; what would have expired is refused; without it, never",
    ),
    Option(
        name="dynamodb-write-units",
        parse=whole_number(1),
        default=500,
        metavar="WRU",
        help="a worker process writes into a DynamoDB table with at most so many write request units a second (default: 500)",
    ),
    Option(
        name="lambda-concurrency",
        parse=whole_number(1),
        default=4,
        metavar="N",
        help="so many invocations of the function of a lambda:// store are in flight at once, of all processes on this machine together (default: 4)",
    ),
    Option(
        name="lambda-invoke-per-s",
        parse=whole_number(1),
        default=20,
        metavar="N",
        help="a worker process invokes the function of a lambda:// store at most so many times a second (default: 20)",
    ),
)
