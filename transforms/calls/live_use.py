"""Readings of what everybody uses of Lambda, of a DynamoDB table and of a bucket, and of their limits.

What could not be had is told in the reading, with the IAM action that it needs; nothing is raised for it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from transforms.calls.aws import AwsCalls, error_code
from transforms.calls.cloudwatch import LOOK_BACK_S, Metric, Minutes, metric_minutes
from transforms.calls.service_client import service_client
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.capacity import NEW_TABLE_READS, NEW_TABLE_WRITES
from transforms.core.errors import RollupsError, ServiceUnavailable
from transforms.core.headroom import LimitAt, Reading

T = TypeVar("T")

PATIENCE_S: Final = 5.0

NOTHING: Final = Minutes({})


def _sleep(seconds: float) -> None:
    """As long as a reading is worth: whoever waits for new credentials, waits elsewhere."""
    if seconds > PATIENCE_S:
        raise ServiceUnavailable(f"a reading is not worth a wait of {seconds:.0f} s")
    time.sleep(seconds)


def _unheard(_line: str) -> None:
    """What a reading missed is in the reading."""


IMPATIENT: Final = Waiting(sleep=_sleep, say=_unheard, backoff=Backoff(attempts=2))


@dataclass
class _Asking:
    """Asks, and notes what was not answered."""

    missing: list[str] = field(default_factory=list)

    def ask(self, calls: AwsCalls, action: str, use: Callable[[Any], T]) -> T | None:
        try:
            return calls.call(action, use)
        except (RollupsError, ClientError, BotoCoreError) as error:
            self.missing.append(_why(action, error))
            return None

    def minutes(self, calls: AwsCalls, metrics: Sequence[Metric], now_s: float) -> Sequence[Minutes]:
        """Of each metric; none if they could not be had."""
        found = self.ask(calls, "cloudwatch:GetMetricData", partial(metric_minutes, metrics=metrics, now_s=now_s))
        return found if found is not None else [NOTHING] * len(metrics)

    def check_told(self, found: Minutes, metric: str) -> None:
        if not found.values and not self.missing:
            self.missing.append(f"CloudWatch told no {metric} of the last {LOOK_BACK_S // 60} minutes: nothing was used, or it is late")


def _why(action: str, error: Exception) -> str:
    if "AccessDenied" in error_code(error):
        return f"denied: the IAM action {action} is needed"
    told = " ".join(str(error).split())
    return told if isinstance(error, RollupsError) else f"{action}: {told}"


class LambdaUse:
    """Executions at once: of one function if some are reserved for it, otherwise of the account in one region."""

    def __init__(self, function: str = "", region: str = "", endpoint_url: str = "", place: str = "") -> None:
        """Opens nothing. `function` is a name, perhaps with `:ALIAS`, an ARN, or empty."""
        self.limits = [("lambda-concurrency", place)]
        self._function = _bare_name(function)
        self._lambda = AwsCalls(partial(service_client, "lambda", region, endpoint_url), IMPATIENT)
        self._metrics = AwsCalls(partial(service_client, "cloudwatch", region), IMPATIENT)

    def read(self, now_s: float) -> Sequence[Reading]:
        """One reading."""
        asking = _Asking()
        reserved = self._reserved(asking) if self._function else None
        if reserved:
            return [self._of_function(asking, reserved, now_s)]
        return [self._of_account(asking, now_s)]

    def _reserved(self, asking: _Asking) -> float | None:
        """What is reserved for the function; None if nothing is, or if we may not know."""
        answer = asking.ask(self._lambda, "lambda:GetFunctionConcurrency", lambda client: client.get_function_concurrency(FunctionName=self._function))
        found = (answer or {}).get("ReservedConcurrentExecutions")
        return None if found is None else float(found)

    def _of_function(self, asking: _Asking, reserved: float, now_s: float) -> Reading:
        (used,) = asking.minutes(self._metrics, [_lambda_metric("ConcurrentExecutions", (("FunctionName", self._function),))], now_s)
        asking.check_told(used, "ConcurrentExecutions")
        return _reading(self.limits, f"Lambda, reserved for {self._function}", reserved, used, asking)

    def _of_account(self, asking: _Asking, now_s: float) -> Reading:
        """What others hold is the most of what is executed, what is claimed, and what is not reserved together with all reservations.

        ClaimedAccountConcurrency counts reserved and provisioned executions that run or not
        (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-concurrency.html).
        """
        settings = asking.ask(self._lambda, "lambda:GetAccountSettings", lambda client: client.get_account_settings())
        names = ("ConcurrentExecutions", "ClaimedAccountConcurrency", "UnreservedConcurrentExecutions")
        found = asking.minutes(self._metrics, [_lambda_metric(one) for one in names], now_s)
        account = (settings or {}).get("AccountLimit", {})
        limit = float(account.get("ConcurrentExecutions", 0))
        reserved = limit - float(account.get("UnreservedConcurrentExecutions", limit))
        used = _highest([*found[:2], Minutes({at_s: value + reserved for at_s, value in found[2].values.items()})])
        asking.check_told(used, "use of Lambda")
        return _reading(self.limits, "Lambda, the account", limit, used, asking)


class TableUse:
    """Request units a second of one DynamoDB table."""

    def __init__(self, table: str, region: str = "", endpoint_url: str = "", place: str = "") -> None:
        """Opens nothing."""
        self.limits, self._table = [(_WRITES.name, place), (_READS.name, place)], table
        self._dynamodb = AwsCalls(partial(service_client, "dynamodb", region, endpoint_url), IMPATIENT)
        self._metrics = AwsCalls(partial(service_client, "cloudwatch", region), IMPATIENT)

    def read(self, now_s: float) -> Sequence[Reading]:
        """One for its writes and one for its reads."""
        ways = (_WRITES, _READS)
        asking = _Asking()
        described = asking.ask(self._dynamodb, "dynamodb:DescribeTable", lambda client: client.describe_table(TableName=self._table)["Table"])
        limits = _Asking().ask(self._dynamodb, "dynamodb:DescribeLimits", lambda client: client.describe_limits())  # the table's own limit stands without it
        dimensions = (("TableName", self._table),)
        metrics = [Metric("AWS/DynamoDB", name, "Sum", dimensions) for way in ways for name in (way.consumed, way.throttled)]
        found = asking.minutes(self._metrics, metrics, now_s)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [self._of(way, described or {}, limits or {}, pair, asking) for way, pair in zip(ways, pairs, strict=True)]

    def _of(self, way: "_Way", described: Mapping[str, Any], limits: Mapping[str, Any], found: tuple[Minutes, Minutes], asking: _Asking) -> Reading:
        told = _Asking(list(asking.missing))
        consumed = Minutes({at_s: value / 60 for at_s, value in found[0].values.items()})
        told.check_told(consumed, way.consumed)
        return _reading(
            [one for one in self.limits if one[0] == way.name], f"{way.what} {self._table}", table_limit(way, described, limits), consumed, told, found[1]
        )


@dataclass(frozen=True)
class _Way:
    """Writes or reads, as DynamoDB names them."""

    name: str
    what: str
    kind: str
    new_table: int

    @property
    def consumed(self) -> str:
        return f"Consumed{self.kind}CapacityUnits"

    @property
    def throttled(self) -> str:
        return f"{self.kind}ThrottleEvents"


_WRITES: Final = _Way("dynamodb-wru-per-s", "writes of the table", "Write", NEW_TABLE_WRITES)
_READS: Final = _Way("dynamodb-rru-per-s", "reads of the table", "Read", NEW_TABLE_READS)


def table_limit(way: _Way, described: Mapping[str, Any], limits: Mapping[str, Any]) -> float:
    """Units a second that a table takes now (DescribeTable, DescribeLimits).

    Provisioned: its throughput. On demand: the least of what it is warm for (without that, what a new table takes), its maximum if it has one, and the
    account's maximum for a table.
    """
    if described.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
        return float(described.get("ProvisionedThroughput", {}).get(f"{way.kind}CapacityUnits", 0))
    warm = described.get("WarmThroughput", {}).get(f"{way.kind}UnitsPerSecond") or way.new_table
    most = described.get("OnDemandThroughput", {}).get(f"Max{way.kind}RequestUnits", -1)
    of_account = limits.get(f"TableMax{way.kind}CapacityUnits", -1)
    return float(min(one for one in (warm, most, of_account) if one > 0))


class BucketUse:
    """Whether S3 refuses calls to a bucket, by its request metrics: S3 tells neither a bucket's limit nor how it is cut into prefixes."""

    def __init__(self, bucket: str, metrics_filter: str, names: Sequence[str], region: str = "", place: str = "") -> None:
        """Opens nothing. `metrics_filter` is the id of a request metrics configuration, `names` are the limits of ours that call the bucket."""
        self.limits = [(name, place) for name in names]
        self._bucket, self._filter = bucket, metrics_filter
        self._metrics = AwsCalls(partial(service_client, "cloudwatch", region), IMPATIENT)

    def read(self, now_s: float) -> Sequence[Reading]:
        """One reading: calls that were answered by 5xx."""
        asking = _Asking()
        dimensions = (("BucketName", self._bucket), ("FilterId", self._filter))
        (errors,) = asking.minutes(self._metrics, [Metric("AWS/S3", "5xxErrors", "Sum", dimensions)], now_s)
        if not errors.values and not asking.missing:
            asking.missing.append(f"CloudWatch told no 5xxErrors of the last {LOOK_BACK_S // 60} minutes: has the bucket request metrics named {self._filter}?")
        return [_reading(self.limits, f"S3, {self._bucket}", None, errors, asking, errors)]


def _lambda_metric(name: str, dimensions: tuple[tuple[str, str], ...] = ()) -> Metric:
    return Metric("AWS/Lambda", name, "Maximum", dimensions)


def _highest(of: Sequence[Minutes]) -> Minutes:
    """The most that any of these tells of a minute, as far as the most recent of them tells."""
    return Minutes({at_s: max(one.values[at_s] for one in of if at_s in one.values) for at_s in sorted({at_s for one in of for at_s in one.values})})


def _reading(limits: Sequence[LimitAt], what: str, limit: float | None, used: Minutes, asking: _Asking, refused: Minutes = NOTHING) -> Reading:
    names = tuple(name for name, _ in limits)
    if asking.missing:
        return Reading(names=names, what=what, missing=tuple(asking.missing))
    return Reading(
        names=names,
        what=what,
        limit=limit,
        used=None if limit is None else used.most,
        refused=refused.since(used.begin_s),
        begin_s=used.begin_s,
        end_s=used.end_s,
    )


def _bare_name(function: str) -> str:
    """`writer` of `writer`, `writer:live`, `arn:aws:lambda:REGION:ACCOUNT:function:writer:live` and `ACCOUNT:function:writer`."""
    words = function.split(":")
    return words[words.index("function") + 1] if "function" in words[:-1] else words[0]
