"""The reference writer as a Lambda function: `handler` takes a batch of `lambda://` and answers what became of each item (`transforms.stores.lambda_batch`).

`scripts/package_writer` makes the zip file of it, `scripts/writer.yaml` is its SAM template. The environment variable ROLLUPS_TABLES names the tables that it
may write, with commas; `*` stands for anything. Its log
tells the key of each batch and how many of its items had which outcome, as JSON.
"""

import json
import logging
import os
from collections import Counter
from functools import lru_cache
from typing import Any, Final

from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.stores.dynamodb_place import Place
from transforms.stores.lambda_writer import BatchWriter

BACKOFF: Final = Backoff(most_s=5.0, attempts=6)
"""Patience with DynamoDB, 3 s on average: what is still throttled then is rejected, and the caller sends it again, later and in smaller batches."""

_log = logging.getLogger(__name__)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda gives it
    """The answer to a batch."""
    answer = _writer().answer(event)
    outcomes = Counter(one["outcome"] for one in answer.get("items", ()))
    about = {"key": answer.get("key", ""), "cause": answer.get("cause", "")}
    _log.warning(json.dumps(about | outcomes))
    return answer


@lru_cache(maxsize=1)
def _writer() -> BatchWriter:
    """Kept between invocations, as its clients are."""
    tables = [one for one in os.environ.get("ROLLUPS_TABLES", "").split(",") if one]  # noqa: TID251 - a function is configured by its environment
    return BatchWriter(tables, lambda table: Place(table=table), Waiting(backoff=BACKOFF))
