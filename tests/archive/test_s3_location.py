"""What `s3://` URLs mean, and which are refused."""

from urllib.parse import urlsplit

import pytest

from transforms.archive import open_archive
from transforms.archive.s3_location import s3_location
from transforms.calls.s3_folder import S3Location
from transforms.core.errors import UsageError


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("s3://archive", S3Location(bucket="archive")),
        ("s3://archive/", S3Location(bucket="archive")),
        ("s3://archive/metrics", S3Location(bucket="archive", prefix="metrics/")),
        ("s3://archive/a/b%20c%3F/", S3Location(bucket="archive", prefix="a/b c?/")),
        ("s3://archive?region=eu-west-1", S3Location(bucket="archive", region="eu-west-1")),
        ("s3://archive/m?endpoint_url=http://127.0.0.1:9000", S3Location(bucket="archive", prefix="m/", endpoint_url="http://127.0.0.1:9000")),
        ("s3://archive/m?request_payer=requester", S3Location(bucket="archive", prefix="m/", request_payer="requester")),
    ],
)
def test_a_url_names_a_folder_of_a_bucket(url: str, location: S3Location) -> None:
    assert s3_location(urlsplit(url)) == location


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3:///metrics", "names no bucket"),
        ("s3://archive/a#b", "goes on with #"),
        ("s3://archive/m?secret_access_key=abc", "has secret_access_key after the ?: known are endpoint_url, region, request_payer"),
        ("s3://archive/m?request_payer=me", "the only value there is is requester"),
        ("s3://AKIAEXAMPLE:abc@archive/m", "credentials come from the AWS configuration"),
        ("s3://archive/m?endpoint_url=http://user:abc@host", "credentials come from the AWS configuration"),
    ],
)
def test_another_url_is_refused_and_no_secret_repeated(url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_archive(url)
    assert message in str(caught.value)
    assert "abc" not in str(caught.value)
    assert "AKIA" not in str(caught.value)
