"""What a run will use of services, what it has used, what that costs and how long its limits make it take: for plans and reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.outcome import human_bytes, human_duration, human_number
from transforms.core.errors import BudgetReached, RefusedError
from transforms.core.forecast import PROCESSORS, binding, seconds_by_limit
from transforms.core.limits import Rates
from transforms.core.time import format_time
from transforms.core.usage import NOTHING, Budget, Usage, dollars_text


@contextmanager
def planning_within_budget() -> Iterator[None]:
    """While a run is planned: that its budget is used up means that it does not begin."""
    try:
        yield
    except BudgetReached as error:
        raise RefusedError(f"planning alone takes more than the run may use: {error}") from error


def planned_data(expected: Usage, budget: Budget, rates: Rates, *, duration_s: float, now_s: int) -> dict[str, Any]:
    """What a plan says for `--json`: how much of everything, its price, and when the run would be finished if it began now, by what binds it."""
    by_limit = seconds_by_limit(expected, rates)
    name, seconds = binding(duration_s, by_limit)
    return {
        "expected": expected.data(),
        "expected_dollars": _dollars(expected, budget),
        "prices": budget.prices.as_of,
        "budget": budget.data(),
        "limits_s": {one: round(value, 1) for one, value in by_limit.items()},
        "binding": name,
        "finish": format_time(now_s + round(seconds)),
        "finish_s": round(seconds, 1),
    }


def used_data(used: Usage, budget: Budget, expected: Usage | None = None) -> dict[str, Any]:
    """What a report says for `--json`: planned, if that was told, and used side by side."""
    planned = {"expected": expected.data(), "expected_dollars": _dollars(expected, budget)} if expected else {}
    return {**planned, "used": used.data(), "used_dollars": _dollars(used, budget), "prices": budget.prices.as_of, "budget": budget.data()}


def _dollars(used: Usage, budget: Budget) -> dict[str, float]:
    by_service = budget.prices.dollars_by_service(used)
    return {name: round(value, 6) for name, value in {**by_service, "total": sum(by_service.values())}.items()}


def planned_lines(data: dict[str, Any]) -> Iterator[str]:
    """The plan's lines for people; for a run that calls no service there are none."""
    expected = Usage(**data["expected"])
    if expected != NOTHING:
        yield f"calls       about {_calls(expected)}"
        yield f"cost        {_money(data['expected_dollars'])} ({data['prices']})"
        bound = "by what the processors do" if data["binding"] == PROCESSORS else f"by --{data['binding']}"
        yield f"finish      in about {human_duration(data['finish_s'])}, {bound}: {data['finish']} if it begins now"
    if data["budget"]:
        yield f"budget      {_budget(data['budget'])}"


def used_lines(data: dict[str, Any]) -> Iterator[str]:
    """The report's lines for people; for a run that called no service there are none."""
    used = Usage(**data["used"])
    if used != NOTHING:
        calls, cost = f"calls     {_calls(used)}", f"cost      {_money(data['used_dollars'])}"
        if "expected" in data:
            calls += f"; planned: {_calls(Usage(**data['expected']))}"
            cost += f"; planned: {dollars_text(data['expected_dollars']['total'])}"
        yield calls
        yield f"{cost} ({data['prices']})"
    if data["budget"]:
        yield f"budget    {_budget(data['budget'])}"


def _calls(used: Usage) -> str:
    """`S3 12 GET, 3 LIST, 6 PUT, 1.2 MB; DynamoDB 40 reads of 52 RRU, 12 writes of 30 WRU`."""
    s3 = [f"{human_number(number)} {name}" for name, number in (("GET", used.s3_get), ("LIST", used.s3_list), ("PUT", used.s3_put)) if number]
    s3 += [human_bytes(used.s3_bytes)] if used.s3_bytes else []
    dynamodb = [
        f"{human_number(calls)} {name} of {human_number(units)} {unit}"
        for name, calls, unit, units in (
            ("reads", used.dynamodb_read, "RRU", used.dynamodb_rru),
            ("writes", used.dynamodb_write, "WRU", used.dynamodb_wru),
        )
        if units
    ]
    invoked = [f"{human_number(used.lambda_invoke)} invocations of {used.lambda_gb_s:,.1f} GB-s"] if used.lambda_invoke else []
    parts = [("S3", s3), ("Lambda", invoked), ("DynamoDB", dynamodb)]
    return "; ".join(f"{name} {', '.join(texts)}" for name, texts in parts if texts) or "none"


def _money(dollars: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {dollars_text(value)}" for name, value in dollars.items() if name != "total" and value)
    return dollars_text(dollars["total"]) + (f": {parts}" if parts else "")


def _budget(limits: dict[str, Any]) -> str:
    return ", ".join(f"--{name.replace('_', '-')} {limit:g}" if name == "max_cost" else f"--{name.replace('_', '-')} {limit}" for name, limit in limits.items())
