"""What a `lambda://` URL names, and clients for it."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from transforms.core.errors import UsageError
from transforms.stores.dynamodb_place import THREADS, Place, place_of
from transforms.stores.url import StoreUrl, split_url

FORM: Final = "lambda://function?region=eu-west-1&read=dynamodb://table"

READ_TIMEOUT_S: Final = 30.0
"""Of calls that answer at once."""

_NAME: Final = re.compile(r"[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+)*")
"""A function's name, perhaps with `:ALIAS`, or its ARN."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function; empty texts leave the choice to the AWS configuration of the machine."""

    function: str
    endpoint_url: str = ""
    region: str = ""

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"lambda://{self.function}"

    @property
    def limits_place(self) -> str:
        """What its limits are kept under."""
        return f"{self.name} {self.region} {self.endpoint_url}"

    def client(self, read_timeout_s: float = READ_TIMEOUT_S) -> Any:  # noqa: ANN401 - botocore makes its classes at run time
        """A client of a session of its own, that makes one attempt at each call and waits so long for an answer.

        Connections are kept alive: networks forget those over which nothing goes for minutes, while a function works.
        """
        attempts = {"total_max_attempts": 1, "mode": "standard"}
        config = Config(retries=attempts, max_pool_connections=8 * THREADS, connect_timeout=10, read_timeout=read_timeout_s, tcp_keepalive=True)
        session = boto3.session.Session(botocore_session=botocore.session.get_session())
        where = {"region_name": self.region or None, "endpoint_url": self.endpoint_url or None}
        try:
            return session.client("lambda", config=config, **where)
        except (BotoCoreError, ValueError) as error:
            raise UsageError(f"opening the store {self.name}: {error}") from error


def places_of(url: StoreUrl) -> tuple[Function, Place]:
    """The function of a URL, and the table that is read, in the function's region unless it names another. Raises UsageError for another form."""
    if not _NAME.fullmatch(url.netloc) or url.path not in ("", "/"):
        raise UsageError(f"the store URL {url.shown} names no function or goes on after it: write {FORM}")
    options = dict(url.options(("endpoint_url", "read", "region")))
    read = split_url(options.pop("read", ""))
    if read.scheme != "dynamodb":
        raise UsageError(f"the store URL {url.shown} does not say which table is read: write {FORM}")
    function, place = Function(function=url.netloc, **options), place_of(read)
    return function, place if place.region else replace(place, region=function.region)
