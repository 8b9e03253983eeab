"""What is asked of S3 and what its answers lead to, against a server that answers by a script and counts the requests. Nothing here waits: clocks are ours."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from tests.archive import s3_servers
from tests.limits import limits
from transforms.archive.s3 import S3Archive
from transforms.calls.aws import RENEWAL_CHECK_S, RENEWAL_WAIT_S
from transforms.calls.s3_folder import S3Location
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.errors import CredentialsExpired, ObjectUndelivered, ObjectUnreadable, ServiceUnavailable, UsageError
from transforms.core.manifest import ArchiveObject

BODY = bytes(range(256)) * 40
ETAG = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
PLANNED = ArchiveObject("2025/11/01/00/a b", len(BODY), ETAG, 0)

Answer = Callable[[BaseHTTPRequestHandler], None]


def body(content: bytes = BODY, *, sent: int | None = None, status: int = 200, **headers: str) -> Answer:
    """An object, of which so many bytes come before the connection ends."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"ETag": f'"{ETAG}"', "Content-Length": str(len(content))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content[:sent])
        handler.close_connection = True

    return answer


def fault(status: int, code: str) -> Answer:
    return body(s3_servers.error_xml(code), status=status)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Hangs up without a word."""
    handler.close_connection = True


LISTING = b"<ListBucketResult><Name>archive</Name><IsTruncated>false</IsTruncated></ListBucketResult>"


class Server:
    """Answers the script's next answer to each request, the last one ever after."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.methods: list[str] = []
        self.slept_s: list[float] = []
        self.said: list[str] = []
        self.now_s = 1000.0
        self.on_sleep: Callable[[], None] = lambda: None
        self.url = ""

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds
        self.on_sleep()

    def archive(self, *script: Answer, attempts: int = 4, **location: str) -> S3Archive:
        self.script = list(script)
        waiting = Waiting(clock=lambda: self.now_s, sleep=self.sleep, random=lambda: 0.5, say=self.said.append, backoff=Backoff(attempts=attempts))
        return S3Archive(S3Location(bucket="archive", prefix="m/", endpoint_url=self.url, **location), limits=limits(waiting))


@pytest.fixture
def server() -> Iterator[Server]:
    scripted = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scripted.requests.append((self.path, dict(self.headers)))
            scripted.methods.append(self.command)
            answer = scripted.script.pop(0) if len(scripted.script) > 1 else scripted.script[0]
            answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with s3_servers.aws_environment(AWS_MAX_ATTEMPTS="7"), s3_servers.http_server(Handler) as scripted.url:
        yield scripted


def test_an_object_is_asked_for_once_by_the_planned_etag(server: Server) -> None:
    archive = server.archive(body())
    assert archive.read(PLANNED) == BODY
    ((path, headers),) = server.requests
    assert path == "/archive/m/2025/11/01/00/a%20b"
    assert (headers["If-Match"], headers.get("Range"), headers.get("x-amz-request-payer")) == (f'"{ETAG}"', None, None)
    assert (archive.retried(), server.slept_s) == ({}, [])


def test_the_first_bytes_are_asked_for_as_a_range(server: Server) -> None:
    assert server.archive(body(BODY[:100], status=206)).read(PLANNED, first_bytes=100) == BODY[:100]
    assert server.requests[0][1]["Range"] == "bytes=0-99"
    assert server.requests[0][1]["If-Match"] == f'"{ETAG}"'


def test_requester_pays_is_told_with_every_request(server: Server) -> None:
    archive = server.archive(body(LISTING), request_payer="requester")
    assert list(archive.objects()) == []
    server.script = [body()]
    archive.read(PLANNED)
    assert [headers["x-amz-request-payer"] for _, headers in server.requests] == ["requester", "requester"]


CRC = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
WRONG_CRC = base64.b64encode(zlib.crc32(b"another").to_bytes(4, "big")).decode()


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (fault(503, "SlowDown"), "SlowDown"),
        (fault(500, "InternalError"), "InternalError"),
        (fault(400, "RequestTimeout"), "RequestTimeout"),
        (fault(429, "TooManyRequests"), "TooManyRequests"),
        (body(sent=len(BODY) - 1), "truncated body"),
        (body(sent=0), "truncated body"),
        (body(BODY[:-1]), "truncated body"),
        (body(x_amz_checksum_crc32=WRONG_CRC), "checksum"),
        (reset, "connection"),
    ],
)
def test_what_may_go_well_later_is_asked_for_again_and_counted(server: Server, first: Answer, reason: str) -> None:
    archive = server.archive(first, first, body(x_amz_checksum_crc32=CRC))
    assert archive.read(PLANNED) == BODY
    assert len(server.requests) == 3, "botocore repeats nothing by itself"
    assert archive.retried() == {reason: 2}
    assert archive.retried() == {}, "each is told once"
    assert server.slept_s == [0.1, 0.2]


@pytest.mark.parametrize("always", [fault(503, "SlowDown"), body(sent=10), reset])
def test_after_so_many_attempts_the_archive_is_unavailable(server: Server, always: Answer) -> None:
    archive = server.archive(always, attempts=4)
    with pytest.raises(ServiceUnavailable, match=r"reading the archive object '2025/11/01/00/a b': 4 attempts, the last one ended with") as caught:
        archive.read(PLANNED)
    assert (len(server.requests), server.slept_s, caught.value.retryable) == (4, [0.1, 0.2, 0.4], True)


@pytest.mark.parametrize(
    ("always", "detail"),
    [
        (fault(500, "InternalError"), "InternalError: said by a test"),
        (body(sent=10), "truncated body: "),
        (body(x_amz_checksum_crc32=WRONG_CRC), "checksum: "),
        (reset, "connection: "),
    ],
)
def test_what_may_be_the_fault_of_one_object_is_told_apart(server: Server, always: Answer, detail: str) -> None:
    with pytest.raises(ObjectUndelivered, match=r"'2025/11/01/00/a b': 2 attempts, the last one ended with") as caught:
        server.archive(always, attempts=2).read(PLANNED)
    assert caught.value.detail.startswith(detail)


@pytest.mark.parametrize("always", [fault(503, "SlowDown"), fault(503, "ServiceUnavailable"), fault(429, "TooManyRequests"), fault(400, "ThrottlingException")])
def test_what_a_service_says_of_itself_is_no_objects_fault(server: Server, always: Answer) -> None:
    with pytest.raises(ServiceUnavailable) as caught:
        server.archive(always, attempts=2).read(PLANNED)
    assert type(caught.value) is ServiceUnavailable


def test_that_nobody_listens_is_no_objects_fault(server: Server) -> None:
    with s3_servers.http_server(BaseHTTPRequestHandler) as server.url:
        archive = server.archive(body(), attempts=2)
    with pytest.raises(ServiceUnavailable, match="2 attempts, the last one ended with connection") as caught:
        archive.read(PLANNED)
    assert type(caught.value) is ServiceUnavailable


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (404, "NoSuchKey", "object missing"),
        (403, "InvalidObjectState", "object archived"),
        (403, "AccessDenied", "access denied"),
        (400, "KMS.DisabledException", "access denied"),
        (400, "InvalidRequest", "object refused"),
    ],
)
def test_an_object_that_can_not_be_had_is_told_with_its_cause(server: Server, status: int, code: str, cause: str) -> None:
    with pytest.raises(ObjectUnreadable) as caught:
        server.archive(fault(status, code)).read(PLANNED)
    assert (caught.value.key, caught.value.cause, caught.value.detail) == (PLANNED.key, cause, f"{code}: said by a test")
    assert str(caught.value) == f"reading the archive object '2025/11/01/00/a b': {cause} ({code}: said by a test)"
    assert (len(server.requests), caught.value.retryable) == (1, False)


@pytest.mark.parametrize("answer", [fault(412, "PreconditionFailed"), body(ETag='"of another"')])
def test_an_object_that_changed_is_told(server: Server, answer: Answer) -> None:
    with pytest.raises(ObjectUnreadable, match=r"reading the archive object '2025/11/01/00/a b': object changed \(its ETag") as caught:
        server.archive(answer).read(PLANNED)
    assert (len(server.requests), caught.value.cause, caught.value.retryable) == (1, "object changed", False)


@pytest.mark.parametrize(("status", "code"), [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (404, "NoSuchBucket")])
def test_what_is_wrong_with_all_objects_ends_the_run(server: Server, status: int, code: str) -> None:
    with pytest.raises(UsageError, match=code):
        server.archive(fault(status, code)).read(PLANNED)


def test_a_listing_that_is_denied_names_the_permissions(server: Server) -> None:
    with pytest.raises(UsageError, match=r"listing the archive s3://archive/m/: AccessDenied: .*; the credentials need s3:ListBucket"):
        list(server.archive(fault(403, "AccessDenied")).objects())


@pytest.mark.parametrize(("headers", "calls"), [({}, 1), ({"x_amz_bucket_region": "eu-west-1"}, 2)])
def test_a_redirect_to_another_region_leads_to_no_other_operation(server: Server, headers: dict[str, str], calls: int) -> None:
    """Left alone, botocore would call HeadBucket where S3 does not name the region."""
    with pytest.raises(UsageError, match="PermanentRedirect"):
        list(server.archive(body(s3_servers.error_xml("PermanentRedirect"), status=301, **headers)).objects())
    assert server.methods == ["GET"] * calls


def test_no_credentials_at_all_are_wrong_usage(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="Unable to locate credentials"):
        list(server.archive(body(LISTING)).objects())
    assert server.requests == []


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired", "TokenRefreshRequired"])
def test_expired_credentials_pause_until_they_are_renewed(server: Server, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    archive = server.archive(fault(400, code), fault(400, code), body())

    def renew() -> None:
        if len(server.slept_s) == 2:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")

    server.on_sleep = renew
    assert archive.read(PLANNED) == BODY
    assert [("renewed" in headers["Authorization"]) for _, headers in server.requests] == [False, False, True]
    assert server.slept_s == [RENEWAL_CHECK_S] * 2
    (line,) = server.said
    assert line.startswith(f"reading the archive object '2025/11/01/00/a b': {code}. Paused: renew the credentials")
    assert archive.retried() == {code: 2}


def test_a_token_that_never_worked_is_wrong_usage(server: Server) -> None:
    archive = server.archive(fault(400, "InvalidToken"))
    with pytest.raises(UsageError, match=r"reading the archive object .*: InvalidToken: said by a test; .* AWS_SESSION_TOKEN"):
        archive.read(PLANNED)
    assert (len(server.requests), server.slept_s, server.said) == (1, [], [])


def test_a_token_that_worked_is_waited_for(server: Server) -> None:
    archive = server.archive(body(), fault(400, "InvalidToken"), body())
    assert [archive.read(PLANNED), archive.read(PLANNED)] == [BODY, BODY]
    assert (server.slept_s, archive.retried()) == ([RENEWAL_CHECK_S], {"InvalidToken": 1})


def test_retries_that_take_long_are_told_while_they_go_on(server: Server) -> None:
    archive = server.archive(fault(500, "InternalError"), attempts=10)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            archive.read(PLANNED)
    assert len(server.slept_s) == 18
    first = server.said[0]
    assert first.startswith("reading the archive object '2025/11/01/00/a b': 3 attempts of 10 ended with InternalError (An error occurred")
    assert first.endswith("said by a test); trying again")
    assert [line.split(": ")[1].split(" of ")[0] for line in server.said] == ["3 attempts", "9 attempts", "8 attempts"]


def test_a_call_that_goes_well_soon_is_not_worth_a_line(server: Server) -> None:
    archive = server.archive(fault(500, "InternalError"), fault(500, "InternalError"), body())
    assert (archive.read(PLANNED), server.said) == (BODY, [])


def test_credentials_that_nobody_renews_end_the_attempt_after_a_while(server: Server) -> None:
    archive = server.archive(fault(400, "ExpiredToken"))
    with pytest.raises(CredentialsExpired, match="nobody renewed the credentials for 600 s: renew them and repeat the command to go on") as caught:
        archive.read(PLANNED)
    assert (sum(server.slept_s), caught.value.retryable, caught.value.exit_code) == (RENEWAL_WAIT_S, True, 3)
    with pytest.raises(CredentialsExpired):
        archive.read(PLANNED)
    assert sum(server.slept_s) == RENEWAL_WAIT_S, "the next call does not wait as long again"


def test_credentials_that_expire_again_later_are_waited_for_again(server: Server) -> None:
    archive = server.archive(fault(400, "ExpiredToken"), body())
    archive.read(PLANNED)
    server.now_s += 2 * RENEWAL_WAIT_S
    server.script = [fault(400, "ExpiredToken"), body()]
    assert archive.read(PLANNED) == BODY
    assert len(server.said) == 2


def test_folder_markers_are_no_objects(server: Server) -> None:
    entry = "<Contents><Key>m/{}</Key><Size>{}</Size><ETag>&quot;e&quot;</ETag><LastModified>2025-11-01T00:00:00.000Z</LastModified></Contents>"
    entries = "".join(entry.format(key, size) for key, size in (("", 0), ("2025/", 0), ("empty", 0), ("odd/", 3)))
    archive = server.archive(body(f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()))
    assert list(archive.objects()) == [ArchiveObject("empty", 0, "e", 1_761_955_200), ArchiveObject("odd/", 3, "e", 1_761_955_200)]
