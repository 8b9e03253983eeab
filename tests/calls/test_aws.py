"""What answers of AWS ask of who called."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from transforms.calls.aws import MOST_HOLD_S, is_throttled, retry_after_s, retry_reason
from transforms.stores.dynamodb_calls import is_key_range, is_of_account

NOON = "Sat, 01 Nov 2025 12:00:00 GMT"


def answer(code: str, status: int = 400, headers: dict[str, str] | None = None, **more: Any) -> ClientError:
    said: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}, **more}
    return ClientError(said, "Operation")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "100000"}, MOST_HOLD_S),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "1.5"}, 0.0),
        ({"retry-after": "Sat, 01 Nov 2025 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Sat, 01 Nov 2025 11:00:00 GMT", "date": NOON}, 0.0),
        ({"retry-after": "Sat, 01 Nov 2025 18:00:00 GMT", "date": NOON}, MOST_HOLD_S),
        ({"retry-after": "Sat, 01 Nov 2025 12:00:30 GMT"}, 0.0),
        ({"retry-after": "Sat, 01 Nov 2025 12:00:30 GMT", "date": "today"}, 0.0),
        ({"retry-after": "Sat, 01 Nov 2025 12:00:30 -0000", "date": NOON}, 30.0),
        ({"retry-after": "Sat Nov  1 12:00:30 2025", "date": "Sat Nov  1 12:00:00 2025"}, 30.0),
        ({"retry-after": "Sat, 01 Nov 99999999 12:00:30 GMT", "date": NOON}, 0.0),
    ],
)
def test_how_long_an_answer_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(answer("SlowDown", 503, headers)) == seconds


def test_what_is_no_answer_asks_for_nothing() -> None:
    assert retry_after_s(OSError("reset")) == 0.0


def reasons(*said: str) -> list[dict[str, str]]:
    return [{"reason": one, "resource": "arn:aws:dynamodb:us-east-1:000000000000:table/rollups"} for one in said]


THROUGHPUT = "ProvisionedThroughputExceededException"
ANSWERS = {
    "S3 slow down": (answer("SlowDown", 503), (True, False, False)),
    "S3 service unavailable": (answer("ServiceUnavailable", 503), (False, False, False)),
    "S3 internal error": (answer("InternalError", 500), (False, False, False)),
    "Lambda by caller": (answer("TooManyRequestsException", 429, Reason="CallerRateLimitExceeded"), (True, False, False)),
    "Lambda without reason": (answer("TooManyRequestsException", 429), (True, False, False)),
    "table": (answer(THROUGHPUT, ThrottlingReasons=reasons("TableWriteProvisionedThroughputExceeded")), (True, False, False)),
    "maximum on demand": (answer("ThrottlingException", ThrottlingReasons=reasons("TableWriteMaxOnDemandThroughputExceeded")), (True, False, False)),
    "key range": (answer(THROUGHPUT, ThrottlingReasons=reasons("TableWriteKeyRangeThroughputExceeded")), (True, True, False)),
    "key range of an index and table": (
        answer(THROUGHPUT, ThrottlingReasons=reasons("IndexWriteKeyRangeThroughputExceeded", "TableWriteProvisionedThroughputExceeded")),
        (True, False, False),
    ),
    "account, as reason": (answer("ThrottlingException", ThrottlingReasons=reasons("TableWriteAccountLimitExceeded")), (True, False, True)),
    "account, as code": (answer("RequestLimitExceeded"), (True, False, True)),
    "no reasons": (answer(THROUGHPUT), (True, False, False)),
}


@pytest.mark.parametrize(("error", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_a_throttle_whose_and_worth_another_attempt(error: ClientError, expected: tuple[bool, bool, bool]) -> None:
    assert (is_throttled(error), is_key_range(error), is_of_account(error)) == expected
    assert retry_reason(error) == error.response["Error"]["Code"]
