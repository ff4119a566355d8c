"""Prices: whole nano-dollars, always rounded against us."""

from decimal import Decimal

import pytest

from stillhouse.core.errors import UsageError
from stillhouse.engines.prices import (
    FREE,
    Price,
    batch_share,
    dry_run,
    nano_usd,
    price_list,
    price_of,
)
from stillhouse.store.ledger import Usage


def test_a_price_is_exact_where_a_float_is_not():
    price = Price.in_usd("0.15", "0.60", "0.075")
    assert price.cost(Usage(1_000_000, 1_000_000, 0)) == 750_000_000
    assert price.cost(Usage(1_000_000, 0, 1_000_000)) == 75_000_000
    assert price.cost(Usage(3, 0)) == 450
    assert nano_usd(0.1) * 3 == nano_usd("0.3")


def test_fractions_of_a_nano_dollar_are_rounded_up_in_prices_and_down_in_caps():
    assert Price.in_usd("0.0001", "0").cost(Usage(1, 0)) == 1
    assert nano_usd(Decimal("0.0000000019")) == 1


@pytest.mark.parametrize("text", ["free", "-1", "0.0000000001", "NaN", "inf"])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(UsageError, match="is no price"):
        Price.in_usd(text, "1")


def test_every_listed_price_has_a_source_with_a_date_and_costs_more_to_write_than_to_read():
    assert len(price_list()) >= 10
    for price in price_list().values():
        assert "20" in price.source
        assert 0 < price.cached_input <= price.input <= price.output


def test_a_model_without_a_price_cannot_have_a_budget_in_money():
    with pytest.raises(UsageError, match=r"'gpt-nobody' at openai is not in the list"):
        price_of("openai", "gpt-nobody", None, has_money_budget=True)
    assert price_of("openai", "gpt-nobody", None, has_money_budget=False) is FREE
    own = Price.in_usd("1", "2")
    assert price_of("openai", "gpt-4.1", own, has_money_budget=True) is own
    assert price_of("openai", "gpt-4.1-mini", None, has_money_budget=True).input == 400_000_000


def test_a_dry_run_bounds_what_is_asked():
    price = Price.in_usd("1", "2")
    found = dry_run([Usage(1000, 500)] * 10, price)
    assert (found.calls, found.most_tokens) == (10, 15_000)
    assert found.most_usd == Decimal("0.02")
    assert found.likely_usd == Decimal("0.0075")


def test_a_batch_costs_its_share_rounded_up():
    price = Price.in_usd("0.15", "0.000000001", "0.075").in_batch(Decimal("0.5"))
    assert (price.input, price.cached_input, price.output) == (75_000_000, 37_500_000, 1)
    own = Price.in_usd("1", "2", batch="0.25").in_batch(Decimal("0.5"))
    assert (own.input, own.output) == (250_000_000, 500_000_000)


def test_a_providers_share_is_listed_and_of_others_all_is_paid():
    assert batch_share("openai") == Decimal("0.5")
    assert batch_share("somebody") == 1


@pytest.mark.parametrize("text", ["half", "0", "-0.5", "1.01", "NaN", "inf"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(UsageError, match="is no share of a price"):
        Price.in_usd("1", "1", batch=text)
