"""Making the table of a DynamoDB store, and what a plan should know of one."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from transforms.calls.aws import error_code
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.stores.dynamodb_place import Place

TTL_ATTRIBUTE: Final = "expires"
CHECK_S: Final = 2.0
CHECKS: Final = 150
"""How often and how long a new table is waited for: five minutes."""

KEY_SCHEMA: Final = ({"AttributeName": "series", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"})
ATTRIBUTES: Final = ({"AttributeName": "series", "AttributeType": "S"}, {"AttributeName": "item", "AttributeType": "S"})


def create_table(place: Place, wait_s: Callable[[float], None] = time.sleep) -> list[str]:
    """Make the table unless it is there: on demand, with TTL and point-in-time recovery. Returns what was done when it can be used.

    Raises RefusedError if there is a table of that name with another key.
    """
    client = place.client()
    try:
        done = list(_created(client, place))
        _wait_until_active(client, place, wait_s)
        done += [*_expiring(client, place), *_recoverable(client, place)]
    except (ClientError, BotoCoreError) as error:
        raise UsageError(f"making the table {place.table!r}: {error}") from error
    return done


def _created(client: Any, place: Place) -> Iterator[str]:  # noqa: ANN401 - botocore makes its classes at run time
    table = _described(client, place)
    if table is None:
        client.create_table(TableName=place.table, KeySchema=KEY_SCHEMA, AttributeDefinitions=ATTRIBUTES, BillingMode="PAY_PER_REQUEST")
        yield f"made the table {place.table}, billed on demand"
        return
    keys = [(one["AttributeName"], one["KeyType"]) for one in table["KeySchema"]]
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    if keys != [("series", "HASH"), ("item", "RANGE")] or {types[name] for name, _ in keys} != {"S"}:
        raise RefusedError(f"the table {place.table!r} is there with the key {keys}: rollups need series (S) and item (S); choose another name")


def _described(client: Any, place: Place) -> dict[str, Any] | None:  # noqa: ANN401 - botocore makes its classes at run time
    try:
        table: dict[str, Any] = client.describe_table(TableName=place.table)["Table"]
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise
    return table


def _wait_until_active(client: Any, place: Place, wait_s: Callable[[float], None]) -> None:  # noqa: ANN401 - botocore makes its classes at run time
    for _ in range(CHECKS):
        table = _described(client, place)
        if table and table["TableStatus"] == "ACTIVE":
            return
        wait_s(CHECK_S)
    raise ServiceUnavailable(f"the table {place.table!r} is not active after {CHECKS * CHECK_S:.0f} s: repeat the command")


def _expiring(client: Any, place: Place) -> Iterator[str]:  # noqa: ANN401 - botocore makes its classes at run time
    now = client.describe_time_to_live(TableName=place.table)["TimeToLiveDescription"]
    if now["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
        if now["AttributeName"] != TTL_ATTRIBUTE:
            raise RefusedError(f"the table {place.table!r} expires items by {now['AttributeName']!r}, and rollups by {TTL_ATTRIBUTE!r}: turn the former off")
        return
    client.update_time_to_live(TableName=place.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE})
    yield f"items expire by the attribute {TTL_ATTRIBUTE}"


def _recoverable(client: Any, place: Place) -> Iterator[str]:  # noqa: ANN401 - botocore makes its classes at run time
    described = client.describe_continuous_backups(TableName=place.table)["ContinuousBackupsDescription"]
    if described.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED":
        return
    client.update_continuous_backups(TableName=place.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    yield "point-in-time recovery is on"


def cloudformation(place: Place) -> dict[str, Any]:
    """A template that makes the table that `create_table` makes, and keeps it when the stack is deleted."""
    properties = {
        "TableName": place.table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": list(ATTRIBUTES),
        "KeySchema": list(KEY_SCHEMA),
        "TimeToLiveSpecification": {"AttributeName": TTL_ATTRIBUTE, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    table = {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Properties": properties}
    return {"AWSTemplateFormatVersion": "2010-09-09", "Description": "Metric rollups", "Resources": {"Rollups": table}}


def table_facts(place: Place) -> tuple[tuple[str, str], ...]:
    """Account, region, table and what of it is known, for people. What may not be asked is left out."""
    named = ("table", place.table), ("endpoint", place.endpoint_url) if place.endpoint_url else ("service", "DynamoDB of AWS")
    try:
        table = _described(place.client(), place)
    except (ClientError, BotoCoreError) as error:
        return *named, ("note", f"more is not known: {_denied(error, 'dynamodb:DescribeTable')}")
    if table is None:
        return *named, ("note", f"there is no such table: make it with `rollups store create --store {place.name}`")
    _, _, _, region, account, _ = table["TableArn"].split(":", 5)
    size = f"{table.get('ItemCount', 0):,} items, {table.get('TableSizeBytes', 0):,} bytes (as of some hours ago)"
    return ("account", account), ("region", region), *named, ("holds", size)


def stream_warnings(place: Place) -> list[str]:
    """What of the table's stream a plan should tell: Lambda functions that our writes would start. What may not be asked is told, too."""
    try:
        table = _described(place.client(), place) or {}
    except (ClientError, BotoCoreError) as error:
        return [f"whether {place.name} has a stream that starts functions is not known: {_denied(error, 'dynamodb:DescribeTable')}"]
    stream = table.get("LatestStreamArn", "") if table.get("StreamSpecification", {}).get("StreamEnabled") else ""
    return [*_consumers(place, stream)] if stream else []


def _consumers(place: Place, stream: str) -> Iterator[str]:
    try:
        pages = place.client("lambda").get_paginator("list_event_source_mappings").paginate(EventSourceArn=stream)
        mappings = [one for page in pages for one in page["EventSourceMappings"]]
    except (ClientError, BotoCoreError) as error:
        yield f"the table {place.table} has a stream, and which functions it starts is not known: {_denied(error, 'lambda:ListEventSourceMappings')}"
        return
    names = sorted({one["FunctionArn"].rpartition(":function:")[2] for one in mappings if one.get("State") not in ("Disabled", "Disabling")})
    if names:
        yield (
            f"the table {place.table} has a stream that starts {', '.join(names)}: every item written here would start them too, outside of any limit "
            "of this run; disable the event source mapping for the time of the run, or give the functions reserved concurrency"
        )


def _denied(error: Exception, action: str) -> str:
    return f"{error_code(error) or error} (it needs {action})"
