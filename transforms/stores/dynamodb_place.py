"""What a `dynamodb://` URL names, and clients for it."""

from dataclasses import dataclass
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from transforms.core.errors import UsageError
from transforms.stores.url import StoreUrl

FORM: Final = "dynamodb://table?endpoint_url=https://…&region=eu-west-1"
THREADS: Final = 8
"""Calls of one unit in flight."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table; empty texts leave the choice to the AWS configuration of the machine."""

    table: str
    endpoint_url: str = ""
    region: str = ""

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"dynamodb://{self.table}"

    def client(self, service: str = "dynamodb") -> Any:  # noqa: ANN401 - botocore makes its classes at run time
        """A client of a session of its own, so that it asks the credential chain again. It makes one attempt at each call."""
        config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=8 * THREADS, connect_timeout=10, read_timeout=30)
        session = boto3.session.Session(botocore_session=botocore.session.get_session())
        where = {"region_name": self.region or None, "endpoint_url": self.endpoint_url or None}
        try:
            return session.client(service, config=config, **where)
        except (BotoCoreError, ValueError) as error:
            raise UsageError(f"opening the store {self.name}: {error}") from error


def place_of(url: StoreUrl) -> Place:
    """The table of a URL. Raises UsageError for another form."""
    if not url.netloc or url.path not in ("", "/"):
        raise UsageError(f"the store URL {url.shown} names no table or goes on after it: write {FORM}")
    return Place(table=url.netloc, **url.options(("endpoint_url", "region")))
