"""The client for S3. What it may call is in the user's policy: nothing is called by itself."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.utils import parse_timestamp

from transforms.calls.s3_folder import S3Location
from transforms.core.errors import UsageError


def new_client(location: S3Location) -> Any:  # noqa: ANN401 - botocore makes its classes at run time
    """A client of a session of its own, so that it asks the credential chain again. It makes one attempt at each call."""
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=64,
        connect_timeout=10,
        read_timeout=60,
        s3={"addressing_style": "path"} if location.endpoint_url else None,
    )
    try:
        session = botocore.session.get_session()
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
        place = {"region_name": location.region or None, "endpoint_url": location.endpoint_url or None}
        client = boto3.session.Session(botocore_session=session).client("s3", config=config, **place)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"opening {location.name}: {error}") from error
    client.meta.events.register("before-call.s3.HeadBucket", _not_allowed)
    return client


def _not_allowed(**_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
    """Botocore asks for the region of a bucket by itself when S3 redirects without naming it; this is its answer, and no call is made."""
    return SimpleNamespace(status_code=403), {"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPHeaders": {}}}


def parse_time(value: str) -> datetime:
    """A time of an answer. Listings hold one for each key, in ISO 8601: botocore's own parser, here for other forms, made a listing five times as long."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed: datetime = parse_timestamp(value)
        return parsed
