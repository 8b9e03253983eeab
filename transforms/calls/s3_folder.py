"""A folder in S3."""

from dataclasses import dataclass


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


def prefix_of(path: str) -> str:
    """The prefix that the path of a URL names."""
    folder = path.removeprefix("/")
    return folder if not folder or folder.endswith("/") else f"{folder}/"
