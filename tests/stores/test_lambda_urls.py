"""`lambda://` URLs: a function, and a table with a query of its own in the query."""

import pytest

from transforms.core.errors import UsageError
from transforms.core.store_settings import StoreSettings
from transforms.stores import open_store
from transforms.stores.dynamodb_place import Place
from transforms.stores.lambda_place import Function, places_of
from transforms.stores.lambda_store import LambdaStore
from transforms.stores.url import split_url

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:writer:live"


@pytest.mark.parametrize(
    ("url", "function", "place"),
    [
        ("lambda://writer?read=dynamodb://rollups", Function(function="writer"), Place(table="rollups")),
        ("lambda://writer:live?region=eu-west-1&read=dynamodb://r", Function(function="writer:live", region="eu-west-1"), Place(table="r", region="eu-west-1")),
        ("lambda://w?read=dynamodb://r?region=eu-west-1", Function(function="w"), Place(table="r", region="eu-west-1")),
        (
            "lambda://w?region=us-east-1&read=dynamodb%3A%2F%2Fr%3Fregion%3Deu-west-1%26endpoint_url%3Dhttp%3A%2F%2Fh%3A1",
            Function(function="w", region="us-east-1"),
            Place(table="r", region="eu-west-1", endpoint_url="http://h:1"),
        ),
        (
            "lambda://w?endpoint_url=http://h:1&region=eu-west-1&read=dynamodb://r?endpoint_url=http://h:2",
            Function(function="w", endpoint_url="http://h:1", region="eu-west-1"),
            Place(table="r", endpoint_url="http://h:2", region="eu-west-1"),
        ),
        (f"lambda://{ARN}?read=dynamodb://rollups", Function(function=ARN), Place(table="rollups")),
    ],
)
def test_it_names_function_and_table(url: str, function: Function, place: Place) -> None:
    assert places_of(split_url(url)) == (function, place)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("lambda://?read=dynamodb://rollups", r"lambda:// names no function or goes on after it: write lambda://function"),
        ("lambda://writer/live?read=dynamodb://rollups", r"names no function or goes on after it"),
        ("lambda://writer", r"lambda://writer does not say which table is read: write lambda://function\?region=eu-west-1&read=dynamodb://table"),
        ("lambda://writer?read=rollups", r"does not say which table is read"),
        ("lambda://writer?read=parquet:///x", r"does not say which table is read"),
        ("lambda://writer?read=dynamodb://", r"dynamodb:// names no table"),
        ("lambda://writer?table=x&read=dynamodb://r", r"lambda://writer has table after the \?: known are endpoint_url, read, region"),
        ("lambda://writer?read=dynamodb://me:hunter2@r", r"dynamodb://…@r holds a user name or password"),
        ("lambda://me:hunter2@writer?read=dynamodb://r", r"lambda://…@writer holds a user name or password"),
        ("lambda://writer?read=dynamodb://r&endpoint_url=http://me:hunter2@h", r"endpoint_url in the store URL lambda://writer has a user"),
    ],
)
def test_a_wrong_url_is_answered_with_what_would_be_right(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        open_store(url)
    assert "hunter2" not in str(refused.value)


def test_it_opens_without_a_call_and_is_like_the_table() -> None:
    store = open_store("lambda://writer?read=dynamodb://rollups")
    assert isinstance(store, LambdaStore)
    assert (store.traits.windows.days, store.traits.is_local, store.traits.live) == (7, False, "settled")


def test_unconditional_writes_do_not_go_through_a_function() -> None:
    with pytest.raises(UsageError, match="--dynamodb-fresh writes without conditions, and lambda://writer writes through a function"):
        open_store("lambda://writer?read=dynamodb://rollups", settings=StoreSettings(dynamodb_fresh=True))
