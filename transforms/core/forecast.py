"""How much a run will use and how long its limits make it take, from what was planned. Of what is not known before, the most is taken."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from transforms.core.granularity import MINUTE_S, Range
from transforms.core.limits import Rates, beginning
from transforms.core.plan import Plan
from transforms.core.throttle import PACED_SHARE
from transforms.core.usage import Usage

PROCESSORS: Final = "processors"
"""What binds a run that no limit keeps from working as fast as it can."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a store will be given: units of so many partitions, of which so many are read back and so many partitions are `new`.

    Buckets of the `computed` ranges by granularity, of so many series in all, each of which has that share of the minutes.
    """

    partitions: int
    new: int
    units: int
    verified: int
    series: int
    computed: Mapping[str, tuple[Range, ...]]
    share: float
    dry_run: bool = False


def load_of(plan: Plan, new: int) -> Load:
    """The load of a plan, of whose partitions so many are new."""
    computed = plan.selection.computed
    minutes = max((sum(to_s - from_s for from_s, to_s in ranges) // MINUTE_S for ranges in computed.values()), default=0)
    series = max(1, plan.estimate.series)
    return Load(
        partitions=sum(map(len, plan.shards.values())),
        new=new,
        units=len(plan.all_units()),
        verified=len(plan.verified_units()),
        series=series,
        computed=computed,
        share=min(1.0, plan.estimate.points / max(1, series * minutes)),
        dry_run=plan.request.dry_run,
    )


def of_objects(objects: int, size_bytes: int) -> Usage:
    """Reading so many objects from S3, each once."""
    return Usage(s3_get=objects, s3_bytes=size_bytes)


def seconds_by_limit(used: Usage, rates: Rates) -> dict[str, float]:
    """How long that takes at least at each limit that it needs, alone and from its slow beginning on, by the limit's name."""
    needed = {
        "s3-get-per-s": used.s3_get,
        "s3-list-per-s": used.s3_list,
        "s3-put-per-s": used.s3_put,
        "bytes-per-s": used.s3_bytes,
        "lambda-invoke-per-s": used.lambda_invoke,
        "dynamodb-wru-per-s": used.dynamodb_wru,
        "dynamodb-rru-per-s": used.dynamodb_rru,
    }
    named = rates.named()
    return {name: _seconds(units, named[name], rates.ramp_double_s) for name, units in needed.items() if units and named[name]}


def _seconds(units: float, limit_per_s: float, double_s: float) -> float:
    """A rate that begins with a share of what may be used and doubles continuously: after t seconds rate * share * (2^(t/d) - 1) * d / ln 2 are used."""
    rate, share = PACED_SHARE * limit_per_s, beginning(limit_per_s)
    ramp_s = double_s * math.log2(1 / share)
    of_ramp = rate * (1 - share) * double_s / math.log(2)
    if units >= of_ramp:
        return ramp_s + (units - of_ramp) / rate
    return double_s * math.log2(1 + units * math.log(2) / (rate * share * double_s))


def binding(duration_s: float, by_limit: Mapping[str, float]) -> tuple[str, float]:
    """What the run waits for, and how long it takes: the slowest limit, or the processors, whose time all else runs beside."""
    name, seconds = max(by_limit.items(), key=lambda one: one[1], default=(PROCESSORS, 0.0))
    return (name, seconds) if seconds > duration_s else (PROCESSORS, duration_s)
