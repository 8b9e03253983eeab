"""Making tables, the template, and what a plan is told about streams."""

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.local_servers import ministack
from tests.archive.s3_servers import aws_environment
from tests.stores.dynamodb_proxy import proxied
from transforms.core.errors import RefusedError, UsageError
from transforms.stores import open_store
from transforms.stores.creating import create_store, store_template
from transforms.stores.dynamodb_place import Place
from transforms.stores.dynamodb_table import create_table, stream_warnings

COMMANDS = Path(sysconfig.get_path("scripts"))
DONE = ["made the table new, billed on demand", "items expire by the attribute expires", "point-in-time recovery is on"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_environment(), ministack() as url:
        yield url


def url_of(server: str, table: str) -> str:
    return f"dynamodb://{table}?endpoint_url={server}&region=us-east-1"


def never(_seconds: float) -> None:
    raise AssertionError("nothing to wait for")


def test_a_table_is_made_once(server: str) -> None:
    assert create_store(url_of(server, "new"), never) == DONE
    assert create_store(url_of(server, "new"), never) == []
    client = Place(table="new", endpoint_url=server, region="us-east-1").client()
    table = client.describe_table(TableName="new")["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert client.describe_time_to_live(TableName="new")["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    backups = client.describe_continuous_backups(TableName="new")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert open_store(url_of(server, "new")).last_generation() == 0


def test_a_table_that_is_not_active_yet_is_waited_for(server: str) -> None:
    waits: list[float] = []
    with proxied(server) as proxy:

        def creating(operation: str, _request: dict[str, Any]) -> Any:
            asked = len(proxy.named("DescribeTable"))
            return (200, {"Table": {"TableName": "slow", "TableStatus": "CREATING"}}) if operation == "DescribeTable" and 1 < asked < 5 else None

        proxy.instead = creating
        create_table(Place(table="slow", endpoint_url=proxy.url, region="us-east-1"), waits.append)
    assert waits == [2.0] * 3


def test_a_table_with_another_key_is_refused(server: str) -> None:
    client = Place(table="other", endpoint_url=server, region="us-east-1").client()
    attributes = [{"AttributeName": "id", "AttributeType": "S"}]
    client.create_table(
        TableName="other", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], AttributeDefinitions=attributes, BillingMode="PAY_PER_REQUEST"
    )
    with pytest.raises(RefusedError, match=r"the table 'other' is there with the key \[\('id', 'HASH'\)\]: rollups need series"):
        create_store(url_of(server, "other"), never)


def test_other_stores_are_not_made() -> None:
    with pytest.raises(UsageError, match="is made at the first write"):
        create_store("parquet:///data/rollups", never)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("dynamodb://", "names no table"),
        ("dynamodb://table/more", "goes on after it: write dynamodb://table"),
        ("dynamodb://table?zone=a", r"has zone after the \?: known are endpoint_url, region"),
    ],
)
def test_a_wrong_url_is_answered_with_what_would_be_right(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_store(url)


def test_the_template_is_sound_and_makes_the_same_table(tmp_path: Path, server: str) -> None:
    template = store_template("dynamodb://from-template")
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template))
    subprocess.run([COMMANDS / "cfn-lint", path], check=True)
    properties = template["Resources"]["Rollups"]["Properties"]
    create_store(url_of(server, "from-command"), never)
    made = Place(table="from-command", endpoint_url=server, region="us-east-1").client().describe_table(TableName="from-command")["Table"]
    assert made["KeySchema"] == properties["KeySchema"]
    assert sorted(one["AttributeName"] for one in made["AttributeDefinitions"]) == ["item", "series"]
    assert properties["TimeToLiveSpecification"]["AttributeName"] == "expires"


def streaming(server: str, table: str) -> tuple[Place, str]:
    place = Place(table=table, endpoint_url=server, region="us-east-1")
    create_table(place, never)
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    described = place.client().update_table(TableName=table, StreamSpecification=stream)["TableDescription"]
    return place, described["LatestStreamArn"]


def consumer(place: Place, stream: str, name: str) -> str:
    client = place.client("lambda")
    client.create_function(FunctionName=name, Runtime="python3.11", Role="arn:aws:iam::000000000000:role/any", Handler="f.f", Code={"ZipFile": empty_zip()})
    return str(client.create_event_source_mapping(EventSourceArn=stream, FunctionName=name, StartingPosition="LATEST")["UUID"])


def empty_zip() -> bytes:
    import io
    import zipfile

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("f.py", "def f(event, context):\n    return None\n")
    return target.getvalue()


def test_functions_that_our_writes_would_start_are_named(server: str) -> None:
    place, stream = streaming(server, "streaming")
    assert stream_warnings(place) == []
    consumer(place, stream, "alerting")
    (warning,) = open_store(url_of(server, "streaming")).warnings()
    assert warning.startswith("the table streaming has a stream that starts alerting: every item written here would start them too")


def test_a_table_without_a_stream_or_that_is_not_there_has_no_warning(server: str) -> None:
    create_store(url_of(server, "quiet"), never)
    assert open_store(url_of(server, "quiet")).warnings() == []
    assert open_store(url_of(server, "missing")).warnings() == []


def test_facts_are_account_region_and_table(server: str) -> None:
    create_store(url_of(server, "known"), never)
    facts = dict(open_store(url_of(server, "known")).facts())
    assert {name: facts[name] for name in ("account", "region", "table", "endpoint")} == {
        "account": "000000000000",
        "region": "us-east-1",
        "table": "known",
        "endpoint": server,
    }
    assert facts["holds"].startswith("0 items, 0 bytes")
    assert dict(open_store(url_of(server, "missing")).facts())["note"].startswith("there is no such table: make it with `rollups store create")


def test_a_missing_permission_is_a_note(server: str) -> None:
    place, _ = streaming(server, "asking")
    denied = 400, {"__type": "AccessDeniedException", "message": "no"}
    with proxied(server) as proxy:
        proxy.instead = lambda operation, _: denied if operation == "DescribeTable" else None
        asked = Place(table="asking", endpoint_url=proxy.url, region="us-east-1")
        assert stream_warnings(asked) == [
            "whether dynamodb://asking has a stream that starts functions is not known: AccessDeniedException (it needs dynamodb:DescribeTable)"
        ]
        proxy.instead = lambda operation, _: None if operation == "DescribeTable" else denied
        note = stream_warnings(asked)
    assert len(note) == 1
    assert "which functions it starts is not known:" in note[0]
    assert place.table in note[0]
