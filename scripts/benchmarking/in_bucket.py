"""An archive copied into a bucket of an S3 server on this machine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from scripts.benchmarking.archives import Archive
from scripts.s3_gateway import ENVIRONMENT, KEY, SECRET, gateway

_BUCKET: Final = "archive"
_THREADS: Final = 4


@contextmanager
def in_bucket(archive: Archive, folder: Path) -> Iterator[Archive]:
    """The archive in a bucket of a server that keeps it below `folder` and runs until the context ends."""
    with gateway(folder / "bucket") as url:
        client = _client(url)
        client.create_bucket(Bucket=_BUCKET)
        paths = [path for path in sorted(archive.path.rglob("*")) if path.is_file()]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda path: client.put_object(Bucket=_BUCKET, Key=path.relative_to(archive.path).as_posix(), Body=path.read_bytes()), paths))
        yield replace(archive, url=f"s3://{_BUCKET}?endpoint_url={url}&region={ENVIRONMENT['AWS_DEFAULT_REGION']}")


def _client(url: str) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=_THREADS)
    session = boto3.session.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=ENVIRONMENT["AWS_DEFAULT_REGION"])
    return session.client("s3", endpoint_url=url, config=config)
