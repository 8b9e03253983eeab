"""Options about a run's budget, for commands that plan or execute runs; those that are given become a job's `budget`."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from configs.option import Option, whole_number
from configs.prices import load_prices
from transforms.core.errors import UsageError
from transforms.core.usage import Budget, changed_budget

NO_LIMIT: Final = "none"


def _or_none(parse: Callable[[str], float], what: str) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        if text == NO_LIMIT:
            return math.inf
        try:
            return parse(text)
        except UsageError:
            msg = f"{text!r} is neither {what} nor {NO_LIMIT}"
            raise UsageError(msg) from None

    return parsed


def _dollars(text: str) -> float:
    """Accepts an amount that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        msg = f"{text!r} is no amount"
        raise UsageError(msg)
    return number


_WHOLE: Final = "a whole number of at least 0"
_REST: Final = "from its plan to its end, all attempts and resumptions together; `none` lifts it"

BUDGET_OPTIONS: Final[tuple[Option, ...]] = (
    Option(name="max-gets", metavar="N", parse=_or_none(whole_number(0), _WHOLE), help=f"the run makes at most so many S3 GET calls, {_REST}"),
    Option(name="max-invocations", metavar="N", parse=_or_none(whole_number(0), _WHOLE), help=f"the run invokes functions at most so often, {_REST}"),
    Option(
        name="max-cost",
        metavar="DOLLARS",
        parse=_or_none(_dollars, "an amount of dollars"),
        help=f"the run costs at most so much at the prices that it knows, {_REST}",
    ),
    Option(name="prices", metavar="FILE.yaml", help="prices to calculate with, instead of those of configs/prices.yaml"),
)

BUDGET_KEYS: Final = frozenset(one.key for one in BUDGET_OPTIONS)
"""Their names in YAML."""


def asked_budget(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Budget` that the values of options ask for. Raises UsageError for a file of prices that is none."""
    asked = {key: values[key] for key in sorted(BUDGET_KEYS & values.keys()) if values[key] is not None}
    return {key: load_prices(value) if key == "prices" else None if value == math.inf else value for key, value in asked.items()}


def new_budget(asked: Mapping[str, Any]) -> Budget:
    """Of a run that begins: what is asked for, at the project's prices unless others are."""
    return changed_budget(Budget(prices=load_prices()), asked)
