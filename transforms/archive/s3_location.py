"""What an `s3://` URL names."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote

from transforms.core.errors import UsageError

FORM: Final = "s3://bucket/prefix?endpoint_url=https://…&region=eu-west-1&request_payer=requester"

_QUERY: Final = ("endpoint_url", "region", "request_payer")


@dataclass(frozen=True, kw_only=True)
class S3Location:
    """A folder of a bucket. `prefix` is empty or ends with a slash; empty texts leave the choice to the AWS configuration of the machine."""

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    request_payer: str = ""

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"s3://{self.bucket}/{self.prefix}"


def s3_location(parts: SplitResult) -> S3Location:
    """The location of a split URL. Raises UsageError for another form; what may be a secret is not repeated."""
    if "@" in parts.netloc:
        raise UsageError(f"the archive URL has a user before the bucket: credentials come from the AWS configuration, write {FORM}")
    if not parts.netloc or parts.fragment:
        raise UsageError(f"the archive {parts.scheme}://{parts.netloc}{parts.path} names no bucket or goes on with #: write {FORM}, %23 for a # in the prefix")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(given.keys() - set(_QUERY)):
        raise UsageError(f"the archive URL s3://{parts.netloc}{parts.path} has {', '.join(unknown)} after the ?: known are {', '.join(_QUERY)}, write {FORM}")
    if (payer := given.get("request_payer", "")) not in ("", "requester"):
        raise UsageError(f"request_payer={payer} in the archive URL: the only value there is is requester")
    if "@" in given.get("endpoint_url", ""):
        raise UsageError("the endpoint_url in the archive URL has a user: credentials come from the AWS configuration")
    folder = unquote(parts.path).removeprefix("/")
    return S3Location(bucket=parts.netloc, prefix=folder if not folder or folder.endswith("/") else f"{folder}/", **given)
