"""What calls cost and how much is allowed; sums by hand."""

import pytest

from configs.prices import load_prices
from transforms.core.errors import BudgetReached, RefusedError
from transforms.core.usage import Budget, Prices, Usage, budget_from_data, changed_budget, dollars_text

PRICES = Prices(
    as_of="a day",
    s3_get_per_1000=0.0004,
    s3_list_per_1000=0.005,
    s3_put_per_1000=0.005,
    s3_out_per_gb=0.09,
    lambda_per_million=0.2,
    lambda_per_gb_s=0.00001,
    dynamodb_wru_per_million=0.625,
    dynamodb_rru_per_million=0.125,
)


@pytest.mark.parametrize(
    ("used", "service", "dollars"),
    [
        (Usage(s3_get=1_000_000), "s3", 0.4),
        (Usage(s3_list=2_000), "s3", 0.01),
        (Usage(s3_put=3_000), "s3", 0.015),
        (Usage(s3_bytes=2e9), "transfer", 0.18),
        (Usage(lambda_invoke=5_000_000), "lambda", 1.0),
        (Usage(lambda_gb_s=100_000), "lambda", 1.0),
        (Usage(dynamodb_wru=8_000_000), "dynamodb", 5.0),
        (Usage(dynamodb_rru=8_000_000), "dynamodb", 1.0),
        (Usage(dynamodb_read=1e6, dynamodb_write=1e6), "dynamodb", 0.0),
    ],
)
def test_every_thing_has_its_price(used: Usage, service: str, dollars: float) -> None:
    by_service = PRICES.dollars_by_service(used)
    assert by_service[service] == pytest.approx(dollars)
    assert PRICES.dollars(used) == pytest.approx(dollars) == sum(by_service.values())


def test_the_prices_of_the_project_say_of_when_they_are_and_leave_nothing_out() -> None:
    prices = load_prices()
    assert "2026" in prices.as_of
    assert all(value > 0 for name, value in vars(prices).items() if name != "as_of")


@pytest.mark.parametrize(
    ("budget", "used", "more"),
    [
        (Budget(max_gets=10), Usage(s3_get=9), Usage(s3_get=1)),
        (Budget(max_invocations=10), Usage(lambda_invoke=9), Usage(lambda_invoke=1)),
        (Budget(max_cost=1.0, prices=PRICES), Usage(dynamodb_wru=1_599_999), Usage(dynamodb_wru=1)),
        (Budget(max_gets=0), Usage(), Usage(s3_list=1, s3_put=5, lambda_invoke=9)),
        (Budget(), Usage(s3_get=1e12), Usage(s3_get=1)),
    ],
)
def test_all_of_a_budget_may_be_used(budget: Budget, used: Usage, more: Usage) -> None:
    budget.check_sent(used, more)


@pytest.mark.parametrize(
    ("budget", "used", "said"),
    [
        (Budget(max_gets=1_000), Usage(s3_get=1_000), "1,001 S3 GET calls, more than --max-gets 1000 allows"),
        (Budget(max_invocations=3), Usage(lambda_invoke=3), "4 Lambda invocations, more than --max-invocations 3 allows"),
        (Budget(max_cost=0.0004, prices=PRICES), Usage(s3_get=1_000), "$0.0004, more than --max-cost 0.0004 dollars allow"),
    ],
)
def test_the_call_beyond_is_refused_with_figure_and_budget(budget: Budget, used: Usage, said: str) -> None:
    with pytest.raises(BudgetReached) as raised:
        budget.check_sent(used, Usage(s3_get=1, lambda_invoke=1))
    assert said in str(raised.value)
    assert "same run id" in str(raised.value)
    assert (raised.value.exit_code, raised.value.retryable) == (3, False)


def test_a_plan_beyond_the_budget_is_refused_and_it_says_what_would_fit() -> None:
    budget = Budget(max_gets=1_000)
    budget.check_planned(Usage(s3_get=990), Usage(s3_get=10))
    with pytest.raises(RefusedError, match=r"the plan takes 2,010 S3 GET calls, more than --max-gets 1000 allows, planning included: about 50% of what"):
        budget.check_planned(Usage(s3_get=2_000), Usage(s3_get=10))
    with pytest.raises(RefusedError, match="nothing of what was asked for would fit"):
        budget.check_planned(Usage(s3_get=2_000), Usage(s3_get=1_000))


def test_what_fits_is_by_the_narrowest_limit() -> None:
    with pytest.raises(RefusedError, match="about 25% of what was asked for would fit"):
        Budget(max_gets=50, max_cost=0.01, prices=PRICES).check_planned(Usage(s3_get=100, s3_put=8_000 - 8), Usage())


def test_a_budget_goes_through_json_and_what_is_asked_for_later_replaces_it() -> None:
    budget = Budget(max_gets=10, max_cost=0.5, prices=PRICES)
    assert budget_from_data(budget.to_data()) == budget
    assert changed_budget(budget, {"max_gets": 20}) == Budget(max_gets=20, max_cost=0.5, prices=PRICES)
    assert changed_budget(budget, {"max_gets": None}) == Budget(max_cost=0.5, prices=PRICES)
    assert budget.is_limited
    assert not changed_budget(budget, {"max_gets": None, "max_cost": None}).is_limited


def test_usage_adds_and_is_told() -> None:
    both = Usage(s3_get=1, lambda_gb_s=0.12345) + Usage(s3_get=2) * 3
    assert (both.s3_get, (both - Usage(s3_get=7)).s3_get) == (7, 0)
    assert both.data()["s3_get"] == 7
    assert both.data()["lambda_gb_s"] == 0.123
    assert list(both.values()) == list(both.named().values())


@pytest.mark.parametrize(("dollars", "text"), [(0, "$0.00"), (0.00001, "less than $0.0001"), (0.1234, "$0.1234"), (1234.5, "$1,234.50")])
def test_dollars_for_people(dollars: float, text: str) -> None:
    assert dollars_text(dollars) == text
