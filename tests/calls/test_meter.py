"""What a meter counts against what servers count: every request that comes over the wire, and no other, with what it is charged."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from scripts.local_servers import ministack
from tests.archive import s3_servers
from tests.archive.s3_servers import Recorder
from tests.stores.dynamodb_proxy import Proxy, proxied, throttled
from tests.stores.dynamodb_servers import new_place
from transforms.calls.meter import UNKNOWN_BYTES, Meter
from transforms.calls.tally import FileTally
from transforms.core.capacity import read_units
from transforms.core.errors import BudgetReached
from transforms.core.usage import Budget, Prices, Usage


def client(service: str, url: str, attempts: int = 1) -> Any:
    config = Config(retries={"total_max_attempts": attempts, "mode": "standard"}, s3={"addressing_style": "path"})
    return boto3.session.Session().client(service, endpoint_url=url, region_name="us-east-1", config=config)


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    with s3_servers.aws_environment():
        yield


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Recorder]:
    with ExitStack() as ends:
        url = ends.enter_context(s3_servers.served("moto", tmp_path))
        owner = s3_servers.client(url)
        owner.create_bucket(Bucket="archive")
        owner.put_object(Bucket="archive", Key="a", Body=b"x" * 1000)
        yield ends.enter_context(s3_servers.recorded(url))


@pytest.fixture(scope="module")
def table() -> Iterator[Proxy]:
    with ministack() as url, proxied(url) as proxy:
        yield proxy


class TestS3:
    def test_calls_are_counted_by_their_price_with_the_bytes_that_come(self, bucket: Recorder) -> None:
        meter, s3 = Meter(), client("s3", bucket.url)
        meter.attach(s3)
        for _ in range(3):
            s3.get_object(Bucket="archive", Key="a")["Body"].read()
        s3.get_object(Bucket="archive", Key="a", Range="bytes=0-99")["Body"].read()
        s3.list_objects_v2(Bucket="archive")
        s3.put_object(Bucket="archive", Key="b", Body=b"")
        s3.head_object(Bucket="archive", Key="a")
        s3.delete_object(Bucket="archive", Key="b")
        assert meter.tally.used() == Usage(s3_get=5, s3_list=1, s3_put=1, s3_bytes=3100)
        assert len(bucket.requests) == 8

    def test_a_refused_call_is_a_call_and_botocores_own_repetitions_are_calls(self, bucket: Recorder) -> None:
        meter, s3 = Meter(), client("s3", bucket.url, attempts=3)
        meter.attach(s3)
        bucket.faults["a"] = (503, "SlowDown")
        with pytest.raises(ClientError, match="SlowDown"):
            s3.get_object(Bucket="archive", Key="a")
        assert meter.tally.used().s3_get == 3 == bucket.operations()["GetObject"]

    def test_the_call_beyond_the_budget_does_not_leave_the_house(self, bucket: Recorder) -> None:
        meter, s3 = Meter(budget=Budget(max_gets=2)), client("s3", bucket.url)
        meter.attach(s3)
        for _ in range(2):
            s3.get_object(Bucket="archive", Key="a")["Body"].read()
        with pytest.raises(BudgetReached, match="--max-gets 2"):
            s3.get_object(Bucket="archive", Key="a")
        assert bucket.operations() == {"GetObject": 2}
        s3.list_objects_v2(Bucket="archive")
        assert meter.tally.used().s3_get == 2

    def test_a_repetition_is_held_back_as_well(self, bucket: Recorder) -> None:
        meter, s3 = Meter(budget=Budget(max_gets=2)), client("s3", bucket.url, attempts=5)
        meter.attach(s3)
        bucket.faults["a"] = (503, "SlowDown")
        with pytest.raises(BudgetReached):
            s3.get_object(Bucket="archive", Key="a")
        assert bucket.operations() == {"GetObject": 2}

    def test_money_counts_bytes_before_they_come(self, bucket: Recorder) -> None:
        prices = Prices(s3_get_per_1000=0.0, s3_out_per_gb=1.0)
        most = UNKNOWN_BYTES / 1e9
        meter, s3 = Meter(budget=Budget(max_cost=most + 1.5e-6, prices=prices)), client("s3", bucket.url)
        meter.attach(s3)
        for _ in range(2):  # of 1,000 bytes, for a budget of 1,500
            s3.get_object(Bucket="archive", Key="a")["Body"].read()
        with pytest.raises(BudgetReached, match="--max-cost"):
            s3.get_object(Bucket="archive", Key="a")
        assert meter.tally.used().s3_bytes == 2000

    def test_without_an_answer_the_most_was_used(self, tmp_path: Path) -> None:
        tally = FileTally(tmp_path / "used")
        s3 = client("s3", "http://127.0.0.1:9")  # nobody is there
        Meter(tally).attach(s3)
        with pytest.raises(Exception, match="Could not connect"):
            s3.get_object(Bucket="archive", Key="a", Range="bytes=0-99")
        assert tally.used() == Usage(s3_get=1, s3_bytes=100)


class TestDynamo:
    def test_units_are_those_that_the_service_charges(self, table: Proxy) -> None:
        meter, place = Meter(), new_place(table.url)
        dynamodb, name = client("dynamodb", table.url), place.table
        meter.attach(dynamodb)
        reads, writes = table.reads, table.writes
        capacity: dict[str, Any] = {"ReturnConsumedCapacity": "TOTAL"}
        items = [{"series": {"S": "a"}, "item": {"S": str(number)}, "body": {"B": b"x" * 3000}} for number in range(4)]
        dynamodb.put_item(TableName=name, Item=items[0], **capacity)
        dynamodb.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": one}} for one in items[1:]]}, **capacity)
        dynamodb.query(TableName=name, KeyConditionExpression="series = :s", ExpressionAttributeValues={":s": {"S": "a"}}, ConsistentRead=True, **capacity)
        keys = [{"series": {"S": "a"}, "item": {"S": str(number)}} for number in range(3)]
        dynamodb.batch_get_item(RequestItems={name: {"Keys": keys, "ConsistentRead": True}}, **capacity)
        used = meter.tally.used()
        assert (used.dynamodb_wru, used.dynamodb_rru) == (table.writes - writes, table.reads - reads) == (12, 6)
        assert (used.dynamodb_write, used.dynamodb_read) == (2, 2)

    def test_a_condition_that_does_not_hold_costs_what_is_there(self, table: Proxy) -> None:
        meter, place = Meter(), new_place(table.url)
        dynamodb = client("dynamodb", table.url)
        meter.attach(dynamodb)
        item = {"series": {"S": "a"}, "item": {"S": "1"}, "body": {"B": b"x" * 5000}}
        dynamodb.put_item(TableName=place.table, Item=item, ReturnConsumedCapacity="TOTAL")
        small = item | {"body": {"B": b"x"}}
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            dynamodb.put_item(
                TableName=place.table, Item=small, ConditionExpression="attribute_not_exists(series)", ReturnValuesOnConditionCheckFailure="ALL_OLD"
            )
        assert meter.tally.used() == Usage(dynamodb_write=2, dynamodb_wru=5 + 5)

    def test_what_is_throttled_costs_nothing_and_what_breaks_perhaps_all(self, table: Proxy) -> None:
        meter, place = Meter(), new_place(table.url)
        dynamodb = client("dynamodb", table.url)
        meter.attach(dynamodb)
        item = {"series": {"S": "a"}, "item": {"S": "1"}}
        table.instead = lambda operation, _: throttled("TableWriteMaxOnDemandThroughputExceeded") if operation == "PutItem" else None
        with pytest.raises(ClientError, match="too much"):
            dynamodb.put_item(TableName=place.table, Item=item)
        assert meter.tally.used() == Usage(dynamodb_write=1)
        table.instead = lambda operation, _: (500, {"__type": "InternalServerError"}) if operation == "GetItem" else None
        with pytest.raises(ClientError, match="InternalServerError"):
            dynamodb.get_item(TableName=place.table, Key=item)
        table.instead = lambda *_: None
        assert meter.tally.used() == Usage(dynamodb_write=1, dynamodb_read=1, dynamodb_rru=read_units(400 * 1024))

    def test_before_the_answer_an_item_may_be_as_large_as_items_get(self, table: Proxy) -> None:
        prices = Prices(dynamodb_wru_per_million=1_000_000.0)  # a dollar each
        meter, place = Meter(budget=Budget(max_cost=403, prices=prices)), new_place(table.url)
        dynamodb = client("dynamodb", table.url)
        meter.attach(dynamodb)
        for number in range(4):
            dynamodb.put_item(TableName=place.table, Item={"series": {"S": "a"}, "item": {"S": str(number)}}, ReturnConsumedCapacity="TOTAL")
        with pytest.raises(BudgetReached, match=r"\$404"):
            dynamodb.put_item(TableName=place.table, Item={"series": {"S": "a"}, "item": {"S": "9"}}, ReturnConsumedCapacity="TOTAL")
        assert meter.tally.used() == Usage(dynamodb_write=4, dynamodb_wru=4)


class FunctionHandler(BaseHTTPRequestHandler):
    """A function of 512 MB that answers at once, or with the status of its name."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(200, {"Timeout": 60, "MemorySize": 512})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.split("/")[3]
        self.answer(int(name) if name.isdigit() else 200, {"Reason": "ConcurrentInvocationLimitExceeded"})

    def answer(self, status: int, data: dict[str, Any]) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        if status >= 400:
            self.send_header("x-amzn-ErrorType", "TooManyRequestsException" if status == 429 else "ServiceException")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class TestLambda:
    def test_time_until_the_answer_by_the_functions_memory(self) -> None:
        now = iter([10.0, 14.0, 20.0, 20.5])
        meter = Meter(clock=lambda: next(now))
        with s3_servers.http_server(FunctionHandler) as url:
            functions = client("lambda", url)
            meter.attach(functions)
            functions.get_function_configuration(FunctionName="writer")
            functions.invoke(FunctionName="writer", Payload=b"{}")
            functions.invoke(FunctionName="writer", Payload=b"{}")
        assert meter.tally.used() == Usage(lambda_invoke=2, lambda_gb_s=(4 + 0.5) * 0.5)

    def test_a_refused_invocation_has_not_run_and_one_that_broke_may_have(self) -> None:
        now = iter([1.0, 2.0, 3.0, 5.0])
        meter = Meter(clock=lambda: next(now))
        with s3_servers.http_server(FunctionHandler) as url:
            functions = client("lambda", url)
            meter.attach(functions)
            for name in ("429", "502"):
                with pytest.raises(ClientError):
                    functions.invoke(FunctionName=name, Payload=b"{}")
        assert meter.tally.used() == Usage(lambda_invoke=2, lambda_gb_s=2.0)

    def test_of_a_budget_of_two_no_third_is_sent(self) -> None:
        meter = Meter(budget=Budget(max_invocations=2))
        with s3_servers.http_server(FunctionHandler) as url:
            functions = client("lambda", url)
            meter.attach(functions)
            functions.invoke(FunctionName="writer", Payload=b"{}")
            functions.invoke(FunctionName="writer", Payload=b"{}")
            with pytest.raises(BudgetReached, match="3 Lambda invocations, more than --max-invocations 2 allows"):
                functions.invoke(FunctionName="writer", Payload=b"{}")
        assert meter.tally.used().lambda_invoke == 2

    def test_the_longest_run_is_paid_for_before_it_begins(self) -> None:
        prices = Prices(lambda_per_gb_s=1.0)
        meter = Meter(budget=Budget(max_cost=29, prices=prices))
        with s3_servers.http_server(FunctionHandler) as url:
            functions = client("lambda", url)
            meter.attach(functions)
            functions.get_function_configuration(FunctionName="writer")
            with pytest.raises(BudgetReached, match=r"\$30\.00, more than --max-cost 29"):
                functions.invoke(FunctionName="writer", Payload=b"{}")
        assert meter.tally.used() == Usage()
