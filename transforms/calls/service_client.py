"""Clients that read about services: limits and metrics."""

from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from transforms.core.errors import UsageError


def service_client(service: str, region: str, endpoint_url: str = "") -> Any:  # noqa: ANN401 - botocore makes its classes at run time
    """A client of a session of its own, with one attempt and little patience for each call. Empty texts leave the choice to the AWS configuration."""
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=5, read_timeout=10)
    session = boto3.session.Session(botocore_session=botocore.session.get_session())
    try:
        return session.client(service, config=config, region_name=region or None, endpoint_url=endpoint_url or None)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"reading the live use of {service}: {error}") from error
