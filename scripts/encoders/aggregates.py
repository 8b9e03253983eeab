"""Aggregates of the Kinesis Producer Library, as the vendor's public aws_kinesis_agg makes them."""

from collections.abc import Sequence

from aws_kinesis_agg.aggregator import RecordAggregator


def aggregate(*data: bytes, keys: Sequence[str] = ("a", "b", "c"), hash_key: str | None = None) -> bytes:
    """One aggregate of all the records, whose partition keys take turns. Raises ValueError for more than the MiB that a Kinesis record holds."""
    aggregator = RecordAggregator()
    for number, one in enumerate(data):
        if aggregator.add_user_record(keys[number % len(keys)], one, hash_key):
            raise ValueError(f"{number} records of {len(data)} fill an aggregate: give fewer")
    made = aggregator.clear_and_get()
    return bytes(made.get_contents()[2])
