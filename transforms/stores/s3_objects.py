"""Objects of one folder in S3: read whole or in blocks, written only if they still are what was read, listed. Nothing is ever deleted."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader, RawIOBase
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError, IncompleteReadError

from transforms.calls.aws import AwsCalls, Gate, error_code, http_status
from transforms.calls.limits import Limits, S3Gates
from transforms.calls.s3_client import new_client
from transforms.calls.s3_folder import S3Location
from transforms.core.errors import UsageError
from transforms.stores.data_files import FileReplaced, Opened
from transforms.stores.files import Failpoint, no_failpoint

BLOCK_BYTES: Final = 1 << 20
"""Fetched at once of an object that is read in parts: about a row group with all its columns."""

BLOCKS_KEPT: Final = 4

_LOST: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
"""Codes of a conditional PUT when another writer was first, or is writing; https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html."""

_NEEDED: Final = "the credentials need s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject on its objects (docs/stores/parquet.md)"


class Stored(NamedTuple):
    """What an object holds and its ETag; None and empty if it is not there."""

    body: bytes | None = None
    etag: str = ""


@dataclass(frozen=True)
class Objects:
    """Keys are relative to the folder. Calls pass the gates; `failpoint` is called around each call."""

    location: S3Location
    calls: AwsCalls
    gates: S3Gates
    failpoint: Failpoint = field(default=no_failpoint)

    def named(self, key: str) -> str:
        """An object as messages call it."""
        return self.location.name + key

    def get(self, key: str, step: str) -> Stored:
        """The object as it is now."""
        answer = self._get(key, {}, step)
        return Stored(*answer[:2]) if answer else Stored()

    def put(self, key: str, body: bytes, before: Stored, step: str) -> Stored | None:
        """Make the object these bytes if it still is what it was; None when it is, else what it is instead.

        That may be these very bytes: those of a first attempt whose answer got lost, or of another writer.
        """
        condition = {"IfMatch": before.etag} if before.body is not None else {"IfNoneMatch": "*"}
        self.failpoint(f"before {step}")
        try:
            self._call(
                f"writing {self.named(key)}",
                "put_object",
                {"Key": self.location.prefix + key, "Body": body, **condition},
                self.gates.put(self.location.prefix + key),
            )
        except ClientError as error:
            if error_code(error) not in _LOST and http_status(error) != 412:
                raise self._refused(f"writing {self.named(key)}", error) from error
            return self.get(key, f"{step.removesuffix('write')}read")
        self.failpoint(f"after {step}")
        return None

    def keys(self, prefix: str, step: str) -> list[str]:
        """All keys that begin so, sorted."""
        return sorted(one["Key"].removeprefix(self.location.prefix) for page in self._pages(prefix, {}, step) for one in page.get("Contents", ()))

    def folders(self, prefix: str, step: str) -> list[str]:
        """What comes between the prefix and the next slash of keys, sorted."""
        whole = self.location.prefix + prefix
        pages = self._pages(prefix, {"Delimiter": "/"}, step)
        return sorted(one["Prefix"].removeprefix(whole).rstrip("/") for page in pages for one in page.get("CommonPrefixes", ()))

    def is_empty(self) -> bool:
        """Whether nothing is in the folder."""
        return not next(self._pages("", {"MaxKeys": 1}, "folder.list")).get("Contents")

    def part(self, key: str, first: int, etag: str = "") -> tuple[bytes, str, int] | None:
        """A block that begins there, the ETag and the size of the object; of one that has this ETag, if one is given. None if it is gone."""
        asked = {"Range": f"bytes={first}-{first + BLOCK_BYTES - 1}"}
        return self._get(key, asked | ({"IfMatch": etag} if etag else {}), "block.read")

    def _get(self, key: str, asked: Mapping[str, str], step: str) -> tuple[bytes, str, int] | None:
        doing = f"reading {self.named(key)}"
        self.failpoint(f"before {step}")
        try:
            answer = self._call(doing, "get_object", {"Key": self.location.prefix + key, **asked}, self.gates.get(self.location.prefix + key))
        except ClientError as error:
            if error_code(error) not in {"NoSuchKey", "PreconditionFailed"} and http_status(error) != 412:
                raise self._refused(doing, error) from error
            return None
        finally:
            self.failpoint(f"after {step}")
        found: tuple[bytes, str, int] = answer
        return found

    def _pages(self, prefix: str, asked: Mapping[str, Any], step: str) -> Iterator[Mapping[str, Any]]:
        token: dict[str, str] = {}
        doing = f"listing {self.named(prefix)}"
        while True:
            self.failpoint(f"before {step}")
            try:
                page = self._call(doing, "list_objects_v2", {"Prefix": self.location.prefix + prefix, **asked, **token}, self.gates.list())
            except ClientError as error:
                raise self._refused(doing, error) from error
            self.failpoint(f"after {step}")
            yield page
            if not page.get("NextContinuationToken"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, doing: str, operation: str, asked: Mapping[str, Any], gate: Gate) -> Any:  # noqa: ANN401 - as botocore answers
        return self.calls.call(doing, partial(_answer, operation, {"Bucket": self.location.bucket, **asked}), gate)

    def _refused(self, doing: str, error: ClientError) -> UsageError:
        told = f"{doing}: {error_code(error)}: {error.response.get('Error', {}).get('Message', '')}"
        return UsageError(f"{told}; {_NEEDED}" if http_status(error) == 403 else told)


def open_objects(location: S3Location, limits: Limits, failpoint: Failpoint = no_failpoint) -> Objects:
    """The folder; the client is made by the first call."""
    return Objects(location, AwsCalls(partial(new_client, location), limits.waiting), S3Gates(limits, location), failpoint)


def _answer(operation: str, asked: Mapping[str, Any], client: Any) -> Any:  # noqa: ANN401 - botocore makes its classes at run time
    answer = getattr(client, operation)(**asked)
    if operation != "get_object":
        return answer
    with closing(answer["Body"]) as stream:
        body: bytes = stream.read()
    if len(body) != answer["ContentLength"]:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=answer["ContentLength"])
    whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.get("ContentRange", ""))
    return body, answer["ETag"], int(whole[1]) if whole else len(body)


@dataclass(frozen=True)
class ObjectFile:
    """A `DataFile` of which blocks are fetched when they are read, all of one version."""

    objects: Objects
    key: str

    @property
    def name(self) -> str:
        """As the protocol says."""
        return self.objects.named(self.key)

    def open(self) -> Opened | None:
        """As the protocol says; the ETag tells versions apart."""
        first = self.objects.part(self.key, 0)
        return Opened(BufferedReader(_Blocks(self, *first)), first[1]) if first else None


class _Blocks(RawIOBase):
    """An object's bytes, fetched in blocks, of which the last few are kept."""

    def __init__(self, file: ObjectFile, first: bytes, etag: str, size: int) -> None:
        self._file, self._etag, self._size = file, etag, size
        self._blocks, self._at = {0: first}, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        if self._at >= self._size:
            return 0
        number, start = divmod(self._at, BLOCK_BYTES)
        found = self._block(number)[start : start + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            part = self._file.objects.part(self._file.key, number * BLOCK_BYTES, self._etag)
            if part is None:
                raise FileReplaced(f"reading {self._file.name}: it was replaced meanwhile")
            if len(self._blocks) == BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = part[0]
        return self._blocks[number]
