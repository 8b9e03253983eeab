"""What is particular to Parquet stores in S3: what is called, what is where, and what happens when the service says no."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.archive import s3_servers
from tests.archive.s3_servers import Recorder
from tests.contracts.harness import UNIT, Steps, every_granularity, put, put_all, read
from tests.contracts.s3_place import BUCKET, S3Place, Server
from tests.core.rollup_tables import DAY_S, row, rows_of
from tests.limits import limits
from transforms.calls.limits import S3Gates
from transforms.calls.waiting import Waiting
from transforms.core.errors import RefusedError, ServiceUnavailable, UsageError
from transforms.stores import open_store, s3_objects, scanning
from transforms.stores.frame import load
from transforms.stores.parquet import ParquetStore
from transforms.stores.parquet_s3 import ParquetS3Store

DOCUMENT = Path(__file__).parents[2] / "docs" / "stores" / "parquet.md"
SHARD = "metric_type=host/granularity=1m/day=2025-11-01/shard-0000.parquet"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_servers.aws_environment(), s3_servers.served("moto", tmp_path_factory.mktemp("s3")) as url:
        s3_servers.client(url).create_bucket(Bucket=BUCKET)
        yield url


@pytest.fixture
def recorder(server: str) -> Iterator[Recorder]:
    with s3_servers.recorded(server) as recorder:
        yield recorder


@pytest.fixture
def place(recorder: Recorder) -> S3Place:
    """Behind the recorder, whose notes begin anew."""
    place = S3Place(Server(recorder.url))
    recorder.requests.clear()
    return place


def url_of(place: S3Place) -> str:
    return f"parquet+s3://{BUCKET}/{place.prefix}?endpoint_url={place.server.url}&region=us-east-1"


def test_objects_are_the_files_of_a_local_store(place: S3Place, tmp_path: Path) -> None:
    """Names and bytes, of the rollups and of what a run replaced."""
    local = ParquetStore(tmp_path)
    for store in (local, place.open()):
        put_all(store, every_granularity(place, 1), "first")
        put_all(store, every_granularity(place, 2, 5.0), "second")
        store.issue_generation(7)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and "_locks" not in path.parts}
    assert place.objects() == {name: (tmp_path / name).read_bytes() for name in names}
    assert {name for name in names if name.endswith(".parquet")} == {name for name in names if not name.startswith("_")}


def test_a_version_costs_three_calls_and_a_second_one_of_the_same_run_three_more(place: S3Place) -> None:
    made = []
    for number, name in enumerate(("first", "second", "second"), 1):
        steps = Steps()
        put(place.open(steps), [row(generation=number)], run_id=name)
        made.append([one.removeprefix("before ") for one in steps.calls if one.startswith("before") and "text" not in one and "objects" not in one])
    once = ["object.read", "image.write", "object.write"]
    assert made == [once, once, ["object.read", "image.write", "image.read", "images.list", "image.write", "object.write"]]


def test_only_what_the_policy_allows_is_called(place: S3Place, recorder: Recorder) -> None:
    """Writing, undoing and reading need the actions that docs/stores/parquet.md lists, and nothing is ever deleted."""
    put(place.open(), [row(generation=1)], run_id="a")
    place.open().undo("a", generation=1, now_generation=2)
    put(place.open(), [row(generation=3)], run_id="b")
    assert len(list(place.open().scan("1m"))) == 1
    place.open().shard_count("service", "2025-11-01")
    assert {operation.partition(" ")[0] for operation in recorder.operations()} == {"ListObjectsV2", "GetObject", "PUT"}
    assert set(re.findall(r'"(s3:[A-Z]\w+)"', DOCUMENT.read_text())) == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}


def test_what_a_unit_costs_is_what_the_document_says(place: S3Place, recorder: Recorder) -> None:
    """By the calls that the server saw and the prices that stand there."""
    store = place.open()
    store.open_partition("host", "2025-11-01", 3)
    recorder.requests.clear()
    store.upsert(UNIT, every_granularity(place, 1), run_id="a", allow_fewer=False)
    calls = {"writes": len(recorder.requests) - recorder.operations()["GetObject"], "reads": recorder.operations()["GetObject"] - 1}  # 1: the partition's text
    assert calls == {"writes": 6, "reads": 3}
    rollups = 600 * (1440 + 288 + 24)
    cents = 100 * (calls["writes"] * 0.005 + calls["reads"] * 0.0004) / 1000 / rollups * 1e6
    text = " ".join(DOCUMENT.read_text().split())
    assert f"6 writes and 3 reads for {rollups:,} rollups" in text
    assert f"{cents:.3f} cents per million rollups" in text


def test_every_write_is_conditional(place: S3Place, recorder: Recorder) -> None:
    for number in (1, 2):
        put(place.open(), [row(generation=number)], run_id=f"r{number}")
    conditions = [
        (name.removeprefix(place.prefix), headers.get("If-None-Match", "the read one" if "If-Match" in headers else ""))
        for operation, name, headers in recorder.requests
        if operation.startswith("PUT")
    ]
    image = f"_before/r{{}}/{SHARD.removesuffix('parquet')}0.image"
    assert conditions == [("_partitions/host/2025-11-01.json", "*"), (image.format(1), "*"), (SHARD, "*"), (image.format(2), "*"), (SHARD, "the read one")]


@pytest.mark.parametrize("answer", [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed"), (404, "NoSuchKey")])
def test_a_lost_race_is_merged_again(place: S3Place, recorder: Recorder, answer: tuple[int, str]) -> None:
    put(place.open(), [row(generation=1)])
    times = Steps()

    def other(name: str) -> None:
        times(name)
        if name == "before object.write" and times.calls.count(name) == 1:
            put(place.open(), [row("h2", generation=1)], run_id="other")
            recorder.passing[place.prefix + SHARD] = answer

    put(place.open(other), [row("h3", generation=2)], run_id="late")
    assert read(place.open()) == {("h1", 0): (1, 1.0, 1), ("h2", 0): (1, 1.0, 1), ("h3", 0): (1, 1.0, 2)}


def test_a_write_whose_answer_got_lost_counts_as_written(place: S3Place, recorder: Recorder) -> None:
    """The second attempt finds the object of the first, and says of every row what the first would have said."""
    lost: list[str] = []

    def lose(name: str) -> None:
        if name == "before object.write" and not lost:
            lost.append(name)
            answers.append(None)

    answers: list[None] = []
    store = place.open(lose)
    put_object = place.server.calls._current().put_object

    def put_and_lose(**asked: object) -> object:
        answer = put_object(**asked)
        if answers and str(asked["Key"]).endswith(".parquet"):
            answers.clear()
            raise s3_objects.ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "PutObject")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.server.calls._current(), "put_object", put_and_lose)
        merged = put(store, [row(generation=1)])
    assert lost
    assert merged.verdicts.tolist() == [0]
    assert read(place.open()) == {("h1", 0): (1, 1.0, 1)}
    assert place.open().repeated() == {f"parquet+s3://{BUCKET}/{place.prefix} SlowDown": 1}


def test_writes_are_paced_and_slowed_by_refusals(place: S3Place, recorder: Recorder) -> None:
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    paced = limits(Waiting(clock=lambda: now[0], sleep=wait), s3_put_per_s=10)

    def refuse(name: str) -> None:
        if name == "before object.write":
            recorder.passing[place.prefix + SHARD] = (503, "SlowDown")

    objects = s3_objects.Objects(place.server.location(place.prefix), place.server.calls, S3Gates(paced, place.server.location(place.prefix)), refuse)
    put(ParquetS3Store(objects), [row(generation=1)])
    assert paced.pacer("s3-put-per-s", place.server.url).refusals == 1
    assert now[0] == pytest.approx(1 / 9.5 + 1 / 9.5 + 1 / 9.5, rel=0.01)  # text, image, refused, written


def test_what_the_service_refuses_is_told_with_what_is_needed(place: S3Place, recorder: Recorder) -> None:
    put(place.open(), [row(generation=1)])
    recorder.faults[place.prefix + SHARD] = (403, "AccessDenied")
    for use in (lambda: put(place.open(), [row(generation=2)]), lambda: list(place.open().scan("1m"))):
        with pytest.raises(UsageError, match=rf"reading s3://{BUCKET}/{place.prefix}{SHARD}: AccessDenied: .*; the credentials need s3:ListBucket"):
            use()
    recorder.faults[place.prefix + SHARD] = (503, "SlowDown")
    with pytest.raises(ServiceUnavailable, match="the last one ended with SlowDown"):
        put(place.open(), [row(generation=2)])
    with pytest.raises(UsageError, match="NoSuchBucket"):
        open_store(f"parquet+s3://nowhere/x?endpoint_url={place.server.url}&region=us-east-1").last_generation()


def test_urls_that_name_no_place(place: S3Place) -> None:
    for url, message in (
        ("parquet+s3:///prefix", "names no bucket: write parquet"),
        ("parquet+s3://b/p?request_payer=requester", "has request_payer after the .: known are endpoint_url, region"),
        ("parquet+s3://b/p?endpoint_url=http://me:hunter2@host", "has a user: credentials come from the AWS configuration"),
    ):
        with pytest.raises(UsageError, match=message) as refused:
            open_store(url)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(UsageError, match="does not exist"):
        open_store(url_of(place), writable=False)


def test_an_object_replaced_while_it_is_read_in_parts_is_read_anew(place: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block is of one version, and the piece after it of the version that is there then."""
    monkeypatch.setattr(s3_objects, "BLOCK_BYTES", 256)
    monkeypatch.setattr(scanning, "PIECE_ROWS", 1)
    put(place.open(), [row(f"h{number}", 60 * number, value=1.0, generation=1) for number in range(9)])
    blocks = [0]

    def replace(name: str) -> None:
        blocks[0] += name == "before block.read"
        if name == "before block.read" and blocks[0] == 5:
            put(place.open(), [row(f"h{number}", 60 * number, value=2.0, generation=2) for number in range(10)], run_id="b")

    found = [one for _, piece in place.open(replace).scan("1m") for one in rows_of(piece)]
    assert blocks[0] > 12
    assert [(one["entity"], one["bucket_start"] // 1000 - DAY_S, one["sum"]) for one in found] == [(f"h{number}", 60 * number, 2.0) for number in range(10)]


def test_objects_of_another_writer_tell_the_shards(place: S3Place, tmp_path: Path) -> None:
    local = ParquetStore(tmp_path)
    put(local, [row()])
    body = (tmp_path / SHARD).read_bytes()
    folder = place.prefix + SHARD.rpartition("/")[0]
    place.server.client.put_object(Bucket=BUCKET, Key=place.prefix + SHARD, Body=body)
    assert place.open().shard_count("host", "2025-11-01") == 1
    assert read(place.open()) == {("h1", 0): (1, 1.0, 1)}
    place.server.client.put_object(Bucket=BUCKET, Key=f"{folder}/part-7.parquet", Body=body)
    with pytest.raises(RefusedError, match=r"part-7.parquet is not named like shard-0003.parquet"):
        place.open().shard_count("host", "2025-11-01")
    place.server.client.put_object(Bucket=BUCKET, Key=place.prefix + SHARD, Body=b"not Parquet")
    with pytest.raises(RefusedError, match=rf"reading rollups from s3://{BUCKET}/{place.prefix}{SHARD}: it can't be read as Parquet"):
        place.open().read_unit(UNIT, "1m")


def test_pandas_and_duckdb_read_it(place: S3Place, tmp_path: Path) -> None:
    """By our own frame, and by DuckDB on the same objects as they lie in the bucket; one of them was emptied."""
    put_all(place.open(), every_granularity(place, 1), "a")
    put(place.open(), [row("h9", generation=2)], run_id="b", unit=UNIT._replace(metric_type="service"))
    place.open().undo("b", generation=2, now_generation=3)
    frame = load(url_of(place), "1m")
    assert frame[["entity", "avg"]].to_numpy().tolist() == [["h1", 1.0], ["h1", 1.0], ["h2", 1.0], ["h2", 1.0]]
    for name, body in place.objects().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    files = f"read_parquet('{tmp_path}/**/*.parquet', hive_partitioning = true)"
    rows = duckdb.sql(f"SELECT entity, avg, metric_type, day::text FROM {files} WHERE granularity = '1m' ORDER BY ALL")
    assert rows.fetchall() == [(entity, 1.0, "host", "2025-11-01") for entity in ("h1", "h1", "h2", "h2")]


def test_a_run_shows_where_it_would_write(place: S3Place) -> None:
    store = open_store(url_of(place))
    assert store.traits.is_local is False
    assert store.facts() == (("s3 bucket", BUCKET), ("prefix", place.prefix), ("region", "us-east-1"), ("endpoint", place.server.url))
