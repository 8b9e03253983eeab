"""What a run uses of services that charge for it, what that costs, and how much of it the user allows. Sums and products only."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any, Final

from transforms.core.errors import BudgetReached, RefusedError

WHOLE: Final = 1e-9
"""Sums of fractions are off by less than this."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Numbers of calls as they are sent, repetitions among them, and what services charge beside these. What is not charged for is not counted.

    `s3_get` are GetObject and all other calls of its price, `s3_bytes` what they answer with; `lambda_gb_s` an invocation's time, as seen from here, times the
    function's memory; `dynamodb_wru` and `dynamodb_rru` request units, of which `dynamodb_write` and `dynamodb_read` are the calls.
    """

    s3_get: float = 0.0
    s3_list: float = 0.0
    s3_put: float = 0.0
    s3_bytes: float = 0.0
    lambda_invoke: float = 0.0
    lambda_gb_s: float = 0.0
    dynamodb_read: float = 0.0
    dynamodb_write: float = 0.0
    dynamodb_rru: float = 0.0
    dynamodb_wru: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(**{name: value + getattr(other, name) for name, value in self.named().items()})

    def __sub__(self, other: "Usage") -> "Usage":
        """What this is more."""
        return self + other * -1

    def __mul__(self, number: float) -> "Usage":
        """So many times this."""
        return Usage(**{name: value * number for name, value in self.named().items()})

    def named(self) -> dict[str, float]:
        """Numbers by what they are of."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def values(self) -> tuple[float, ...]:
        """In the order of the fields."""
        return astuple(self)

    def data(self) -> dict[str, float]:
        """For `--json`: what is whole as whole numbers, the rest to a thousandth."""
        return {name: round(value) if abs(value - round(value)) < 1e-6 else round(value, 3) for name, value in self.named().items()}


NOTHING: Final = Usage()


@dataclass(frozen=True, kw_only=True)
class Prices:
    """List prices in US dollars, of which place and day `as_of` tells: `configs/prices.yaml` has them with their sources."""

    as_of: str = ""
    s3_get_per_1000: float = 0.0
    s3_list_per_1000: float = 0.0
    s3_put_per_1000: float = 0.0
    s3_out_per_gb: float = 0.0
    lambda_per_million: float = 0.0
    lambda_per_gb_s: float = 0.0
    dynamodb_wru_per_million: float = 0.0
    dynamodb_rru_per_million: float = 0.0

    def dollars_by_service(self, used: Usage) -> dict[str, float]:
        """What that much costs; a GB are 10^9 bytes, free tiers and discounts are none."""
        requests = (used.s3_get * self.s3_get_per_1000 + used.s3_list * self.s3_list_per_1000 + used.s3_put * self.s3_put_per_1000) / 1e3
        return {
            "s3": requests,
            "transfer": used.s3_bytes / 1e9 * self.s3_out_per_gb,
            "lambda": used.lambda_invoke / 1e6 * self.lambda_per_million + used.lambda_gb_s * self.lambda_per_gb_s,
            "dynamodb": (used.dynamodb_wru * self.dynamodb_wru_per_million + used.dynamodb_rru * self.dynamodb_rru_per_million) / 1e6,
        }

    def dollars(self, used: Usage) -> float:
        """All services together."""
        return sum(self.dollars_by_service(used).values())


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a run may use from its plan to its end, with all attempts and resumptions; None: as much as it takes."""

    max_gets: int | None = None
    max_invocations: int | None = None
    max_cost: float | None = None
    prices: Prices = field(default_factory=Prices)

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to keep."""
        return any(limit is not None for limit in self._limits().values())

    def beyond(self, used: Usage) -> str:
        """What the first figure that is larger than allowed is, how large it is and may be; empty if none is."""
        return next((self._said(name, used) for name, limit in self._limits().items() if limit is not None and self._figure(name, used) > limit + WHOLE), "")

    def check_sent(self, used: Usage, more: Usage) -> None:
        """Raises BudgetReached if a call that uses so `more` would go beyond: it is not sent."""
        if said := self.beyond(used + more):
            go_on = "what is finished stays finished, go on with the same run id and a larger budget"
            msg = f"the run has used up its budget, the next call would make it {said}: {go_on}"
            raise BudgetReached(msg)

    def check_planned(self, planned: Usage, used: Usage) -> None:
        """Raises RefusedError if what is planned, and `used` until now, is more than allowed; tells which part of the plan would fit."""
        said = self.beyond(planned + used)
        if said:
            share = self._fitting(planned, used)
            fits = f"about {share:.0%} of what was asked for would fit" if share > 0 else "nothing of what was asked for would fit"
            msg = f"the plan takes {said}, planning included: {fits}; ask for a shorter period, fewer metric types or series, or allow more"
            raise RefusedError(msg)

    def data(self) -> dict[str, Any]:
        """The limits for `--json`."""
        return {name: limit for name, limit in self._limits().items() if limit is not None}

    def to_data(self) -> dict[str, Any]:
        """As `budget_from_data` reads it."""
        return self._limits() | {"prices": {one.name: getattr(self.prices, one.name) for one in fields(Prices)}}

    def _limits(self) -> dict[str, float | None]:
        return {"max_gets": self.max_gets, "max_invocations": self.max_invocations, "max_cost": self.max_cost}

    def _figure(self, name: str, used: Usage) -> float:
        return {"max_gets": used.s3_get, "max_invocations": used.lambda_invoke, "max_cost": self.prices.dollars(used)}[name]

    def _said(self, name: str, used: Usage) -> str:
        figure, limit = self._figure(name, used), self._limits()[name]
        option = f"--{name.replace('_', '-')}"
        if name == "max_cost":
            return f"{dollars_text(figure)}, more than {option} {limit:g} dollars allow"
        return f"{figure:,.0f} {'S3 GET calls' if name == 'max_gets' else 'Lambda invocations'}, more than {option} {limit} allows"

    def _fitting(self, planned: Usage, used: Usage) -> float:
        """The share of the plan that would be allowed, if every part takes as much."""
        left = [
            (limit - self._figure(name, used)) / self._figure(name, planned)
            for name, limit in self._limits().items()
            if limit is not None and self._figure(name, planned) > 0
        ]
        return max(0.0, min(left, default=0.0))


def budget_from_data(data: Mapping[str, Any]) -> Budget:
    """Inverse of `Budget.to_data`."""
    return Budget(**{**data, "prices": Prices(**data["prices"])})


def changed_budget(before: Budget, asked: Mapping[str, Any]) -> Budget:
    """With the limits and prices that are asked for instead; what is not asked for is as before, and as `None` asks there is no limit."""
    return replace(before, **asked)


def dollars_text(dollars: float) -> str:
    """`$12.40`, below a dollar with four decimals, below a hundredth of a cent `less than $0.0001`."""
    if 0 < dollars < 0.0001:
        return "less than $0.0001"
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.4f}"
