"""The limits that a run keeps: one line each in the table, which options, help and reports are made from.

Defaults are a quarter of what the service documents, so that the live service keeps three.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

_S3_RATES: Final = "docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
_LAMBDA_QUOTAS: Final = "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_ON_DEMAND: Final = "docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"


FIRST_SHARE: Final = 1 / 16
HARMLESS: Final = 10
"""With what part of a limit calls begin: a sixteenth, but so many a second (so many in flight) at least."""


def beginning(limit: float) -> float:
    """With which share of a limit calls begin."""
    return max(FIRST_SHARE, min(1.0, HARMLESS / max(limit, 1)))


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit: what is counted, by whom, and what the service documents (0: nothing) where."""

    name: str
    service: str
    counts: str
    documented: int = 0
    source: str = ""

    @property
    def key(self) -> str:
        """Its field of `Rates`."""
        return self.name.replace("-", "_")


LIMITS: Final = (
    Limit(name="s3-get-per-s", service="s3", counts="GetObject calls", documented=5_500, source=_S3_RATES),
    Limit(name="s3-prefix-get-per-s", service="s3", counts="GetObject calls of one folder", documented=5_500, source=_S3_RATES),
    Limit(name="s3-list-per-s", service="s3", counts="ListObjectsV2 calls"),
    Limit(name="s3-put-per-s", service="s3", counts="PutObject and DeleteObject calls", documented=3_500, source=_S3_RATES),
    Limit(name="s3-prefix-put-per-s", service="s3", counts="PutObject and DeleteObject calls of one folder", documented=3_500, source=_S3_RATES),
    Limit(name="bytes-per-s", service="network", counts="bytes of archive objects"),
    Limit(name="lambda-concurrency", service="lambda", counts="invocations in flight", documented=1_000, source=_LAMBDA_QUOTAS),
    Limit(name="lambda-invoke-per-s", service="lambda", counts="invocations", documented=10_000, source=_LAMBDA_QUOTAS),
    Limit(name="dynamodb-wru-per-s", service="dynamodb", counts="write request units", documented=4_000, source=_ON_DEMAND),
    Limit(name="dynamodb-rru-per-s", service="dynamodb", counts="read request units", documented=12_000, source=_ON_DEMAND),
    Limit(name="valkey-ops-per-s", service="valkey", counts="commands"),
)
"""S3 states its rates for each partitioned prefix and none for listing, a tenth of ours for reading is taken; Lambda's are for a new account's region, its
invocations a second ten times the concurrency; DynamoDB's for a new on-demand table. Valkey has none."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The limits of a run, each for all processes of a work dir together. Every field is an option of the commands that make calls (`configs.limit_options`).

    0 bytes a second mean as many as there are. A ramp begins with a sixteenth of a rate and doubles every so many seconds. `limiter` is the URL of who
    keeps the same limits for others, too; empty is nobody.
    """

    s3_get_per_s: int = 1_375
    s3_prefix_get_per_s: int = 1_375
    s3_list_per_s: int = 137
    s3_put_per_s: int = 875
    s3_prefix_put_per_s: int = 875
    bytes_per_s: int = 0
    lambda_concurrency: int = 250
    lambda_invoke_per_s: int = 2_500
    dynamodb_wru_per_s: int = 1_000
    dynamodb_rru_per_s: int = 3_000
    valkey_ops_per_s: int = 1_000
    ramp_double_s: int = 15
    limiter: str = ""

    def named(self) -> dict[str, int]:
        """Limits by their names."""
        return {one.name: getattr(self, one.key) for one in LIMITS}


def changed(rates: Rates, asked: Mapping[str, Any]) -> Rates:
    """The rates with those that are asked for by the names of their fields."""
    return replace(rates, **asked)


def rates_from_json(data: Mapping[str, Any]) -> Rates:
    """Inverse of `dataclasses.asdict`; what is not said is as usual, what is not known is not looked at."""
    known = {one.name for one in fields(Rates)}
    values: dict[str, Any] = {name: value if isinstance(value, str) else int(value) for name, value in data.items() if name in known}
    return Rates(**values)
