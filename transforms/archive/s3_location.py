"""What an `s3://` URL names."""

from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote

from transforms.calls.s3_folder import S3Location, prefix_of
from transforms.core.errors import UsageError

FORM: Final = "s3://bucket/prefix?endpoint_url=https://…&region=eu-west-1&request_payer=requester"

_QUERY: Final = ("endpoint_url", "region", "request_payer")


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
    return S3Location(bucket=parts.netloc, prefix=prefix_of(unquote(parts.path)), **given)
