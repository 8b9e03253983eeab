"""Envelopes of Lambda and Firehose: the vendor's documented examples, with data of our own."""

import base64
import copy
import json
from typing import Any

AT_S = 1_545_084_650.987
AT_US = 1_545_084_650_987_000
POINT = {"name": "a", "time": 1_762_000_000, "value": 1.5}
LAMBDA_RECORD: dict[str, Any] = {
    "kinesis": {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "1",
        "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "approximateArrivalTimestamp": AT_S,
    },
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
    "awsRegion": "us-east-2",
    "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
}
"""AWS Lambda Developer Guide, "Using Lambda to process records from Amazon Kinesis Data Streams"."""

FIREHOSE_RECORD: dict[str, Any] = {
    "recordId": "49546986683135544286507457936321625675700192471156785154",
    "approximateArrivalTimestamp": 1_495_072_949_453,
    "data": "SGVsbG8gV29ybGQ=",
    "kinesisRecordMetadata": {
        "sequenceNumber": "49545115243490985018280067714973144582180062593244200961",
        "subsequenceNumber": 123456,
        "partitionKey": "partitionKey-03",
        "shardId": "shardId-000000000000",
        "approximateArrivalTimestamp": 1_495_072_949_123,
    },
}
"""Amazon Data Firehose Developer Guide, "Transform source data": a record from a Kinesis stream."""

ERROR_RECORD: dict[str, Any] = {
    "attemptsMade": 4,
    "arrivalTimestamp": 1_511_386_516_784,
    "errorCode": "Lambda.FunctionError",
    "errorMessage": "The Lambda function was successfully invoked but it returned an error result.",
    "attemptEndingTimestamp": 1_511_386_591_000,
    "rawData": "",
    "lambdaArn": "arn:aws:lambda:us-east-1:123456789012:function:transform:$LATEST",
}
"""Amazon Data Firehose Developer Guide, "Handle failure in data transformation"."""


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lambda_record(data: bytes, **changed: object) -> dict[str, Any]:
    record = copy.deepcopy(LAMBDA_RECORD)
    record["kinesis"] |= {"data": encoded(data)} | changed
    return record


def lambda_event(*data: bytes) -> bytes:
    return json.dumps({"Records": [lambda_record(one) for one in data]}).encode()


def firehose_record(data: bytes, **changed: object) -> dict[str, Any]:
    return copy.deepcopy(FIREHOSE_RECORD) | {"data": encoded(data)} | changed


def error_record(data: bytes, **changed: object) -> dict[str, Any]:
    return ERROR_RECORD | {"rawData": encoded(data)} | changed


def as_lines(*records: object) -> bytes:
    return "\n".join(map(json.dumps, records)).encode()


def host(name: str, **fields: object) -> bytes:
    return json.dumps({"type": "host", "hostId": name, "metrics": [POINT]} | fields).encode()
