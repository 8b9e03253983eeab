"""An archive in an S3 bucket. Only ListObjectsV2 and GetObject are called."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final, NoReturn

from botocore.exceptions import ClientError, IncompleteReadError

from transforms.archive.s3_listing import Page, PageRequest, walk
from transforms.calls.aws import AwsCalls, error_code, http_status, is_of_service, retry_reason
from transforms.calls.limits import Limits, PacedGate, S3Gates
from transforms.calls.s3_client import new_client
from transforms.calls.s3_folder import S3Location
from transforms.core.errors import (
    ACCESS_DENIED,
    OBJECT_ARCHIVED,
    OBJECT_CHANGED,
    OBJECT_MISSING,
    OBJECT_REFUSED,
    ObjectUndelivered,
    ObjectUnreadable,
    ServiceUnavailable,
    UsageError,
)
from transforms.core.granularity import Range
from transforms.core.keys import FIREHOSE, KeyLayout
from transforms.core.manifest import ArchiveObject

LISTING_THREADS: Final = 8

_CAUSES: Final = {"NoSuchKey": OBJECT_MISSING, "InvalidObjectState": OBJECT_ARCHIVED, "AccessDenied": ACCESS_DENIED, "AllAccessDisabled": ACCESS_DENIED}
"""By the codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""

_NOT_OF_THE_OBJECT: Final = frozenset({"NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "AccountProblem"})


class S3Archive:
    """Every object below a prefix; its key is what follows the prefix. Folder markers (empty, with a slash at the end of the key) are no objects."""

    ahead: Final = 8

    def __init__(self, location: S3Location, layout: KeyLayout = FIREHOSE, limits: Limits | None = None) -> None:
        """Remember the place; a client is made by the first call."""
        self._location = location
        self._layout = layout
        limits = limits or Limits()
        self._calls = AwsCalls(partial(new_client, location), limits.waiting)
        self._gates = S3Gates(limits, location)
        self._payer = {"RequestPayer": location.request_payer} if location.request_payer else {}

    def objects(self, times: Sequence[Range] | None = None) -> Iterator[ArchiveObject]:
        """Pages of several folders side by side; nothing is held but these."""
        return walk(self._page, self._layout, times, LISTING_THREADS)

    def read(self, planned: ArchiveObject, first_bytes: int | None = None) -> bytes:
        """The object that still has the planned ETag; a body that ends early or fails its checksum is fetched again."""
        number = planned.size_bytes if first_bytes is None else min(first_bytes, planned.size_bytes)
        part = {"Range": f"bytes=0-{number - 1}"} if 0 < number < planned.size_bytes else {}
        asked = {"Bucket": self._location.bucket, "Key": self._location.prefix + planned.key, "IfMatch": f'"{planned.etag}"', **part, **self._payer}
        try:
            gate = self._gates.get(asked["Key"], number)
            return self._calls.call(
                f"reading the archive object {planned.key!r}", lambda client: _body(_answered(client.get_object(**asked), gate), planned, number), gate
            )
        except ClientError as error:
            _raise(planned, error)
        except ServiceUnavailable as error:
            if not isinstance(last := error.__cause__, Exception) or is_of_service(last):
                raise
            detail = _told(last) if isinstance(last, ClientError) else f"{retry_reason(last)}: {last}"
            raise ObjectUndelivered(str(error), detail) from last

    def retried(self) -> Mapping[str, int]:
        """Repeated calls by S3's code or what else went wrong."""
        return self._calls.repeats.taken()

    def _page(self, request: PageRequest) -> Page:
        prefix = self._location.prefix
        asked: dict[str, Any] = {"Bucket": self._location.bucket, "Prefix": prefix + request.folder, **self._payer}
        asked |= {} if request.deep else {"Delimiter": "/"}
        asked |= {"ContinuationToken": request.token} if request.token else {}
        doing = f"listing the archive {self._location.name}{request.folder}"
        try:
            answer = self._calls.call(doing, lambda client: client.list_objects_v2(**asked), self._gates.list())
        except ClientError as error:
            needs = "the credentials need s3:ListBucket on the bucket and s3:GetObject on its objects"
            raise UsageError(f"{doing}: {_told(error)}; {needs}" if http_status(error) == 403 else f"{doing}: {_told(error)}") from error
        objects = [_object(one, len(prefix)) for one in answer.get("Contents", ()) if one["Size"] or not one["Key"].endswith("/")]
        folders = [one["Prefix"][len(prefix) :] for one in answer.get("CommonPrefixes", ())]
        return Page(objects, folders, answer.get("NextContinuationToken", ""))


def _object(listed: Mapping[str, Any], skipped: int) -> ArchiveObject:
    return ArchiveObject(listed["Key"][skipped:], listed["Size"], listed["ETag"].strip('"'), int(listed["LastModified"].timestamp()))


def _answered(answer: Mapping[str, Any], gate: PacedGate) -> Mapping[str, Any]:
    """The answer, of which only the head has come: the service has got the call."""
    gate.answered()
    return answer


def _body(answer: Mapping[str, Any], planned: ArchiveObject, number: int) -> bytes:
    with closing(answer["Body"]) as stream:
        if (etag := answer.get("ETag", "").strip('"')) != planned.etag:  # a server that knows no If-Match
            raise ObjectUnreadable(planned.key, OBJECT_CHANGED, f"its ETag was {planned.etag} when planned, is {etag} now")
        body: bytes = stream.read()
    if len(body) != number:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=number)
    return body


def _raise(planned: ArchiveObject, error: ClientError) -> NoReturn:
    """What an answer says of the object or, if it is not the object's fault, of the run."""
    code = error_code(error)
    if http_status(error) == 412:
        raise ObjectUnreadable(planned.key, OBJECT_CHANGED, f"its ETag is no longer {planned.etag}") from error
    if code in _NOT_OF_THE_OBJECT:
        raise UsageError(f"reading the archive object {planned.key!r}: {_told(error)}") from error
    cause = ACCESS_DENIED if code.startswith("KMS.") else _CAUSES.get(code, OBJECT_REFUSED)
    raise ObjectUnreadable(planned.key, cause, _told(error)) from error


def _told(error: ClientError) -> str:
    return f"{error_code(error)}: {error.response.get('Error', {}).get('Message', '')}"
